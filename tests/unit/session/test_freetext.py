"""faults.md 3: the text of `send`, `wait` and `search` is the text, whatever it looks like."""

from __future__ import annotations

import shlex
from argparse import Namespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.session.freetext import HEAD_MAX, without_quotes
from oobconsole.session.parsing import COMMAND_MAX, parse
from oobconsole.session.request import UsageError

#: As ssh makes them of `ssh HOST send web1 TEXT`: the user's shell has taken one level of quotes away.
TEXTS = [
    "git push --force",
    "git checkout -- file.c",
    "systemctl stop web --no-enter",
    "ls -l",
    "mount -o remount,rw /",
    "-----BEGIN PUBLIC KEY-----",
    "echo it's",
    'echo "hi   there"',
    "echo 'a' \"b\"",
    '"a"=="b"',
    "  indented, and blanks behind  ",
    "  -- indented",
    "two\nlines\n",
    "-",
    "a\\d b\\",
    "a -- --force --no-enter",
    "caf\u00e9\u00a0\u2028x",
    "=x",
    "-x=--force",
]


def args(line: str, *, local: bool = False) -> Namespace:
    return parse(line, local=local)[1]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    "form", ["send web1 {}", "send web1 -- {}", "send -- web1 {}", "  send   --no-enter  web1 {}"]
)
def test_what_is_behind_the_name_is_typed(form: str, text: str) -> None:
    """faults.md 3: `ssh HOST send web1 'git push --force'`, and its like."""
    found = args(form.format(text))
    assert (found.console, found.text, found.force) == ("web1", text, False)
    assert found.no_enter is ("--no-enter" in form)


@pytest.mark.parametrize("text", [*TEXTS, "--force", "--no-enter x", "'quoted'", '"', "", "-- x", "'", "a' b"])
def test_a_program_quotes_the_text(text: str) -> None:
    """faults.md 3: by ssh and by the local command, as `shlex.quote` does it."""
    line = f"send --no-enter web1 -- {shlex.quote(text)}"
    assert args(line).text == text
    assert args(line, local=True).text == text
    assert args(f"send web1 --no-enter -- {shlex.quote(text)}").no_enter


@pytest.mark.parametrize("text", [*TEXTS, "--no-enter x", "'quoted'", '"', "", "-- x"])
def test_the_local_command_has_words(text: str) -> None:
    """faults.md 3: `oobconsole send web1 TEXT`."""
    assert args(shlex.join(["send", "web1", text]), local=True).text == text


def test_words_of_the_local_command_are_one_text() -> None:
    assert args(shlex.join(["send", "web1", "a", "b  c", "--force"]), local=True).text == "a b  c --force"


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("send web1 -- echo -- done", "echo -- done"),
        ("send web1 'git push --force'", "git push --force"),
        ('send web1 "two  words"', "two  words"),
        ('send web1 "say \\"hi\\""', 'say "hi"'),
        ("send web1 'it'\"'\"'s'", "it's"),
        ("send web1 'a' 'b'", "'a' 'b'"),
        ("send web1 ''", ""),
    ],
)
def test_quotes_around_all_of_it_are_no_part_of_it(line: str, text: str) -> None:
    """faults.md 3."""
    assert args(line).text == text


@pytest.mark.parametrize(
    "line",
    [
        "send web1 --force",
        "send web1 --no-enter x",
        "send web1 --force --no-enter x",
        "send web1",
        "send web1 ",
        "send web1 --",
        "send --now web1 x",
        "'send' web1 x",
        "send " + "--force " * (HEAD_MAX + 1) + "web1 x",
        "send web1 " + "--force " * (HEAD_MAX + 1),
    ],
)
def test_what_may_be_an_option_or_a_text_is_neither(line: str) -> None:
    """faults.md 3: never success with another text than was given."""
    with pytest.raises(UsageError):
        parse(line)


@pytest.mark.parametrize(
    ("line", "pattern"),
    [
        ("wait web1 a --timeout 1", "a --timeout 1"),
        ("wait web1 login: ", "login: "),
        ("wait web1 \\d+ ('|\")x", "\\d+ ('|\")x"),
        ("search web1 x --since 5m", "x --since 5m"),
        ("search web1 -- --since 5m", "--since 5m"),
        ("search web1 '^x  y'", "^x  y"),
    ],
)
def test_a_pattern_is_the_pattern(line: str, pattern: str) -> None:
    """faults.md 3: `wait web1 'a --timeout 1'`, `search web1 'x --since 5m'`."""
    found = args(line)
    assert found.pattern.pattern == pattern
    assert getattr(found, "timeout", None) is None
    assert getattr(found, "since", None) is None


@pytest.mark.parametrize("line", ["wait --timeout 2 --fail=p web1 x y", "wait web1 --timeout=2 --fail p x y"])
def test_a_waits_options(line: str) -> None:
    found = args(line)
    assert (found.timeout, found.console, found.pattern.pattern) == (2.0, "web1", "x y")
    assert [pattern.pattern for pattern in found.fail] == ["p"]


@given(text=st.text(max_size=200))
def test_any_text_is_typed_or_refused(text: str) -> None:
    """faults.md 3."""
    try:
        found = args(f"send web1 {text}").text
    except UsageError:
        return
    assert found in (text, text.removeprefix("-- "), without_quotes(text), without_quotes(text.removeprefix("-- ")))
    assert args(f"send web1 -- {text or 'x'}").text == without_quotes(text or "x")
    assert args(f"send web1 -- {shlex.quote(text)}").text == text
    assert args(shlex.join(["send", "web1", "--", text]), local=True).text == text


def test_a_long_text_is_whole() -> None:
    line = "send web1 " + "'\"-- " * (COMMAND_MAX // 6)
    assert args(line).text == line[len("send web1 ") :]
