"""Keys from a person, and short questions that are answered with them: bounded in length and time."""

from __future__ import annotations

import asyncio
from typing import Final

from oobconsole.session.request import Peer

#: A question without an answer is dropped after this long, in seconds.
ANSWER_SECONDS: Final = 30.0
LINE_MAX: Final = 200
_CANCEL: Final = b"\x1b\x03"
_ERASE: Final = b"\x7f\x08"


class Keys:
    """What a person types: for the guest, or as an answer to us."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._put_back = b""

    async def read(self) -> bytes:
        """Wait for keys; empty at the end."""
        data, self._put_back = self._put_back, b""
        return data or await self._peer.read()

    def put_back(self, data: bytes) -> None:
        """To be read again, first."""
        self._put_back = data + self._put_back

    async def ask(self, question: str) -> bytes:
        """Ask for one key; empty when none came in time."""
        await self._peer.tell(question)
        return await self._key()

    async def ask_line(self, question: str) -> str:
        """Ask for a line, echoing it; empty when it was cancelled, or none came in time."""
        await self._peer.tell(question)
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
        await self._peer.tell("cancelled")
        return ""

    async def _key(self) -> bytes:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                data = await self.read()
        except TimeoutError:
            return b""
        self.put_back(data[1:])
        return data[:1]
