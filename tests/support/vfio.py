"""The two sides of a keeper: a VMM that speaks vfio-user, and a server at its link; and a keeper in a thread."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from oobconsole.vfio_user import link
from oobconsole.vfio_user import messages as m
from oobconsole.vfio_user.keeper import Keeper, Settings
from oobconsole.vfio_user.link import Kind
from tests.support.pace import Deadline, scaled

#: What takes longer, in seconds, does not happen.
PATIENCE: Final = 20.0
VERSION: Final = (
    b"\0\0\0\0"
    + json.dumps(
        {"capabilities": {"max_msg_fds": 8, "max_data_xfer_size": 1 << 20, "pgsizes": 4096, "write_multiple": True}}
    ).encode()
    + b"\0"
)


def request(command: int, payload: bytes = b"", *, number: int = 7, flags: int = 0) -> bytes:
    """Return a message as a client sends it."""
    return m.HEADER.pack(number, command, m.HEADER.size + len(payload), flags, 0) + payload


def read_request(offset: int, size: int = 1, *, region: int = m.BAR0_REGION, number: int = 7) -> bytes:
    """Return the message REGION_READ."""
    return request(m.Command.REGION_READ, m.ACCESS.pack(offset, region, size), number=number)


def write_request(
    offset: int, data: bytes, *, region: int = m.BAR0_REGION, posted: bool = False, number: int = 7
) -> bytes:
    """Return the message REGION_WRITE."""
    flags = m.Flags.NO_REPLY if posted else 0
    return request(
        m.Command.REGION_WRITE, m.ACCESS.pack(offset, region, len(data)) + data, number=number, flags=flags
    )


def irq_request(flags: int, *, count: int = 1, data: bytes = b"", index: int = 0, start: int = 0) -> bytes:
    """Return the message DEVICE_SET_IRQS."""
    payload = b"".join(v.to_bytes(4, "little") for v in (20 + len(data), flags, index, start, count))
    return request(m.Command.DEVICE_SET_IRQS, payload + data)


class Vmm:
    """A client. If something is not answered in time, it raises `TimeoutError`."""

    def __init__(self, path: Path, *, greet: bool = True) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(scaled(PATIENCE))
        self.sock.connect(str(path))
        if greet:
            self.ask(request(m.Command.VERSION, VERSION))

    def close(self) -> None:
        self.sock.close()

    def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """Send bytes without waiting for an answer."""
        socket.send_fds(self.sock, [data], list(fds))

    def answer(self) -> tuple[tuple[int, int, int, int, int], bytes]:
        """Header and payload of the next reply. Raises `EOFError` when the connection is closed."""
        header = m.HEADER.unpack(self._exactly(m.HEADER.size))
        return header, self._exactly(header[2] - m.HEADER.size)

    def ask(self, data: bytes, fds: Sequence[int] = ()) -> bytes:
        """Send a request; returns its reply's payload. Raises `OSError` for an error reply."""
        self.send(data, fds)
        (number, command, _, flags, error), payload = self.answer()
        assert (number, command) == m.HEADER.unpack_from(data)[:2]
        if flags & m.Flags.ERROR:
            raise OSError(error, os.strerror(error))
        assert flags == m.Flags.REPLY
        return payload

    def read(self, offset: int, size: int = 1, region: int = m.BAR0_REGION) -> int:
        """Read from a region, as a guest does."""
        payload = self.ask(read_request(offset, size, region=region))
        assert payload[: m.ACCESS.size] == m.ACCESS.pack(offset, region, size)
        return int.from_bytes(payload[m.ACCESS.size :], "little")

    def write(self, offset: int, value: int, size: int = 1, region: int = m.BAR0_REGION) -> None:
        """Write to a region, as a guest does."""
        self.ask(write_request(offset, value.to_bytes(size, "little"), region=region))

    def print(self, data: bytes, port: int = 0) -> None:
        """Write bytes to THR as posted writes, as the guest's driver does."""
        self.sock.sendall(b"".join(write_request(8 * port, bytes((byte,)), posted=True) for byte in data))

    def received(self, port: int = 0) -> bytes:
        """Return what the guest's driver finds in the receiver."""
        found = bytearray()
        while self.read(8 * port + 5) & 0x01:
            found.append(self.read(8 * port))
        return bytes(found)

    def closed(self) -> bool:
        """Wait until the other side has closed the connection."""
        try:
            while self.sock.recv(65536):
                pass
        except ConnectionResetError:
            pass
        return True

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            got = self.sock.recv(size - len(data))
            if not got:
                raise EOFError("the connection was closed")
            data += got
        return data


class LinkedServer:
    """A server that is attached to a port of a keeper, without the code of the server."""

    def __init__(self, path: Path, port: int = 0, have: int | None = None, *, attach: bool = True) -> None:
        self.output = bytearray()
        self.states: list[dict[str, Any]] = []
        self.gaps: list[int] = []
        self.taken = self.breaks_taken = 0
        self.attached_at: int | None = None
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(scaled(PATIENCE))
        self.sock.connect(str(path))
        self._decoder = link.Decoder()
        self._frames: list[link.Frame] = []
        self.hello = self._frame().table
        if attach:
            self.send(Kind.ATTACH, {"port": port, "have": have, "breaks": True})
            self.until(lambda: bool(self.states))

    def close(self) -> None:
        self.sock.close()

    def send(self, kind: Kind, payload: bytes | dict[str, Any] = b"") -> None:
        self.sock.sendall(link.encode(kind, payload))

    def until(self, true: Any) -> None:
        """Take frames until a condition holds. Raises `TimeoutError` or `EOFError`."""
        while not true():
            self._take(self._frame())

    def until_down(self) -> dict[str, Any]:
        """The next state that is not up."""
        self.until(lambda: not self.states[-1]["up"])
        return self.states[-1]

    def ends(self) -> bool:
        """Wait until the keeper has closed the link."""
        with contextlib.suppress(EOFError, ConnectionResetError):
            while True:
                self._take(self._frame())
        return True

    def _frame(self) -> link.Frame:
        while not self._frames:
            data = self.sock.recv(65536)
            if not data:
                raise EOFError(f"the keeper closed the link; states: {self.states}")
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def _take(self, frame: link.Frame) -> None:
        if frame.kind is Kind.OUTPUT:
            self.output += frame.payload
        elif frame.kind is Kind.STATE:
            self.states.append(frame.table)
        elif frame.kind is Kind.GAP:
            self.gaps.append(frame.number)
        elif frame.kind is Kind.TAKEN:
            self.taken += frame.number
        elif frame.kind is Kind.BREAKS_TAKEN:
            self.breaks_taken += frame.number
        elif frame.kind is Kind.ATTACHED:
            self.attached_at = frame.number


class RunningKeeper:
    """A keeper in a thread of this process."""

    def __init__(self, folder: Path, *, bar: str = "io", ports: int = 1) -> None:
        self.socket, self.control = folder / "vfio", folder / "keeper"
        self.keeper = Keeper(Settings(str(self.socket), str(self.control), bar, ports))
        self.failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._open: list[Vmm | LinkedServer] = []
        self._thread.start()

    def vmm(self, *, greet: bool = True) -> Vmm:
        self._open.append(made := Vmm(self.socket, greet=greet))
        return made

    def server(self, port: int = 0, have: int | None = None, *, attach: bool = True) -> LinkedServer:
        self._open.append(made := LinkedServer(self.control, port, have, attach=attach))
        return made

    def stop(self) -> None:
        """End the keeper. An exception of its thread is raised here."""
        for one in self._open:
            one.close()
        self.keeper.stop()
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as poke:
            poke.connect(str(self.control))
        self.join()

    def join(self) -> None:
        """Wait until the keeper has ended. An exception of its thread is raised here."""
        self._thread.join(scaled(PATIENCE))
        assert not self._thread.is_alive()
        if self.failed is not None:
            raise self.failed

    def _run(self) -> None:
        try:
            self.keeper.run()
        except BaseException as error:
            self.failed = error


@contextlib.contextmanager
def running_keeper(folder: Path, *, bar: str = "io", ports: int = 1) -> Iterator[RunningKeeper]:
    """Run a keeper that ends with the block."""
    made = RunningKeeper(folder, bar=bar, ports=ports)
    try:
        yield made
    finally:
        made.stop()


def open_descriptors() -> dict[str, str]:
    """Return the open file descriptors of this process. What earlier tests have left is collected before, because it
    may have files open."""
    gc.collect()
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found[entry.name] = str(entry.readlink())
    return found


def end_keeper(control: Path) -> None:
    """Make a keeper process without a VMM end, and wait for that. If there is no keeper, nothing is done."""
    try:
        server = LinkedServer(control, attach=False)
    except OSError:
        return
    deadline = Deadline(PATIENCE)
    server.sock.settimeout(0.1)
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        while deadline.left:  # it does not end before it knows that its VMM is gone
            server.send(Kind.END)
            with contextlib.suppress(TimeoutError):
                server.ends()
                break
        else:
            raise AssertionError(f"the keeper at {control} did not end in {deadline}")
    server.close()
