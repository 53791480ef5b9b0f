"""A guest in a stock QEMU, without a layer between, as most people have it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.stack.nested import CACHE, KERNEL_WORDS, qemu
from tests.support.expect import Expect

#: QEMU's options that boot a tiny Linux with a shell on its serial port.
LINUX = (
    *("-kernel", str(CACHE / "guests" / "vmlinuz"), "-initrd", str(CACHE / "guests" / "l2.cpio")),
    *("-append", KERNEL_WORDS),
)


class PlainGuest:
    """The guest. It ends with the test, however the test ends.

    Args:
        folder: the folder of its sockets, which are `serial` and `qmp`.
        serial: the value of QEMU's option `-serial`.
        options: further options of QEMU.
        boot: the options of QEMU that say what the guest boots.
    """

    def __init__(
        self, folder: Path, serial: str, options: Sequence[str] = (), *, boot: Sequence[str] = LINUX
    ) -> None:
        self.qmp = folder / "qmp"
        command = ["setpriv", "--pdeathsig", "TERM", str(qemu()), "-accel", "tcg", "-m", "256", "-nodefaults"]
        command += ["-display", "none", *boot, "-serial", serial]
        command += ["-qmp", f"unix:{self.qmp},server=on,wait=off", *options]
        self._command = command
        self._process: Expect | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Power the guest on."""
        self._process = Expect(self._command)

    @property
    def running(self) -> bool:
        """Return whether QEMU runs."""
        return self._process is not None and self._process.running

    def stop(self) -> None:
        """Power the guest off at once. It may be off already."""
        if self._process is not None:
            self._process.close()
            self._process = None
