"""Libraries that are preloaded into a real server, and change what the system tells it."""

from __future__ import annotations

import subprocess
from pathlib import Path


def preload(name: str, folder: Path) -> Path:
    """Build `NAME.c` of this folder; returns the library, in `folder`."""
    library = folder / f"{name}.so"
    flags = ("-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror")
    source = Path(__file__).with_name(f"{name}.c")
    subprocess.run(["cc", *flags, "-o", library, source, "-ldl"], check=True)
    return library
