"""`oobconsole VERB …`: the words go to the running server over its admin socket, the answer comes back.

Whatever `ssh HOST VERB …` does, this does; with a terminal it is one at the other end, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import stat
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import asyncssh

from oobconsole.cli import silence, stdio
from oobconsole.cli.connecting import Unreachable, connection_to
from oobconsole.cli.writer import Writer
from oobconsole.terminal.restore import Lent

_READ_MAX: Final = 65536
#: How long what is written last may take, in seconds.
LAST_SECONDS: Final = 2.0
#: The verbs at which Ctrl-C is, or may become, a key for a guest.
_FOR_GUESTS: Final = frozenset({"attach", "menu", "watch"})

FAILED: Final = 1
USAGE: Final = 2
HUNG_UP: Final = 255


def run(path: Path, words: list[str]) -> int:
    """Run a command in the server. Returns its exit status."""
    for word in words:
        if not _is_text(word):
            print(f"oobconsole: {word!r} is no UTF-8: say it in this terminal's or script's UTF-8", file=sys.stderr)
            return USAGE
    try:
        return asyncio.run(_run(path, words))
    except Unreachable as error:
        print(f"oobconsole: {error}", file=sys.stderr)
        return FAILED


def _is_text(word: str) -> bool:
    """Return whether a word of the command line is UTF-8, which SSH needs. Python represents other bytes as
    surrogates (PEP 383)."""
    return not any("\ud800" <= character <= "\udfff" for character in word)


async def _run(path: Path, words: list[str]) -> int:
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    status = FAILED
    async with connection_to(path) as connection:
        size = os.get_terminal_size(0) if on_terminal else None
        try:
            process = await connection.create_process(
                shlex.join(words),
                encoding=None,
                term_type=os.environ.get("TERM", "xterm") if size else None,
                term_size=tuple(size) if size else (0, 0),
            )
        except (OSError, asyncssh.Error) as error:
            raise Unreachable(f"{path}: the server begins no session: {error}") from error
        session = _Session(process, on_terminal, by_ctrl_c=words[0] not in _FOR_GUESTS)
        session.heed_signals()
        with _raw_terminal(on_terminal):
            status = await session.run()
    return status


class _Session:
    """Copies input and output until the command ends, a signal comes, nobody reads our output any more, or the server
    does not answer.

    Args:
        process: the command in the server.
        on_terminal: whether a person sits at a terminal.
        by_ctrl_c: whether that person means to leave by Ctrl-C.
    """

    def __init__(self, process: asyncssh.SSHClientProcess[bytes], on_terminal: bool, *, by_ctrl_c: bool) -> None:
        self._process = process
        self._on_terminal = on_terminal
        self._size = os.get_terminal_size(0) if on_terminal else None
        self._loop = asyncio.get_running_loop()
        self._taken = threading.Semaphore(1)  # free when all input that was read has been sent
        self._stop: asyncio.Future[int] = self._loop.create_future()
        self._lent = Lent(filtered=False)
        self._newline = b"\r\n" if on_terminal else b"\n"
        self._output, self._errors = Writer(1), Writer(2)
        self._silence = silence.Silence(process.get_extra_info("socket"))
        self._keys = silence.Leaving(by_ctrl_c=by_ctrl_c)
        self._leave_by = "Ctrl-C leaves" if by_ctrl_c else "Enter, ~ and . leave"
        self._leaving: asyncio.Future[None] | None = None
        self._has_left = False

    def heed_signals(self) -> None:
        """End at a signal that ends a process, from now on. The terminal can then be given back."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
            self._loop.add_signal_handler(number, self._end, 128 + number)

    async def run(self) -> int:
        """Run the command in the server until it ends. Returns its exit status."""
        if self._on_terminal:
            self._loop.add_signal_handler(signal.SIGWINCH, self._resized)
        elif stat.S_ISFIFO(os.fstat(1).st_mode):
            self._loop.add_reader(1, self._end, 128 + signal.SIGPIPE)  # a pipe is ready when its reader is gone
        threading.Thread(target=self._read_input, daemon=True).start()
        copies: list[asyncio.Future[None]] = [
            asyncio.ensure_future(copy)
            for copy in (
                self._copy(self._process.stdout, self._output),
                self._copy(self._process.stderr, self._errors),
            )
        ]
        done = asyncio.ensure_future(self._wait(copies))
        watching = asyncio.ensure_future(self._silence.watch(self._unanswered))
        await asyncio.wait([done, self._stop], return_when=asyncio.FIRST_COMPLETED)
        status = done.result() if done.done() else self._stop.result()
        tasks: list[asyncio.Future[Any]] = [done, watching, *copies, *([self._leaving] if self._leaving else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._give_back()
        return status

    async def _give_back(self) -> None:
        """Give the terminal back, and say how the connection has ended, if the server could not do so itself. A
        terminal that takes nothing is not waited for."""
        if self._process.exit_status is not None:
            return
        with contextlib.suppress(OSError):  # the terminal may be gone; a TimeoutError is an OSError
            async with asyncio.timeout(LAST_SECONDS):
                if self._on_terminal and self._lent.touched:
                    await self._output.write(self._lent.restored() + b"\r\n")
                if self._silence.told or self._has_left:
                    await self._say("the server does not answer: left without it")
                elif not self._stop.done():
                    await self._say("the server has ended the connection without a word")

    async def _say(self, text: str) -> None:
        await self._errors.write(f"oobconsole: {text}".encode() + self._newline)

    async def _unanswered(self) -> None:
        """Tell a person at a terminal that the server does not answer, and how to leave."""
        if self._on_terminal:
            with contextlib.suppress(OSError):
                seconds = f"{silence.TOLD_SECONDS:g} s"
                await self._errors.write(self._newline)
                await self._say(f"the server has not answered for {seconds}; {self._leave_by}")

    async def _leave(self) -> None:
        """Leave, as the person has asked to, if the server does not even read that. A server that reads it knows what
        it means."""
        if await self._silence.lasts(silence.LEAVE_SECONDS):
            self._has_left = True
            self._end(HUNG_UP)

    async def _wait(self, copies: list[asyncio.Future[None]]) -> int:
        await asyncio.gather(*copies)
        await self._process.wait_closed()
        status = self._process.exit_status
        return HUNG_UP if status is None else status

    async def _copy(self, source: asyncssh.SSHReader[bytes], target: Writer) -> None:
        try:
            while data := await source.read(_READ_MAX):
                self._silence.heard()
                self._lent.feed(data)
                await target.write(data)
        except BrokenPipeError:
            self._end(128 + signal.SIGPIPE)
        except stdio.CannotWrite as error:
            with contextlib.suppress(OSError):
                await self._say(str(error))
            self._end(FAILED)
        except asyncssh.Error:
            pass  # the connection is lost: then there is no exit status

    def _end(self, status: int) -> None:
        if not self._stop.done():
            self._stop.set_result(status)

    def _resized(self) -> None:
        size = os.get_terminal_size(0)
        if size != self._size:
            self._size = size
            self._process.change_terminal_size(*size)

    def _read_input(self) -> None:
        """Read standard input, in a thread. Why not in the event loop? Standard input may be a file of any kind, and
        must stay blocking for other programs that share it."""
        while True:
            self._taken.acquire()
            try:
                data = stdio.read(0, _READ_MAX)
            except OSError:
                data = b""
            self._tell(self._typed, data)
            if not data:
                return

    def _tell(self, call: Callable[[bytes], object], data: bytes) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed, and nobody needs the input any more
            self._loop.call_soon_threadsafe(call, data)

    def _typed(self, data: bytes) -> None:
        if self._on_terminal and self._keys.feed(data) and (self._leaving is None or self._leaving.done()):
            self._leaving = self._loop.create_task(self._leave())
        task = self._loop.create_task(self._send(data))
        task.add_done_callback(lambda _: self._taken.release())

    async def _send(self, data: bytes) -> None:
        try:
            if data:
                if self._on_terminal:
                    self._resized()  # now, so that input after a resize follows it even if the signal comes late
                self._process.stdin.write(data)
                await self._process.stdin.drain()
            else:
                self._process.stdin.write_eof()
        except (OSError, asyncssh.Error):
            pass  # the command has ended, and its status says how


@contextlib.contextmanager
def _raw_terminal(on_terminal: bool) -> Iterator[None]:
    """Pass every key to the guest. However the command ends, the terminal is then set as it was before."""
    if not on_terminal:
        yield
        return
    before = termios.tcgetattr(0)
    tty.setraw(0)
    try:
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)
