"""One console from power-on to the shell, typed at through a real ssh client. It shows SeaBIOS's boot menu, then
GRUB, first on SeaBIOS's console and later by GRUB's own serial driver, then the kernel's first lines, and the shell.

What a program draws is read from the screen and not from the bytes, because a program may place each character of a
word by itself.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import pytest

from tests.stack.demo import telling_lines
from tests.stack.nested import PANIC, NestedStack
from tests.support.terminal import Terminal
from tests.vm.secrecy import assert_booted_from

pytestmark = [pytest.mark.vm, pytest.mark.timeout(300)]
DOWN = "\x1b[B"
ROWS = 25  # the size of SeaBIOS's and GRUB's screen


@pytest.fixture(scope="module")
def bare() -> Iterator[NestedStack]:
    """An L1 that has started no L2."""
    with NestedStack(l1_append="oob.l2=0") as running:
        yield running


def press(console: Terminal, text: str) -> None:
    """Press one key after the other, as a person would. SeaBIOS keeps at most 15 keys that nobody has read."""
    for at, key in enumerate(text, start=1):
        console.send(key)
        console.expect_screen(re.escape(text[:at].rstrip()) + "$", timeout=10)
    console.send("\r")


def choose_disk_in_seabios(console: Terminal) -> None:
    console.expect_screen("Press ESC for boot menu", timeout=60)
    console.send("\x1b")
    console.expect_screen(r"1\. Virtio disk", timeout=20)
    console.expect_screen(r"2\. Virtio disk", timeout=20)
    console.send("1")


def talk_to_grub(console: Terminal, word: str) -> None:
    """Use GRUB's command line, on SeaBIOS's console."""
    console.expect_screen("executed automatically in", timeout=50)
    console.send("c")
    console.expect_screen("^grub>$", timeout=20)
    press(console, f"set word={word}; export word")
    console.expect_screen("^grub>$", timeout=20)
    press(console, "configfile (hd1)/grub.cfg")


def choose_linux_in_grub(console: Terminal) -> None:
    """Choose Linux in GRUB's menu, which uses GRUB's own driver of the port."""
    console.expect_screen(r"\*An entry that boots nothing", timeout=20)
    console.expect_screen("Linux", timeout=20)
    console.send(DOWN)
    console.expect_screen(r"\*Linux", timeout=10)
    console.send("\r")


def test_from_firmware_to_shell_and_all_of_it_on_one_console(bare: NestedStack) -> None:
    word = secrets.token_hex(8)
    bare.l1_run("start_l2_from_disk 1")
    bare.wait_for_guest()
    with Terminal(bare.server.ssh("-tt", "web1"), rows=ROWS) as console:
        choose_disk_in_seabios(console)
        talk_to_grub(console, word)
        choose_linux_in_grub(console)
        console.expect(rb"Linux version .*Command line: ", timeout=60, fail=PANIC)
        console.expect(rf"oob\.word={word}", timeout=10)
        ready = console.expect(rb"L2 is ready", timeout=60, fail=PANIC)
        # Only up to there, because L1's shell then prints the same greeting.
        lines = telling_lines(bytes(console.seen[: ready.end()]))
    assert_booted_from(bare, word, lines)
