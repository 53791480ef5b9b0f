"""Completes what typer itself cannot know: the arguments of verbs, and the consoles of the running server."""

from __future__ import annotations

from pathlib import Path

import typer

from oobconsole.cli.place import config_file
from oobconsole.config.load import load
from oobconsole.errors import ConfigError
from oobconsole.verbs import VERBS, Argument


def words(ctx: typer.Context, incomplete: str) -> list[str]:
    """Return the words that may stand behind a verb in the place of `incomplete`."""
    verb, before = VERBS[str(ctx.info_name)], ctx.params.get("words") or ()
    known = _known(ctx, verb.words[len(before)]) if len(before) < len(verb.words) else []
    return [word for word in known if word.startswith(incomplete)]


def _known(ctx: typer.Context, argument: Argument) -> list[str]:
    """Return all words that an argument can be."""
    match argument:
        case Argument.CONSOLE:
            return _consoles(ctx)
        case Argument.VERB:
            return [name for name, verb in VERBS.items() if verb.handed_on]
        case Argument.POWER_ACTION:
            from oobconsole.power.power import PowerAction  # nothing else here needs asyncio

            return list(PowerAction)


def _consoles(ctx: typer.Context) -> list[str]:
    """Return the names of the server's consoles. If no server runs there are none, and no error: somebody who presses
    Tab wants no message."""
    from oobconsole.cli import connecting  # other completions come faster without

    try:
        socket = ctx.find_root().params["socket"] or load(config_file(ctx)).server.admin_socket
        return connecting.consoles(Path(socket))
    except (ConfigError, connecting.Unreachable):
        return []
