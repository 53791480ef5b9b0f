"""What can stand after `ssh HOST`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.session.commands import Attach, Help, List, Menu, UsageError, parse, run
from oobconsole.session.session import ExitStatus
from tests.support.aio import soon
from tests.unit.session.fakes import ALICE, FakePeer, consoles


def test_the_commands() -> None:
    known = consoles("web1", "web2")
    web2 = known.find("web2")
    assert web2 is not None
    assert parse("web2", known) == parse(" 'web2' ", known) == Attach(web2)
    assert parse("ls", known) == List()
    assert parse("help", known) == Help()
    assert parse(None, known) == parse("", known) == parse("  ", known) == Menu()


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("web3", "there is no console 'web3'; 'ssh HOST ls' lists them"),
        ("scp -t /", "there is no console 'scp'"),
        ("web1 now", "'web1' takes no arguments"),
        ("ls -l", "'ls' takes no arguments"),
        ("'web1", '"\'web1" cannot be understood: No closing quotation'),
        ("\x1b]0;boo\x07", r"there is no console '\x1b]0;boo\x07'"),
        ("x" * 100000, f"there is no console '{'x' * 64}…'"),
    ],
)
def test_what_is_wrong_is_said(command: str, reason: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(command, consoles("web1"))
    assert str(raised.value).startswith(reason)


@given(command=st.text())
def test_nothing_that_is_typed_breaks_it(command: str) -> None:
    said = ""
    try:
        parse(command, consoles("web1"))
    except UsageError as error:
        said = str(error)
    assert said.isprintable()


async def test_a_wrong_command_costs_one_message() -> None:
    peer = FakePeer()
    assert await soon(run("nope", peer, None, consoles("web1"), ALICE)) is ExitStatus.USAGE
    assert len(peer.told) == 1
    assert peer.got == b""


async def test_ls() -> None:
    peer = FakePeer()
    assert await soon(run("ls", peer, None, consoles("web2", "web1", "a-longer-name"), ALICE)) is ExitStatus.OK
    assert peer.got.decode().splitlines() == [
        "CONSOLE        STATE    ATTACHED  MACHINE",
        "a-longer-name  waiting         0  rack7",
        "web1           waiting         0  rack7",
        "web2           waiting         0  rack7",
    ]


async def test_help() -> None:
    peer = FakePeer()
    assert await soon(run("help", peer, None, consoles("web1"), ALICE)) is ExitStatus.OK
    assert peer.got.startswith(b"usage: ssh ")


async def test_no_command_and_no_terminal_lists_and_says_how() -> None:
    peer = FakePeer()
    assert await soon(run(None, peer, None, consoles("web1"), ALICE)) is ExitStatus.USAGE
    assert b"web1" in peer.got
    assert peer.told[0].startswith("usage: ")
