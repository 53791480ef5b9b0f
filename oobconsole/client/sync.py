"""The same for scripts without asyncio: every call waits until it is done.

with connect("alice@host:2222") as server, server.attach("web1") as console:
    console.expect(r"login: ")
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from oobconsole.client import connection as asynchronous
from oobconsole.client.console import CommandResult, Match
from oobconsole.client.console import Console as AsyncConsole

T = TypeVar("T")


class _Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="oobconsole client", daemon=True)
        self._thread.start()

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(what, self._loop)
        try:
            return future.result()
        except BaseException:  # Ctrl-C: what nobody waits for any more does not go on
            future.cancel()
            raise

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Console:
    """An attached console; see `oobconsole.client.Console`."""

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
        """The last output, as text."""
        return self.console.transcript

    def close(self) -> None:
        """Leave. Idempotent."""
        self._loop.run(self.console.close())

    def expect(self, pattern: str, *, timeout: float = 30, fail: str | Iterable[str] = ()) -> Match:
        """Wait until a pattern comes."""
        return self._loop.run(self.console.expect(pattern, timeout=timeout, fail=fail))

    def send(self, text: str | bytes) -> None:
        """Type."""
        self._loop.run(self.console.send(text))

    def send_line(self, text: str = "") -> None:
        """Type a line, and Enter."""
        self._loop.run(self.console.send_line(text))

    def type(self, text: str, *, cps: float = 10) -> None:
        """Type as a person does."""
        self._loop.run(self.console.type(text, cps=cps))

    def login(self, user: str, password: str, *, prompt: str = r"[#$] \r*$", timeout: float = 60) -> None:
        """Log in at a getty."""
        self._loop.run(self.console.login(user, password, prompt=prompt, timeout=timeout))

    def run(self, command: str, *, timeout: float = 30) -> CommandResult:
        """Run a command in the shell that waits at the console."""
        return self._loop.run(self.console.run(command, timeout=timeout))

    def screen(self, rows: int = 24, columns: int = 80) -> str:
        """What a terminal would show now, as text."""
        return self.console.screen(rows, columns)


class Connection:
    """A server; see `oobconsole.client.Connection`."""

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
        """Attach to a console."""
        return Console(self._loop, self._loop.run(self._connection.attach(console, watch=watch, offset=offset)))

    def ls(self) -> list[dict[str, Any]]:
        """The consoles."""
        return self._loop.run(self._connection.ls())

    def who(self) -> list[dict[str, Any]]:
        """Everybody who is attached."""
        return self._loop.run(self._connection.who())

    def send(self, console: str, text: str, *, enter: bool = True) -> None:
        """Type a text."""
        self._loop.run(self._connection.send(console, text, enter=enter))

    def power(self, console: str, action: str) -> str:
        """Switch a guest."""
        return self._loop.run(self._connection.power(console, action))


def connect(
    target: str,
    *,
    keys: Iterable[str | Path] = (),
    known_hosts: str | Path | None = "default",
    reconnect_s: float = asynchronous.RECONNECT_SECONDS,
) -> Connection:
    """A server; see `oobconsole.client.connect`."""
    return Connection(
        asynchronous.connect(target, keys=tuple(keys), known_hosts=known_hosts, reconnect_s=reconnect_s)
    )
