"""One `[[alert]]`, and what is said of a line that it waits for: nothing in it acts on a terminal or a shell."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Final, NamedTuple, Self

from oobconsole.config.alerts import AlertConfig
from oobconsole.patterns import Match, Pattern, compile_pattern
from oobconsole.words import as_json, harmless

#: Of a line so many characters are told, and so many of these may stand before what matches.
LINE_SHOWN: Final = 500
_BEFORE: Final = 100


@dataclass(frozen=True, slots=True)
class Rule:
    """An `[[alert]]`, its pattern understood."""

    config: AlertConfig
    pattern: Pattern

    @classmethod
    def of(cls, config: AlertConfig) -> Self:
        """The configuration has been checked: its pattern is one."""
        return cls(config, compile_pattern(config.pattern))

    @property
    def name(self) -> str:
        """As the file has it."""
        return self.config.name

    def is_for(self, console: str) -> bool:
        """Does it wait at that console?"""
        return any(fnmatchcase(console, pattern) for pattern in self.config.consoles)


class Hit(NamedTuple):
    """A line that matches: as it may be told, and the offset of its first byte."""

    line: str
    offset: int


def safe_line(line: str, match: Match) -> str:
    """The line, without what is not printable; of a long one, what is around the match."""
    start = max(0, min(match.start() - _BEFORE, len(line) - LINE_SHOWN))
    return harmless(line[start : start + LINE_SHOWN])


@dataclass(frozen=True, slots=True)
class Alert:
    """What is told.

    Attributes:
        at: when it was found, in seconds since 1970.
        suppressed: matching lines at this console that were not told since the last alert of this name.
        skipped: bytes that the console printed since then and that were not looked at.
    """

    name: str
    console: str
    line: str
    offset: int
    at: float
    suppressed: int = 0
    skipped: int = 0

    def as_json(self) -> bytes:
        """What a program gets on its standard input, and a URL as its body: a JSON object (docs/alerts.md) in UTF-8,
        with a line feed behind it."""
        more = f" (and {self.suppressed:,} more)" if self.suppressed else ""
        value = {
            "alert": self.name,
            "console": self.console,
            "line": self.line,
            "offset": self.offset,
            "time": self._time(),
            "suppressed": self.suppressed,
            "skipped": self.skipped,
            "text": f"{self.console}: {self.line}{more}",
        }
        return as_json(value).encode() + b"\n"

    def as_environment(self) -> dict[bytes, bytes]:
        """The same; UTF-8, whatever the server's locale."""
        value = {
            "NAME": self.name,
            "CONSOLE": self.console,
            "LINE": self.line,
            "OFFSET": str(self.offset),
            "TIME": self._time(),
            "SUPPRESSED": str(self.suppressed),
            "SKIPPED": str(self.skipped),
        }
        return {b"OOB_ALERT_" + key.encode(): text.encode() for key, text in value.items()}

    def _time(self) -> str:
        return datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
