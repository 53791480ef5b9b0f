"""One connection to QEMU's monitor, over qemu.qmp: bounded, and with an end, whatever the other end sends.

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

#: A monitor greets at once, or somebody else is connected to it: it serves one at a time.
GREETING_SECONDS: Final = 10.0
#: So long its end may take, in seconds: nothing is written any more by then, so it takes no time at all.
END_SECONDS: Final = 2.0
#: The longest message, in bytes: it is taken apart at once, in a few milliseconds. A chardev has 150 bytes in one.
LINE_MAX: Final = 64 << 10
#: So many times what a message took is the pause behind it: nobody has more than a quarter of the event loop.
_PAUSE_TIMES: Final = 3
_PAUSE_MIN: Final = 0.002  # seconds; shorter ones are added up
#: What is not longer, in bytes, takes a fraction of a millisecond, and waits for no other monitor's message.
_SHORT: Final = 4096
_turns: Final[weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock]] = weakref.WeakKeyDictionary()
_NO_QMP: Final = f"it sent what is no message of QMP, or one of more than {LINE_MAX >> 10} KiB"
_CLOSED: Final = "QEMU closed it"


class Connection(QMPClient):
    """A monitor that is connected.

    Args:
        name: the console's.
        heard: is told of each event as it is read: its name, and its reason where it has one, safe for terminals.
            Nothing is queued: what the library would keep of events has no bound.
    """

    def __init__(self, name: str, heard: Callable[[str, str], object]) -> None:
        super().__init__(name, LINE_MAX)
        self.logger.disabled = True  # what matters is said by whoever connects, once
        self._heard = heard
        self._owed = 0.0  # seconds of pause

    async def begin(self, path: Path) -> None:
        """Connect. Raises `OSError`, with what is wrong in words."""
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
            raise OSError(_CLOSED) from error  # before the library has looked whether it is connected

    async def ended(self) -> None:
        """Wait for the end of the library's two tasks, by which either side ends it."""
        while self.runstate is Runstate.RUNNING:
            await self.runstate_changed()

    async def finish(self) -> str:
        """End it, whatever still waits to be written. Returns why it had ended, where it had."""
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
        except Exception as error:  # what ended the library's tasks: any kind, as the other end likes
            return _words(error)
        return _CLOSED

    # -- the library's seams (qemu.qmp 0.0.6) ------------------------------------------------------------

    async def _do_recv(self) -> Message:
        """Take the next message apart. The library's own exceptions would carry it, and write all of it out, for a
        second, whenever they are made into words."""
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
        """Whoever sends without a pause has others wait for one message, not for all of them."""
        self._owed += _PAUSE_TIMES * took
        pause, self._owed = (self._owed, 0.0) if self._owed >= _PAUSE_MIN else (0.0, self._owed)
        await asyncio.sleep(pause)

    def _cb_inbound(self, msg: Message) -> Message:
        """The library would write all of it out for its log."""
        return msg

    async def _on_message(self, msg: Message) -> None:
        if "event" in msg:
            self._event(msg)
            return
        number = msg.get("id", None if "return" in msg else 0)
        if not isinstance(number, str | None):
            raise ProtocolError(_NO_QMP)  # ours are strings; an error without one is about what it could not read
        # Others are dropped: the library would write them out, or, at a second answer to one command, wait.
        if number in self._pending and not self._pending[number].full():
            await super()._on_message(msg)

    def _event(self, msg: Message) -> None:
        name, data = msg["event"], msg.get("data")
        reason = data.get("reason") if isinstance(data, dict) else None
        if isinstance(name, str):
            self._heard(name, brief(reason) if isinstance(reason, str) else "")


def _of_greeting(error: QMPError) -> str:
    """The library wraps what happened, once or twice."""
    cause: BaseException = error
    with contextlib.suppress(AttributeError):
        while not isinstance(cause, OSError | EOFError | AssertionError):
            cause = cause.exc  # type: ignore[attr-defined]  # of those that wrap
    if isinstance(cause, OSError):
        return _words(cause)
    refused = isinstance(cause, AssertionError)  # of `qmp_capabilities`
    return f"it is no QEMU monitor that can be used: {'it refuses to begin' if refused else _words(cause)}"


def _words(error: BaseException) -> str:
    if isinstance(error, EOFError):
        return _CLOSED
    return why(error) if isinstance(error, OSError) else _NO_QMP


def _turn() -> asyncio.Lock:
    """Of whoever has a long message, at any monitor: several of these in one turn of the loop would add up."""
    return _turns.setdefault(asyncio.get_running_loop(), asyncio.Lock())


def _take_apart(line: bytes) -> tuple[object, float]:
    """What a message says, None for what is no JSON; and how long that took, in seconds."""
    began = time.perf_counter()
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        value = None
    return value, time.perf_counter() - began
