"""What typer's shell completion cannot know: the arguments of verbs, and the consoles that the running server has."""

from __future__ import annotations

from pathlib import Path

import typer

from oobconsole.cli import verbs
from oobconsole.config.load import load
from oobconsole.errors import ConfigError


def words(ctx: typer.Context, incomplete: str) -> list[str]:
    """What can stand behind a verb, there where `incomplete` stands."""
    verb, before = str(ctx.info_name), ctx.params.get("words") or ()
    known: list[str] = []
    if verb == "help" and not before:
        known = list(verbs.REMOTE)
    elif verb in verbs.OF_A_CONSOLE and not before:
        known = _consoles(ctx)
    elif verb == "power" and len(before) == 1:
        from oobconsole.power.power import PowerAction  # nothing else here needs asyncio

        known = list(PowerAction)
    return [word for word in known if word.startswith(incomplete)]


def _consoles(ctx: typer.Context) -> list[str]:
    """None when there is no server: whoever presses Tab wants no error message."""
    from oobconsole.cli import remote  # other completions come faster without

    try:
        socket = ctx.find_root().params["socket"] or load(verbs.config_file(ctx)).server.admin_socket
        return remote.consoles(Path(socket))
    except (ConfigError, remote.Unreachable):
        return []
