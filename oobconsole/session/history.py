"""Verbs that read recordings: log, search. (replay: player.py.) Files are read in threads, a slice at a time."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, TypeVar

from oobconsole.access import Right
from oobconsole.events import Kind
from oobconsole.patterns import BadPattern, Pattern, TooSlow, compile_pattern
from oobconsole.recording.frames import Begun, Lost, joined
from oobconsole.recording.recordings import Recordings
from oobconsole.recording.transcript import LINES_MAX, Transcript
from oobconsole.session.pipe import first_done
from oobconsole.session.request import ExitStatus, Request, UsageError, echo
from oobconsole.session.safe import SafeFilter, slices
from oobconsole.session.searching import Search
from oobconsole.session.when import When, begins, shown, when
from oobconsole.session.words import FreeText, misplaced

T = TypeVar("T")

#: The most that is found is said, and that there is more.
FOUND_MAX: Final = 10_000


def log_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `log`."""
    parser.add_argument("console", metavar="CONSOLE")
    parser.add_argument("--since", type=when, metavar="TIME", help="from then on: 10m (ago), 02:13, 2026-03-01T02:13")
    parser.add_argument("--lines", type=_lines, metavar="N", help="the last N lines")
    parser.add_argument("--raw", action="store_true", help="every byte, as the guest printed it: not for a terminal")
    parser.add_argument("--typed", action="store_true", help="who typed what, where the guest echoed it")


def search_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `search`."""
    parser.add_argument("console", metavar="CONSOLE")
    parser.add_argument("pattern", metavar="REGEX", action=FreeText, understand=_pattern)
    parser.add_argument("--since", type=when, metavar="TIME", help="from then on: 10m (ago), 02:13, 2026-03-01T02:13")


def _lines(text: str) -> int:
    if not text.isdecimal() or len(text) > 9 or int(text) > LINES_MAX:
        raise argparse.ArgumentTypeError(f"{echo(text)} is no number of lines from 0 to {LINES_MAX}")
    return int(text)


def _pattern(text: str) -> Pattern:
    try:
        return compile_pattern(text)
    except BadPattern as error:
        raise argparse.ArgumentTypeError(f"{echo(text)} {error}") from error


class History:
    """What a verb reads: the recording of the console that was named, whether or not that is still there.

    Raises:
        UsageError, Denied: as `Request.recorded`; or nothing is recorded.
    """

    def __init__(self, request: Request, verb: str) -> None:
        self.name = request.recorded(Right.LOG)
        if request.consoles.recordings is None:
            raise UsageError("nothing is recorded: the server's configuration says [recording] enabled = false")
        self.request = request
        self.recordings: Recordings = request.consoles.recordings
        self.transcript = Transcript(self.recordings.folder / self.name)
        request.consoles.events.emit(Kind.READ, self.name, request.who, by=verb)

    async def ready(self) -> bool:
        """Have everything printed so far in the files, or say that it is not; returns whether it is."""
        try:
            await self.recordings.flush()
            late = False
        except TimeoutError:
            late = True
        recorder = self.recordings.recorder(self.name)
        reason = (
            recorder.reason if recorder is not None else self.request.consoles.vitals.unrecorded.get(self.name, "")
        )
        if late or reason:
            await self.request.peer.tell(
                f"{self.name}: the newest output is not recorded: {reason or 'the disk is slow'}"
            )
            return False
        return True

    async def call(self, what: Callable[[], T]) -> T:
        """Do it in a reader's thread.

        Raises:
            UsageError: a file cannot be read, or a pattern takes too long.
        """
        try:
            return await self.recordings.read(what)
        except TooSlow as error:
            raise UsageError(str(error)) from error
        except (OSError, EOFError) as error:  # EOFError: a compressed file that ends too early
            raise UsageError(f"{self.name}: its recording cannot be read: {error}") from error

    async def next(self, items: Iterator[T]) -> T | None:
        """The next one, from a reader's thread; None at the end."""
        return await self.call(partial(next, items, None))

    async def offset_since(self, since: When) -> int | None:
        """Where to begin; None: nothing was printed since. So long ago is what it says, however the clock was set."""
        at, elapsed = since.before(time.time()), since.at is None
        return await self.call(partial(self.transcript.offset_at, at, elapsed=elapsed))


async def handle_log(request: Request) -> ExitStatus:
    """Print what was recorded: text and colours; every byte as the guest printed it only when that is asked for.

    `ssh HOST log web1` has no terminal here, but mostly one at its user's: what is safe there is what comes unasked.
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
    plain, line_end = b"\x1b[m" if coloured else b"", b"\r\n" if in_line else b""
    return plain + line_end + begins(begun.at).encode() + b"\r\n"


async def _start(history: History) -> int | None:
    args = history.request.args
    since = 0
    if args.since is not None:
        found = await history.offset_since(args.since)
        if found is None or args.lines is None:
            return found
        since = found
    lines = history.request.consoles.tail_lines if args.lines is None else args.lines
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


async def handle_search(request: Request) -> ExitStatus:
    """Print the lines in which a pattern is, with their time and offset."""
    history = History(request, "search")
    if hint := misplaced(request.args.pattern.pattern, ("--since",)):
        await request.peer.tell(hint)
    is_whole = await history.ready()
    return await first_done(_search(history, is_whole), _gone(request))


async def _gone(request: Request) -> ExitStatus:
    await request.peer.gone()
    return ExitStatus.FAILED


async def _search(history: History, is_whole: bool) -> ExitStatus:
    args, tell = history.request.args, history.request.peer.tell
    start = 0 if args.since is None else await history.offset_since(args.since)
    before = await history.call(partial(history.transcript.before, start)) if start else b""
    search = Search(args.pattern, before)
    turns = search.turns(history.transcript.frames(start)) if start is not None else iter(())
    while (lines := await history.next(turns)) is not None:
        await history.request.print(lines)
        if search.found >= FOUND_MAX:
            await tell(f"there is more than these {search.found} lines; say --since, or more of it")
            return ExitStatus.OK
    for text in search.left_out():
        await tell(text)
    if search.found:
        return ExitStatus.OK
    return ExitStatus.FAILED if is_whole and not search.left_out() else ExitStatus.PARTIAL
