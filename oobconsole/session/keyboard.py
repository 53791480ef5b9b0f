"""Keys as a person types them at a question of ours: one at a time, sequences and pastes as a whole."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from oobconsole.session.request import Peer
from oobconsole.session.typed import LOST_END_SECONDS, PASTE, PASTE_END, REPORTS
from oobconsole.session.within import within

#: The rest of a sequence comes within so many seconds; an Escape without one is the key.
SPLIT_SECONDS: Final = 0.2
#: What came at once has come when nothing more does for so long, and is waited for at most so long, in seconds.
QUIET_SECONDS: Final = 0.1
_SWALLOW_SECONDS: Final = 10.0
#: Of a paste, in bytes: no answer needs more.
_PASTE_MAX: Final = 4096
_SEQUENCE: Final = re.compile(rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}[@-~]|O[@-~])")
_BEGINNING: Final = re.compile(rb"\x1b(?:\[[0-?]{0,64}[ -/]{0,8}|O)?")
_REPORT: Final = re.compile(rb"\x1b\[[0-9;?]{0,64}[" + REPORTS + rb"]")


class Pasted(bytes):
    """What was pasted, without its marks."""


class Keyboard:
    """What a person types, in any packets.

    Attributes:
        reports: what the terminal itself typed meanwhile: it is for the guest.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._waiting = b""
        self._put_back = False  # what was read last had been put back
        self.reports = b""

    async def read(self) -> bytes:
        """Wait for keys, as they come; empty at the end."""
        data, self._waiting = self._waiting, b""
        self._put_back = bool(data)
        return data or await self._peer.read()

    @property
    def pause(self) -> float:
        """The seconds between the arrival of what `read` returned last and the arrival of what came before that."""
        return 0.0 if self._put_back else self._peer.pause

    def put_back(self, data: bytes) -> None:
        """Put input back, so that the next `read` returns it first."""
        self._waiting = data + self._waiting

    @property
    def waiting(self) -> bytes:
        """The input that has come, and that nobody has looked at."""
        return self._waiting

    async def key(self) -> bytes:
        """The next key: a byte, an Escape for a sequence of any kind, or `Pasted`; empty at the end."""
        while data := await self.read():
            if not data.startswith(b"\x1b"):
                self.put_back(data[1:])
                return data[:1]
            sequence = await self._sequence(data)
            if sequence == PASTE:
                return await self._pasted()
            if not _REPORT.fullmatch(sequence):
                return b"\x1b"
            self.reports += sequence
        return b""

    async def is_followed(self, seconds: float) -> bool:
        """Does something come within so many seconds, or has it come already?"""
        if not self._waiting:
            self.put_back(await self._soon(seconds))
        return bool(self._waiting)

    async def swallow(self, but: bytes = b"") -> int:
        """Throw away what came together with what was read, be it in several packets; returns how many bytes.

        Args:
            but: keys that are left to be read when they are all that came, at most behind one Enter: they were typed
                in a hurry, or joined by a slow link. As much of them as has come counts, too.
        """
        data, self._waiting = self._waiting, b""
        swallowed = len(data)
        try:
            async with asyncio.timeout(_SWALLOW_SECONDS):
                while True:
                    in_paste = data.rfind(PASTE) > data.rfind(PASTE_END)
                    more = await self._soon(LOST_END_SECONDS if in_paste else QUIET_SECONDS)
                    if not more:
                        break
                    swallowed += len(more)
                    data = data[-_PASTE_MAX:] + more
        except TimeoutError:
            pass  # a client that never stops typing gets what is left of it typed
        hurried = data.removeprefix(b"\r").removeprefix(b"\n")
        if but and swallowed == len(data) and hurried and but.startswith(hurried):
            self.put_back(hurried)
            return 0
        reports = _REPORT.findall(data)
        self.reports += b"".join(reports)
        return swallowed - sum(map(len, reports))

    async def _sequence(self, data: bytes) -> bytes:
        """The sequence at the beginning of `data`, or as much of it as comes; what is behind it is put back."""
        while not (found := _SEQUENCE.match(data)):
            more = await self._soon(SPLIT_SECONDS) if _BEGINNING.fullmatch(data) else b""
            if not more:
                self.put_back(data[1:] if not _BEGINNING.fullmatch(data) else b"")
                return data[:1]
            data += more
        self.put_back(data[found.end() :])
        return found[0]

    async def _pasted(self) -> Pasted:
        """Read a paste to its end. The end may never come, so this waits `LOST_END_SECONDS` for more, and no
        longer."""
        kept = b""
        tail = b""
        while data := await self._soon(LOST_END_SECONDS):
            end = (tail + data).find(PASTE_END)
            if end >= 0:
                behind = end + len(PASTE_END) - len(tail)
                kept += data[:behind]
                self.put_back(data[behind:])
                break
            kept += data[: max(0, _PASTE_MAX - len(kept))]
            tail = (tail + data)[1 - len(PASTE_END) :]
        return Pasted(kept.removesuffix(PASTE_END)[:_PASTE_MAX])

    async def _soon(self, seconds: float) -> bytes:
        """What comes within so many seconds; empty: nothing."""
        return await within(seconds, self.read) or b""
