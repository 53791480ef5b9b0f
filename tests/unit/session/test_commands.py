"""What can stand after `ssh HOST`."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from oobconsole.access import Grant, Principal, Right
from oobconsole.config.guests import GuestConfig
from oobconsole.console.console import ConsoleState
from oobconsole.events import Event, Kind
from oobconsole.session.commands import run
from oobconsole.session.parsing import parse
from oobconsole.session.request import ExitStatus, UsageError
from oobconsole.terminal.text import is_plain
from oobconsole.verbs import VERBS
from tests.support.aio import soon
from tests.unit.session.fakes import ALICE, FakePeer, consoles


@pytest.mark.parametrize("verb", VERBS)
def test_no_console_can_be_named_as_a_command(verb: str) -> None:
    with pytest.raises(ValidationError, match="cannot be a name"):
        GuestConfig.model_validate({"name": verb})


def test_the_commands() -> None:
    verb, args = parse("web2 --lines 3")
    assert (verb, args) == parse(" attach 'web2' --lines 3")
    assert (verb.name, args.console, args.lines) == ("attach", "web2", 3)
    assert parse("ls --json")[1].json
    assert parse("wait --timeout 0.5 --fail panic --fail BUG web1 'login: '")[0].name == "wait"
    assert parse(None) == parse("") == parse("  ") == parse("menu")


@pytest.mark.parametrize(
    ("command", "status", "reason"),
    [
        ("web3", 2, "there is no console 'web3'; 'ls' lists them"),
        ("scp -t /", 2, "there is no shell here, and no command or console 'scp'; 'help' lists the commands"),
        ("web1 now", 2, "unrecognized arguments: now; usage: attach "),
        ("web1 --lines -1", 2, "argument --lines: '-1' is no number"),
        ("web1 --lines x", 2, "argument --lines: 'x' is no number"),
        ("web1 --lines 1 --from-start", 2, "argument --from-start: not allowed with argument --lines"),
        ("ls -l", 2, "unrecognized arguments: -l; usage: ls "),
        ("wait web1", 2, "the following arguments are required: REGEX"),
        ("wait web1 '('", 2, "argument REGEX: '(' is no regular expression: missing )"),
        ("wait --timeout -1 web1 x", 2, "argument --timeout: '-1' is no number of seconds"),
        ("wait --timeout 1e99 web1 x", 2, "argument --timeout: '1e99' is no number of seconds"),
        ("power web1 explode", 2, "argument reset|nmi|off|on: 'explode' is none of"),
        ("power web1 reset", 2, "nothing is configured that could switch web1"),
        ("help me", 2, "there is no command 'me'"),
        ("'web1", 2, '"\'web1" cannot be understood: No closing quotation'),
        ("\x1b]0;boo\x07", 2, r"there is no console '\x1b]0;boo\x07'"),
        ("ls \x1b]0;boo\x07", 2, r"unrecognized arguments: \x1b]0;boo\x07"),
        ("x" * 4096, 2, f"there is no console '{'x' * 64}…'"),
        ("x" * 60000, 2, "a command without a text has at most 4096 characters; this one has 60000"),
        ("ls" + " --json" * 64, 2, "a command has at most 64 words; this one has 65"),
        ("x" * 100000, 2, "a command has at most 65536 characters; this one has 100000"),
    ],
)
async def test_what_is_wrong_is_said_once(command: str, status: int, reason: str) -> None:
    peer = FakePeer()
    assert await soon(run(command, peer, None, consoles("web1"), ALICE)) == status
    assert len(peer.told) == 1
    assert peer.told[0].startswith(reason)
    assert is_plain(peer.told[0])
    assert peer.got == b""


@given(command=st.text())
def test_nothing_that_is_typed_breaks_it(command: str) -> None:
    said = ""
    try:
        parse(command)
    except UsageError as error:
        said = str(error)
    assert is_plain(said)


BOB = Principal("bob", address="192.0.2.9")


@pytest.mark.parametrize("command", ["web1", "watch web1", "send web1 x", "wait web1 x", "power web1 off --yes"])
async def test_a_console_without_rights_is_as_one_that_is_not_there(command: str) -> None:
    known, here, nowhere = consoles("web1"), FakePeer(), FakePeer()
    assert await soon(run(command, here, None, known, BOB)) is ExitStatus.USAGE
    assert await soon(run(command.replace("web1", "web2"), nowhere, None, known, ALICE)) is ExitStatus.USAGE
    assert here.told == [text.replace("web2", "web1") for text in nowhere.told]
    peer = FakePeer()
    assert await soon(run("ls --json", peer, None, known, BOB)) is ExitStatus.OK
    assert peer.got == b""


async def test_a_right_that_is_missing_is_named_and_noted() -> None:
    known, peer = consoles("web1"), FakePeer()
    known.access.grants = (Grant(("bob",), ("web*",), frozenset({Right.WATCH})),)
    noted: list[Event] = []
    known.events.add_sink(noted.append)
    assert await soon(run("send web1 x", peer, None, known, BOB)) is ExitStatus.DENIED
    assert peer.told == ["you have no right to write at web1; a [[grant]] of the server gives it"]
    assert [(event.kind, event.who, event.detail) for event in noted] == [(Kind.DENIED, BOB, {"right": "write"})]


async def test_ls() -> None:
    peer = FakePeer()
    known = consoles("web2", "web1", "a-longer-name")
    web1 = known.directory.find("web1")
    assert web1 is not None
    web1.set_state(ConsoleState.LIVE)
    web1.output(b"one\r\n\x1b[31mlogin\x1b[0m: \x1b]0;evil\x07\r\n\r\n")
    assert await soon(run("ls", peer, None, known, ALICE)) is ExitStatus.OK
    assert peer.got.decode().splitlines() == [
        "CONSOLE        STATE    ATTACHED  KEYBOARD    OUTPUT  MACHINE     LAST LINE",
        "a-longer-name  waiting         0  -            never  rack7",
        "web1           live            0  -               0s  rack7       login:",
        "web2           waiting         0  -            never  rack7",
    ]
    peer.got.clear()
    assert await soon(run("ls --json", peer, None, known, ALICE)) is ExitStatus.OK
    rows = [json.loads(line) for line in peer.got.splitlines()]
    assert [row["console"] for row in rows] == ["a-longer-name", "web1", "web2"]
    assert (rows[1]["state"], rows[1]["offset"], rows[1]["last_line"]) == ("live", web1.end, "login:")


@pytest.mark.parametrize("command", ["help", "help wait"])
async def test_help(command: str) -> None:
    peer = FakePeer()
    assert await soon(run(command, peer, None, consoles("web1"), ALICE)) is ExitStatus.OK
    assert b"wait" in peer.got


@pytest.mark.parametrize("option", ["-h", "--help"])
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("local", [False, True], ids=["through ssh", "locally"])
def test_each_verb_has_help(verb: str, option: str, local: bool) -> None:
    found, args = parse(f"{verb} {option}", local=local)
    assert (found.name, args.verb) == ("help", verb)


@pytest.mark.parametrize(
    ("command", "verb"),
    [
        ("status --help", "status"),
        ("ls --json -h", "ls"),
        ("power web1 --help", "power"),
        ("log web9 --help", "log"),
        ("web1 --help", "attach"),
        ("send --no-enter --help web1 text", "send"),
        ("wait -h web1", "wait"),
        ("help --help", "help"),
    ],
)
async def test_help_is_asked_for_by_an_option(command: str, verb: str) -> None:
    """The verb is not carried out. Its help says what `help VERB` says, also to a user who may not use the verb."""
    asked, told = FakePeer(), FakePeer()
    assert await soon(run(command, asked, None, consoles("web1"), ALICE)) is ExitStatus.OK
    assert await soon(run(f"help {verb}", told, None, consoles("web1"), ALICE)) is ExitStatus.OK
    assert asked.got == told.got
    assert asked.got.startswith(f"usage: {verb} ".encode())
    assert VERBS[verb].summary.encode() in asked.got
    assert asked.told == []


async def test_help_without_a_verb_lists_them_all() -> None:
    asked, told = FakePeer(), FakePeer()
    assert await soon(run("--help", asked, None, consoles("web1"), ALICE)) is ExitStatus.OK
    assert await soon(run("help", told, None, consoles("web1"), ALICE)) is ExitStatus.OK
    assert asked.got == told.got


@pytest.mark.parametrize("local", [False, True], ids=["through ssh", "locally"])
def test_the_words_for_help_are_text_where_a_text_begins(local: bool) -> None:
    assert parse("send web1 --help", local=local)[1].text == "--help"
    assert parse("send web1 ls -h", local=local)[1].text == "ls -h"
    assert parse("wait web1 --help", local=local)[0].name == "wait"
    assert parse("search web1 --context 3 -h", local=local)[0].name == "search"
    assert parse("send -- web1 -h", local=local)[1].text == "-h"


async def test_no_command_and_no_terminal_lists_and_says_how() -> None:
    peer = FakePeer()
    assert await soon(run(None, peer, None, consoles("web1"), ALICE)) is ExitStatus.USAGE
    assert b"web1" in peer.got
    assert "ssh -t HOST" in peer.told[0]
