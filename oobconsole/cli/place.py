"""Where the configuration of the server is that the local command should use."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import typer

DEFAULT_CONFIG: Final = Path("/etc/oobconsole/oobconsole.toml")


def config_file(ctx: typer.Context, given: Path | None = None) -> Path:
    """Return the path given by an option behind the command or before it, or by the environment, or else the
    default."""
    before: Path | None = ctx.find_root().params.get("config")
    return given or before or DEFAULT_CONFIG
