"""Each kind of line with a real other end: sockets, pseudo-terminals, ser2net."""

from __future__ import annotations

import asyncio
import os
import pty
import socket
import tty
from abc import ABC, abstractmethod
from pathlib import Path

from oobconsole.config.guests import SerialConfig
from oobconsole.libvirt.stream import LibvirtStream
from oobconsole.libvirt.threads import HostThreads
from oobconsole.lines.base import Stream
from oobconsole.lines.chardev import ChardevStream, parse
from oobconsole.lines.serialport import SerialStream
from oobconsole.vfio_user.keeper import Settings
from oobconsole.vfio_user.stream import KeeperProcess, VfioUserStream
from tests.stack.libvirtd import Libvirtd
from tests.support.aio import soon, until
from tests.support.ports import free_port
from tests.support.vfio import Vmm, end_keeper

UUID = "6f2c3f5e-6a0e-4c53-9d1a-7f3f0d7d3f01"


class LineEvents:
    """A console that writes down what it is told."""

    def __init__(self) -> None:
        self.is_up = False
        self.ups = 0
        self.downs: list[tuple[str, float | None]] = []
        self.got = bytearray()
        self.writable_calls = 0

    def up(self, peer: str) -> None:
        self.is_up = True
        self.ups += 1

    def down(self, reason: str, retry_s: float | None) -> None:
        self.is_up = False
        self.downs.append((reason, retry_s))

    def output(self, data: bytes) -> None:
        self.got += data

    def gap(self, lost: int) -> None:
        raise AssertionError(f"{lost} bytes are said to be lost")

    def writable(self) -> None:
        self.writable_calls += 1


class LineRig(ABC):
    """A stream, and the other end of it as a non-blocking descriptor or socket."""

    stream: Stream

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events = LineEvents()

    async def start(self) -> None:
        """The other end is there, and our end finds it."""
        await self.appear()
        await self.stream.start(self.events)
        await self.meet()

    async def meet(self) -> None:
        await until(lambda: self.events.is_up, lambda: self.events.downs)

    async def stop(self) -> None:
        await self.stream.stop()
        await self.vanish()

    @abstractmethod
    async def appear(self) -> None:
        """Make the other end come."""

    @abstractmethod
    async def vanish(self) -> None:
        """Make the other end go. A second call does nothing."""

    @abstractmethod
    def print(self, data: bytes) -> int:
        """Print, as the guest does. Returns how many bytes could be printed."""

    @abstractmethod
    def typed(self) -> bytes:
        """Return what the guest has received since the last call."""


class _SocketRig(LineRig):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._peer: socket.socket | None = None

    @property
    def peer(self) -> socket.socket:
        assert self._peer is not None
        return self._peer

    async def vanish(self) -> None:
        if self._peer is not None:
            self._peer.close()
            self._peer = None

    def print(self, data: bytes) -> int:
        try:
            return self.peer.send(data)
        except BlockingIOError:
            return 0

    def typed(self) -> bytes:
        try:
            return self.peer.recv(1 << 20)
        except BlockingIOError:
            return b""


class DialRig(_SocketRig):
    """A line to which QEMU listens (`server=on`), and to which we connect."""

    def __init__(self, folder: Path, family: socket.AddressFamily) -> None:
        super().__init__(folder)
        self._listener = socket.socket(family)
        if family == socket.AF_UNIX:
            self._listener.bind(str(folder / "line"))
            address = f"unix:{folder / 'line'}"
        else:
            self._listener.bind(("127.0.0.1", 0))
            address = f"tcp:127.0.0.1:{self._listener.getsockname()[1]}"
        self._listener.setblocking(False)
        self.stream = ChardevStream("web1", parse(address))

    async def appear(self) -> None:
        self._listener.listen()

    async def meet(self) -> None:
        self._peer, _ = await soon(asyncio.get_running_loop().sock_accept(self._listener))
        await super().meet()

    async def stop(self) -> None:
        await super().stop()
        self._listener.close()


class ListenRig(_SocketRig):
    """A line at which we listen, and to which QEMU connects (`server=off,reconnect-ms=…`)."""

    def __init__(self, folder: Path, family: socket.AddressFamily) -> None:
        super().__init__(folder)
        self._family = family
        if family == socket.AF_UNIX:
            self._address: str | tuple[str, int] = str(folder / "line")
            text = f"unix-listen:{self._address}"
        else:
            port = free_port()
            self._address = ("127.0.0.1", port)
            text = f"tcp-listen:127.0.0.1:{port}"
        self.stream = ChardevStream("web1", parse(text))

    async def appear(self) -> None:
        """Do nothing: QEMU connects when we listen."""

    async def meet(self) -> None:
        self._peer = socket.socket(self._family)
        self._peer.connect(self._address)
        self._peer.setblocking(False)
        await super().meet()


class LibvirtRig(_SocketRig):
    """A domain's console by libvirt: a real QEMU, whose guest joins it to a UNIX socket of ours."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.libvirtd = Libvirtd()
        self._line = self.libvirtd.folder / "line"
        self.stream = LibvirtStream("web1", HostThreads(), self.libvirtd.uri, UUID, "serial0")

    async def appear(self) -> None:
        await asyncio.to_thread(self._appear)

    def _appear(self) -> None:
        if not self.libvirtd.running:
            self.libvirtd.start()
            self.libvirtd.define(self.libvirtd.bridge("web1", self._line, ident=UUID))
        self.libvirtd.virsh("start", "web1")
        self._peer = socket.socket(socket.AF_UNIX)
        self._peer.connect(str(self._line))
        self._peer.setblocking(False)

    async def vanish(self) -> None:
        await super().vanish()
        await asyncio.to_thread(self.libvirtd.virsh, "destroy", "web1", check=False)

    async def stop(self) -> None:
        await super().stop()
        await asyncio.to_thread(self.libvirtd.close)


class PtyRig(LineRig):
    """A tty of this host: a pseudo-terminal in the place of a real port."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.device = folder / "ttyUSB0"
        self._master = -1
        self.stream = SerialStream("web1", SerialConfig(device=self.path()))

    def path(self) -> str:
        return str(self.device)

    async def appear(self) -> None:
        self._master, slave = pty.openpty()
        tty.setraw(slave)
        self.device.symlink_to(os.ttyname(slave))
        os.set_blocking(self._master, False)
        self._slave = slave  # kept open: a master without a slave reads an error

    async def vanish(self) -> None:
        if self._master >= 0:
            os.close(self._master)
            os.close(self._slave)
            self.device.unlink()
            self._master = -1

    def print(self, data: bytes) -> int:
        try:
            return os.write(self._master, data)
        except BlockingIOError:
            return 0

    def typed(self) -> bytes:
        try:
            return os.read(self._master, 1 << 20)
        except BlockingIOError:
            return b""


class Rfc2217Rig(PtyRig):
    """A terminal server: Debian's ser2net, in front of a pseudo-terminal."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        super().__init__(folder)
        self._process: asyncio.subprocess.Process | None = None

    def path(self) -> str:
        # a pseudo-terminal has no modem lines, so ser2net never confirms their setting
        return f"rfc2217://127.0.0.1:{self._port}?ign_set_control"

    async def appear(self) -> None:
        await super().appear()
        config = self.folder / "ser2net.yaml"
        config.write_text(
            f"connection: &line\n  accepter: telnet(rfc2217),tcp,127.0.0.1,{self._port}\n"
            f"  connector: serialdev,{self.device},115200n81,local\n"
        )
        self._process = await asyncio.create_subprocess_exec(
            "/usr/sbin/ser2net", "-n", "-d", "-c", config, stderr=asyncio.subprocess.DEVNULL
        )

    async def vanish(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None
        await super().vanish()


class VfioUserRig(LineRig):
    """A keeper's process, and a VMM whose guest uses the card as Linux's driver does."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.settings = Settings(str(folder / "vfio"), str(folder / "keeper"), "memory", 1)
        self.stream = VfioUserStream("web1", KeeperProcess("web1", self.settings), 0)
        self._vmm: Vmm | None = None

    @property
    def vmm(self) -> Vmm:
        assert self._vmm is not None
        return self._vmm

    async def appear(self) -> None:
        """It connects when there is a keeper."""

    async def meet(self) -> None:
        self._vmm = Vmm(Path(self.settings.socket))
        self._vmm.write(2, 0x01)
        await super().meet()

    async def vanish(self) -> None:
        if self._vmm is not None:
            self._vmm.close()
            self._vmm = None

    async def stop(self) -> None:
        await super().stop()
        await asyncio.to_thread(end_keeper, Path(self.settings.control))

    def print(self, data: bytes) -> int:
        self.vmm.print(data)
        return len(data)

    def typed(self) -> bytes:
        return self.vmm.received()
