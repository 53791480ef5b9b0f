"""Keys as a person types them at a question of ours: one key at a time, but a control sequence or a paste as a
whole."""

from __future__ import annotations

import asyncio
import re
from typing import Final

from oobconsole.session.request import AtOnce, Peer
from oobconsole.session.typed import LOST_END_SECONDS, PASTES, REPORT, SEQUENCE, Characters, ends_in_paste
from oobconsole.session.within import within

#: Within how many seconds the rest of a control sequence comes. An Escape that is alone for longer is the key Esc.
SPLIT_SECONDS: Final = 0.2
#: After how many seconds without another byte everything that came at once has come; and for how many seconds that is
#: waited for at most behind the last packet that had more in it than keys. A key that is held down ends the wait
#: so, while only silence ends a paste, however long the paste takes.
QUIET_SECONDS: Final = 0.1
SWALLOW_SECONDS: Final = 10.0
#: How many bytes a packet has at most that may be keys: one key's sequence.
KEY_MAX: Final = 8
#: How many bytes of a paste are kept. No answer needs more.
_PASTE_MAX: Final = 4096
#: The first bytes of control sequences, and what has come of one that is not whole: see `session/typed.py`.
_FIRST: Final = b"\x1b\x8f\x9b\xc2"
_BEGINNING: Final = re.compile(rb"(?:\x1b\[|\xc2?\x9b)[0-?]{0,64}[ -/]{0,8}|\x1bO?|\xc2?\x8f|\xc2")


class Pasted(bytes):
    """What was pasted, without the marks of bracketed paste."""


class Keyboard:
    """What a person types, however the network has cut it into packets.

    Attributes:
        reports: what the terminal itself has sent meanwhile. It is for the guest.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer
        self._waiting = b""
        self._put_back = False  # whether what `read` returned last had been put back before
        self._characters = Characters()
        self.reports = b""

    async def read(self, at_once: AtOnce | None = None) -> bytes:
        """Return input as it comes, and wait for it; empty at the end of the input.

        Args:
            at_once: takes input while this waits, as `Peer.read` says.
        """
        data, self._waiting = self._waiting, b""
        self._put_back = bool(data)
        return data or await self._peer.read(at_once)

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
        """Return the next key: a byte, an Escape that stands for a whole control sequence, or a `Pasted`. Empty: the
        input has ended."""
        while data := await self.read():
            if self._characters.take(data[0]) or data[0] not in _FIRST:
                self.put_back(data[1:])
                return data[:1]
            sequence = await self._sequence(data)
            if sequence in PASTES:
                return await self._pasted(PASTES[sequence])
            if not REPORT.fullmatch(sequence):
                return b"\x1b" if sequence == b"\x1b" or len(sequence) > 1 else sequence
            self.reports += sequence
        return b""

    async def is_followed(self, seconds: float) -> bool:
        """Return whether something has come already, or comes within so many seconds."""
        if not self._waiting:
            self.put_back(await self._soon(seconds))
        return bool(self._waiting)

    async def swallow(self, but: bytes = b"") -> int:
        """Drop what came at once with what was read last, even if it comes in several packets. Returns how many bytes
        were dropped.

        Args:
            but: keys that are not dropped if they are all that came, behind one Enter at most. Somebody has typed
                them in a hurry, or a slow link has joined them. The beginning of these keys counts, too.
        """
        data, self._waiting = self._waiting, b""
        swallowed = len(data)
        try:
            async with asyncio.timeout(SWALLOW_SECONDS) as limit:
                while more := await self._soon(LOST_END_SECONDS if ends_in_paste(data) else QUIET_SECONDS):
                    swallowed += len(more)
                    data = data[-_PASTE_MAX:] + more
                    if len(more) > KEY_MAX:
                        limit.reschedule(asyncio.get_running_loop().time() + SWALLOW_SECONDS)
        except TimeoutError:
            pass  # keys that never stop: what comes from now on is typed into the guest
        hurried = data.removeprefix(b"\r").removeprefix(b"\n")
        if but and swallowed == len(data) and hurried and but.startswith(hurried):
            self.put_back(hurried)
            return 0
        reports = REPORT.findall(data)
        self.reports += b"".join(reports)
        return swallowed - sum(map(len, reports))

    async def _sequence(self, data: bytes) -> bytes:
        """Return the control sequence at the beginning of `data`, and wait for the rest of it. What stands behind the
        sequence is put back. If no sequence comes about, this is the first byte alone."""
        while not (found := SEQUENCE.match(data)):
            more = await self._soon(SPLIT_SECONDS) if _BEGINNING.fullmatch(data) else b""
            if not more:
                self.put_back(data[1:] if not _BEGINNING.fullmatch(data) else b"")
                return data[:1]
            data += more
        self.put_back(data[found.end() :])
        return found[0]

    async def _pasted(self, mark: bytes) -> Pasted:
        """Read a paste up to `mark`, which ends it. The mark may never come, so this waits `LOST_END_SECONDS` for
        more, and no longer."""
        kept = b""
        tail = b""
        while data := await self._soon(LOST_END_SECONDS):
            end = (tail + data).find(mark)
            if end >= 0:
                behind = end + len(mark) - len(tail)
                kept += data[:behind]
                self.put_back(data[behind:])
                break
            kept += data[: max(0, _PASTE_MAX - len(kept))]
            tail = (tail + data)[1 - len(mark) :]
        return Pasted(kept.removesuffix(mark)[:_PASTE_MAX])

    async def _soon(self, seconds: float) -> bytes:
        """Return what comes within so many seconds; empty: nothing does."""
        return await within(seconds, self.read) or b""
