"""What all interceptors with a native half have in common: which connection is the native half's, and which contexts
it has announced. How a native half connects is the business of the interceptor's own module, such as `tcg.py`."""

from __future__ import annotations

from abc import abstractmethod
from typing import Final

import structlog

from oobconsole.interceptors import wire
from oobconsole.interceptors.base import Context, Interceptor, PortHandler, Report
from oobconsole.interceptors.connection import Binding, Connection, Counters
from oobconsole.interceptors.ranges import Served
from oobconsole.log.log import LogLimit

log = structlog.get_logger(__name__)

#: How many lines a minute a peer that fails again and again may cause in the log.
LOG_LINES: Final = 10


class NativeInterceptor(Interceptor):
    """Serves one machine's native half.

    Args:
        machine: the configured name; the native half must give the same name.
        ranges: the ranges of ports that the guests have; a native half that does not intercept all of them is
            refused.
        spin_us: how long to look for a vCPU's next access before sleeping, in microseconds; 0: not at all.

    Attributes:
        stats: what the native half has counted, as it reported last.
        counters: what the server has counted.
    """

    def __init__(self, machine: str, *, spin_us: int, ranges: tuple[Served, ...] = ()) -> None:
        self.machine = machine
        self.ranges = ranges
        self.spin_ns = spin_us * 1000
        self.stats = wire.Stats({}, ())
        self.counters = Counters()
        self._current: Connection | None = None
        self._pending: set[Connection] = set()
        self._instance: int | None = None
        self._contexts: dict[int, Context] = {}
        self._limit = LogLimit(LOG_LINES)

    @property
    def connecting(self) -> bool:
        return self._current is not None or bool(self._pending)

    @property
    @abstractmethod
    def place(self) -> str:
        """Where the native half connects, for the log."""

    def report(self) -> Report:
        return Report(self.counters.accesses, self.stats.counters, self.stats.latency)

    def close(self, reason: str) -> None:
        """Close all connections."""
        for connection in (*self._pending, *filter(None, [self._current])):
            connection.close(reason)

    def set_irq(self, context: Context, line: int, level: bool) -> None:
        if found := self._find(context):
            found[0].set_irq(found[1], line, level)

    def set_attention(self, context: Context, attended: bool) -> None:
        if found := self._find(context):
            found[0].set_attention(found[1], attended)

    def publish(self, context: Context) -> None:
        if found := self._find(context):
            found[0].publish(found[1])

    def _find(self, context: Context) -> tuple[Connection, Binding] | None:
        if self._current is None:
            return None
        bound = self._current.bound.get(context.number)
        return None if bound is None else (self._current, bound)

    def welcome(self, connection: Connection, hello: wire.Hello) -> str | None:
        """Accept a native half, or return why it is refused. If it runs in another QEMU process than before, all
        guests of the former process are gone."""
        if hello.machine != self.machine:
            return f"it says that it is machine {hello.machine!r}, but this is machine {self.machine!r}'s"
        if self._current is not None:
            self._current.serve()  # the former connection may have ended, and nobody has read that yet
        if self._current is not None:
            return "this machine's native half is connected already"
        self._pending.discard(connection)
        self._current = connection
        if hello.instance != self._instance:
            for context in list(self._contexts.values()):
                self.context_gone(context, "the machine was restarted")
            self._instance = hello.instance
        connection.missing = dict(self._contexts)
        self.events.link_up(f"{connection.peer}, instance {hello.instance:#x}")
        return None

    def lost(self, connection: Connection, reason: str) -> None:
        """A connection has ended; `reason` says why. If it was the native half's, the machine is told."""
        self._pending.discard(connection)
        if self._current is connection:
            self._current = None
            self._log_away(reason)
            self.events.link_down(reason)
        else:
            self._refused(reason)

    def context_appeared(self, context: Context) -> PortHandler | None:
        """Bind a context, or bind it again after a lost connection."""
        self._contexts[context.number] = context
        return self.events.context_appeared(context)

    def context_gone(self, context: Context, reason: str) -> None:
        """A guest is gone: the machine is told, with the reason."""
        del self._contexts[context.number]
        self.events.context_gone(context, reason)

    # -- log ----------------------------------------------------------------------------------------

    def _refused(self, reason: str) -> None:
        if self._may_log():
            log.warning("native half refused", machine=self.machine, place=self.place, reason=reason)

    def _log_away(self, reason: str) -> None:
        if self._may_log():
            median, p99 = (round(self.stats.latency_us(q), 1) for q in (0.5, 0.99))
            counters = self.stats.counters
            log.info(
                "native half away", machine=self.machine, reason=reason, median_us=median, p99_us=p99, **counters
            )

    def _may_log(self) -> bool:
        return self._limit.allows(machine=self.machine, place=self.place)
