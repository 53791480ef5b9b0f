"""Lines of authorized_keys, as sshd(8) reads them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator

import asyncssh
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.ssh.authorized import BadLine, matches_address, parse

KEY = asyncssh.generate_private_key("ssh-ed25519")
PUBLIC = KEY.export_public_key().decode().strip()


@pytest.fixture
def berlin() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()


def test_a_key_alone() -> None:
    line = parse(f'  {PUBLIC} a comment, with "quotes"\r')
    assert line.key == KEY.convert_to_public()
    assert (line.command, line.pty, line.ca, line.sources, line.expires) == (None, True, False, (), None)


@pytest.mark.parametrize(
    ("options", "command"),
    [
        ('command="web1"', "web1"),
        ('COMMAND="web1"', "web1"),
        ('no-pty,Command="wait web1 \\"login: \\" --fail \\d+",from="*"', 'wait web1 "login: " --fail \\d+'),
        ('command="a,pty,b"', "a,pty,b"),
    ],
)
def test_a_forced_command(options: str, command: str) -> None:
    assert parse(f"{options} {PUBLIC}").command == command


@pytest.mark.parametrize(
    ("options", "pty"),
    [
        ("restrict", False), ("restrict,pty", True), ("pty,restrict", False), ("NO-PTY", False),
        ('restrict,command="x,pty,y"', False), ("no-agent-forwarding,no-X11-forwarding", True),
    ],
)  # fmt: skip
def test_the_terminal(options: str, pty: bool) -> None:
    assert parse(f"{options} {PUBLIC}").pty is pty


@pytest.mark.parametrize(
    "options",
    [
        "verify-required", 'command="a",command="b"', 'command="a', "command=a", "command", "from", "pty=\"x\"",
        'expiry-time="2020"', 'expiry-time="20201332"', 'expiry-time="202001010x"', "nonsense", ",", "no-pty,,pty",
        'from="*" x',
        'from="127.0.0.1/8"',
        'from="10.0.0.1,!192.0.2.1/24"',
        'from="10.0.0.0/33"',
        'from="host/8"',
    ],
)  # fmt: skip
def test_what_lets_nobody_in(options: str) -> None:
    with pytest.raises(BadLine):
        parse(f"{options} {PUBLIC}")


@given(
    st.text(alphabet=st.characters(max_codepoint=0x2FF), max_size=200) | st.from_regex(r'([a-z-]+(="[^"]*")?,?)+ ?')
)
def test_anything_is_a_line_or_bad(text: str) -> None:
    with contextlib.suppress(BadLine):
        parse(text)
    with contextlib.suppress(BadLine):
        parse(f"{text} {PUBLIC}")


def test_no_key() -> None:
    for text in ("", "restrict", "ssh-ed25519", "ssh-ed25519 AAAA", 'command="x"'):
        with pytest.raises(BadLine):
            parse(text)


@pytest.mark.parametrize(
    ("value", "expires"),
    [
        ("20240101Z", 1704067200), ("20240101", 1704067200 - 3600), ("202401011230utc", 1704067200 + 45000),
        ("20240101123015Z", 1704067200 + 45015), ("20240701", 1719784800),
    ],
)  # fmt: skip
def test_expiry(berlin: None, value: str, expires: int) -> None:
    line = parse(f'expiry-time="{value}" {PUBLIC}')
    assert line.expires == expires
    assert line.refuses("192.0.2.1", expires - 1) == ""
    assert "expired" in line.refuses("192.0.2.1", expires)


def test_the_earliest_expiry_counts() -> None:
    assert parse(f'expiry-time="20300101Z",expiry-time="20240101Z" {PUBLIC}').expires == 1704067200


@pytest.mark.parametrize(
    ("patterns", "address", "matches"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.0/24", "192.0.2.200", True),
        ("192.0.2.*", "192.0.2.200", True),
        ("192.0.2.?", "192.0.2.20", False),
        ("192.0.2.0/24,!192.0.2.7", "192.0.2.7", False),
        ("!192.0.2.7,192.0.2.0/24", "192.0.2.8", True),
        ("!192.0.2.7", "192.0.2.8", False),
        ("2001:db8::/32", "2001:db8::1", True),
        ("2001:DB8::1", "2001:db8::1", True),
        ("fe80::/10", "fe80::1%eth0", True),
        ("0.0.0.0/0", "::1", False),
        ("10.0.0.0/8", "", False),
        ("*.example.org,localhost", "127.0.0.1", False),
        ("192.0.2.1/24", "192.0.2.1", False),
        ("", "192.0.2.1", False),
        ("192.0.2.[0-9]", "192.0.2.1", False),
    ],
)
def test_addresses(patterns: str, address: str, matches: bool) -> None:
    assert matches_address(patterns, address) is matches


def test_every_from_must_match() -> None:
    line = parse(f'from="192.0.2.0/24",from="*.7" {PUBLIC}')
    assert line.refuses("192.0.2.7", 0) == ""
    assert line.refuses("192.0.2.8", 0)


@pytest.mark.parametrize("options", ['command=""', 'command="  "', 'command="",no-pty'])
def test_an_empty_forced_command_would_force_nothing(options: str) -> None:
    """security.md 15."""
    with pytest.raises(BadLine, match="command= is empty"):
        parse(f"{options} {PUBLIC}")


@pytest.mark.parametrize("comment", ["José@laptop", "Jos\ufffd@laptop", "two words", "日本", 'a,b="c'])
@pytest.mark.parametrize("options", ["", "no-pty ", 'command="ls" '])
def test_a_comment_may_be_anything(options: str, comment: str) -> None:
    """security.md 16: a comment that was not ASCII let nobody in."""
    assert parse(f"{options}{' '.join(PUBLIC.split()[:2])} {comment}").key == parse(PUBLIC).key


def test_of_two_times_the_earlier_one_counts() -> None:
    """security.md 21: 1970 counted as none."""
    line = parse(f'expiry-time="19700101000000Z",expiry-time="20990101" {PUBLIC}')
    assert line.expires == 0
    assert "expired" in line.refuses("192.0.2.1", 1.0)


@pytest.mark.parametrize("options", ['principals="bob",principals="alice"', 'principals=""', 'principals="alice,"'])
def test_principals_that_mean_nobody_or_twice_somebody_are_a_bad_line(options: str) -> None:
    """security.md 21, its kind: of two lists the last one counted; sshd takes no such line."""
    with pytest.raises(BadLine, match="principals"):
        parse(f"cert-authority,{options} {PUBLIC}")
