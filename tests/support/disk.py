"""Small file systems, real ones, in a mount namespace of the tests' own. They need root; without it a test fails."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.support.sync import eventually

_CLONE_NEWNS: Final = 0x00020000  # sched.h


@functools.cache
def own_mounts() -> None:
    """Hide from others what this process, and what it starts, mounts from now on (unshare(2))."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS):
        raise OSError(ctypes.get_errno(), f"unshare: {os.strerror(ctypes.get_errno())}: these tests need root")
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)


class Disk:
    """A small file system of its own (tmpfs), as a context manager.

    Args:
        options: the options of mount(8).

    Attributes:
        path: where it is mounted. The path is short enough for sockets, and not below /tmp.
    """

    def __init__(self, options: str = "size=2m") -> None:
        self._options = options
        self.path = Path()

    def __enter__(self) -> Self:
        own_mounts()
        self.path = Path(tempfile.mkdtemp(prefix="oob-", dir="/var/tmp"))
        self._mount()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        subprocess.run(["umount", "--lazy", self.path], check=True)
        self.path.rmdir()

    def _mount(self) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", self._options, "tmpfs", self.path], check=True)

    def fill(self) -> None:
        """Fill the disk to the last byte of the last page."""
        with contextlib.suppress(OSError), (self.path / "ballast").open("wb", buffering=0) as file:
            while file.write(bytes(4096)):
                pass

    def take_inodes(self) -> None:
        """Make files until no other file can be made."""
        (self.path / "inodes").mkdir()
        with contextlib.suppress(OSError):
            for number in range(1_000_000):
                os.mknod(self.path / "inodes" / str(number))
        assert os.statvfs(self.path).f_favail == 0

    def free(self) -> None:
        """Make room again."""
        subprocess.run(["rm", "-rf", self.path / "ballast", self.path / "inodes"], check=True)

    def remount(self, how: str) -> None:
        """`ro` or `rw`. That is refused while a file is being written, so it is tried again."""

        def done() -> bool:
            command = ["mount", "-o", f"remount,{how}", str(self.path)]
            return subprocess.run(command, capture_output=True, check=False).returncode == 0

        eventually(done, lambda: f"{self.path}: is busy")
