"""What a pattern may be: each is understood in a moment, and has a bounded size, whoever wrote it."""

from __future__ import annotations

import unicodedata
from typing import Literal

import pytest
import regex

from oobconsole.patterns import (
    GROUPS_MAX,
    BadPattern,
    TooSlow,
    compile_pattern,
    find,
    wants_line_end,
    wants_return,
)
from oobconsole.spellings import as_typed

#: Each took the event loop for seconds, and from 50 MB to all memory there is; one of them ended the process.
BOMBS = [
    "(a{1000}){1000}",
    "((a{1000}){1000}){1000}",
    "((((a{20}){20}){20}){20}){20}",
    "a{1000000}",
    "(a{500,1000}){500,1000}",
    "(a{1000,}){1000,}?",
    "(?:(?:ab|cd){1000}){500}",
    "(?P<n>a{500}){500}(?&n){500}",
    "(a{100}(?#a comment)){100}(?#another)",
    "[[a-z]--[b]]{500}" * 30,
    r"\((\d{100}){100}\)",
    "(?x) ( a { 1 0 0 0 } ) { 1 0 0 0 }",
    "(?ix: ( a {1000} ) {1000} )",
    "(?:a|" * 240 + ")" * 240,
]


@pytest.mark.parametrize("text", BOMBS, ids=[text[:24] for text in BOMBS])
def test_a_pattern_that_grows_is_refused_before_it_does(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """security.md 4, its kind: one command line of anybody stopped the server. The library never sees the pattern."""

    def compiled(*arguments: object, **named: object) -> None:
        pytest.fail("the library was asked to understand the pattern")

    monkeypatch.setattr(regex, "compile", compiled)
    with pytest.raises(BadPattern):
        compile_pattern(text)


def test_a_pattern_of_many_groups_is_refused() -> None:
    """security.md 4, its kind: what each of 130 groups matched, each time that it did, took 440 MB."""
    with pytest.raises(BadPattern, match=rf"has 130 groups, and may have {GROUPS_MAX}\b"):
        compile_pattern("(?s)(?:" + "(?=(.))" * 130 + r".)*\d")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (r"\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}", "at 2026-01-31T10:20:30 it was"),
        ("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "id 123e4567-e89b-12d3-a456-426614174000"),
        (r"(\d{1,3}\.){3}\d{1,3}", "inet 192.0.2.17/24"),
        ("([0-9a-f]{2}:){5}[0-9a-f]{2}", "ether 52:54:00:12:34:56"),
        ("(.{80}\n){24}", ("x" * 80 + "\n") * 24),
        ("={72,}", "=" * 80),
        ("a.{0,5000}z", "a" + "b" * 4000 + "z"),
        (r"\{1000\}", "{1000}"),
        (r"\p{Lu}{3}", "ÄÖÜ"),
        ("(?P<name>ab)(?P=name)", "abab"),
    ],
)
def test_what_people_look_for_is_no_such_pattern(text: str, found: str) -> None:
    assert compile_pattern(text).search(found)


def test_a_pattern_is_not_kept() -> None:
    """security.md 4, its kind: `regex` keeps 500 of them, whatever they cost."""
    assert compile_pattern("a{10}") is not compile_pattern("a{10}")


Form = Literal["NFC", "NFD"]
#: Letters that Unicode spells in two ways: with one mark and with two, syllables, and one whose NFC is two letters.
SPELT = ["gr\u00fc\u00dfe", "Ti\u1ebfng Vi\u1ec7t", "\ud55c\uad6d", "\u00c5ngstr\u00f6m", "\u0958", "caf\u00e9 [x]"]


@pytest.mark.parametrize("text", SPELT)
@pytest.mark.parametrize("typed", ["NFC", "NFD"])
@pytest.mark.parametrize("printed", ["NFC", "NFD"])
def test_both_spellings_of_a_letter_match_each_other(text: str, typed: Form, printed: Form) -> None:
    pattern = compile_pattern(regex.escape(unicodedata.normalize(typed, text)))
    output = "before " + unicodedata.normalize(printed, text)
    found = find(pattern, output, seconds=10)
    assert found is not None
    assert found.span() == (7, len(output))


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("caf\u00e9+!", "cafe\u0301\u00e9e\u0301!"),  # what follows repeats the letter, not its last mark
        ("(?i)\u00c4rger", "a\u0308rger"),
        ("(?P<\u00e9t\u00e9>\u00e9)", "\u00e9"),
        ("[\u00e4\u00f6]+", "\u00e4\u00f6"),
        (r"\\u00e9", r"\u00e9"),
        ("\u00e9{4000}", "\u00e9" * 4000),
    ],
)
def test_what_stands_around_a_letter_means_what_it_did(text: str, printed: str) -> None:
    found = find(compile_pattern(text), printed, seconds=10)
    assert found is not None
    assert found[0] == printed


@pytest.mark.parametrize("text", ["gru\u0308n", "\u1ebf|(?:a|b)", "plain", "(?:e|\u00e8)"])
def test_a_pattern_is_shown_as_it_was_typed(text: str) -> None:
    assert as_typed(compile_pattern(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        *("(a|aa)+b", r"\w+\d", "(?:a?){50}a{50}c", "(?i)(A+)+B", "a.*?b.*?c", "(?b)(?:xxyzzz){e}", "(?>a+)b"),
        *("(?:a{1,50}){1,50}b", "(?<!a)b|(?:aa)*c", "(a+)+$"),
    ],
)
def test_every_kind_of_loop_looks_at_the_limit(text: str) -> None:
    """One that did not would go on for hours here: the limit is in processor time, so that no load changes this."""
    with pytest.raises(TooSlow, match="takes too long"):
        find(compile_pattern(text), "a" * 65535 + "X", seconds=0.02)


@pytest.mark.parametrize(
    ("text", "line_end", "return_"),
    [
        (r"a\r\nb", True, True),
        ("a\r\nb", True, True),
        (r"a\nb", True, False),
        (r"a\r?\nb", True, False),
        (r"a\r*$", True, False),
        (r"[\r\n]+", True, False),
        (r"[^\r\n]+", False, False),
        (r"C:\\new\\root", False, False),
        (r"C:\\\r", True, True),
        (r"plain [\]] text", False, False),
    ],
)
def test_which_patterns_name_a_line_end(text: str, line_end: bool, return_: bool) -> None:
    """faults.md 8, a variation: whoever looks for such a pattern must be told that lines end otherwise here."""
    pattern = compile_pattern(text)
    assert (wants_line_end(pattern), wants_return(pattern)) == (line_end, return_)
