"""`oobconsole VERB …`: the words go to the running server over its admin socket, the answer comes back.

Whatever `ssh HOST VERB …` does, this does; with a terminal it is one at the other end, too.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
import socket
import stat
import sys
import termios
import threading
import tty
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import asyncssh

from oobconsole import adminsocket
from oobconsole.cli import stdio
from oobconsole.terminal.restore import Lent

_READ_MAX: Final = 65536
#: How long to wait for the server's first answer, in seconds. A server that runs answers at once.
CONNECT_SECONDS: Final = 10.0

FAILED: Final = 1
USAGE: Final = 2
HUNG_UP: Final = 255


class Unreachable(Exception):
    """There is no server. The message is one sentence that also says what to do."""


def run(path: Path, words: list[str]) -> int:
    """Run a command in the server. Returns its exit status."""
    for word in words:
        if not _is_text(word):
            print(f"oobconsole: {word!r} is no UTF-8: say it in this terminal's or script's UTF-8", file=sys.stderr)
            return USAGE
    try:
        return asyncio.run(_run(path, shlex.join(words)))
    except Unreachable as error:
        print(f"oobconsole: {error}", file=sys.stderr)
        return FAILED


def _is_text(word: str) -> bool:
    """Return whether a word of the command line is UTF-8, which SSH needs. Python represents other bytes as
    surrogates (PEP 383)."""
    return not any("\ud800" <= character <= "\udfff" for character in word)


def consoles(path: Path) -> list[str]:
    """Return the names of a server's consoles.

    Raises:
        Unreachable: nobody listens there, or not to us.
    """
    return asyncio.run(_consoles(path))


async def _consoles(path: Path) -> list[str]:
    async with await connect(path) as connection:
        listed = await connection.run("ls --names")  # quicker than `ls`, which also reads the guests' output
    return str(listed.stdout).splitlines()


async def connect(path: Path) -> asyncssh.SSHClientConnection:
    """Connect to a server's admin socket.

    Raises:
        Unreachable: nobody listens there, or not to us; or the server does not answer.
    """
    try:
        async with asyncio.timeout(CONNECT_SECONDS):
            sock = await _connected(path)
            return await _spoken_to(path, sock)
    except TimeoutError as error:
        raise Unreachable(f"{path}: the server does not answer") from error


async def _connected(path: Path) -> socket.socket:
    try:
        return await adminsocket.connected(path)
    except OSError as error:
        raise Unreachable(
            f"{path}: no server can be reached here: {error.strerror or error}; start it with 'oobconsole serve', as "
            "the same user, or name its configuration with --config"
        ) from error


async def _spoken_to(path: Path, sock: socket.socket) -> asyncssh.SSHClientConnection:
    """Begin SSH over a connected socket, which is closed if that fails."""
    try:
        return await asyncssh.run_client(sock, known_hosts=None, username="local", config=None, client_keys=None)
    except (OSError, asyncssh.Error) as error:
        sock.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise Unreachable(
            f"{path}: the server has ended the connection: {reason}; the server's log may say why"
        ) from error
    except BaseException:
        sock.close()
        raise


async def _run(path: Path, command: str) -> int:
    on_terminal = sys.stdin.isatty() and sys.stdout.isatty()
    status = FAILED
    async with await connect(path) as connection:
        size = os.get_terminal_size(0) if on_terminal else None
        process = await connection.create_process(
            command,
            encoding=None,
            term_type=os.environ.get("TERM", "xterm") if size else None,
            term_size=tuple(size) if size else (0, 0),
        )
        with _raw_terminal(on_terminal):
            status = await _Session(process, on_terminal).run()
    return status


class _Session:
    """Copies input and output until the command ends, a signal comes, or nobody reads our output any more."""

    def __init__(self, process: asyncssh.SSHClientProcess[bytes], on_terminal: bool) -> None:
        self._process = process
        self._on_terminal = on_terminal
        self._size = os.get_terminal_size(0) if on_terminal else None
        self._loop = asyncio.get_running_loop()
        self._taken = threading.Semaphore(1)  # free when all input that was read has been sent
        self._stop: asyncio.Future[int] = self._loop.create_future()
        self._lent = Lent(filtered=False)
        self._newline = b"\r\n" if on_terminal else b"\n"

    async def run(self) -> int:
        """Run the command in the server until it ends. Returns its exit status."""
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            self._loop.add_signal_handler(number, self._end, 128 + number)
        if self._on_terminal:
            self._loop.add_signal_handler(signal.SIGWINCH, self._resized)
        elif stat.S_ISFIFO(os.fstat(1).st_mode):
            self._loop.add_reader(1, self._end, 128 + signal.SIGPIPE)  # a pipe is ready when its reader is gone
        threading.Thread(target=self._read_input, daemon=True).start()
        copies: list[asyncio.Future[None]] = [
            asyncio.ensure_future(copy)
            for copy in (self._copy(self._process.stdout, 1), self._copy(self._process.stderr, 2))
        ]
        done = asyncio.ensure_future(self._wait(copies))
        await asyncio.wait([done, self._stop], return_when=asyncio.FIRST_COMPLETED)
        status = done.result() if done.done() else self._stop.result()
        done.cancel()
        for copy in copies:
            copy.cancel()
        await asyncio.gather(done, *copies, return_exceptions=True)
        self._give_back()
        return status

    def _give_back(self) -> None:
        """Give the terminal back, and say that the connection has ended, if the server could not do so itself."""
        if self._process.exit_status is not None:
            return
        with contextlib.suppress(OSError):  # the terminal may be gone
            if self._on_terminal and self._lent.touched:
                stdio.write(1, self._lent.restored() + b"\r\n")
            if not self._stop.done():
                stdio.write(2, b"oobconsole: the server has ended the connection without a word" + self._newline)

    async def _wait(self, copies: list[asyncio.Future[None]]) -> int:
        await asyncio.gather(*copies)
        await self._process.wait_closed()
        status = self._process.exit_status
        return HUNG_UP if status is None else status

    async def _copy(self, source: asyncssh.SSHReader[bytes], target: int) -> None:
        try:
            while data := await source.read(_READ_MAX):
                self._lent.feed(data)
                await asyncio.to_thread(stdio.write, target, data)
        except BrokenPipeError:
            self._end(128 + signal.SIGPIPE)
        except stdio.CannotWrite as error:
            with contextlib.suppress(OSError):
                stdio.write(2, f"oobconsole: {error}".encode() + self._newline)
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
