"""The client for scripts without asyncio: each call returns when it is done.

with connect("alice@host:2222") as server, server.attach("web1") as console:
    console.expect(r"login: ")
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from oobconsole.client import connection as asynchronous
from oobconsole.client.console import CommandResult
from oobconsole.client.console import Console as AsyncConsole
from oobconsole.client.errors import ConnectFailed
from oobconsole.client.texts import Match

T = TypeVar("T")


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="oobconsole client", daemon=True)
        self._thread.start()

    @property
    def closed(self) -> bool:
        """Whether the connection was closed, so that nothing more can be done."""
        return self._loop.is_closed()

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        """Do something in the loop, and wait for its result. Raises `ConnectFailed` when the loop is closed."""
        if self.closed:
            what.close()
            raise ConnectFailed("the connection was closed here")
        future = asyncio.run_coroutine_threadsafe(what, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C: what nobody waits for any more does not go on
            future.cancel()
            raise

    def call(self, what: Callable[[], T]) -> T:
        """Call a function in the loop's thread, in which everything changes that the function reads."""

        async def called() -> T:
            return what()

        return what() if self.closed else self.run(called())

    def close(self) -> None:
        """End the thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Console:
    """A console that the script is attached to; a context manager that leaves it at its end.

    Its methods do what those of `oobconsole.client.Console` do, with the same arguments and the same errors.
    """

    def __init__(self, loop: _Loop, console: AsyncConsole) -> None:
        self._loop = loop
        self.console = console

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    @property
    def transcript(self) -> str:
        """The last mebibyte of output as patterns see it, which is without a terminal's escape sequences."""
        return self._loop.call(lambda: self.console.transcript)

    def close(self) -> None:
        """Leave the console; the guest goes on. A second call does nothing, and neither does one after the connection
        was closed."""
        if not self._loop.closed:
            self._loop.run(self.console.close())

    def expect(self, pattern: str, *, timeout: float = 30, fail: str | Iterable[str] = ()) -> Match:
        """Wait until the guest prints what matches a pattern, at most `timeout` seconds; returns the match."""
        return self._loop.run(self.console.expect(pattern, timeout=timeout, fail=fail))

    def send(self, text: str | bytes) -> None:
        """Type a text, or bytes, into the guest, and wait until they are on their way."""
        self._loop.run(self.console.send(text))

    def send_line(self, text: str = "") -> None:
        """Type a text and the Enter key behind it."""
        self._loop.run(self.console.send_line(text))

    def type(self, text: str, *, cps: float = 10) -> None:
        """Type a text as slowly as a person does, `cps` characters a second."""
        self._loop.run(self.console.type(text, cps=cps))

    def login(self, user: str, password: str, *, prompt: str = r"[#$] \r*$", timeout: float = 60) -> None:
        """Log in where a getty asks for `login:` and `Password:`; each step may take `timeout` seconds."""
        self._loop.run(self.console.login(user, password, prompt=prompt, timeout=timeout))

    def run(self, command: str, *, timeout: float = 30) -> CommandResult:
        """Run a command in the shell that waits at the console, and wait for its end, at most `timeout` seconds."""
        return self._loop.run(self.console.run(command, timeout=timeout))

    def screen(self, rows: int = 24, columns: int = 80) -> str:
        """Return what a terminal of so many rows and columns would show now, as lines of text without colours."""
        return self._loop.call(lambda: self.console.screen(rows, columns))


class Connection:
    """A server; a context manager that connects, and at its end leaves every console and disconnects.

    Its methods do what those of `oobconsole.client.Connection` do, with the same arguments and the same errors.
    """

    def __init__(self, connection: asynchronous.Connection) -> None:
        self._connection = connection
        self._loop = _Loop()

    def __enter__(self) -> Self:
        try:
            self._loop.run(self._connection.__aenter__())
        except BaseException:
            self._loop.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._loop.run(self._connection.close())
        self._loop.close()

    def attach(self, console: str, *, watch: bool = False, offset: int | None = None) -> Console:
        """Attach to a console, and stay attached until it, or this connection, is closed."""
        return Console(self._loop, self._loop.run(self._connection.attach(console, watch=watch, offset=offset)))

    def ls(self) -> list[dict[str, Any]]:
        """List the consoles at which the user has any right, as the dictionaries of `ls --json`."""
        return self._loop.run(self._connection.ls())

    def who(self) -> list[dict[str, Any]]:
        """List who is attached to the consoles that the user may watch, as the dictionaries of `who --json`."""
        return self._loop.run(self._connection.who())

    def send(self, console: str, text: str, *, enter: bool = True) -> None:
        """Type a text into a guest, without attaching to its console."""
        self._loop.run(self._connection.send(console, text, enter=enter))

    def power(self, console: str, action: str) -> str:
        """Switch a guest by `reset`, `nmi`, `off` or `on`; returns what was done, in words."""
        return self._loop.run(self._connection.power(console, action))


def connect(
    target: str,
    *,
    keys: Iterable[str | Path] = (),
    known_hosts: str | Path | None = "default",
    reconnect_s: float = asynchronous.RECONNECT_SECONDS,
) -> Connection:
    """Say which server to connect to; the arguments are those of `oobconsole.client.connect`."""
    return Connection(
        asynchronous.connect(target, keys=tuple(keys), known_hosts=known_hosts, reconnect_s=reconnect_s)
    )
