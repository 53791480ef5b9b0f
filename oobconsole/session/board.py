"""What we have said at one person's terminal, and for how long each line is to be seen. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import regex

from oobconsole.terminal.grid import width
from oobconsole.terminal.text import plain

#: For how many seconds a notice is seen at least before a key takes it away: somebody who is typing would not have
#: read it. What a person has asked for goes with the next key.
LEAST_SECONDS: Final = 1.0
ASKED_LEAST_SECONDS: Final = 0.2
#: After how many seconds a notice goes by itself: time to notice it, and to read so many characters in a second.
SHOWN_SECONDS: Final = 3.0
SHOWN_MAX_SECONDS: Final = 60.0
CHARACTERS_A_SECOND: Final = 20
#: How many entries there are at most. Of more entries nobody would read the oldest, so these are dropped.
ENTRIES_MAX: Final = 32
#: What people call a character: with its marks, and with whatever is joined to it (UAX 29).
_CLUSTER: Final = regex.compile(r"\X")
#: With this behind it, some terminals take two columns for a symbol that otherwise has one.
_AS_EMOJI: Final = "\ufe0f"


@dataclass
class Entry:
    """Something that was said.

    Attributes:
        lines: our text.
        least: for how many seconds the entry is seen before a key takes it away.
        question: the entry is a question, and stays until it is answered.
        answer: what was typed as the answer so far.
        listed: lines that are not ours, such as the guest's; the last of them matter most.
        seen: for how many seconds the entry has been seen.
        is_welcome: the entry says how things are at the console. Its text changes when things change.
    """

    lines: list[str]
    least: float
    question: bool = False
    answer: str = ""
    listed: list[str] = field(default_factory=list)
    seen: float = 0.0
    is_welcome: bool = False

    @property
    def seconds(self) -> float:
        """For how many seconds the entry is seen if nobody types."""
        length = sum(map(len, self.lines + self.listed))
        return min(SHOWN_MAX_SECONDS, SHOWN_SECONDS + length / CHARACTERS_A_SECOND)


class Board:
    """All entries at one terminal, the oldest first."""

    def __init__(self) -> None:
        self._entries: list[Entry] = []

    def __bool__(self) -> bool:
        return bool(self._entries)

    @property
    def is_asked(self) -> bool:
        """Return whether a person waits for any entry: for a question, or for what the person has asked for."""
        return any(entry.question or entry.least < LEAST_SECONDS for entry in self._entries)

    def say(self, text: str, *, asked: bool = False) -> None:
        """Add an entry. `asked`: the person wanted to see it."""
        self._add(Entry(_lines(text), ASKED_LEAST_SECONDS if asked else LEAST_SECONDS))

    def welcome(self, text: str) -> None:
        """Add the welcome, which says how things are at the console."""
        self._add(Entry(_lines(text), LEAST_SECONDS, is_welcome=True))

    def welcome_again(self, text: str) -> bool:
        """Replace the text of the welcome if it can still be seen. Returns whether that has changed anything."""
        changed = False
        for entry in self._entries:
            if entry.is_welcome and entry.lines != _lines(text):
                entry.lines, changed = _lines(text), True
        return changed

    def show(self, title: str, lines: Sequence[str]) -> None:
        """Add lines that the person wants to see, under a title."""
        self._add(Entry(_lines(title), ASKED_LEAST_SECONDS, listed=_lines("\n".join(lines))))

    def ask(self, question: str) -> None:
        """Add a question. It stays until it is answered."""
        self._add(Entry(_lines(question), 0.0, question=True))

    def _add(self, entry: Entry) -> None:
        self._entries.append(entry)
        del self._entries[:-ENTRIES_MAX]

    def echo(self, keys: bytes) -> None:
        """Add what is typed to the answer, as a terminal would echo it."""
        typed = plain(keys.decode(errors="replace"))
        for entry in self._entries:
            if entry.question:
                entry.answer += typed

    def erase(self, text: str) -> None:
        """Remove `text` from the end of the answer."""
        for entry in self._entries:
            if entry.question:
                entry.answer = entry.answer.removesuffix(text)

    def answered(self) -> None:
        """Remove the question, which is answered or was given up."""
        self._entries = [entry for entry in self._entries if not entry.question]

    def key(self) -> bool:
        """Note that a key was typed for the guest. Returns whether that has removed any entry."""
        kept = [entry for entry in self._entries if entry.question or entry.seen < entry.least]
        gone = len(kept) < len(self._entries)
        self._entries = kept
        return gone

    def age(self, seconds: float) -> bool:
        """Note that the entries were seen for so many more seconds. Returns whether that has removed any entry."""
        for entry in self._entries:
            entry.seen += seconds
        kept = [entry for entry in self._entries if entry.question or entry.seen < entry.seconds]
        gone = len(kept) < len(self._entries)
        self._entries = kept
        return gone

    @property
    def next_goes_in(self) -> float | None:
        """In how many seconds of being seen the next entry goes; None: no entry goes by itself."""
        left = [entry.seconds - entry.seen for entry in self._entries if not entry.question]
        return max(0.0, min(left)) if left else None

    def rows(self, columns: int, most: int) -> list[str]:
        """Return the latest rows to be shown, at most `most` of them, each of at most `columns` columns."""
        rows = [row for entry in self._entries for row in _rows(entry, columns, most)]
        return rows[-most:]


def _lines(text: str) -> list[str]:
    return [plain(line.expandtabs()) for line in text.split("\n")]


def _rows(entry: Entry, columns: int, most: int) -> list[str]:
    ours = [f"[oobconsole: {line}]" for line in entry.lines]
    if entry.question:
        ours[-1] += f" {entry.answer}_"
    rows = [row for line in ours for row in _wrapped(line, columns)]
    return rows + _last_rows(entry.listed, columns, max(0, most - len(rows)))


def _last_rows(lines: Sequence[str], columns: int, most: int) -> list[str]:
    """Return the last rows of lines that may be of any length. Lines for which there is no room are not looked at."""
    rows: list[str] = []
    for line in reversed(lines):
        if len(rows) >= most:
            break
        rows = _wrapped(line[-most * columns :], columns) + rows
    return rows[len(rows) - min(most, len(rows)) :]


def _wrapped(line: str, columns: int) -> list[str]:
    """Return the line in rows, broken between two words where there are any, and never within a character as people
    see it. No row takes more columns than there are: what has no room would spoil the guest's screen."""
    rows, row, used = [], "", 0
    for part in _parts(line, columns):
        more = _columns(part)
        while row and used + more > columns:
            whole, blank, begun = row.rpartition(" ")
            rows.append(whole if blank and whole.strip() else row)
            row = begun if blank and whole.strip() else ""
            used = _columns(row)
        row += part
        used += more
    return [*rows, row]


def _parts(line: str, columns: int) -> Iterator[str]:
    """Yield the parts of a line that are not divided. Only a character that is wider than the screen is:
    somebody may join any number of pictures to one."""
    for found in _CLUSTER.finditer(line):
        yield from [found[0]] if _columns(found[0]) <= columns else found[0]


def _columns(text: str) -> int:
    """Return the most columns that a terminal takes for a text."""
    return sum(map(width, text)) + text.count(_AS_EMOJI)
