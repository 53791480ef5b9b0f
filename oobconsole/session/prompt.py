"""Keys from a person, and short questions that the person answers with keys. Both are bounded in length and time."""

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

#: After how many seconds a question without an answer is given up.
ANSWER_SECONDS: Final = 30.0
#: How long the answer to `ask_line` may be, in bytes, unless the caller says otherwise.
LINE_MAX: Final = 200
#: For how many seconds nothing may follow an answer that must stand alone.
ALONE_SECONDS: Final = 0.3
_CANCEL: Final = b"\x1b\x03"
_ERASE: Final = b"\x7f\x08"
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]+")
_JOINER: Final = "\u200d"
#: The last of what people call characters: a character with its marks, and with whatever is joined to it (UAX #29).
_LAST: Final = regex.compile(r"\X\Z")


class Prompt(Protocol):
    """Where a question is shown to a person."""

    async def say(self, text: str, *, asked: bool = False) -> None:
        """Say something. `asked`: the person wants to see it; otherwise it comes unasked."""

    async def ask(self, question: str) -> None:
        """Show a question. It stays until `answered` is called."""

    async def echo(self, keys: bytes) -> None:
        """Show `keys`, which the person has typed as a part of the answer."""

    async def erase(self, text: str) -> None:
        """Remove `text`, the end of what the person has typed as the answer."""

    async def answered(self) -> None:
        """Stop showing the question: it is answered, or was given up."""


def erased(text: str) -> bytes:
    """Return what removes `text` from a terminal whose cursor stands behind it, in one row.

    How many columns does text take? A mark has no column of its own, and a wide character has two. Pictures that are
    joined to one picture are shown as one by some terminals, and side by side by others. Here they count as one: it
    is better that half a picture stays than that something before it is removed.
    """
    widths = [width(character) for character in text]
    columns = max(widths) if _JOINER in text and 2 in widths else sum(widths)
    return b"\b" * columns + b" " * columns + b"\b" * columns


class PeerPrompt:
    """Shows questions as lines between the guest's output, at a terminal on which nothing is drawn over.

    Args:
        peer: the person who is asked.
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
    """What a person types: keys for the guest, or an answer to a question of ours.

    What if text is pasted at a question? A paste is never a key, so it answers no question for one key. At a question
    for a line it is text of that line. Whatever came at once with the key that ends a question is dropped, so that no
    part of a paste reaches the guest.

    Args:
        peer: the person.
        prompt: shows the questions.
        leaving: the keys that detach. Somebody who answers or cancels and leaves in a hurry types `n`, Enter and
            these keys so quickly that they come at once. That is understood; a paste has more in it.

    Attributes:
        dropped: a sentence about keys that came at once with those that ended the last question, and were dropped;
            empty: none were dropped.
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
        """Return the input that has come, and that nobody has read."""
        return self._keyboard.waiting

    async def ask(self, question: str, answers: bytes = b"", *, alone: bool = False) -> bytes:
        """Ask for one key, and return it. Returns nothing (b"") if another key came, or none within `ANSWER_SECONDS`.

        Args:
            question: what is shown.
            answers: the keys that count; empty: all letters and digits.
            alone: the key counts only if nothing follows it for `ALONE_SECONDS`. This is for what cannot be taken
                back once it has begun.
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
        """Ask for a line, echo it while it is typed, and return it. Returns None if the person has cancelled, or if
        no key came within `ANSWER_SECONDS`.

        What becomes of a paste? Its line ends count as blanks, and so do those of text that comes at once: what was
        meant to be read must not be run. A line that is too long is no answer, because half of a line may say
        something else.

        Args:
            question: what is shown.
            most: how long the line may be, in bytes.
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
                self._too_long = False  # whoever erases looks at what is there
                decoder.reset()
                if last := _LAST.search(typed):
                    typed = typed[: last.start()]
                    await self._prompt.erase(last[0])
            elif isinstance(key, Pasted) or key[0] >= 0x20 or key in (b"\r", b"\n"):
                typed += await self._add(decoder.decode(key), most - len(typed.encode()))
        await self._swallow(key)
        return None

    async def _swallow(self, behind: bytes) -> None:
        """Drop what came at once with `behind`, the key that ended a question. If that was a paste, drop all of
        it."""
        count = await self._keyboard.swallow(b"" if isinstance(behind, Pasted) else self._leaving)
        if count:
            self.dropped = f"{count} bytes that came at once behind it were dropped, as part of a paste"

    async def _add(self, text: str, room: int) -> str:
        """Add text to the answer and echo it. Returns the part for which there is room, in bytes; the terminal's bell
        says that this was not all."""
        text = plain(_CONTROLS.sub(" ", text))
        shown = text.encode()[: max(0, room)].decode(errors="ignore")
        is_cut = len(shown) < len(text)
        self._too_long = self._too_long or is_cut
        await self._prompt.echo(shown.encode() + (b"\a" if is_cut else b""))
        return shown

    def take_reports(self) -> bytes:
        """Return what the terminal itself has sent while a question was open. It is for the guest."""
        reports, self._keyboard.reports = self._keyboard.reports, b""
        return reports

    async def _key(self) -> bytes:
        """Return the next key; empty if none came within `ANSWER_SECONDS`."""
        return await within(ANSWER_SECONDS, self._keyboard.key) or b""
