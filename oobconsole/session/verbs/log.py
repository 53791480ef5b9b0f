"""The verb `log`: prints what a guest printed, or who typed what, from the recording."""

from __future__ import annotations

import argparse
import time
from functools import partial

from oobconsole.recording.frames import Begun, Lost, joined
from oobconsole.recording.transcript import LINES_MAX
from oobconsole.session.arguments import add_console, add_since
from oobconsole.session.history import History
from oobconsole.session.request import ExitStatus, Request, UsageError, echo
from oobconsole.session.safe import SafeFilter, slices
from oobconsole.session.when import begins, shown


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the console, which part of its recording is wanted, and in which form."""
    add_console(parser)
    add_since(parser)
    parser.add_argument("--lines", type=_lines, metavar="N", help="print only the last N lines")
    parser.add_argument(
        "--raw", action="store_true", help="print every byte as the guest did; a terminal may act on some of them"
    )
    parser.add_argument(
        "--typed", action="store_true", help="print who typed what; what the guest did not echo is only counted"
    )


def _lines(text: str) -> int:
    if not text.isdecimal() or len(text) > 9 or int(text) > LINES_MAX:
        raise argparse.ArgumentTypeError(f"{echo(text)} is no number of lines from 0 to {LINES_MAX}")
    return int(text)


async def handle(request: Request) -> ExitStatus:
    """Print what was recorded: text and colours. The bytes as the guest has printed them come only on demand
    (`--raw`).

    Why are they filtered? `ssh HOST log web1` has no terminal at this end, but there mostly is one at the user's end.
    What comes without being asked for must be safe for that terminal.
    """
    history = History(request, "log --typed" if request.args.typed else "log")
    await history.ready()
    return await (_print_typed if request.args.typed else _print_output)(history)


async def _print_output(history: History) -> ExitStatus:
    start = await _start(history)
    request, peer = history.request, history.request.peer
    safe = None if request.args.raw else SafeFilter(strict=True)
    if safe and start:
        safe.resume(await history.call(partial(history.transcript.before, start)))
    coloured = in_line = False
    items = joined(history.transcript.frames(start)) if start is not None else iter(())
    while (item := await history.next(items)) is not None:
        if isinstance(item, Begun):
            if safe:
                safe = SafeFilter(strict=True)
                await peer.write(_line_between(item, coloured=coloured, in_line=in_line))
            coloured, in_line = False, False
            continue
        if isinstance(item, Lost):
            await peer.tell(f"{item.bytes} bytes of output were lost here, at offset {item.offset}")
            continue
        part = item.part
        if part.missing:
            await peer.tell(f"{part.missing} bytes are missing here, from offset {part.offset} on")
        async for data in slices(part.data):
            printed = safe.feed(data, item.clock) if safe else data
            coloured |= b"\x1b" in printed
            in_line = not printed.endswith(b"\n") if printed else in_line
            await peer.write(printed)
    if safe and (coloured or request.terminal):
        await peer.write(b"\x1b[m\r\n" if request.terminal else b"\x1b[m")
    return ExitStatus.OK


def _line_between(begun: Begun, *, coloured: bool, in_line: bool) -> bytes:
    """Return the line between the output of two guests, with plain colours and on a line of its own."""
    plain, line_end = b"\x1b[m" if coloured else b"", b"\r\n" if in_line else b""
    return plain + line_end + begins(begun.at).encode() + b"\r\n"


async def _start(history: History) -> int | None:
    """Return the offset at which the output begins that was asked for; None: nothing was printed since then."""
    args = history.request.args
    since = 0
    if args.since is not None:
        found = await history.offset_since(args.since)
        if found is None or args.lines is None:
            return found
        since = found
    lines = history.request.services.tail_lines if args.lines is None else args.lines
    return max(since, await history.call(partial(history.transcript.tail, lines)))


async def _print_typed(history: History) -> ExitStatus:
    args = history.request.args
    since = args.since.before(time.time()) if args.since is not None else 0.0
    if args.lines is not None or args.raw:
        raise UsageError("--typed goes with --since, not with --lines or --raw")
    records = history.transcript.typed(since)
    while (record := await history.next(records)) is not None:
        await history.request.print([_typed_line(record)])
    return ExitStatus.OK


def _typed_line(record: list[object]) -> str:
    at, _, name, address, what = record
    who = f"{name} ({address})" if address else f"{name}"
    said = repr(what) if isinstance(what, str) else f"{what} bytes that the guest did not echo"
    return f"{shown(at) if isinstance(at, int | float) else '?'}  {who or 'somebody'}  {said}"
