"""The verb `status`: prints how the server does."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from importlib.metadata import version
from typing import Final, NamedTuple

from oobconsole import supervise
from oobconsole.console.console import ConsoleState
from oobconsole.log import log
from oobconsole.session.arguments import add_json
from oobconsole.session.request import ExitStatus, Request
from oobconsole.session.safe import eased
from oobconsole.session.services import Services
from oobconsole.vitals import Vitals, resident_bytes
from oobconsole.words import as_json

#: How many sources of guests are looked at in one slice of the event loop.
_A_SLICE: Final = 256


class Tally(NamedTuple):
    """Numbers over all consoles of the server, for `status` and the metrics.

    Attributes:
        states: how many consoles are in each state.
        attached: how many sessions are attached to consoles.
        machines: for each machine's name, whether it is connected.
    """

    states: Counter[ConsoleState]
    attached: int
    machines: dict[str, bool]


async def tally(services: Services) -> Tally:
    """Count consoles and machines. The directory has counted the consoles already; the machines are counted in
    slices."""
    directory = services.directory
    machines: dict[str, bool] = {}
    async for source in eased(tuple(directory.sources), _A_SLICE):
        machines |= source.links
    attached = sum(console.attached for console in directory.attended)
    return Tally(+directory.states, attached, machines)


def report(services: Services, counted: Tally) -> dict[str, object]:
    """Return the whole report, for JSON. Times are in seconds, memory is in bytes."""
    vitals, trouble = services.vitals, services.trouble
    return {
        "version": version("oobconsole"),
        "uptime_s": round(vitals.uptime, 3),
        "consoles": {state.name.lower(): counted.states[state] for state in ConsoleState},
        "attached": counted.attached,
        "machines": counted.machines,
        "unrecorded": dict(trouble.unrecorded),
        "damaged_recordings": dict(trouble.damaged),
        "fronts": {name: dict(front) for name, front in vitals.fronts().items()},
        "descriptors": vitals.descriptors,
        "faults": dict(supervise.ended),
        "log_lines_lost": log.lost(),
        "memory_bytes": resident_bytes(),
        "loop_lag_s": round(vitals.lag, 4),
        "loop_lag_worst_s": round(vitals.worst_lag, 4),
        "loop_held": vitals.watchdog.held,
        "loop_held_longest_s": round(vitals.watchdog.longest, 4),
    }


def _lines(services: Services, counted: Tally) -> list[str]:
    vitals, trouble = services.vitals, services.trouble
    states = sorted((state.name.lower(), count) for state, count in counted.states.items())
    away = [name for name, connected in counted.machines.items() if not connected]
    recording = [f"{name}: not recorded: {reason}" for name, reason in trouble.unrecorded.items()]
    return [
        f"oobconsole {version('oobconsole')}, up for {vitals.uptime:.0f} s",
        f"consoles: {', '.join(f'{count} {state}' for state, count in states)}",
        f"attached: {counted.attached}",
        f"machines: {len(counted.machines) - len(away)} of {len(counted.machines)} connected",
        *([f"not connected: {', '.join(away)}"] if away else []),
        *(recording or ["recording: no fault"]),
        *(f"{name}: somebody else has changed its recording: {what}" for name, what in trouble.damaged.items()),
        *(f"a part ended by an error, {times} times: {part}; see the log" for part, times in supervise.ended.items()),
        *([f"log: {log.lost()} lines could not be written"] if log.lost() else []),
        *_front_lines(vitals),
        *([f"too few descriptors: {vitals.descriptors}"] if vitals.descriptors else []),
        f"memory: {resident_bytes() / 2**20:.0f} MiB",
        f"event loop: {vitals.lag * 1000:.1f} ms late, {vitals.worst_lag * 1000:.1f} ms at worst in half a minute",
    ]


def _front_lines(vitals: Vitals) -> Iterator[str]:
    """Yield a line for each process that strangers reach: how the process does."""
    for name, front in vitals.fronts().items():
        again = f", begun again {front['begun_again']} times: {front['reason']}" if front["begun_again"] else ""
        lacking = f", with more rights than it needs: {front['lacking']}" if front["lacking"] else ""
        yield f"front {name}: {front['state']}{again}{lacking}"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the option that chooses the form of the answer."""
    add_json(parser)


async def handle(request: Request) -> ExitStatus:
    """Print the report. It names every machine, so only the server's own user may ask for it."""
    counted = await tally(request.services)
    if request.args.json:
        return await request.print([as_json(report(request.services, counted))])
    return await request.print(_lines(request.services, counted))
