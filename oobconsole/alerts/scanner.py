"""Looks for the rules' patterns in what one console prints, as it comes: sans I/O, and bounded whatever is printed.

A pattern is looked for in each line by itself. A line is one match of a rule, however often the pattern is in it. So
the result does not depend on the packets in which a line came. Empty lines are not looked at.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from oobconsole.alerts.rules import Hit, Rule, safe_line
from oobconsole.patterns import Match, TooSlow, find
from oobconsole.terminal.plain import PlainLines

#: A line of more than LINE_MAX characters is looked at in pieces; neighbours have OVERLAP characters in common.
#: So no match that is shorter than OVERLAP is missed at a cut, and none is found twice.
LINE_MAX: Final = 8192
OVERLAP: Final = 1024
#: How many hits of one rule one call keeps; of further hits it keeps only the number.
HITS_MAX: Final = 16
#: How many seconds one rule may look in one call. A rule that needs more rests at this console for REST_SECONDS.
MATCH_SECONDS: Final = 0.25
REST_SECONDS: Final = 10.0
_LINES: Final = re.compile(rb"[^\r\n]*[\r\n]{1,64}|[^\r\n]+")


@dataclass
class Found:
    """What one call has found. Dictionaries have the rules' names for keys.

    Attributes:
        hits: the first HITS_MAX hits.
        more: how many further hits there were.
        slow: why a rule rests now, in words.
        left: how many seconds a rule may still look in this call.
        looks: how often rules have looked at a line, and how many pieces of output were taken.
        taken: how many bytes were looked at.
    """

    hits: dict[str, list[Hit]] = field(default_factory=dict)
    more: dict[str, int] = field(default_factory=dict)
    slow: dict[str, str] = field(default_factory=dict)
    left: dict[str, float] = field(default_factory=dict)
    looks: int = 0
    taken: int = 0

    def add(self, rule: Rule, line: str, offset: int, match: Match) -> None:
        hits = self.hits.setdefault(rule.name, [])
        if len(hits) < HITS_MAX:
            hits.append(Hit(safe_line(line, match), offset))
        else:
            self.more[rule.name] = self.more.get(rule.name, 0) + 1


class Scanner:
    """Looks at the output of one console. Only one thread may use it at a time.

    Attributes:
        unlooked: there is an unfinished line, which `settle` would look at.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._rests: dict[str, float] = {}
        self.forget()

    def forget(self) -> None:
        """Forget the unfinished line: output is missing, so what comes next does not continue it."""
        self._lines = PlainLines()
        self._offset = -1  # where the line begins
        self._new_line()

    def _new_line(self) -> None:
        self._text = ""
        self._cut = False  # it is the rest of a line: only what stands before a match may see its first character
        self._from: dict[str, int] = {}  # where a rule's next match in it may begin
        self._matched: set[str] = set()
        self.unlooked = False

    def feed(self, rules: Sequence[Rule], data: bytes, offset: int, *, looks: int = sys.maxsize) -> Found:
        """Look at output of the console.

        Args:
            data: what the console printed.
            offset: the absolute offset of its first byte.
            looks: after so many looks the rest of `data` is left, to be fed next: see `Found.taken`.
        """
        found, now = Found(taken=len(data)), self._clock()
        if self._offset < 0:
            self._offset = offset
        for piece in _LINES.finditer(data):
            for number, part in enumerate(self._lines.feed(piece[0], now).split("\n")):
                if number:
                    self._look(rules, found)
                    self._new_line()
                if part:
                    self._add(part, rules, found)
            if not self._text and piece[0][-1] in b"\r\n":
                self._offset = offset + piece.end()
            found.looks += 1
            if found.looks >= looks:
                found.taken = piece.end()
                break
        return found

    def settle(self, rules: Sequence[Rule]) -> Found:
        """Look at the unfinished line as it is, because a prompt never ends."""
        found = Found()
        self._look(rules, found)
        return found

    def _add(self, part: str, rules: Sequence[Rule], found: Found) -> None:
        self._text += part
        self.unlooked = True
        while len(self._text) > LINE_MAX:
            rest, self._text = self._text[LINE_MAX:], self._text[:LINE_MAX]
            self._look(rules, found)
            gone = LINE_MAX - OVERLAP
            self._text = self._text[gone:] + rest
            self._from = {name: max(1, begin - gone) for name, begin in self._from.items()}
            self._matched.clear()
            self._cut = self.unlooked = True

    def _look(self, rules: Sequence[Rule], found: Found) -> None:
        self.unlooked = False
        if not self._text:
            return
        found.looks += len(rules)
        for rule in rules:
            if rule.name not in self._matched and (match := self._search(rule, found)):
                found.add(rule, self._text, self._offset, match)
                self._matched.add(rule.name)
                self._from[rule.name] = max(match.end(), match.start() + 1)

    def _search(self, rule: Rule, found: Found) -> Match | None:
        began = self._clock()
        if began < self._rests.get(rule.name, began):
            return None
        left = found.left.get(rule.name, MATCH_SECONDS)
        begin = self._from.get(rule.name, int(self._cut))
        try:
            return find(rule.pattern, self._text, seconds=left, begin=begin)
        except TooSlow as error:
            self._rests[rule.name] = self._clock() + REST_SECONDS
            found.slow[rule.name] = f"{error}; it rests for {REST_SECONDS:g} s at this console"
            return None
        finally:
            found.left[rule.name] = max(0.001, left - (self._clock() - began))
