"""The Python half for stock QEMU with TCG: `native/tcg` connects to a UNIX socket of ours."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from oobconsole.devices.device import Device, Resources
from oobconsole.interceptors.base import InterceptorEvents
from oobconsole.interceptors.connection import Connection
from oobconsole.interceptors.native import NativeInterceptor
from oobconsole.interceptors.ranges import Served
from oobconsole.net.listener import Listener
from oobconsole.net.peer import credentials

#: How many connections may be open that have not sent HELLO yet.
PENDING_MAX: Final = 4


class TcgInterceptor(NativeInterceptor):
    """Listens for one machine's native half. `path` is the path of the UNIX socket, at most 107 bytes; the socket is
    made with mode 0600. `NativeInterceptor` explains the other arguments."""

    def __init__(self, machine: str, path: Path, *, spin_us: int, ranges: tuple[Served, ...] = ()) -> None:
        super().__init__(machine, spin_us=spin_us, ranges=ranges)
        self.path = path
        self._listener: Listener | None = None

    @property
    def place(self) -> str:
        return str(self.path)

    async def start(self, events: InterceptorEvents) -> None:
        self._events = events
        self._listener = Listener(self.path, self._accepted, self._not_accepted)

    async def stop(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        self.close("the server stops")

    def _accepted(self, sock: socket.socket) -> None:
        if len(self._pending) < PENDING_MAX:
            self._pending.add(Connection(sock, self, f"process {credentials(sock).pid}"))
            return
        sock.close()
        self._refused("too many connect and say nothing")

    def _not_accepted(self, reason: str) -> None:
        self._refused(f"no connection can be accepted: {reason}")


def qemu_options(
    machine: str,
    path: Path,
    plugin: Path,
    devices: Sequence[tuple[str, type[Device], Resources]],
    *,
    hide_registers: bool = True,
) -> list[str]:
    """Return the words to add to the command line of `machine`'s QEMU.

    The plugin must know where the guests have devices. `ports=` lists the devices: the shadow that the plugin is to
    have of the device (`Device.shadow`), an at sign, and the device's ranges of ports. `irq=` lists the interrupts of
    each device, in the same order. A colon separates two devices. A plus separates two ranges, or two interrupts, of
    one device: `ports=generic@0x60+0x64:uart@0x3f8-0x3ff,irq=1+12:4`. A minus sign in `irq=` stands for a device that
    has no interrupt.

    QEMU's option syntax (qemu(1)) wants a comma in a path doubled, and wants the option's name, `file=`, before a
    plugin's path that has an equals sign.

    Args:
        devices: a guest that has the device, the device's kind, and its place; each place is listed once.
        hide_registers: whether L1 must not see L2's registers while a console is in use.
    """
    ranges = ":".join(f"{kind.shadow}@" + "+".join(map(_words, place.ranges)) for _, kind, place in devices)
    irqs = ":".join("+".join(map(str, place.lines)) or "-" for _, _, place in devices)
    file, sock = (str(name).replace(",", ",,") for name in (plugin, path))
    head = f"file={file}" if "=" in file else file
    shown = "" if hide_registers else ",registers=shown"
    return ["-plugin", f"{head},socket={sock},machine={machine},ports={ranges},irq={irqs}{shown}"]


def _words(ports: range) -> str:
    return f"{ports.start:#x}" if len(ports) == 1 else f"{ports.start:#x}-{ports.stop - 1:#x}"
