"""What a pattern may be: each is understood in a moment, and has a bounded size, whoever wrote it."""

from __future__ import annotations

import time

import pytest

from oobconsole.patterns import BadPattern, compile_pattern

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
    "(?s)(?:" + "(?=(.))" * 130 + r".)*\d",
]


@pytest.mark.parametrize("text", BOMBS, ids=[text[:24] for text in BOMBS])
def test_a_pattern_that_grows_is_refused_at_once(text: str) -> None:
    """security.md 4, its kind: one command line of anybody stopped the server."""
    began = time.thread_time()
    with pytest.raises(BadPattern):
        compile_pattern(text)
    assert time.thread_time() - began < 0.5


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
