"""The Python half for stock QEMU with TCG: `native/tcg` connects to a UNIX socket of ours.

A vCPU waits for every ACCESS, so accesses are served in the reader callback itself, and the callback
looks for the next one a little longer (`spin_us`) before it lets the event loop sleep.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from oobconsole.errors import EnvironmentFault, StateError, WireError
from oobconsole.interceptors import wire
from oobconsole.interceptors.base import Context, Interceptor, InterceptorEvents, PortHandler, Publication

log = structlog.get_logger(__name__)

#: Longest that one reader callback keeps the event loop to itself, in ns.
BUDGET_NS: Final = 300_000
#: Unsent output to the native half at which it counts as stuck, in bytes.
OUTPUT_MAX: Final = 65536
HELLO_SECONDS: Final = 5.0
_SUN_PATH_MAX: Final = 107
_USED: Final = wire.Capability.IRQ_LEVEL | wire.Capability.ATTENTION | wire.Capability.PUBLISH


class _Bound:
    """One context of a connected native half."""

    __slots__ = ("accesses", "context", "handler", "published")

    def __init__(self, context: Context, handler: PortHandler | None) -> None:
        self.context = context
        self.handler = handler
        self.accesses = 0
        self.published: tuple[int, tuple[Publication, ...]] | None = None


class _Connection:
    """One native half, from `accept` to the end of its stream."""

    def __init__(self, sock: socket.socket, owner: TcgInterceptor) -> None:
        self.sock = sock
        self.owner = owner
        self.decoder = wire.Decoder()
        self.bound: dict[int, _Bound] = {}
        self.greeted = False
        self.closed = False
        self._loop = asyncio.get_running_loop()
        self._out = bytearray()
        self._serving = False
        self._touched: set[_Bound] = set()
        self._writing = False
        self._spin_until = 0
        self._again: asyncio.Handle | None = None
        self._hello_timer = self._loop.call_later(HELLO_SECONDS, self.close, "it did not say HELLO in time")
        self._loop.add_reader(sock.fileno(), self._readable)

    def close(self, reason: str) -> None:
        """Give the connection up. Idempotent."""
        if self.closed:
            return
        self.closed = True
        self._hello_timer.cancel()
        self._loop.remove_reader(self.sock.fileno())
        if self._writing:
            self._loop.remove_writer(self.sock.fileno())
        self.sock.close()
        self.owner.connection_lost(self, reason)

    def send(self, frame: bytes) -> None:
        """Queue a frame; it goes out with the batch that is being served, or at once."""
        self._out += frame
        if not self._serving:
            self._flush()

    def _readable(self) -> None:
        """Serve what has arrived, then spin for more: a spinning vCPU is answered in microseconds, a
        sleeping thread in tens of them. While accesses keep coming the loop gets its turn every
        `BUDGET_NS`, and does not sleep."""
        end = time.monotonic_ns() + BUDGET_NS
        while not self.closed:
            try:
                data = self.sock.recv(65536)
            except BlockingIOError:
                now = time.monotonic_ns()
                if now >= self._spin_until:
                    return
                if now >= end:
                    self._spin_again()
                    return
                continue
            except OSError as error:
                self.close(error.strerror or "connection lost")
                return
            if not data:
                self.close("it closed the connection")
                return
            if self._serve(data):
                self._spin_until = time.monotonic_ns() + self.owner.spin_ns

    def _spin_again(self) -> None:
        """Go on in the loop's next round, once: the reader callback comes in between and asks for it too."""
        if self._again is None:
            self._again = self._loop.call_soon(self._resume)

    def _resume(self) -> None:
        self._again = None
        self._readable()

    def _serve(self, data: bytes) -> bool:
        """Serve a batch; true when a vCPU was waiting for part of it."""
        waited_for = False
        self._serving = True
        try:
            for event in self.decoder.feed(data):
                if type(event) is wire.Access:
                    waited_for = True
                    self._access(event)
                elif type(event) is wire.Posted:
                    self._posted(event)
                else:
                    self._control(event)
                if self.closed:
                    return waited_for
            for bound in self._touched:
                self._publish(bound)
            self._touched.clear()
        except WireError as error:
            self.close(f"protocol error: {error}")
            return waited_for
        except Exception:
            log.exception("a device failed: a bug in oobconsole", machine=self.owner.machine)
            self.close("internal error")
            return waited_for
        finally:
            self._serving = False
        self._flush()
        return waited_for

    def _access(self, event: wire.Access) -> None:
        bound = self.bound[event.context]
        bound.accesses += 1
        value = (1 << 8 * event.size) - 1
        if bound.handler is not None:
            if event.write:
                bound.handler.write(event.port, event.size, event.value)
            else:
                value = bound.handler.read(event.port, event.size)
        self._touched.add(bound)
        self._out += wire.encode_answer(event.context, event.seq, 0 if event.write else value)

    def _posted(self, event: wire.Posted) -> None:
        bound = self.bound[event.context]
        bound.accesses += len(event.data)
        if bound.handler is not None:
            bound.handler.write_block(event.port, event.data)
            self._touched.add(bound)

    def _control(self, event: wire.Event) -> None:
        if isinstance(event, wire.Hello):
            self._hello(event)
        elif isinstance(event, wire.ContextAppeared):
            self._appeared(event)
        elif isinstance(event, wire.ContextGone):
            self.owner.context_gone(self.bound.pop(event.context).context, event.reason.name.lower())
        elif isinstance(event, wire.Gap):
            handler = self.bound[event.context].handler
            if handler is not None:
                handler.gap(event.port, event.lost)
        elif isinstance(event, wire.Stats):
            self.owner.stats = event

    def _hello(self, hello: wire.Hello) -> None:
        refusal = self.owner.refuse(self, hello)
        if refusal:
            self.close(refusal)
            return
        self._hello_timer.cancel()
        self.greeted = True
        self._out += wire.encode_welcome(hello.capabilities & _USED)
        self.owner.connection_made(self, hello)

    def _appeared(self, event: wire.ContextAppeared) -> None:
        context = Context(self.owner.machine, event.context, f"VMCB {event.vmcb:#x}, nested CR3 {event.ncr3:#x}")
        bound = self.bound[event.context] = _Bound(context, None)
        bound.handler = self.owner.context_appeared(context)

    def publish(self, bound: _Bound) -> None:
        """Send the handler's publications; those of a guest that is being served follow its batch."""
        if not self._serving:
            self._publish(bound)
            self._flush()

    def _publish(self, bound: _Bound) -> None:
        if bound.handler is None:
            return
        current = bound.handler.publications()
        if bound.published is not None and bound.published[1] == current and bound.published[0] == bound.accesses:
            return
        bound.published = (bound.accesses, current)
        number = bound.context.number
        for p in current:
            self._out += wire.encode_publish(number, bound.accesses, p.port, p.valid, p.after_thr, p.values)

    def _flush(self) -> None:
        if self._writing or not self._out or self.closed:
            return
        try:
            sent = self.sock.send(self._out)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.close(error.strerror or "connection lost")
            return
        del self._out[:sent]
        if len(self._out) > OUTPUT_MAX:
            self.close("it does not read its answers")
        elif self._out:
            self._writing = True
            self._loop.add_writer(self.sock.fileno(), self._writable)

    def _writable(self) -> None:
        self._loop.remove_writer(self.sock.fileno())
        self._writing = False
        self._flush()


class TcgInterceptor(Interceptor):
    """Listens for one machine's native half.

    Args:
        machine: configured name; the native half must say the same.
        path: of the UNIX socket, at most 107 bytes; made with mode 0600.
        spin_us: how long to look for a vCPU's next access before sleeping, in microseconds.
    """

    def __init__(self, machine: str, path: Path, *, spin_us: int = 500) -> None:
        self.machine = machine
        self.path = path
        self.spin_ns = spin_us * 1000
        self.stats = wire.Stats({}, ())
        self._events: InterceptorEvents | None = None
        self._listener: socket.socket | None = None
        self._inode: int | None = None
        self._current: _Connection | None = None
        self._pending: set[_Connection] = set()
        self._instance: int | None = None
        self._contexts: dict[int, Context] = {}

    async def start(self, events: InterceptorEvents) -> None:
        self._events = events
        self._listener = _listen(self.path)
        self._inode = self.path.stat().st_ino
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    async def stop(self) -> None:
        for connection in (*self._pending, *filter(None, [self._current])):
            connection.close("the server stops")
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
            self._listener = None
            if self.path.exists() and self.path.stat().st_ino == self._inode:
                self.path.unlink()

    def set_irq(self, context: Context, line: int, level: bool) -> None:
        mode = wire.IrqMode.HIGH if level else wire.IrqMode.LOW
        self.publish(context)  # first: an interrupted guest must not read what was true before
        self._send_to(context, lambda: wire.encode_irq(context.number, line, mode))

    def set_attention(self, context: Context, attended: bool) -> None:
        self._send_to(context, lambda: wire.encode_attention(context.number, attended))

    def publish(self, context: Context) -> None:
        connection = self._current
        if connection is not None and context.number in connection.bound:
            connection.publish(connection.bound[context.number])

    def _send_to(self, context: Context, frame: Callable[[], bytes]) -> None:
        connection = self._current
        if connection is not None and context.number in connection.bound:
            connection.send(frame())

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            log.warning("a native half could not be accepted", machine=self.machine, reason=error.strerror)
            return
        sock.setblocking(False)
        if len(self._pending) >= 4:
            sock.close()
            log.warning("too many native halves connect at once", machine=self.machine, socket=str(self.path))
            return
        self._pending.add(_Connection(sock, self))

    def refuse(self, connection: _Connection, hello: wire.Hello) -> str | None:
        """Say why a native half that greets cannot be had, if it cannot."""
        if hello.machine != self.machine:
            return f"it says that it is machine {hello.machine!r}, but this socket is machine {self.machine!r}'s"
        if self._current is not None:
            return "this machine's native half is connected already"
        return None

    def connection_made(self, connection: _Connection, hello: wire.Hello) -> None:
        """A native half was welcomed. Another QEMU process than before means that its guests are gone."""
        self._pending.discard(connection)
        self._current = connection
        log.info("native half connected", machine=self.machine, instance=f"{hello.instance:#x}")
        if hello.instance != self._instance:
            for context in list(self._contexts.values()):
                self.context_gone(context, "machine restarted")
            self._instance = hello.instance
        self.events.link_up(f"{self.path} (instance {hello.instance:#x})")

    def connection_lost(self, connection: _Connection, reason: str) -> None:
        """A connection ended, for whatever reason."""
        self._pending.discard(connection)
        if self._current is connection:
            self._current = None
            self._log_away(reason)
            self.events.link_down(reason)
        else:
            log.warning("native half refused", machine=self.machine, socket=str(self.path), reason=reason)

    def _log_away(self, reason: str) -> None:
        median, p99 = (round(self.stats.latency_us(q), 1) for q in (0.5, 0.99))
        counters = self.stats.counters
        log.info("native half away", machine=self.machine, reason=reason, median_us=median, p99_us=p99, **counters)

    def context_appeared(self, context: Context) -> PortHandler | None:
        """Bind a context, the same handler as before when it only comes back."""
        known = self._contexts.setdefault(context.number, context)
        return self.events.context_appeared(known)

    def context_gone(self, context: Context, reason: str) -> None:
        """A guest is no more."""
        self.events.context_gone(self._contexts.pop(context.number, context), reason)

    @property
    def events(self) -> InterceptorEvents:
        """Whom to tell. Raises `StateError` before `start`."""
        if self._events is None:
            raise StateError(wire.FrameType.HELLO, wire.FrameType.WELCOME)
        return self._events


def _listen(path: Path) -> socket.socket:
    """Bind `path`, mode 0600 from its first moment, taking the place of a dead server's socket."""
    if len(os.fsencode(path)) > _SUN_PATH_MAX:
        raise EnvironmentFault(f"{path}: a socket's path has at most {_SUN_PATH_MAX} bytes; choose a shorter one")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _remove_stale(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        mask = os.umask(0o177)
        try:
            listener.bind(os.fsencode(path))
        finally:
            os.umask(mask)
    except OSError as error:
        raise EnvironmentFault(f"{path}: cannot listen here: {error.strerror}") from error
    listener.listen(8)
    listener.setblocking(False)
    return listener


def _remove_stale(path: Path) -> None:
    if not os.path.lexists(path):
        return
    if not stat.S_ISSOCK(path.lstat().st_mode):
        raise EnvironmentFault(f"{path}: is in the way and no socket; move it, or configure another socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(1)
        try:
            probe.connect(os.fsencode(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise EnvironmentFault(f"{path}: another server listens here; stop it, or configure another socket")


def qemu_options(machine: str, path: Path, plugin: Path, ports: list[tuple[int, int]], lines: list[int]) -> list[str]:
    """What to add to the command line of `machine`'s QEMU.

    Raises:
        EnvironmentFault: a path has a comma, which QEMU's plugin options cannot express.
    """
    for name in (path, plugin):
        if "," in str(name):
            raise EnvironmentFault(f"{name}: QEMU's -plugin option takes no comma in a path; choose another")
    ranges = ":".join(f"{first:#x}-{last:#x}" for first, last in ports)
    irqs = ":".join(str(line) for line in lines)
    return ["-plugin", f"{plugin},socket={path},machine={machine},ports={ranges},irq={irqs}"]
