"""From power-on: SeaBIOS's boot menu, GRUB on SeaBIOS's console and by its own serial driver, the kernel's first
words, and the shell. All of it on one console, typed at through a real ssh client."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import pytest

from tests.stack.demo import leaked, telling_lines
from tests.stack.nested import PANIC, L2Console, NestedStack
from tests.support.expect import Expect

pytestmark = [pytest.mark.vm, pytest.mark.timeout(300)]
DOWN = "\x1b[B"


@pytest.fixture(scope="module")
def bare() -> Iterator[NestedStack]:
    """L1 without an L2."""
    with NestedStack(l1_append="oob.l2=0") as running:
        yield running


def press(console: Expect, text: str) -> None:
    """Key by key, as a person would: SeaBIOS keeps no more than 15 that nobody has read."""
    for key in text:
        console.send(key)
        console.expect(re.escape(key), timeout=10)
    console.send("\r")


def choose_disk_in_seabios(console: Expect) -> None:
    console.expect(rb"SeaBIOS \(version .*Press ESC for boot menu", timeout=60)
    console.send("\x1b")
    console.expect(rb"Select boot device:.*1\. Virtio disk.*2\. Virtio disk", timeout=20)
    console.send("1")
    console.expect(rb"Booting from Hard Disk.*Welcome to GRUB", timeout=20)


def talk_to_grub(console: Expect, word: str) -> None:
    """Its command line, on SeaBIOS's console."""
    console.expect(rb"executed automatically in", timeout=30)
    console.send("c")
    console.expect(rb"grub> ", timeout=20)
    press(console, f"set word={word}; export word")
    console.expect(rb"grub> ", timeout=20)
    press(console, "configfile (hd1)/grub.cfg")


def choose_linux_in_grub(console: Expect) -> None:
    """Its menu, by its own driver of the port."""
    console.expect(rb"\*An entry that boots nothing.*Linux", timeout=20)
    console.send(DOWN)
    console.expect(rb"\*Linux", timeout=10)
    console.send("\r")


def test_from_firmware_to_shell_and_all_of_it_on_one_console(bare: NestedStack) -> None:
    word = secrets.token_hex(8)
    bare.l1_run("start_l2_from_disk 1")
    bare.wait_for_guest()
    with Expect(bare.server.ssh("-tt", "web1")) as console:
        choose_disk_in_seabios(console)
        talk_to_grub(console, word)
        choose_linux_in_grub(console)
        console.expect(rb"Linux version .*Command line: ", timeout=60, fail=PANIC)
        console.expect(rf"oob\.word={word}", timeout=10)
        console.expect(rb"L2 is ready", timeout=60, fail=PANIC)
        lines = telling_lines(bytes(console.seen))
    with bare.console() as shell:
        assert f"oob.word={word}".encode() in shell.run("cat /proc/cmdline")
        assert_l1_has_nothing(bare, shell, lines)


def assert_l1_has_nothing(stack: NestedStack, shell: L2Console, lines: set[bytes]) -> None:
    marker = secrets.token_hex(16).encode()
    stack.l1_run(f"echo {marker.decode()}")
    carried = stack.l1_console()
    assert leaked({marker}, carried), "the search finds nothing at all"
    assert leaked(lines | telling_lines(shell.conversation), carried) == 0
    assert stack.l2_files(1) == b""
