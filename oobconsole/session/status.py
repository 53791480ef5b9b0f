"""`status`: how the server does."""

from __future__ import annotations

from collections import Counter
from importlib.metadata import version

from oobconsole import supervise
from oobconsole.console.console import ConsoleState
from oobconsole.log import log
from oobconsole.session.request import Denied, ExitStatus, Request
from oobconsole.session.state import Consoles
from oobconsole.vitals import resident_bytes


def report(consoles: Consoles) -> dict[str, object]:
    """Everything, for JSON: times in seconds, memory in bytes."""
    every = [console for machine in consoles.machines for console in machine.consoles]
    states = Counter(console.state for console in every)
    vitals = consoles.vitals
    return {
        "version": version("oobconsole"),
        "uptime_s": round(vitals.uptime, 3),
        "consoles": {state.name.lower(): states[state] for state in ConsoleState},
        "attached": sum(console.attached for console in every),
        "machines": {machine.name: machine.connected for machine in consoles.machines},
        "unrecorded": dict(vitals.unrecorded),
        "damaged_recordings": dict(vitals.damaged),
        "descriptors": vitals.descriptors,
        "faults": dict(supervise.ended),
        "log_lines_lost": log.lost(),
        "memory_bytes": resident_bytes(),
        "loop_lag_s": round(vitals.lag, 4),
        "loop_lag_worst_s": round(vitals.worst_lag, 4),
        "loop_held": vitals.watchdog.held,
        "loop_held_longest_s": round(vitals.watchdog.longest, 4),
    }


def _lines(consoles: Consoles) -> list[str]:
    found = report(consoles)
    vitals = consoles.vitals
    states = Counter(c.state.name.lower() for machine in consoles.machines for c in machine.consoles)
    away = [machine.name for machine in consoles.machines if not machine.connected]
    recording = [f"{name}: not recorded: {reason}" for name, reason in vitals.unrecorded.items()]
    return [
        f"oobconsole {found['version']}, up for {vitals.uptime:.0f} s",
        f"consoles: {', '.join(f'{count} {state}' for state, count in sorted(states.items()))}",
        f"attached: {found['attached']}",
        f"machines: {len(consoles.machines) - len(away)} of {len(consoles.machines)} connected",
        *([f"not connected: {', '.join(away)}"] if away else []),
        *(recording or ["recording: no fault"]),
        *(f"{name}: somebody else has changed its recording: {what}" for name, what in vitals.damaged.items()),
        *(f"a part ended by an error, {times} times: {part}; see the log" for part, times in supervise.ended.items()),
        *([f"log: {log.lost()} lines could not be written"] if log.lost() else []),
        *([f"too few descriptors: {vitals.descriptors}"] if vitals.descriptors else []),
        f"memory: {resident_bytes() / 2**20:.0f} MiB",
        f"event loop: {vitals.lag * 1000:.1f} ms late, {vitals.worst_lag * 1000:.1f} ms at worst in half a minute",
    ]


async def handle_status(request: Request) -> ExitStatus:
    """For the local command only: it names every machine."""
    if not request.who.local:
        raise Denied("status is for the local command: oobconsole status, as root or the server's own user")
    if request.args.json:
        return await request.print_json([report(request.consoles)])
    return await request.print(_lines(request.consoles))
