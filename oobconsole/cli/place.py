"""Where the configuration of the server is that the local command is about."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer

DEFAULT_CONFIG: Final = Path("/etc/oobconsole/oobconsole.toml")


def config_file(ctx: typer.Context, given: Path | None = None) -> Path:
    """What stands behind the command, or before it, or in the environment; else where it is installed."""
    before: Path | None = ctx.find_root().params.get("config")
    return given or before or DEFAULT_CONFIG
