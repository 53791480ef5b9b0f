"""A real server whose wall clock a test sets; its other clocks, and everybody else's, stay as they are."""

from __future__ import annotations

import mmap
import struct
from pathlib import Path

from tests.faults.preload import preload

_SECONDS = struct.Struct("q")


class MovedClock:
    """The clock of a process that is started `through` it.

    Args:
        folder: for the shim.
        by: seconds that it shows more than the real one, at first.

    Attributes:
        through: words before the process's own, as `Server.through`.
    """

    def __init__(self, folder: Path, by: int = 0) -> None:
        file = folder / "clock"
        file.write_bytes(_SECONDS.pack(by))
        with file.open("r+b") as opened:
            self._moved = mmap.mmap(opened.fileno(), _SECONDS.size)
        self.through = ("env", f"LD_PRELOAD={preload('clock', folder)}", f"OOB_CLOCK={file}")

    def set(self, by: int) -> None:
        """It shows so many seconds more than the real one from now on."""
        self._moved[:] = _SECONDS.pack(by)
