"""What a server has been told, taken together from the frames that it got."""

from __future__ import annotations

from oobconsole.interceptors.wire import (
    ContextAppeared,
    Event,
    Posted,
)
from tests.native.half import (
    IER,
    LCR,
    MCR,
    Half,
)

KEPT = 65536  # OOB_KEEP_MAX of output.h
SECOND_NS = 1_000_000_000
APPEARED = ContextAppeared(1, 0x2000, 0x1000)


def printed(events: list[Event], port: int, context: int = 1) -> bytes:
    """What reached THR: while DLAB is set, the port is the divisor's."""
    text, dlab = b"", False
    for event in events:
        if not isinstance(event, Posted) or event.context != context:
            continue
        if event.port == port + LCR:
            dlab = bool(event.data[-1] & 0x80)
        elif event.port == port and not dlab:
            text += event.data
    return text


def looped(events: list[Event], port: int, context: int = 1) -> bytes:
    """What was written to THR while the transmitter's end was the receiver."""
    text, loop = b"", False
    for event in events:
        if isinstance(event, Posted) and event.context == context and event.port == port + MCR:
            loop = bool(event.data[-1] & 0x10)
        elif isinstance(event, Posted) and event.context == context and event.port == port and loop:
            text += event.data
    return text


def registers(events: list[Event], port: int) -> dict[int, int]:
    """The last write to each register, as the server was told; those of the divisor are 8 and 9."""
    known: dict[int, int] = {}
    for event in events:
        if isinstance(event, Posted) and 0 < event.port - port < 8:
            dlab = known.get(LCR, 0) & 0x80 and event.port - port == IER
            known[9 if dlab else event.port - port] = event.data[-1]
        elif isinstance(event, Posted) and event.port == port and known.get(LCR, 0) & 0x80:
            known[8] = event.data[-1]
    return known


def all_of(live: Half) -> list[Event]:
    """What is sent, in as many goes as it takes."""
    events: list[Event] = []
    while part := live.sent():
        events += part
        live.poll()
    return events
