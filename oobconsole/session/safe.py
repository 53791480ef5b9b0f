"""What a guest may show at a person's terminal: `oobconsole.terminal.safe`, in slices that make nobody else wait."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from oobconsole.terminal.safe import SafeFilter

#: So much output is filtered at a time, in bytes: the most hostile in a few milliseconds.
SLICE: Final = 2048


async def slices(data: bytes) -> AsyncIterator[bytes]:
    """The output a slice at a time, with a turn for everybody else between two."""
    for at in range(0, len(data), SLICE):
        if at:
            await asyncio.sleep(0)
        yield data[at : at + SLICE]


__all__ = ["SLICE", "SafeFilter", "slices"]
