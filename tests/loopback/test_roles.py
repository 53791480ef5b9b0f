"""Who may type: several people and scripts at one console, each with the real OpenSSH client."""

from __future__ import annotations

import json
import secrets
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.expect import Expect, run_to_end
from tests.support.person import person, role, typed
from tests.support.server import MEMORY_MACHINE, Server

GRANTS = """
[[machine.guest]]
name = "both"
console = { share = true }
[[grant]]
users = "bob"
rights = ["watch", "write"]
[[grant]]
users = "eve"
consoles = "web1"
rights = "watch"
"""
USERS = ("alice", "bob", "eve", "nobody")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(MEMORY_MACHINE + GRANTS) as running:
        for user in USERS:
            running.make_key(user)
        yield running


def command(server: Server, user: str, *words: str) -> list[str]:
    return server.ssh(*words, user=user, key=server.make_key(user))


def script(
    server: Server, user: str, *words: str, data: bytes = b"", timeout: float = 30
) -> subprocess.CompletedProcess[bytes]:
    return run_to_end(command(server, user, *words), data=data, timeout=timeout)


class TestPeople:
    def test_ask_and_hand_over(self, server: Server) -> None:
        with person(server, "web1", user="alice") as alice, person(server, "web1", user="bob") as bob:
            assert b"alice has the keyboard" in bytes(bob.seen)
            alice.expect(rb"bob is attached", timeout=10)
            bob.send("nothing")
            bob.expect(rb"you watch, and what you type goes nowhere", timeout=10)
            bob.send("more of it")
            server.run("ls")  # meanwhile it has arrived
            role(bob, "k", rb"alice has the keyboard, and was asked", begin="\r")
            assert bytes(bob.seen).count(b"goes nowhere") == 1
            alice.expect(rb"bob asks for the keyboard: ~r, then h, hands it over", timeout=10)
            alice.send("~r")
            alice.expect(rb"take it by force", timeout=10)
            alice.send("h")
            bob.expect(rb"alice gave you the keyboard", timeout=10)
            word = secrets.token_hex(8)
            bob.send(word)
            for terminal in (alice, bob):
                terminal.expect(word, timeout=10)
            assert b"nothing" not in bytes(alice.seen)
            assert b"more of it" not in bytes(alice.seen)

    def test_force_takes_a_right_and_the_loser_is_told_by_whom(self, server: Server) -> None:
        with person(server, "web1", user="bob") as bob, person(server, "web1", user="alice") as alice:
            role(alice, "f", rb"you have the keyboard; bob watches")
            bob.expect(rb"alice took the keyboard from you: you watch", timeout=10)
            role(bob, "f", rb"you have no right to take the keyboard of web1 from alice")
            typed(alice, bob)

    def test_ones_own_dead_session_gives_the_keyboard_up(self, server: Server) -> None:
        """faults.md 24: bob has no right `force`, and against himself needs none: terminal, `send`, pipe."""
        with person(server, "web1", user="bob") as dead:
            dead.stop()
            for words, data in ((("send", "web1", "by-send"), b""), (("web1",), b"by-pipe\n")):
                done = script(server, "bob", *words, data=data)
                assert done.returncode == 0, done.stderr
            with person(server, "web1", user="bob") as bob:
                assert b"bob has the keyboard" in bytes(bob.seen)
                role(bob, "k", rb"another session of yours from 127.0.0.1 has the keyboard, and was asked")
                role(bob, "f", rb"you have the keyboard; bob watches")
                typed(bob)
                dead.go_on()
                dead.expect(rb"has the keyboard until it ends: you watch.*you have the keyboard again", timeout=10)
                dead.expect(rb"bob took the keyboard from you: you watch", timeout=10)

    def test_a_watcher_has_no_keyboard_to_take_from_oneself(self, server: Server) -> None:
        """faults.md 24, the other side: right `write` is needed all the same."""
        with person(server, "web1", user="alice"), person(server, "web1", user="eve") as eve:
            role(eve, "f", rb"you have no right to take the keyboard of web1 from alice")

    def test_a_watcher_is_never_promoted_by_itself(self, server: Server) -> None:
        with person(server, "web1", user="alice") as alice, person(server, "web1", user="bob") as bob:
            alice.send("~.")
            assert alice.wait(10) == 0
            bob.expect(rb"alice has left; the keyboard is free", timeout=10)
            bob.send("not yet")
            bob.expect(rb"goes nowhere", timeout=10)
            role(bob, "k", rb"you have the keyboard", begin="\r")
            typed(bob)
            assert b"not yet" not in bytes(bob.seen)

    def test_share(self, server: Server) -> None:
        with person(server, "both", user="alice") as alice, person(server, "both", user="bob") as bob:
            for typing in (alice, bob):
                word = secrets.token_hex(8)
                typing.send(word)
                for terminal in (alice, bob):
                    terminal.expect(word, timeout=10)

    def test_watch_leaves_the_keyboard_free(self, server: Server) -> None:
        with person(server, "watch", "web1", user="alice") as alice, person(server, "web1", user="bob") as bob:
            assert b"you watch" in bytes(alice.seen)
            assert b"you have the keyboard" in bytes(bob.seen)

    def test_who_is_gone_is_said_on_screens_and_nowhere_else(self, server: Server) -> None:
        with (
            person(server, "web1", user="alice") as alice,
            Expect(command(server, "bob", "watch", "web1"), merge_stderr=False) as pipe,
        ):
            alice.expect(rb"bob is attached", timeout=10)
            with person(server, "web1", user="eve"):
                alice.expect(rb"eve is attached", timeout=10)
            alice.expect(rb"eve has left", timeout=10)
            word = secrets.token_hex(8)
            alice.send(word)
            pipe.expect(word, timeout=10)
            assert bytes(pipe.seen) == word.encode()


class TestScripts:
    def test_input_needs_the_keyboard(self, server: Server) -> None:
        with person(server, "web1", user="alice") as alice:
            done = script(server, "bob", "web1", data=b"reboot\n")
            assert done.returncode == 1
            assert done.stdout == b""
            assert b"alice has the keyboard of web1" in done.stderr
            done = script(server, "bob", "send", "web1", "reboot")
            assert (done.returncode, done.stdout) == (1, b"")
            assert b"alice has the keyboard of web1: nothing was typed" in done.stderr
            typed(alice)
            assert b"reboot" not in bytes(alice.seen)

    def test_force_is_a_right_of_its_own(self, server: Server) -> None:
        with person(server, "web1", user="bob") as bob:
            word = secrets.token_hex(8)
            assert script(server, "alice", "send", "--force", "web1", word).returncode == 0
            bob.expect(word, timeout=10)
        with person(server, "web1", user="alice"):
            assert script(server, "bob", "send", "--force", "web1", "no").returncode == 3

    def test_without_the_right_to_write(self, server: Server) -> None:
        for words, data in ((("web1",), b"x"), (("send", "web1", "x"), b""), (("power", "web1", "off"), b"")):
            done = script(server, "eve", *words, data=data)
            assert done.returncode == 3, words
            assert b"no right" in done.stderr

    def test_watch_takes_no_input(self, server: Server) -> None:
        done = script(server, "alice", "watch", "web1", data=b"x")
        assert done.returncode == 2
        assert b"takes no input" in done.stderr

    def test_what_one_may_not_see_is_not_there(self, server: Server) -> None:
        said = {script(server, "eve", *words, "web2").stderr for words in ((), ("watch",), ("wait",), ("power",))}
        unknown = script(server, "eve", "web9").stderr.replace(b"web9", b"web2")
        assert script(server, "eve", "web2").stderr == unknown
        assert all(b"live" not in text for text in said)
        listed = script(server, "eve", "ls", "--json").stdout.splitlines()
        assert [json.loads(line)["console"] for line in listed] == ["web1"]
        assert script(server, "nobody", "ls", "--json").stdout == b""

    def test_who(self, server: Server) -> None:
        with person(server, "web1", user="alice"), person(server, "web1", user="bob"):
            rows = [json.loads(line) for line in script(server, "eve", "who", "--json").stdout.splitlines()]
            assert [(row["user"], row["keyboard"]) for row in rows] == [("alice", True), ("bob", False)]

    @pytest.mark.parametrize(
        ("options", "pattern", "status"),
        [
            (("--timeout", "20"), "comes: \\d+$", 0),
            (("--fail", "'c.mes'", "--timeout", "20"), "never", 1),
            (("--timeout", "0.5"), "never", 4),
            ((), "(", 2),
            (("--timeout", "soon"), "x", 2),
        ],
    )
    def test_wait(self, server: Server, options: tuple[str, ...], pattern: str, status: int) -> None:
        (listed,) = script(server, "eve", "ls", "--json").stdout.splitlines()
        end = json.loads(listed)["offset"]
        assert script(server, "alice", "send", "web1", "'\x1b[1mcomes\x1b[0m: 42\r\n'").returncode == 0
        done = script(server, "eve", "wait", "--from", str(end), *options, "web1", pattern)
        assert done.returncode == status, done.stderr
        assert (done.stdout == b"comes: 42\n") == (status == 0)
        if status in (1, 4):
            assert b"comes: 42" in done.stderr

    def test_quotes_that_the_users_shell_has_taken_are_not_missed(self, server: Server) -> None:
        (listed,) = script(server, "eve", "ls", "--json").stdout.splitlines()
        word = secrets.token_hex(8)
        assert script(server, "alice", "send", "--no-enter", "web1", "two words", word).returncode == 0
        end = ("--from", str(json.loads(listed)["offset"]))
        done = script(server, "eve", "wait", "--timeout", "20", *end, "web1", f"two words {word}")
        assert (done.returncode, done.stdout) == (0, f"two words {word}\n".encode())
        done = script(server, "eve", "wait", "--timeout", "20", "web1", "two (words")
        assert done.returncode == 2
        assert b"is no regular expression" in done.stderr

    @pytest.mark.parametrize("stdin", [subprocess.PIPE, subprocess.DEVNULL])
    def test_a_pipeline_that_has_what_it_wants_ends(self, server: Server, stdin: int) -> None:
        line = subprocess.list2cmdline(command(server, "eve", "watch", "web1"))
        with subprocess.Popen(
            ["sh", "-c", f"{line} 2>/dev/null | grep -m1 needle"], stdin=stdin, stdout=subprocess.PIPE
        ) as pipeline:
            for _ in range(60):  # each of them is one more line, as a guest's log has
                assert script(server, "alice", "send", "web1", "'needle\n'").returncode == 0
                if pipeline.poll() is not None:
                    break
            else:
                pipeline.kill()
            assert pipeline.returncode == 0
            assert pipeline.stdout is not None
            assert pipeline.stdout.read() == b"needle\n"

    def test_events_come_live_and_only_of_what_one_may_watch(self, server: Server) -> None:
        with Expect(command(server, "eve", "events", "--json"), merge_stderr=False) as events:
            for _ in range(60):  # until its subscription has begun
                script(server, "alice", "send", "web2", "hidden")
                script(server, "alice", "send", "web1", "shown")
                if b"shown" in events.seen or _line_of(events):
                    break
            rows = [json.loads(line) for line in bytes(events.seen).rpartition(b"\n")[0].splitlines()]
            assert rows
            assert {row["console"] for row in rows} == {"web1"}
            assert rows[0] | {"at": 0, "key": ""} == {
                "at": 0,
                "key": "",
                "kind": "sent",
                "console": "web1",
                "user": "alice",
                "address": "127.0.0.1",
                "characters": 6,
            }

    def test_notices_for_programs_are_json_alone(self, server: Server) -> None:
        with person(server, "web1", user="bob"):
            done = script(server, "alice", "web1", "--json-notices", "--from-start", data=b"x")
        rows = [json.loads(line) for line in done.stderr.splitlines()]
        assert rows[0] == {"kind": "attached", "console": "web1", "state": "live", "offset": 0}
        assert rows[-1]["kind"] == "end"
        assert "bob has the keyboard" in rows[-1]["reason"]
        assert done.returncode == 1


def _line_of(events: Expect) -> bool:
    try:
        events.expect(rb"\n", timeout=0.3)
    except AssertionError:
        return False
    return True
