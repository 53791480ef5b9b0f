"""Keys from a person, and short questions that are answered with them: bounded in length and time."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Final

from oobconsole.session.escape import REPORTS
from oobconsole.session.request import Peer

#: A question without an answer is dropped after this long, in seconds.
ANSWER_SECONDS: Final = 30.0
LINE_MAX: Final = 200
_SEQUENCE: Final = re.compile(rb"\x1b(?:\[[0-?]{0,64}[@-~]|O[@-~])")
_CANCEL: Final = b"\x1b\x03"
_ERASE: Final = b"\x7f\x08"


class Keys:
    """What a person types: for the guest, or as an answer to us.

    Args:
        tell: shows a question.
    """

    def __init__(self, peer: Peer, tell: Callable[[str], Awaitable[None]]) -> None:
        self._peer = peer
        self._tell = tell
        self._put_back = b""
        self._reports = b""

    async def read(self) -> bytes:
        """Wait for keys; empty at the end."""
        data, self._put_back = self._put_back, b""
        return data or await self._peer.read()

    def put_back(self, data: bytes) -> None:
        """To be read again, first."""
        self._put_back = data + self._put_back

    async def ask(self, question: str) -> bytes:
        """Ask for one key; empty when none came in time."""
        await self._tell(question)
        return await self._key()

    async def ask_line(self, question: str) -> str | None:
        """Ask for a line, echoing it; None when it was cancelled, or none came in time."""
        await self._tell(question)
        typed = bytearray()
        while key := await self._key():
            if key in (b"\r", b"\n"):
                await self._peer.write(b"\r\n")
                return "".join(c for c in typed.decode(errors="replace") if c.isprintable())
            if key in _CANCEL:
                break
            if key in _ERASE:
                if typed:
                    typed[:] = typed.decode(errors="ignore")[:-1].encode()
                    await self._peer.write(b"\b \b")
            elif len(typed) < LINE_MAX and key[0] >= 0x20:
                typed += key
                await self._peer.write(key)
        await self._tell("cancelled")
        return None

    def take_reports(self) -> bytes:
        """What the terminal itself typed while a question was open: it is for the guest."""
        reports, self._reports = self._reports, b""
        return reports

    async def _key(self) -> bytes:
        """The next key; an Escape for those that begin with one; empty when none came in time."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    data = await self.read()
                    sequence = _SEQUENCE.match(data)
                    length = len(sequence[0]) if sequence else 1
                    self.put_back(data[length:])
                    if sequence is None or sequence[0][-1] not in REPORTS:
                        return data[:1]
                    self._reports += sequence[0]
        except TimeoutError:
            return b""
