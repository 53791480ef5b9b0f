"""The verb `replay`: shows a recording once more, at its own speed or at another."""

from __future__ import annotations

import argparse
import asyncio
import math
from functools import partial
from typing import Final

from oobconsole.recording.frames import Begun, Lost
from oobconsole.session.arguments import add_console, add_since
from oobconsole.session.history import History
from oobconsole.session.pipe import first_done
from oobconsole.session.request import ExitStatus, Request, echo
from oobconsole.session.safe import SafeFilter, slices
from oobconsole.session.when import begins, shown, when
from oobconsole.terminal.restore import Lent, scrolled_away

#: How many seconds a pause of the guest takes at most when it is replayed.
IDLE_MAX: Final = 2.0
SPEED_MIN, SPEED_MAX = 0.1, 100.0
#: A pause that is shorter than this, in seconds, is left out, so that several frames go out at once.
_LEAST: Final = 0.01
_QUIT: Final = b"qQ\x03\x04"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the console, where to begin, and how fast."""
    add_console(parser)
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--at", type=when, metavar="TIME", help="begin at 02:13 or 2026-03-01T02:13, or 90s after the beginning"
    )
    add_since(where)
    parser.add_argument("--speed", type=_speed, default=1.0, metavar="N", help="N times as fast, from 0.1 to 100")


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = math.nan
    if not SPEED_MIN <= speed <= SPEED_MAX:
        raise argparse.ArgumentTypeError(f"{echo(text)} is no speed from {SPEED_MIN:g} to {SPEED_MAX:g}")
    return speed


class Pace:
    """How fast the recording is replayed, and whether it is paused. Keys change that."""

    def __init__(self, speed: float) -> None:
        self.speed = speed
        self.paused = False
        self._changed = asyncio.Event()

    def key(self, key: bytes) -> None:
        """Obey a key: space pauses, + doubles the speed, and - halves it. Other keys do nothing."""
        if key == b" ":
            self.paused = not self.paused
        elif key in (b"+", b"="):
            self.speed = min(SPEED_MAX, 2 * self.speed)
        elif key in (b"-", b"_"):
            self.speed = max(SPEED_MIN, self.speed / 2)
        self._changed.set()

    async def wait(self, seconds: float) -> None:
        """Wait for so many seconds of the recording's time, even if keys change the speed meanwhile."""
        loop = asyncio.get_running_loop()
        while seconds > 0 or self.paused:
            self._changed.clear()
            speed, began = 0.0 if self.paused else self.speed, loop.time()
            try:
                async with asyncio.timeout(seconds / speed if speed else None):
                    await self._changed.wait()
            except TimeoutError:
                return
            seconds -= (loop.time() - began) * speed


async def handle(request: Request) -> ExitStatus:
    """Replay a console's recording at the speed at which it was printed. Returns the exit status."""
    history = History(request, "replay")
    await history.ready()
    begin = await history.call(history.transcript.began)
    start: int | None = 0
    if request.args.since is not None:
        start = await history.offset_since(request.args.since)
    elif request.args.at is not None:
        start = await history.call(partial(history.transcript.offset_at, request.args.at.after(begin)))
    if start is None or not begin:
        await request.peer.tell(f"{history.name}: nothing is recorded of that time")
        return ExitStatus.FAILED
    pace = Pace(request.args.speed)
    lent = Lent(filtered=True)
    terminal = request.terminal
    if terminal is None:
        return await first_done(_play(history, start, pace, lent), request.hung_up())
    await request.peer.tell("replay: space pauses, + and - change the speed, q ends")
    terminal.lend(lambda: lent.restored() + b"\r\n")
    try:
        return await first_done(_play(history, start, pace, lent), _keys(request, pace), request.hung_up())
    finally:
        terminal.give_back()


async def _play(history: History, start: int, pace: Pace, lent: Lent) -> ExitStatus:
    """Show the recording from an offset on. What would make a terminal answer, or act outside of its window, is left
    out whatever the console's setting is."""
    safe = SafeFilter()
    safe.resume(await history.call(partial(history.transcript.before, start)))
    frames = history.transcript.frames(start)
    before: float | None = None
    lost = 0
    while (frame := await history.next(frames)) is not None:
        if isinstance(frame, Begun):
            safe = SafeFilter()
            if before is not None:  # otherwise nothing of another guest was shown before
                await history.request.peer.write(_begun_anew(history.request, frame, lent))
            continue
        if isinstance(frame, Lost):
            lost += frame.bytes  # said at the end, because a line of ours would spoil the guest's screen
            continue
        if not frame.part.data:
            continue
        pause = min(IDLE_MAX, max(0.0, frame.at - before)) if before is not None else 0.0
        if pause >= _LEAST or pace.paused:
            await pace.wait(pause)
        before = frame.at
        async for part in slices(frame.part.data):
            drawn = safe.feed(part, frame.clock)
            lent.feed(drawn)
            await history.request.peer.write(drawn)
    if history.request.terminal is not None:
        history.request.terminal.give_back()
    await history.request.peer.tell(f"replay: the recording ends here, at {shown(before or 0.0)}")
    if lost:
        await history.request.peer.tell(f"replay: {lost} bytes of output were lost in it; log says where")
    return ExitStatus.OK


def _begun_anew(request: Request, begun: Begun, lent: Lent) -> bytes:
    """Return the bytes that stand between two guests. The screen of another guest is empty at first, and nothing is
    left of the state into which the guest before has brought the terminal."""
    given_back = lent.restored() if lent.touched else b""
    lent.feed(given_back)
    line = f"\r\n{begins(begun.at)}\r\n".encode()
    return given_back + (line if request.terminal is None else scrolled_away(request.terminal.size()[0], line))


async def _keys(request: Request, pace: Pace) -> ExitStatus:
    while keys := await request.peer.read():
        for key in keys:
            if key in _QUIT:
                return ExitStatus.OK
            pace.key(bytes((key,)))
    return ExitStatus.OK
