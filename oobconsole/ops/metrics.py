"""What Prometheus is told, in prometheus-client's exposition format.

One family is rendered at a time, and one with a value for each console in pieces: between two of them the loop serves
others, so that 10,000 consoles delay nobody.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Final

from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from oobconsole import supervise
from oobconsole.access import Principal
from oobconsole.console.console import Console, ConsoleState
from oobconsole.events import Kind
from oobconsole.guests.guest import Guest
from oobconsole.guests.nested import Machine
from oobconsole.log import log
from oobconsole.session.services import Services
from oobconsole.vitals import FrontReport

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
#: Consoles whose values are rendered at a time: some milliseconds of work, between which the loop serves others.
CONSOLES_A_PIECE: Final = 256
_CONSOLE: Final = "oobconsole_console_"
_EVENTS: Final = {
    Kind.LOGIN: ("oobconsole_logins", "How often somebody has logged in."),
    Kind.LOGIN_REFUSED: ("oobconsole_logins_refused", "How often somebody was refused who wanted to log in."),
    Kind.DENIED: ("oobconsole_denied", "How many commands were refused because a user lacked the right."),
    Kind.ATTACHED: ("oobconsole_attachments", "How often a session has attached to a console."),
}
#: Of each front: the metric's name, its text, and its value. The first two go up and down.
_FrontMetric = tuple[str, str, Callable[[FrontReport], int]]
_FRONT_GAUGES: Final[tuple[_FrontMetric, ...]] = (
    (
        "oobconsole_front_connections",
        "How many connections of users who have logged in the front has.",
        lambda front: front["connections"],
    ),
    ("oobconsole_front_sessions", "How many sessions the front has.", lambda front: front["sessions"]),
)
_FRONT_COUNTERS: Final[tuple[_FrontMetric, ...]] = (
    (
        "oobconsole_front_logins",
        "How often somebody has logged in by way of the front.",
        lambda front: front["logins"],
    ),
    (
        "oobconsole_front_refused",
        "How many clients have left the front without a login.",
        lambda front: front["refused"],
    ),
    (
        "oobconsole_front_turned_away",
        "How many connections the front has closed at once, because of a limit or a penalty.",
        lambda front: front["turned_away"],
    ),
    (
        "oobconsole_front_received_bytes",
        "How many bytes the core has read from the front: what is typed, and the frames around it.",
        lambda front: front["received_bytes"],
    ),
    (
        "oobconsole_front_sent_bytes",
        "How many bytes the core has sent to the front: output, and the frames around it.",
        lambda front: front["sent_bytes"],
    ),
)


class Tally:
    """Observes a console, and counts what it does not count itself.

    Attributes:
        typed_bytes: typed by users.
        gaps, lost_bytes: holes in the output, and bytes of it that never reached us.
    """

    def __init__(self, console: Console) -> None:
        self.typed_bytes = self.gaps = self.lost_bytes = 0
        console.observe(self)

    def output(self, offset: int, data: bytes) -> None:
        """Do nothing: the console's own offset counts its output."""

    def gap(self, offset: int, lost: int) -> None:
        """Count output that has never reached us."""
        self.gaps += 1
        self.lost_bytes += lost

    def typed(self, data: bytes, who: Principal | None) -> None:
        """Count what somebody typed, in bytes."""
        self.typed_bytes += len(data)

    def state_changed(self, state: ConsoleState, reason: str) -> None:
        """Do nothing: the state is read when somebody asks for it."""


#: What a family says of one console.
Value = Callable[[Console, Tally], int]


class _Rendered(Collector):
    """One family, for `generate_latest`."""

    def __init__(self, family: Metric) -> None:
        self._family = family

    def collect(self) -> Iterable[Metric]:
        return (self._family,)


class Metrics:
    """Makes the page that Prometheus reads: figures of the server, its fronts, consoles and machines."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._tallies: dict[Console, Tally] = {}
        services.directory.on_appeared(self._appeared)
        services.directory.on_vanished(self._vanished)
        self._one_at_a_time = asyncio.Lock()

    def _appeared(self, guest: Guest, console: Console) -> None:
        self._tallies[console] = Tally(console)

    def _vanished(self, guest: Guest, console: Console) -> None:
        del self._tallies[console]

    async def render(self) -> bytes:
        """The exposition, made of what holds at each family's turn."""
        parts, before = [], ""
        async with self._one_at_a_time:
            for family in self.families():
                text = generate_latest(_Rendered(family))
                parts.append(text if family.name != before else _without_head(text))
                before = family.name
                await asyncio.sleep(0)
        return b"".join(parts)

    def families(self) -> Iterator[Metric]:
        """Each is made when it is asked for. One that has a value for each console comes in pieces of the same name,
        one behind the other."""
        yield from self._server()
        yield from self._fronts()
        yield from self._by_console()
        yield from self._by_machine()
        yield from ProcessCollector(registry=None).collect()

    def _server(self) -> Iterator[Metric]:
        vitals, trouble = self._services.vitals, self._services.trouble
        yield _gauge("oobconsole_uptime_seconds", "How long ago the server started.", vitals.uptime)
        yield _gauge(
            "oobconsole_loop_lag_seconds", "How late the event loop was when it was measured last.", vitals.lag
        )
        yield _gauge(
            "oobconsole_loop_lag_worst_seconds",
            "How late the event loop was at worst in the last half minute.",
            vitals.worst_lag,
        )
        yield CounterMetricFamily(
            "oobconsole_loop_held",
            "How often one function has held the event loop for too long.",
            value=vitals.watchdog.held,
        )
        yield _gauge(
            "oobconsole_loop_held_longest_seconds",
            "How long one function has held the event loop at most.",
            vitals.watchdog.longest,
        )
        yield _gauge("oobconsole_recording_failing", "How many consoles cannot be recorded.", len(trouble.unrecorded))
        yield _gauge(
            "oobconsole_recordings_damaged",
            "How many consoles have a recording that somebody has changed.",
            len(trouble.damaged),
        )
        yield CounterMetricFamily(
            "oobconsole_log_lines_lost", "How many log lines were lost because nobody took them.", value=log.lost()
        )
        faults = CounterMetricFamily(
            "oobconsole_faults", "How often a part of the server has ended by an error.", labels=["part"]
        )
        for part, times in tuple(supervise.ended.items()):
            faults.add_metric([part], times)
        yield faults
        for kind, (name, text) in _EVENTS.items():
            yield CounterMetricFamily(name, text, value=vitals.seen[kind])
        events = CounterMetricFamily("oobconsole_events", "How many events there were of each kind.", labels=["kind"])
        for kind in Kind:
            events.add_metric([kind], vitals.seen[kind])
        yield events

    def _fronts(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("oobconsole_front_up", "Whether the front serves (1) or not (0).", labels=["front"])
        restarts = CounterMetricFamily(
            "oobconsole_front_restarts", "How often the front has ended and was begun again.", labels=["front"]
        )
        fronts = self._services.vitals.fronts()
        for name, does in fronts.items():
            up.add_metric([name], does["state"] == "serving")
            restarts.add_metric([name], does["begun_again"])
        yield from (up, restarts)
        yield from _of_fronts(fronts)

    def _by_console(self) -> Iterator[Metric]:
        states = self._services.directory.states
        by_state = GaugeMetricFamily("oobconsole_consoles", "How many consoles are in each state.", labels=["state"])
        for state in ConsoleState:
            by_state.add_metric([state.name.lower()], states[state])
        yield by_state
        yield from self._gauge_of(
            "attached", "How many readers are attached to the console.", lambda c, _: c.attached
        )
        yield from self._gauge_of(
            "input_waiting_bytes",
            "How many bytes of input the guest has not taken yet.",
            lambda c, _: c.input_waiting,
        )
        yield from self._count("output_bytes", "How many bytes the guest has printed.", lambda c, _: c.end)
        yield from self._count("input_bytes", "How many bytes users have typed.", lambda _, t: t.typed_bytes)
        yield from self._count(
            "input_lost_bytes",
            "How many typed bytes were lost because there was no guest.",
            lambda c, _: c.input_lost,
        )
        yield from self._count("gaps", "How many holes the output has.", lambda _, t: t.gaps)
        yield from self._count(
            "lost_bytes", "How many bytes of output never reached the server.", lambda _, t: t.lost_bytes
        )
        yield from self._count(
            "skipped_bytes", "How many bytes were skipped for readers that were too slow.", lambda c, _: c.skipped
        )

    def _gauge_of(self, name: str, text: str, value: Value) -> Iterator[Metric]:
        return self._of_each(partial(GaugeMetricFamily, _CONSOLE + name, text, labels=["console"]), value)

    def _count(self, name: str, text: str, value: Value) -> Iterator[Metric]:
        return self._of_each(partial(CounterMetricFamily, _CONSOLE + name, text, labels=["console"]), value)

    def _of_each(self, make: Callable[[], GaugeMetricFamily | CounterMetricFamily], value: Value) -> Iterator[Metric]:
        """A family with a value for each console, in pieces of so many consoles."""
        every = tuple(self._tallies.items())
        for at in range(0, len(every), CONSOLES_A_PIECE) or (0,):
            family = make()
            for console, tally in every[at : at + CONSOLES_A_PIECE]:
                family.add_metric([console.name], value(console, tally))
            yield family

    def _by_machine(self) -> Iterator[Metric]:
        connected = GaugeMetricFamily(
            "oobconsole_machine_connected",
            "Whether the machine's native half is connected (1) or not (0).",
            labels=["machine"],
        )
        served = CounterMetricFamily(
            "oobconsole_accesses",
            "How many synchronous accesses of the machine's guests were served.",
            labels=["machine"],
        )
        native = CounterMetricFamily(
            "oobconsole_native",
            "What the native half has counted (docs/wire-protocol.md).",
            labels=["machine", "counter"],
        )
        latency = HistogramMetricFamily(
            "oobconsole_access_seconds", "How long guests waited for their synchronous accesses.", labels=["machine"]
        )
        for machine in self._services.directory.sources:
            for name, there in machine.links.items():
                connected.add_metric([name], there)
            report = machine.interceptor.report() if isinstance(machine, Machine) else None
            if report is not None:
                served.add_metric([machine.name], report.accesses)
                for counter, value in report.counters.items():
                    native.add_metric([machine.name, counter], value)
                latency.add_metric([machine.name], _buckets(report.latency), sum_value=None)
        yield from (connected, served, native, latency)


def _of_fronts(fronts: Mapping[str, FrontReport]) -> Iterator[Metric]:
    """Yield the metrics that say how much goes through each front."""
    for name, text, value in _FRONT_GAUGES:
        gauge = GaugeMetricFamily(name, text, labels=["front"])
        for front, does in fronts.items():
            gauge.add_metric([front], value(does))
        yield gauge
    for name, text, value in _FRONT_COUNTERS:
        counter = CounterMetricFamily(name, text, labels=["front"])
        for front, does in fronts.items():
            counter.add_metric([front], value(does))
        yield counter


def _without_head(text: bytes) -> bytes:
    """The samples of a piece, without the comments that its first piece has."""
    return b"".join(line for line in text.splitlines(keepends=True) if not line.startswith(b"# "))


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _buckets(counts: Iterable[int]) -> list[tuple[str, float]]:
    """Return the cumulative buckets of a Prometheus histogram, in seconds.

    The native half counts in four buckets for each power of two microseconds (`wire.Stats`). What is told is their
    sum at each power.
    """
    total, buckets = 0, []
    for bucket, count in enumerate(counts):
        total += count
        if bucket % 4 == 3:
            buckets.append((repr(2 ** ((bucket + 1) // 4) / 1e6), float(total)))
    return [*buckets, ("+Inf", float(total))]
