"""Several L2s under one L1. Which console belongs to which L2, and what happens to the consoles when L1 kills,
restarts, stops or restores an L2, or is itself reset?"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import pytest

from tests.stack.nested import L2Console, NestedStack
from tests.support.expect import Expect

pytestmark = [pytest.mark.vm, pytest.mark.timeout(300)]
COUNT = 4


@pytest.fixture(scope="module")
def four() -> Iterator[NestedStack]:
    """L1 with two vCPUs and four L2s."""
    with NestedStack(l2=COUNT, smp=2, reboot=True, l1_append="oob.com2=1") as running:
        yield running


def say(console: L2Console, word: str) -> None:
    """Make the guest remember a word, and print it."""
    assert word.encode() in console.run(f"echo {word} | tee -a /tmp/words")


def words(console: L2Console) -> list[str]:
    """Return the words that the guest remembers."""
    return console.run("cat /tmp/words").decode().split()


def test_four_guests_have_four_consoles(four: NestedStack) -> None:
    names = [f"web{i + 1}" for i in range(COUNT)]
    consoles = {name: four.console(name) for name in names}
    try:
        for name, console in consoles.items():
            say(console, f"here-is-{name}")
        for name, console in consoles.items():
            assert words(console) == [f"here-is-{name}"]
            for other in set(names) - {name}:
                assert f"here-is-{other}".encode() not in console.seen
    finally:
        for console in consoles.values():
            console.close()


def l2_of(stack: NestedStack, name: str) -> int:
    """Return L1's number of the L2 whose console that is. How does one know? Each L2 has a second port that L1
    serves. L1 keeps what this port carries in a file whose name has the number."""
    mark = secrets.token_hex(8)
    with stack.console(name) as console:
        console.run(f"echo {mark} >/dev/ttyS1")
    found = stack.l1_run(f"until grep -l {mark} /com2-[0-9]; do sleep 0.2; done")
    return int(found.strip().removeprefix(b"/com2-"))


def test_a_guest_that_reboots_keeps_its_console(four: NestedStack) -> None:
    with four.console("web1") as console:
        say(console, "before-the-reboot")
        console.send("echo 1 >/proc/sys/kernel/sysrq; echo b >/proc/sysrq-trigger\n")
        console.expect(rb"L2 is ready", timeout=120, fail=rb"guest is gone")
    with four.console("web1") as again:
        assert b"no-words" in again.run("cat /tmp/words 2>/dev/null || echo no-words")
        line = re.search(rb"^ *4: +(\d+)", again.run("cat /proc/interrupts"), re.MULTILINE)
        assert line is not None
        assert int(line[1]) > 0


def test_a_guest_that_is_stopped_and_goes_on_keeps_its_console(four: NestedStack) -> None:
    word = secrets.token_hex(8)
    with four.console("web2") as console:
        say(console, word)
        for number in range(1, COUNT + 1):
            four.l1_run(f"kill -STOP $(cat /tmp/l2-{number}.pid); sleep 3; kill -CONT $(cat /tmp/l2-{number}.pid)")
        assert word in words(console)
        assert b"is gone" not in console.told


def test_a_destroyed_guest_gives_its_console_up_and_its_successor_is_new(four: NestedStack) -> None:
    word = secrets.token_hex(8)
    number = l2_of(four, "web3")
    with four.console("web3") as console:
        say(console, word)
        with Expect(four.server.ssh("-tt", "web3")) as watcher:
            watcher.expect(rb"web3 is live", timeout=10)
            four.l1_run(f"kill -9 $(cat /tmp/l2-{number}.pid)")
            watcher.expect(rb"web3: the guest is gone: destroyed", timeout=30)
            four.l1_run(f"start_l2 {number}")
            watcher.expect(rb"L2 is ready", timeout=120)
    with four.console("web3") as successor:
        assert b"no-words" in successor.run("cat /tmp/words 2>/dev/null || echo no-words")
    with four.console("web2") as other:
        other.run("true")


def test_a_guest_that_l1_restores_from_a_snapshot_has_its_console_again(four: NestedStack) -> None:
    word = secrets.token_hex(8)
    number = l2_of(four, "web4")
    with four.console("web4") as console:
        say(console, word)
        four.l1_run(f"echo 'migrate \"exec:cat >/snapshot\"' >/mon-{number}.in")
        done = f"grep -q 'Status:.*completed' /mon-{number}.log"
        four.l1_run(f"until echo info migrate >/mon-{number}.in; {done}; do sleep 1; done", timeout=120)
        four.l1_run(f"kill -9 $(cat /tmp/l2-{number}.pid)")
        four.l1_run(f"start_l2 {number} -incoming 'exec:cat /snapshot'")
    with four.console("web4") as restored:
        assert word in words(restored)


def test_a_reset_of_l1_ends_every_console_and_new_ones_come(four: NestedStack) -> None:
    with Expect(four.server.ssh("-tt", "web1")) as watcher:
        watcher.expect(rb"web1 is live", timeout=10)
        assert four.l1 is not None
        four.l1.send("echo 1 >/proc/sys/kernel/sysrq; echo b >/proc/sysrq-trigger\n")
        watcher.expect(rb"web1: the guest is gone: reset", timeout=30)
        watcher.expect(rb"L2 is ready", timeout=180)
