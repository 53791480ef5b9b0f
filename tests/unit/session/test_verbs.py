"""What the table of verbs says of each verb is true of what the verb does."""

from __future__ import annotations

from pathlib import Path

import pytest

from oobconsole import verbs
from oobconsole.access import ALL, Grant, Right
from oobconsole.events import Event, Kind
from oobconsole.session import verbs as implementations
from oobconsole.session.commands import run
from oobconsole.session.parsing import parser_of
from oobconsole.session.request import ExitStatus
from oobconsole.verbs import VERBS, Argument, Verb
from tests.support.aio import soon
from tests.unit.session.fakes import ALICE, FakePeer, consoles

#: What stands behind the console's name, so that the command is a complete one.
REST = {"send": "x", "wait": "x", "search": "x", "power": "off --yes"}


def of_a_console(verb: Verb) -> bool:
    return verb.words[:1] == (Argument.CONSOLE,)


def test_each_verb_has_one_file_and_each_file_a_line_in_the_table() -> None:
    folder = Path(implementations.__file__).parent
    assert {file.stem for file in folder.glob("*.py")} - {"__init__"} == set(VERBS)


def test_a_file_that_lacks_a_function_is_refused() -> None:
    with pytest.raises(ModuleNotFoundError):
        implementations.load(Verb("nothing", "there is no such file"))


@pytest.mark.parametrize("name", VERBS)
def test_the_words_of_the_table_are_the_arguments_of_the_parser(name: str) -> None:
    metavars = {Argument.CONSOLE: "CONSOLE", Argument.VERB: "COMMAND", Argument.POWER_ACTION: "reset|nmi|off|on"}
    verb = VERBS[name]
    positional = [action.metavar for action in parser_of(verb)._actions if not action.option_strings]
    assert positional[: len(verb.words)] == [metavars[word] for word in verb.words]
    assert of_a_console(verb) == ("CONSOLE" in positional) == (verb.right is not None)


def test_only_a_verb_of_a_console_can_have_a_text() -> None:
    assert all(of_a_console(verb) for verb in VERBS.values() if verb.text or verb.options_behind)


OF_A_CONSOLE = [verb for verb in VERBS.values() if verb.right is not None]


@pytest.mark.parametrize("verb", OF_A_CONSOLE, ids=lambda verb: verb.name)
async def test_a_verb_needs_the_right_that_the_table_names(verb: Verb) -> None:
    assert verb.right is not None
    known, peer = consoles("web1"), FakePeer()
    known.access.grants = (Grant(("alice",), ("*",), ALL - {verb.right}),)
    command = f"{verb.name} web1 {REST.get(verb.name, '')}"
    assert await soon(run(command, peer, None, known, ALICE)) is ExitStatus.DENIED
    assert peer.told == [f"you have no right to {verb.right} at web1; a [[grant]] of the server gives it"]


@pytest.mark.parametrize("verb", OF_A_CONSOLE, ids=lambda verb: verb.name)
async def test_a_verb_needs_no_other_right(verb: Verb) -> None:
    assert verb.right is not None
    known, peer = consoles("web1"), FakePeer(ended=True)
    peer.hang_up()
    known.access.grants = (Grant(("alice",), ("*",), frozenset({verb.right})),)
    command = f"{verb.name} web1 {REST.get(verb.name, '')}"
    assert await soon(run(command, peer, None, known, ALICE)) is not ExitStatus.DENIED


@pytest.mark.parametrize("name", [verb.name for verb in VERBS.values() if verb.server_user])
async def test_a_verb_of_the_servers_user_is_denied_to_others(name: str) -> None:
    known, peer, spoken = consoles("web1"), FakePeer(), VERBS[name].spoken
    noted: list[Event] = []
    known.events.add_sink(noted.append)
    assert await soon(run(spoken, peer, None, known, ALICE)) is ExitStatus.DENIED
    assert peer.told == [f"'{spoken}' is for the server's own user: 'oobconsole {spoken}' on its host"]
    assert [(event.kind, event.detail) for event in noted] == [(Kind.DENIED, {"verb": spoken})]


def test_rights_that_no_verb_needs_by_itself() -> None:
    """`force` is needed besides another right: by `attach --force` and `send --force`."""
    assert {verb.right for verb in verbs.VERBS.values() if verb.right} == set(Right) - {Right.FORCE}
