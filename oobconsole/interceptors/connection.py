"""One connected native half: its accesses are served in the reader callback itself.

A vCPU waits for every ACCESS, so the callback looks for the next one a little longer (`spin_ns`) before it lets
the event loop sleep. docs/wire-protocol.md says what each frame means.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from oobconsole.errors import VersionError, WireError
from oobconsole.interceptors import wire
from oobconsole.interceptors.base import Context, PortHandler, Publication
from oobconsole.interceptors.ranges import Served, disagreement
from oobconsole.interceptors.wire import Capability, IrqMode

log = structlog.get_logger(__name__)

#: How long one callback may keep the event loop, in ns. The batch that is being served when the time ends comes on
#: top.
BUDGET_NS: Final = 300_000
#: The largest batch, in bytes: as much as `native/tcg` ever sends at once.
BATCH_MAX: Final = 16384
#: A native half to which so many bytes are unsent counts as stuck, and its connection is closed.
OUTPUT_MAX: Final = 65536
HELLO_SECONDS: Final = 5.0
# Plain integers, because arithmetic with flags would cost more time than serving a register.
_LEVEL, _PULSE, _ATTENTION, _PUBLISH = (
    int(c) for c in (Capability.IRQ_LEVEL, Capability.IRQ_PULSE, Capability.ATTENTION, Capability.PUBLISH)
)


@dataclass(slots=True)
class Counters:
    """What the Python half has done since it started."""

    accesses: int = 0  # accesses whose vCPU waited for the answer
    batches: int = 0
    spins: int = 0  # batches that arrived while `serve` was spinning, that is, looking for them without sleeping


class Channel(Protocol):
    """What carries a native half's bytes, such as a socket. Its descriptor is readable when there is something to
    receive, and writable when there is room."""

    def fileno(self) -> int:
        """The descriptor to wait for."""

    def recv(self, size: int, /) -> bytes:
        """Receive up to `size` bytes; none means that the other end has closed. Raises `BlockingIOError` when nothing
        is there, and `OSError`."""

    def send(self, data: bytearray, /) -> int:
        """Send some of `data`, and return how much. Raises `BlockingIOError` when there is no room, and `OSError`."""

    def close(self) -> None:
        """Give the descriptor back. The native half then finds that nobody is at the other end."""


class Owner(Protocol):
    """The interceptor that a connection belongs to."""

    machine: str
    ranges: tuple[Served, ...]
    spin_ns: int
    stats: wire.Stats
    counters: Counters

    def welcome(self, connection: Connection, hello: wire.Hello) -> str | None:
        """Accept a native half, and put the contexts that it may announce again into `connection.missing`. Returns
        None, or the reason why the native half is refused."""

    def lost(self, connection: Connection, reason: str) -> None:
        """A connection has ended. `reason` says why, in words."""

    def context_appeared(self, context: Context) -> PortHandler | None:
        """Bind a context, as `InterceptorEvents.context_appeared` does."""

    def context_gone(self, context: Context, reason: str) -> None:
        """A guest is gone. `reason` says why, in words."""


class Binding:
    """One context of a connected native half.

    Attributes:
        levels: the levels of the interrupt lines that have been driven in this batch of frames, and that are not
            told yet, by the line's number.
    """

    __slots__ = ("accesses", "context", "failed", "handler", "levels", "published")

    def __init__(self, context: Context) -> None:
        self.context = context
        self.handler: PortHandler | None = None
        self.accesses = 0
        self.levels: dict[int, bool] = {}
        self.published: tuple[int, tuple[Publication, ...]] | None = None
        self.failed = False


class Connection:
    """One native half, from `accept` to the end of its stream.

    Attributes:
        peer: the other end, in words, for the log.
        bound: the contexts that the native half has announced, by number.
        missing: the contexts of its former connection that it has not announced again. As long as there are any, no
            new context is bound, because a new guest may have taken the place of a missing one. When the native half
            sends anything but an announcement, the missing contexts are gone.
    """

    def __init__(self, sock: Channel, owner: Owner, peer: str) -> None:
        self.bound: dict[int, Binding] = {}
        self.missing: dict[int, Context] = {}
        self.closed = False
        self.peer = peer
        self._socket = sock
        self._owner = owner
        self._decoder = wire.Decoder()
        self._capabilities = 0
        self._instance = 0
        self._waiting: list[Binding] = []
        self._loop = asyncio.get_running_loop()
        self._out = bytearray()
        self._in_batch = False
        self._touched: set[Binding] = set()  # by this batch
        self._writing = False
        self._spin_until = 0
        self._turn_due = False
        self._hello_timer = self._loop.call_later(HELLO_SECONDS, self._hello_due)
        self._loop.add_reader(sock.fileno(), self._readable)

    def close(self, reason: str) -> None:
        """Close the connection, and tell its owner why. A second call does nothing."""
        if self.closed:
            return
        self.closed = True
        self._hello_timer.cancel()
        self._loop.remove_reader(self._socket.fileno())
        if self._writing:
            self._loop.remove_writer(self._socket.fileno())
        self._socket.close()
        self._owner.lost(self, reason)

    def _hello_due(self) -> None:
        """Close the connection unless HELLO has come. It may have come in time while this process did not run, so
        what has arrived is served first."""
        self.serve()
        if not self._instance:
            self.close(f"it did not say HELLO within {HELLO_SECONDS:g} s")

    # -- what the machine says ----------------------------------------------------------------------

    def set_irq(self, bound: Binding, line: int, level: bool) -> None:
        """Send the level of an interrupt line. The publications go first, because an interrupted guest must not read
        registers that are out of date.

        Within a batch that is not necessary: the guest's own access has made the old publications invalid. A line
        goes up and down many times while a batch of output is served. The native half would take in all these frames
        one after the other, and the last one counts. So only the last level is sent, at the end of the batch or
        before the next ANSWER.
        """
        if self._capabilities & _LEVEL:
            bound.levels[line] = level
            if self._in_batch:
                self._touched.add(bound)
            else:
                self._append_publications(bound)
                self._append_levels(bound)
                self._flush()
        elif level and self._capabilities & _PULSE:
            if not self._in_batch:
                self._append_publications(bound)
            self._send(wire.encode_irq(bound.context.number, line, IrqMode.PULSE, bound.accesses))

    def set_attention(self, bound: Binding, attended: bool) -> None:
        """Tell the native half whether anybody is attached to a context's console."""
        if self._capabilities & _ATTENTION:
            self._send(wire.encode_attention(bound.context.number, attended))

    def publish(self, bound: Binding) -> None:
        """Send a context's publications if they have changed. Within a batch they are sent at its end."""
        if self._in_batch:
            self._touched.add(bound)
        else:
            self._append_publications(bound)
            self._flush()

    # -- what arrives -------------------------------------------------------------------------------

    def _readable(self) -> None:
        if not self._turn_due:
            self.serve()

    def serve(self) -> None:
        """Serve what has arrived, and then spin, that is, look for more without sleeping. Why? While this thread
        spins, a vCPU gets its answer within microseconds; a thread that sleeps takes tens of microseconds. While
        accesses keep coming, the event loop gets its turn every `BUDGET_NS`, and does not sleep."""
        self._turn_due = False
        now = time.monotonic_ns()
        end = now + BUDGET_NS
        spinning = now < self._spin_until
        while not self.closed:
            data = self._receive()
            if data:
                self._owner.counters.spins += spinning
                if self._serve_batch(data):
                    self._spin_until = time.monotonic_ns() + self._owner.spin_ns
            now = time.monotonic_ns()
            spinning = now < self._spin_until
            if not data and not spinning:
                return
            if now >= end:
                self._turn_due = True
                self._loop.call_soon(self.serve)
                return

    def _receive(self) -> bytes | None:
        try:
            data = self._socket.recv(BATCH_MAX)
        except BlockingIOError:
            return None
        except OSError as error:
            self.close(error.strerror or "connection lost")
            return None
        if not data:
            self.close("it closed the connection")
        return data

    def _serve_batch(self, data: bytes) -> bool:
        """Serve the frames that arrived together. Returns whether a vCPU was waiting for one of them."""
        waited_for = False
        broken = None
        self._owner.counters.batches += 1
        self._in_batch = True
        try:
            for event in self._decoder.feed(data):
                if self.missing and type(event) is not wire.ContextAppeared:
                    self._all_announced()
                if type(event) is wire.Access:
                    waited_for = True
                    self._access(event)
                elif type(event) is wire.Posted:
                    self._posted(event)
                elif type(event) is wire.ReadServed:
                    self._read_served(event)
                else:
                    self._control(event)
                if self.closed:
                    break
            for bound in self._touched:
                self._append_levels(bound)
                self._append_publications(bound)
        except WireError as error:
            broken = f"protocol error: {error}"
            if isinstance(error, VersionError):
                self._out += wire.encode_welcome(0)  # by our version, the native half can name both on its side
        except Exception:
            log.exception("a bug in oobconsole ends a connection", machine=self._owner.machine)
            broken = "internal error"
        self._in_batch = False
        self._touched.clear()
        self._flush()
        if broken:
            self.close(broken)
        return waited_for

    def _access(self, event: wire.Access) -> None:
        bound = self.bound[event.context]
        self._owner.counters.accesses += 1
        bound.accesses += 1
        value = mask = wire.VALUE_MAX[event.size]
        handler = bound.handler
        if handler is not None:
            self._touched.add(bound)
            try:
                if event.write:
                    handler.write(event.port, event.size, event.value)
                else:
                    value = handler.read(event.port, event.size) & mask
            except Exception:
                self._failed(bound)
        self._append_levels(bound)
        self._append_publications(bound)  # first: the guest may read these registers as soon as it has the answer
        self._out += wire.encode_answer(event.context, event.seq, 0 if event.write else value)

    def _posted(self, event: wire.Posted) -> None:
        bound = self.bound[event.context]
        bound.accesses += len(event.data)
        if bound.handler is not None:
            self._touched.add(bound)
            try:
                bound.handler.write_block(event.port, event.data)
            except Exception:
                self._failed(bound)

    def _read_served(self, event: wire.ReadServed) -> None:
        bound = self.bound[event.context]
        bound.accesses += 1
        if bound.handler is not None:
            self._touched.add(bound)
            try:
                bound.handler.served(event.port, event.value, event.number)
            except Exception:
                self._failed(bound)

    def _failed(self, bound: Binding) -> None:
        """A device has raised an exception, which is a bug of ours. The guest reads all ones, as if there were no
        device, and goes on. Only the first such exception of a context is logged."""
        if not bound.failed:
            log.exception("a device failed: a bug in oobconsole", machine=self._owner.machine, context=bound.context)
        bound.failed = True

    def _control(self, event: wire.Event) -> None:
        if isinstance(event, wire.Hello):
            self._hello(event)
        elif isinstance(event, wire.ContextAppeared):
            self._appeared(event)
        elif isinstance(event, wire.ContextGone):
            self._owner.context_gone(self.bound.pop(event.context).context, event.reason.words)
        elif isinstance(event, wire.Gap):
            handler = self.bound[event.context].handler
            if handler is not None:
                handler.gap(event.port, event.lost)
        elif isinstance(event, wire.Stats):
            self._owner.stats = event
        elif isinstance(event, wire.Announced):
            self._ready()

    def _hello(self, hello: wire.Hello) -> None:
        self._instance = hello.instance
        interrupts = _LEVEL if hello.capabilities & _LEVEL else _PULSE
        self._capabilities = hello.capabilities & (interrupts | _ATTENTION | _PUBLISH)
        ranges = [served.range for served in self._owner.ranges]
        self._out += wire.encode_welcome(self._capabilities, ranges)
        self._hello_timer.cancel()
        if hello.machine == self._owner.machine and (why := disagreement(self._owner, hello.ranges)):
            self._flush()  # WELCOME has our ranges, so the native half can log the same mismatch
            self.close(why)
            return
        refusal = self._owner.welcome(self, hello)
        if refusal is not None:
            self._out.clear()
            self.close(refusal)

    def _appeared(self, event: wire.ContextAppeared) -> None:
        origin = f"VMCB {event.vmcb:#x}, nested CR3 {event.ncr3:#x}"
        context = Context(self._owner.machine, event.context, origin, self._instance)
        bound = self.bound[event.context] = Binding(context)
        former = self.missing.pop(event.context, None)
        self._waiting.append(bound)
        if former is not None:
            bound.context = former
            self._bind(self._waiting.pop())
        if not self.missing:
            self._all_announced()

    def _all_announced(self) -> None:
        """All contexts of the former connection have been announced again, except for those that are gone."""
        for context in self.missing.values():
            self._owner.context_gone(context, "it ended while the native half was away")
        self.missing.clear()
        for bound in self._waiting:
            self._bind(bound)
        self._waiting.clear()

    def _ready(self) -> None:
        """Say from which byte on the output of each known context must be sent, and that the server is ready."""
        for bound in self.bound.values():
            self._append_levels(bound)
            if bound.handler is not None:
                for port, received in bound.handler.received():
                    self._out += wire.encode_resume(bound.context.number, port, received)
        self._out += wire.encode_ready()
        for bound in self.bound.values():
            self._append_publications(bound)

    def _bind(self, bound: Binding) -> None:
        bound.handler = self._owner.context_appeared(bound.context)

    # -- what goes out ------------------------------------------------------------------------------

    def _append_levels(self, bound: Binding) -> None:
        """Append the levels of a context's interrupt lines that were driven and are not told yet."""
        for line, level in bound.levels.items():
            mode = IrqMode.HIGH if level else IrqMode.LOW
            self._out += wire.encode_irq(bound.context.number, line, mode, bound.accesses)
        bound.levels.clear()

    def _append_publications(self, bound: Binding) -> None:
        """Append a context's publications to the output, unless the native half has them already."""
        if bound.handler is None or not self._capabilities & _PUBLISH:
            return
        current = bound.handler.publications()
        published = (bound.accesses, current)
        if published != bound.published:
            bound.published = published
            for p in current:
                self._out += wire.encode_publish(bound.context.number, bound.accesses, *p)

    def _send(self, frame: bytes) -> None:
        """Queue a frame. While a batch is served the frame is sent at its end, else at once."""
        self._out += frame
        if not self._in_batch:
            self._flush()

    def _flush(self) -> None:
        if self.closed or not self._out:
            return
        if not self._writing:
            try:
                del self._out[: self._socket.send(self._out)]
            except BlockingIOError:
                pass
            except OSError as error:
                self._give_up(error.strerror or "connection lost")
        if len(self._out) > OUTPUT_MAX:
            self._give_up("it does not read its answers")
        elif self._out and not self._writing:
            self._writing = True
            self._loop.add_writer(self._socket.fileno(), self._writable)

    def _give_up(self, reason: str) -> None:
        """Close the connection in the next turn of the event loop. Not now, because the caller may be a device, and
        closing changes that device's machine."""
        self._out.clear()
        self._loop.call_soon(self.close, reason)

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket.fileno())
        self._writing = False
        self._flush()
