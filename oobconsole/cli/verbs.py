"""What the running server does for the local command, and where it is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer

#: Its own `help` says more.
REMOTE: Final = {
    "menu": "choose a console from a menu",
    "attach": "attach to a console",
    "watch": "attach to a console, without the keyboard",
    "ls": "list the consoles",
    "who": "list who is attached",
    "events": "show what happens, as it happens",
    "send": "type a text into a guest",
    "wait": "wait until a guest prints something",
    "power": "switch a guest",
    "log": "show what a guest printed, and who typed what",
    "replay": "show what a guest printed, as it came",
    "search": "look for a pattern in what a guest printed",
    "reload": "read the server's configuration again",
    "status": "say how the server does",
    "help": "what these commands can do",
}
#: Those whose first argument is a console.
OF_A_CONSOLE: Final = frozenset({"attach", "watch", "send", "wait", "power", "log", "replay", "search"})
DEFAULT_CONFIG: Final = Path("/etc/oobconsole/oobconsole.toml")


def config_file(ctx: typer.Context, given: Path | None = None) -> Path:
    """What stands behind the command, or before it, or in the environment; else where it is installed."""
    before: Path | None = ctx.find_root().params.get("config")
    return given or before or DEFAULT_CONFIG
