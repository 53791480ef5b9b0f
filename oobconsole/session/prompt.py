"""Keys from a person, and short questions that are answered with them: bounded in length and time."""

from __future__ import annotations

import codecs
import re
from typing import Final, Protocol

import regex

from oobconsole.session.keyboard import Keyboard, Pasted
from oobconsole.session.request import Peer
from oobconsole.session.typed import AT_ONCE_SECONDS
from oobconsole.session.within import within
from oobconsole.terminal.grid import width
from oobconsole.terminal.text import plain

#: A question without an answer is dropped after this long, in seconds.
ANSWER_SECONDS: Final = 30.0
#: Of a line, in characters.
LINE_MAX: Final = 200
#: An answer that must stand alone does when nothing else comes for so long, in seconds.
ALONE_SECONDS: Final = 0.3
_CANCEL: Final = b"\x1b\x03"
_ERASE: Final = b"\x7f\x08"
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]+")
_JOINER: Final = "\u200d"
#: What people call a character: with its marks, and whatever is joined to it (UAX #29).
_LAST: Final = regex.compile(r"\X\Z")


class Prompt(Protocol):
    """Where a question is shown."""

    async def say(self, text: str, *, asked: bool = False) -> None:
        """Say something: unasked, or because the person wants to see it."""

    async def ask(self, question: str) -> None:
        """Ask something; it stays until it is `answered`."""

    async def echo(self, keys: bytes) -> None:
        """Show `keys`, which the person has typed as a part of the answer."""

    async def erase(self, text: str) -> None:
        """Remove `text`, the end of what the person has typed as the answer."""

    async def answered(self) -> None:
        """The question is answered, or was given up: shows it no more."""


def erased(text: str) -> bytes:
    """What takes text off a terminal whose cursor is behind it, in one row. Marks have no columns of their own, and
    wide characters have two. Of pictures that are joined to one, terminals show one, or each beside the other: better
    that half of one stays than that something goes which stands before it."""
    widths = [width(character) for character in text]
    columns = max(widths) if _JOINER in text and 2 in widths else sum(widths)
    return b"\b" * columns + b" " * columns + b"\b" * columns


class PeerPrompt:
    """Between other lines.

    Args:
        peer: the person.
    """

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def say(self, text: str, *, asked: bool = False) -> None:
        await self._peer.tell(text)

    async def ask(self, question: str) -> None:
        await self._peer.tell(question)

    async def echo(self, keys: bytes) -> None:
        await self._peer.write(keys)

    async def erase(self, text: str) -> None:
        await self._peer.write(erased(text))

    async def answered(self) -> None:
        """Do nothing: the question stays where it is, among the lines."""


class Keys:
    """What a person types: for the guest, or as an answer to us. A paste is no key, and no more than text of a line;
    and whatever ends a question takes with it what came together with it: no part of that reaches the guest.

    Args:
        prompt: shows a question.
        leaving: the keys that detach. Whoever answers, or cancels, and leaves in a hurry is understood: `n`, Enter
            and these come at once when they are typed quickly. A paste is told from that by having more in it.

    Attributes:
        dropped: what to tell of keys that came with those that ended the last question; empty: none did.
    """

    def __init__(self, peer: Peer, prompt: Prompt, leaving: bytes = b"") -> None:
        self._prompt = prompt
        self._leaving = leaving
        self._keyboard = Keyboard(peer)
        self.dropped = ""
        self._too_long = False
        self.read, self.put_back = self._keyboard.read, self._keyboard.put_back

    @property
    def pause(self) -> float:
        """The seconds between the arrival of what `read` returned last and the arrival of what came before that."""
        return self._keyboard.pause

    def rest(self) -> bytes:
        """What has come, and nobody has read."""
        return self._keyboard.waiting

    async def ask(self, question: str, answers: bytes = b"", *, alone: bool = False) -> bytes:
        """Ask for one key; empty when another one came, or none in time.

        Args:
            answers: those that count; empty: letters and digits.
            alone: it counts only when nothing follows it for a while, rather than at once: what is begun by it cannot
                be taken back.
        """
        await self._prompt.ask(question)
        try:
            answer = await self._answer(answers, ALONE_SECONDS if alone else AT_ONCE_SECONDS)
        finally:
            await self._prompt.answered()
        await self._tell_dropped()
        return answer

    async def _answer(self, answers: bytes, seconds: float) -> bytes:
        self.dropped = ""
        key = await self._key()
        counts = not isinstance(key, Pasted) and (key in answers if answers else key.isalnum())
        if not key or (counts and not await self._keyboard.is_followed(seconds)):
            return key
        await self._swallow(key)
        return b""

    async def ask_line(self, question: str, most: int = LINE_MAX) -> str | None:
        """Ask for a line, echoing it; None when it was cancelled, or none came in time. In what is pasted, or comes
        at once, line ends are blanks: what was meant to be read is not to be run. What does not fit is no answer:
        half of a line may say something else.

        Args:
            most: bytes that it may have.
        """
        await self._prompt.ask(question)
        try:
            line = await self._line(most)
        finally:
            await self._prompt.answered()
        if line is not None:
            await self._swallow(b"\r")
        await self._tell_dropped()
        if line is None:
            why = f"cancelled: it is longer than {most} bytes" if self._too_long else "cancelled"
            await self._prompt.say(why, asked=True)
        return line

    async def _tell_dropped(self) -> None:
        if self.dropped:
            await self._prompt.say(self.dropped, asked=True)

    async def _line(self, most: int) -> str | None:
        self.dropped, self._too_long = "", False
        typed, decoder = "", codecs.getincrementaldecoder("utf-8")("replace")
        while key := await self._key():
            if key in (b"\r", b"\n") and self._keyboard.waiting.strip(b"\r\n") in (b"", self._leaving):
                await self._prompt.echo(b"\r\n")
                if self._too_long:
                    break
                return typed
            if key in _CANCEL:
                self._too_long = False
                break
            if key in _ERASE:
                self._too_long = False  # they look at what is there
                decoder.reset()
                if last := _LAST.search(typed):
                    typed = typed[: last.start()]
                    await self._prompt.erase(last[0])
            elif isinstance(key, Pasted) or key[0] >= 0x20 or key in (b"\r", b"\n"):
                typed += await self._add(decoder.decode(key), most - len(typed.encode()))
        await self._swallow(key)
        return None

    async def _swallow(self, behind: bytes) -> None:
        """What came with the key that ended a question; behind a paste, all of it."""
        count = await self._keyboard.swallow(b"" if isinstance(behind, Pasted) else self._leaving)
        if count:
            self.dropped = f"{count} bytes that came at once behind it were dropped, as part of a paste"

    async def _add(self, text: str, room: int) -> str:
        """As much of it as there is room for, in bytes; the bell says that it was not all."""
        text = plain(_CONTROLS.sub(" ", text))
        shown = text.encode()[: max(0, room)].decode(errors="ignore")
        is_cut = len(shown) < len(text)
        self._too_long = self._too_long or is_cut
        await self._prompt.echo(shown.encode() + (b"\a" if is_cut else b""))
        return shown

    def take_reports(self) -> bytes:
        """What the terminal itself typed while a question was open: it is for the guest."""
        reports, self._keyboard.reports = self._keyboard.reports, b""
        return reports

    async def _key(self) -> bytes:
        """The next key; empty when none came in time."""
        return await within(ANSWER_SECONDS, self._keyboard.key) or b""
