"""How a console is listed: how long it has been idle, and how many rows are made in one slice of the event loop."""

from __future__ import annotations

import time
from typing import Final

from oobconsole.console.console import Console

#: Rows that are made in one slice, of consoles or of people.
ROWS_A_SLICE: Final = 16


def idle(console: Console) -> float | None:
    return None if console.printed_at is None else time.monotonic() - console.printed_at


def shown_idle(console: Console) -> str:
    """How long ago the guest printed last, in a few characters."""
    return in_words(idle(console))


def in_words(seconds: float | None) -> str:
    if seconds is None:
        return "never"
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size:
            return f"{int(seconds // size)}{unit}"
    return f"{int(seconds)}s"
