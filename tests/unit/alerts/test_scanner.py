"""Lines that match, whatever the packets in which they came; and what hostile guests and patterns cost."""

from __future__ import annotations

import asyncio

import pytest

from oobconsole.alerts import scanner
from oobconsole.alerts.outbox import START_SECONDS, Outbox
from oobconsole.alerts.rules import LINE_SHOWN, Alert, Hit, Rule
from oobconsole.alerts.scanner import HITS_MAX, LINE_MAX, Found, Scanner
from oobconsole.config.alerts import AlertConfig
from tests.support.pace import Deadline


def rule(pattern: str, name: str = "panic") -> Rule:
    return Rule.of(AlertConfig(name=name, pattern=pattern, command=["true"]))


def fed(rules: list[Rule], *packets: bytes) -> list[Hit]:
    """What is found, in packets as they are, of the first rule."""
    known, offset, hits = Scanner(), 0, []
    for packet in packets:
        hits += known.feed(rules, packet, offset).hits.get(rules[0].name, [])
        offset += len(packet)
    return hits + known.settle(rules).hits.get(rules[0].name, [])


TEXT = "boot\r\n\x1b[31mKernel pa\x1b[0mnic - 漢字\r\n\r\nlogin: panic".encode()


def test_the_packets_do_not_count() -> None:
    """A match that spans packets is found, once, with the offset at which its line begins."""
    expected = [Hit("Kernel panic - 漢字", 6), Hit("login: panic", TEXT.index(b"login"))]
    for size in range(1, len(TEXT) + 1):
        assert fed([rule("panic")], *(TEXT[at : at + size] for at in range(0, len(TEXT), size))) == expected


def test_a_line_is_told_once() -> None:
    known, rules = Scanner(), [rule("panic")]
    assert not known.feed(rules, b"panic", 0).hits
    assert known.unlooked
    assert known.settle(rules).hits == {"panic": [Hit("panic", 0)]}
    assert not known.settle(rules).hits
    assert not known.feed(rules, b" panic\nx", 5).hits
    assert known.feed(rules, b"\npanic panic\n", 13).hits == {"panic": [Hit("panic panic", 14)]}


@pytest.mark.parametrize(
    ("pattern", "line"),
    [("^panic$", "panic"), ("(?i)PANIC", "a panic"), ("[^a ]b", "xb"), ("漢.", "漢字"), (r"^\S{2,}$", "word")],
)
def test_patterns_are_of_one_line_and_of_characters(pattern: str, line: str) -> None:
    assert [hit.line for hit in fed([rule(pattern)], f"a\n\n{line}\nb b\n".encode())] == [line]


def test_every_rule_sees_every_line() -> None:
    found = Scanner().feed([rule("one", "a"), rule("n", "b"), rule("two", "c")], b"one\ntwo\none\n", 0)
    assert {name: len(hits) for name, hits in found.hits.items()} == {"a": 2, "b": 2, "c": 1}


def test_a_line_without_an_end() -> None:
    """It is looked at in pieces: nothing is missed at a cut, nothing is told twice, and little is kept."""
    for place in range(LINE_MAX - 8, LINE_MAX + 2):
        text = b"x" * place + b"panic" + b"y" * 3 * LINE_MAX
        hits = fed([rule("panic")], *(text[at : at + 1000] for at in range(0, len(text), 1000)))
        assert len(hits) == 1, place
        assert "panic" in hits[0].line
        assert len(hits[0].line) <= LINE_SHOWN
    known = Scanner()
    for _ in range(200):
        known.feed([rule("^x")], b"x" * 65536, 0)
        assert len(known._text) <= LINE_MAX


def test_output_that_is_missing_joins_nothing() -> None:
    known, rules = Scanner(), [rule("panic")]
    known.feed(rules, b"pa", 0)
    known.forget()
    assert not known.feed(rules, b"nic\n", 100).hits


def test_the_line_is_made_safe() -> None:
    """security.md: no control, no character that turns the direction, and at most so many characters."""
    hostile = "\x1b]0;title\x07panic \x9b31m\u202eevil\x00\x7f`$(reboot)`\n".encode()
    (hit,) = fed([rule("panic")], hostile)
    assert hit.line.isprintable()
    assert "`$(reboot)`" in hit.line
    (hit,) = fed([rule("needle")], b"a" * 3000 + b"needle" + b"b" * 3000 + b"\n")
    assert len(hit.line) == LINE_SHOWN
    assert "needle" in hit.line
    alert = Alert("a", "web1", hit.line, 7, 0.0, suppressed=1234)
    assert alert.as_environment()[b"OOB_ALERT_TIME"] == b"1970-01-01T00:00:00.000Z"
    assert b"and 1,234 more" in alert.as_json()


def test_a_pattern_that_takes_for_ever_rests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catastrophic backtracking costs its time once, then nothing for a while; other rules go on."""
    now = 0.0
    known, rules = Scanner(lambda: now), [rule(r"(x+x+)+y", "bad"), rule("x", "good")]
    deadline = Deadline(10)
    found = known.feed(rules, b"x" * 5000 + b"\n" + b"x" * 5000 + b"\n", 0)
    assert "takes too long" in found.slow["bad"]
    assert len(found.hits["good"]) == 2
    assert deadline.left, f"it took more than {deadline}"
    searched: list[str] = []

    def find(pattern: object, text: str, **_: object) -> None:
        searched.append(rules[0].name if pattern is rules[0].pattern else rules[1].name)

    monkeypatch.setattr(scanner, "find", find)
    known.feed(rules, b"x\n", 0)
    assert searched == ["good"]
    now = scanner.REST_SECONDS + 1
    known.feed(rules, b"x\n", 0)
    assert searched == ["good", "bad", "good"]


def test_a_flood_is_counted_and_not_kept() -> None:
    found: list[Found] = []
    known, rules, data = Scanner(), [rule("panic")], b"panic\n" * 10000
    found = [known.feed(rules, data[at : at + 8192], at) for at in range(0, len(data), 8192)]
    assert all(len(part.hits["panic"]) <= HITS_MAX for part in found)
    assert sum(len(part.hits["panic"]) + part.more.get("panic", 0) for part in found) == 10000


def test_a_flood_is_looked_at_a_little_at_a_time() -> None:
    """However many lines match, or are empty, and however many rules look: by count."""
    printed = b"match\n" * 500 + b"\n" * 500 + b"no\r\n" * 500 + b"match"
    rules = [Rule.of(AlertConfig(name=f"a{i}", pattern="match", command=["true"])) for i in range(3)]
    whole, pieces = Scanner(), Scanner()
    wanted = whole.feed(rules, printed, 7)
    hits: dict[str, list[int]] = {}
    count, at = dict.fromkeys((rule.name for rule in rules), 0), 0
    while at < len(printed):
        found = pieces.feed(rules, printed[at:], 7 + at, looks=50)
        assert found.taken > 0
        assert found.looks < 50 + len(rules) + 65
        at += found.taken
        for rule in rules:
            kept = found.hits.get(rule.name, [])
            hits.setdefault(rule.name, []).extend(hit.offset for hit in kept)
            count[rule.name] += len(kept) + found.more.get(rule.name, 0)
    for rule in rules:
        assert hits[rule.name][:16] == [hit.offset for hit in wanted.hits[rule.name]]
        assert count[rule.name] == 500 == len(wanted.hits[rule.name]) + wanted.more[rule.name]
    assert pieces.settle(rules).hits.keys() == {rule.name for rule in rules}


async def test_programs_are_started_one_after_the_other() -> None:
    """Each start stops the server for a moment."""
    outbox = Outbox(lambda alert, reason: None)
    began = asyncio.get_running_loop().time()
    await asyncio.gather(*(outbox._may_start() for _ in range(4)))
    assert asyncio.get_running_loop().time() - began >= 3 * START_SECONDS
