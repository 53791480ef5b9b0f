"""One connection to QEMU's monitor, by the library qemu.qmp. It is bounded, and ends, whatever the other end sends.

Source: QEMU's docs/interop/qmp-spec.rst: a greeting, then one JSON object in a line, each way.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Final

from qemu.qmp import QMPClient, QMPError, Runstate
from qemu.qmp.error import ProtocolError
from qemu.qmp.message import Message

from oobconsole.net.dialer import why
from oobconsole.words import brief

#: The versions of qemu.qmp with which the tests of this module were run (`make qmp`); no others are allowed.
TRIED: Final = ("0.0.4", "0.0.5", "0.0.6")
#: How many seconds a monitor has for its greeting. One that says nothing serves somebody else: it serves one at a
#: time.
GREETING_SECONDS: Final = 10.0
#: How many seconds ending the connection may take. Nothing is written by then, so it should take no time at all.
END_SECONDS: Final = 2.0
#: The longest message, in bytes. It is taken apart at once, which takes a few milliseconds. (A list of chardevs has
#: 150 bytes for each.)
LINE_MAX: Final = 64 << 10
#: The pause behind a message is so many times as long as the message took: so no monitor has more than a quarter of
#: the event loop.
_PAUSE_TIMES: Final = 3
_PAUSE_MIN: Final = 0.002  # seconds; shorter ones are added up
#: A message of at most so many bytes takes a fraction of a millisecond, and does not wait for other monitors'
#: messages.
_SHORT: Final = 4096
_turns: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = weakref.WeakKeyDictionary()
_NO_QMP: Final = f"it sent what is no message of QMP, or one of more than {LINE_MAX >> 10} KiB"
_CLOSED: Final = "QEMU closed it"


class Connection(QMPClient):
    """A connection to a monitor.

    Args:
        name: the console's name, for the library.
        heard: is called with each event as it is read: the event's name, and its reason or "", safe for terminals.
            Events are not queued, because the library's own queue has no bound.
    """

    def __init__(self, name: str, heard: Callable[[str, str], object]) -> None:
        super().__init__(name, LINE_MAX)
        self.logger.disabled = True  # whoever connects logs what matters, once
        self._heard = heard
        self._owed = 0.0  # seconds of pause that are still to be made

    async def begin(self, path: Path) -> None:
        """Connect to the socket, and wait for the greeting.

        Raises:
            OSError: it failed; the message says what is wrong, in words.
        """
        try:
            async with asyncio.timeout(GREETING_SECONDS):
                await self.connect(str(path))
        except TimeoutError as error:
            raise OSError("it says nothing: somebody else may be connected to it") from error
        except QMPError as error:
            raise OSError(_of_greeting(error)) from error
        except AssertionError as error:
            if self.runstate is not Runstate.DISCONNECTING:
                raise
            raise OSError(_CLOSED) from error  # it ended before the library had looked whether it is connected

    @property
    def is_ending(self) -> bool:
        """Whether either side has ended the connection, and the library has not yet put everything away."""
        return self.runstate is not Runstate.RUNNING

    async def ended(self) -> None:
        """Wait until either side has ended the connection: the library's two tasks end then."""
        while not self.is_ending:
            await self.runstate_changed()

    async def finish(self) -> str:
        """End the connection, whatever still waits to be written. Returns in words why it had ended."""
        if self.runstate is Runstate.IDLE:
            return _CLOSED
        if self._writer is not None:
            self._writer.transport.abort()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self.ended()
                await self.disconnect()
        except TimeoutError:
            for task in (self._reader_task, self._writer_task, self._dc_task):
                if task is not None:
                    task.cancel()
            return f"it could not be ended in {END_SECONDS:g} s"
        except Exception as error:  # whatever ended the library's tasks; the other end can cause any kind
            return _words(error)
        return _CLOSED

    # -- what the library does not document: tests/unit/power/test_qmp_private.py ------------------------

    async def _do_recv(self) -> Message:
        """Read the next message and take it apart.

        Why not as the library does it? The library's exceptions carry the message, and write all of it out, for a
        second, whenever they are made into words.
        """
        line = await self._readline()
        if len(line) <= _SHORT:
            value, took = _take_apart(line)
        else:
            async with _turn():
                value, took = _take_apart(line)
                await asyncio.sleep(0)  # the loop looks at everything else before the next long one
        await self._rest(took)
        if not isinstance(value, dict):
            raise ProtocolError(_NO_QMP)
        return Message(value, eager=False)

    async def _rest(self, took: float) -> None:
        """Pause, so that others wait for one message of a monitor that sends without end, and not for all of them."""
        self._owed += _PAUSE_TIMES * took
        pause, self._owed = (self._owed, 0.0) if self._owed >= _PAUSE_MIN else (0.0, self._owed)
        await asyncio.sleep(pause)

    def _cb_inbound(self, msg: Message) -> Message:
        """Return the message as it is. The library would write all of it out for its log."""
        return msg

    async def _on_message(self, msg: Message) -> None:
        if "event" in msg:
            self._event(msg)
            return
        number = msg.get("id", None if "return" in msg else 0)
        if not isinstance(number, str | None):
            # Our numbers are strings. An error without a number is about what QEMU could not read.
            raise ProtocolError(_NO_QMP)
        # Other answers are dropped: the library would write them out, or wait at a second answer to one command.
        if number in self._pending and not self._pending[number].full():
            await super()._on_message(msg)

    def _event(self, msg: Message) -> None:
        name, data = msg["event"], msg.get("data")
        reason = data.get("reason") if isinstance(data, dict) else None
        if isinstance(name, str):
            self._heard(name, brief(reason) if isinstance(reason, str) else "")


def _of_greeting(error: QMPError) -> str:
    """Why there was no usable greeting, in words. The library wraps the error that says it, once or twice."""
    cause: BaseException = error
    with contextlib.suppress(AttributeError):
        while not isinstance(cause, OSError | EOFError | AssertionError):
            cause = cause.exc  # type: ignore[attr-defined]  # the errors that wrap another have it
    if isinstance(cause, OSError):
        return _words(cause)
    refused = isinstance(cause, AssertionError)  # of `qmp_capabilities`
    return f"it is no QEMU monitor that can be used: {'it refuses to begin' if refused else _words(cause)}"


def _words(error: BaseException) -> str:
    if isinstance(error, EOFError):
        return _CLOSED
    return why(error) if isinstance(error, OSError) else _NO_QMP


def _turn() -> asyncio.Lock:
    """The lock of whoever takes a long message apart, at any monitor: several in one turn of the loop would add
    up."""
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def _take_apart(line: bytes) -> tuple[object, float]:
    """The message's JSON value, or None when it is not JSON; and how many seconds taking it apart took."""
    began = time.perf_counter()
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    return value, time.perf_counter() - began
