"""The native half's own C (`native/core`, and the socket of `native/tcg`) under a test's hands.

Nothing happens by itself: the test is the guest, the server, and the clock (`half.c`). While a vCPU waits, the
server here answers each access at once, unless the test has made it silent.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import Event
from tests.stack.nested import ROOT

COM1: Final = 0x3F8
COM2: Final = 0x2F8
RBR = THR = 0
IER, IIR, LCR, MCR, LSR, MSR, SCR = range(1, 8)
FCR = IIR
THRI: Final = 0x02
IDLE_LSR, DATA_READY, CONNECTED = 0x60, 0x01, 0xB0
NOTHING_PENDING, THRE_PENDING = 0x01, 0x02
STATUS: Final = 1 << LSR | 1 << MSR
PATIENCE_NS: Final = 100_000_000  # OOB_PATIENCE_MS of link.h
_TCG_PARTS: Final = "options socket"
_CALLED_BY_US: Final = {"poll": "half_poll", "send": "half_send", "recv": "half_recv"}
_Turn = ctypes.CFUNCTYPE(ctypes.c_bool)
_Meanwhile = ctypes.CFUNCTYPE(None)


def build(folder: Path) -> Path:
    """Compile it as a library. `make check-c` has it compiled with what it looks for, where that leaves its files."""
    library = Path(os.environ.get("OOB_NATIVE_FOLDER", folder)) / "half.so"
    native = ROOT / "native"
    renamed = [f"-D{name}={ours}" for name, ours in _CALLED_BY_US.items()]
    sources = [*sorted((native / "core").glob("*.c")), *(native / "tcg" / f"{part}.c" for part in _TCG_PARTS.split())]
    command = ["cc", "-shared", "-fPIC", "-g", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror"]
    command += os.environ.get("OOB_NATIVE_CFLAGS", "").split()
    command += [
        f"-I{native / 'include'}",
        f"-I{native / 'core'}",
        f"-I{native / 'tcg'}",
        *renamed,
        "-o",
        str(library),
    ]
    command += [
        *map(str, sources),
        *(str(Path(__file__).with_name(name)) for name in ("half.c", "core.c", "shadow.c", "virt.c")),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return library


class Half:
    """A native half with two guests, numbers 1 and 2, whose UARTs are COM1 and COM2.

    Args:
        library: what `build` has made.
        folder: for a copy of it: each has its own variables.
        words: the options; none: two UARTs.

    Attributes:
        base, other: the port that is tried, and the guests' other one.
        answers: what registers hold at the server, by port; 0, if not named.
        posted: bit n: the server does not want to answer a write to register n.
        widths: bits 0 to 2: an access may have 1, 2, 4 bytes, as the server says it of each range.
        silent: the server does nothing while a vCPU waits.
        received: what the server has taken in, and the test has not looked at.
        asked: how many accesses the server has answered.
    """

    def __init__(self, library: Path, folder: Path, words: Sequence[str] = ()) -> None:
        own = folder / "own.so"
        shutil.copy(library, own)
        self._lib = ctypes.CDLL(str(own))
        self._lib.half_unsent.restype = ctypes.c_size_t
        for name in ("half_clock", "half_stat"):
            getattr(self._lib, name).restype = ctypes.c_uint64
        for name in (
            "half_begin",
            "half_level",
            "half_line_level",
            "half_attended",
            "half_kept",
            "half_up",
            "half_connected",
        ):
            getattr(self._lib, name).restype = ctypes.c_bool
        words = words or (
            f"socket={folder / 's'}",
            "machine=l1",
            "ports=uart@0x3f8-0x3ff:uart@0x2f8-0x2ff",
            "irq=4:3",
        )
        arguments = (ctypes.c_char_p * len(words))(*(word.encode() for word in words))
        #: The server's turn while a vCPU waits: this object's own server, or the real one (`served.py`).
        self.turn = self._server_turn
        self._turn = _Turn(lambda: self.turn())
        assert self._lib.half_begin(len(words), arguments, self._turn)
        self.base, self.other = COM1, COM2
        self.answers: dict[int, int] = {}
        self.silent = False
        self.posted = 0xFF
        self.widths = 0b001
        self.received: list[Event] = []
        self.asked = 0
        self._server: socket.socket | None = None
        self._client: socket.socket | None = None
        self._served: dict[int, int] = {}

    # -- the link -----------------------------------------------------------------------------------

    def connect(self) -> None:
        """A new connection, welcomed; the server has not said READY yet."""
        self._server, self._client = socket.socketpair()
        self._server.setblocking(False)
        for end in (self._server, self._client):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        self._decoder = wire.Decoder()
        assert len(list(self._decoder.feed(wire.encode_hello("l1", 7)))) == 1
        self._served.clear()
        self._lib.half_adopt(self._client.fileno(), self.posted, self.widths)

    def adopt(self, client: socket.socket) -> None:
        """Take a connection to another server than this object's, which has welcomed us."""
        self._client = client
        client.setblocking(False)
        self._lib.half_adopt(client.fileno(), self.posted, self.widths)

    def closed(self) -> None:
        """The connection has ended, if there is one: the connecting thread has seen it, and closed its end."""
        if self._client is not None:
            self._lib.half_hung_up(self._client.fileno())
            self._client.close()
            self._client = None

    def ready(self, *received: tuple[int, int, int]) -> None:
        """The server says of each (context, port, count) what it has, then READY."""
        resumes = b"".join(wire.encode_resume(*one) for one in received)
        self.say(resumes + wire.encode_ready())

    def begin(self) -> None:
        """Connect, be ready, and have both guests known."""
        self.connect()
        self.ready()
        self.take()

    def hang_up(self) -> None:
        """The server closes the connection, and the connecting thread sees it."""
        assert self._server is not None
        assert self._client is not None
        self._server.close()
        self._lib.half_hung_up(self._client.fileno())
        self._client.close()
        self._server = None

    def hung_up(self, fd: int | None = None) -> None:
        """The connecting thread has seen a hang-up, perhaps of another connection."""
        self._lib.half_hung_up(self.fd if fd is None else fd)

    @property
    def fd(self) -> int:
        """The native half's end of the connection."""
        assert self._client is not None
        return self._client.fileno()

    @property
    def interest(self) -> int:
        """What the connecting thread is to wait for."""
        return int(self._lib.half_interest(self.fd))

    @property
    def up(self) -> bool:
        """Whether the server is there, and not late."""
        return bool(self._lib.half_up())

    @property
    def connected(self) -> bool:
        """Whether there is a connection, to a server that may be late."""
        return bool(self._lib.half_connected())

    def be_late(self) -> None:
        """Make the server take nothing for longer than a vCPU waits."""
        self.silent = True
        self.ask(SCR)
        assert not self.up
        self.silent = False

    def come_back(self) -> None:
        """Make the server serve what it has not served, and the connecting thread take that in."""
        self._server_turn()
        self.poll()

    # -- the server ---------------------------------------------------------------------------------

    def serve_once(self) -> None:
        """A server that is silent serves once what it was sent so far."""
        silent, self.silent = self.silent, False
        self._server_turn()
        self.silent = silent

    def _server_turn(self) -> bool:
        if self.silent or self._server is None:
            return False
        before = len(self.received)
        moved = self._drain()
        answers = b""
        for event in self.received[before:]:
            if isinstance(event, wire.Access):
                value = 0 if event.write else self.answers.get(event.port, 0)
                answers += wire.encode_answer(event.context, event.seq, value)
                self.asked += 1
        if answers:
            self._server.sendall(answers)
        return moved

    def _drain(self) -> bool:
        assert self._server is not None
        moved = False
        while True:
            try:
                data = self._server.recv(65536)
            except BlockingIOError:
                return moved
            for event in self._decoder.feed(data):
                self.received.append(event)
                self._count(event)
            if not data:
                return moved
            moved = True

    def _count(self, event: Event) -> None:
        if isinstance(event, wire.ContextAppeared):
            self._served[event.context] = 0
        elif isinstance(event, wire.Posted):
            self._served[event.context] += len(event.data)
        elif isinstance(event, wire.Access | wire.ReadServed):
            self._served[event.context] += 1

    def server_goes(self) -> None:
        """Make the server close the connection. The native half has not seen that yet."""
        assert self._server is not None
        self._server.close()
        self._server = None

    def server_sees_the_end(self) -> bool:
        """Return whether the native half has closed the connection, behind what it has sent."""
        assert self._server is not None
        try:
            while self._server.recv(65536):
                pass
        except BlockingIOError:
            return False
        return True

    def take(self) -> list[Event]:
        """Do as `sent`, after the connecting thread has sent what waited."""
        if self.up:
            self.service()
        return self.sent()

    def sent(self) -> list[Event]:
        """Return what the native half has sent since the last call, without statistics. Accesses are answered."""
        if self._server is not None:
            self._server_turn()
        taken: list[Event] = [event for event in self.received if not isinstance(event, wire.Stats)]
        self.received.clear()
        return taken

    def served(self, context: int = 1) -> int:
        """Return how many accesses of a context the server has had on this connection."""
        return self._served[context]

    def say(self, frames: bytes) -> None:
        """Send frames of the server, and make the native half take them in."""
        self.send(frames)
        self.poll()

    def send(self, frames: bytes) -> None:
        """Send frames of the server."""
        assert self._server is not None
        self._server.sendall(frames)

    def publish(self, data: bytes = b"", number: int = 0, **about: int) -> None:
        """The server has served all, and publishes that its receiver holds `data`; the first character has that
        number. What else registers hold is named: `iir`, `lsr`, `msr`, `ier`, `lcr`, `mcr`; and how many accesses the
        server had served (`writes`), of which guest (`context`), at which port (`port`)."""
        self.take()
        context = about.get("context", 1)
        writes = about.get("writes", self.served(context))
        images = [self._image(data[taken:], **about) for taken in range(len(data) + 1)]
        self.say(wire.encode_publish(context, writes, about.get("port", self.base), number, images))

    @staticmethod
    def _image(data: bytes, **about: int) -> tuple[int, int, bytes]:
        """Return an image of the registers while `data` is in the receiver. Values that are named stand in each
        image."""
        lsr = about.get("lsr", IDLE_LSR) | (DATA_READY if data else 0)
        iir = about.get("iir", 0xC4 if data else 0xC1)
        values = (data[0] if data else 0, about.get("ier", 0x01), iir, about.get("lcr", 0x03), about.get("mcr", 0x0B))
        return about.get("valid", 0xFF), int(bool(data)), bytes((*values, lsr, about.get("msr", CONNECTED), 0))

    def irq(self, mode: wire.IrqMode, *, line: int | None = None, served: int | None = None) -> None:
        """Send the level that the server gives the interrupt line."""
        self.take()
        self.say(wire.encode_irq(1, line or self.line, mode, self.served() if served is None else served))

    # -- the guest, the thread, the clock -----------------------------------------------------------

    @property
    def line(self) -> int:
        """The interrupt line of the port that is tried."""
        return 4 if self.base == COM1 else 3

    def read(self, register: int, *, base: int | None = None, context: int = 1, size: int = 1) -> int:
        """Read a register, as the guest does."""
        return int(self._lib.half_read(context, (base or self.base) + register, size))

    def write(self, register: int, value: int, *, base: int | None = None, context: int = 1, size: int = 1) -> None:
        """Write to a register, as the guest does."""
        self._lib.half_write(context, (base or self.base) + register, size, value)

    def ask(self, register: int) -> int | None:
        """Read something that only the server knows. None: the server has not answered in time."""
        value = int(self._lib.half_ask(1, self.base + register))
        return None if value < 0 else value

    def prints(self, text: bytes) -> None:
        """Write bytes to THR, as the guest does."""
        for byte in text:
            self.write(THR, byte)

    def asks(self, register: int) -> tuple[bool, int]:
        """Read a register, as the guest does. Returns whether the server was asked, and what was read."""
        before = self.asked
        value = self.read(register)
        return self.asked > before, value

    def asks_at(self, port: int) -> tuple[bool, int]:
        """Do as `asks`, at a port of any device."""
        before = self.asked
        value = self.read(0, base=port)
        return self.asked > before, value

    def level(self, base: int | None = None, *, context: int = 1) -> bool:
        """Return the level of a port's interrupt line."""
        return bool(self._lib.half_level(context, int((base or self.base) == COM2)))

    def line_level(self, line: int, *, context: int = 1) -> bool:
        """Return the level of an interrupt line."""
        return bool(self._lib.half_line_level(context, line))

    @property
    def held(self) -> bytes:
        """The characters that the guest can read from RBR."""
        return bytes(int(self._lib.half_held(1, 0, i)) for i in range(max(self.images - 1, 0)))

    @property
    def images(self) -> int:
        """How many images of the port's registers the guest has not read yet; 0: nothing is known."""
        return int(self._lib.half_images(1, 0))

    @property
    def receiver(self) -> int:
        """What the receiver's interrupt is about."""
        return int(self._lib.half_receiver(1, 0))

    def attended(self, context: int = 1) -> bool:
        """Return whether somebody is attached to the context."""
        return bool(self._lib.half_attended(context))

    def stat(self, name: str) -> int:
        """Return a counter, by its name."""
        return int(self._lib.half_stat(wire.STATS.index(name)))

    def latency(self, bucket: int) -> int:
        """Return how many answers took as long as that bucket says."""
        return int(self._lib.half_stat(len(wire.STATS) + bucket))

    @property
    def clock_ns(self) -> int:
        """The time by the clock of the native half, in ns."""
        return int(self._lib.half_clock())

    @property
    def woken(self) -> int:
        """How often the connecting thread was woken."""
        return int(self._lib.half_woken())

    def let_pass(self, ns: int) -> None:
        """Let so many ns go by."""
        self._lib.half_pass(ctypes.c_uint64(ns))

    def pieces(self, count: int) -> None:
        """Make the kernel take and give only so many bytes at a time, and be interrupted every other time."""
        self._lib.half_pieces(ctypes.c_ssize_t(count))

    def poll(self) -> None:
        """Let a vCPU, or the thread, take in what has arrived."""
        self._lib.half_take_in()

    def service(self) -> None:
        """Let the connecting thread run, as when it was woken."""
        self._lib.half_service(self.fd)

    def gone(self, context: int, reason: wire.GoneReason) -> None:
        """Let a context go, for that reason."""
        self._lib.half_gone(context, int(reason))

    def give_up(self, context: int) -> None:
        """Take away the memory in which the native half keeps what is known of contexts that are gone."""
        self._lib.half_give_up()

    def keeps(self, context: int) -> bool:
        """Return whether there is something about a context that is gone and that a server is still to be told."""
        return bool(self._lib.half_kept(context))

    @property
    def unsent(self) -> int:
        """How many bytes wait to be sent."""
        return int(self._lib.half_unsent())

    def print_at_once(self, text: bytes, *, base: int | None = None, context: int = 1) -> None:
        """As `prints`, but faster: for a long text."""
        self._lib.half_print(context, base or self.base, text, ctypes.c_size_t(len(text)))

    def meanwhile(self, action: Callable[[], object]) -> None:
        """Have another vCPU do this, once, while the next vCPU that waits for the server sleeps."""

        def act() -> None:
            action()

        self._meanwhile = _Meanwhile(act)
        self._lib.half_meanwhile(self._meanwhile)

    def replace(self, context: int = 1) -> int:
        """L1 destroys a guest and begins another one. Returns the new guest's number."""
        return int(self._lib.half_replace(context))

    def reset(self, context: int = 1) -> None:
        """L1 resets a guest."""
        self._lib.half_reset(context)

    def restart(self, context: int = 1) -> None:
        """Reset a guest."""
        self._lib.half_restart(context)

    def end(self) -> None:
        """End QEMU."""
        self._lib.half_end()
