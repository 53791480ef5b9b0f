"""One console of a UEFI guest, from its firmware's boot manager to a Linux shell, typed at through a real ssh client.

EDK2 writes CR8 whenever it returns from an interrupt. Without `native/tcg/guard.c` that ends L0's QEMU
(`docs/qemu-assumptions.md`).
"""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator

import pytest

from tests.stack.demo import telling_lines
from tests.stack.nested import PANIC, NestedStack
from tests.support.expect import Expect, ExpectError
from tests.vm.secrecy import assert_booted_from

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]
DOWN = "\x1b[B"
#: How long to wait, in seconds. The firmware alone takes half a minute, and five times as long on a busy machine.
FIRMWARE_SECONDS = 300
#: The pause between two presses of ESC, in seconds of the guest's own clock.
ESC_EVERY = 15
#: Matches the entry that Enter chooses: it is white on black, behind the sequence that says where it stands.
MARKED = rb"\x1b\[37m\x1b\[40m\x1b\[\d+;\d+H([^\x1b ][^\x1b]*)\x1b"
#: A menu is drawn when no entry has been marked for so many seconds.
REST_SECONDS = 3


@pytest.fixture(scope="module")
def bare() -> Iterator[NestedStack]:
    """An L1 that has started no L2, and that has what UEFI guests need."""
    with NestedStack(l1_append="oob.l2=0", l1_more=["uefi.cpio"]) as running:
        yield running


def press(console: Expect, text: str) -> None:
    """Press one key after the other, as a person would."""
    for key in text:
        console.send(key)
        console.expect(re.escape(key), timeout=60)
    console.send("\r")


def has_drawn(console: Expect) -> None:
    """Wait until the firmware marks no entry any more. A mark that is drawn late would be taken for the answer to a
    key."""
    with contextlib.suppress(ExpectError):
        while True:
            console.expect(MARKED, timeout=REST_SECONDS)
    assert console.running


def choose(console: Expect, entry: bytes) -> None:
    """Go down in one of the firmware's menus until `entry` is marked, and choose it."""
    has_drawn(console)
    for _ in range(10):
        console.send(DOWN)
        if console.expect(MARKED, timeout=60)[1].startswith(entry):
            console.send("\r")
            return
    raise AssertionError(f"{entry!r} is not in the menu")


def stop_the_firmware(console: Expect) -> None:
    """Press ESC until the firmware's own program begins, and not once more, because that would end the program.

    The firmware throws away what was typed before it has opened its console, and prints nothing while it waits for
    the key. It waits for 60 s by its own clock, however slow the machine is. So the pause between two presses is
    measured by that clock, too.
    """
    console.insist("\x1b", rb'loading Boot\d+ "UiApp"', timeout=FIRMWARE_SECONDS, every=ESC_EVERY)


def open_the_shell_in_the_boot_manager(console: Expect) -> None:
    stop_the_firmware(console)
    console.expect(rb"Boot Manager.*=Select Entry", timeout=60)
    choose(console, b"Boot Manager")
    console.expect(rb"Boot Manager Menu.*EFI Internal Shell", timeout=60)
    choose(console, b"EFI Internal Shell")
    console.expect(rb"startup\.nsh", timeout=FIRMWARE_SECONDS)
    console.send("\x1b")
    console.expect(rb"Shell> ", timeout=60)


def talk_to_the_shell(console: Expect) -> None:
    press(console, "ver")
    console.expect(rb"UEFI v2[^\r\n]*EDK II", timeout=60)
    console.expect(rb"Shell> ", timeout=60)
    press(console, r"fs0:\EFI\BOOT\BOOTX64.EFI")


def choose_linux_in_grub(console: Expect, word: str) -> None:
    """Use GRUB's command line and its menu, on the firmware's console."""
    console.expect(rb"\*An entry that boots nothing.*Linux", timeout=120)
    console.send("c")
    console.expect(rb"grub> ", timeout=60)
    press(console, f"set word={word}; export word")
    console.expect(rb"grub> ", timeout=60)
    console.send("\x1b")
    console.expect(rb"\*An entry that boots nothing.*Linux", timeout=60)
    console.send(DOWN)
    console.expect(rb"\*Linux", timeout=60)
    console.send("\r")


def test_from_uefi_firmware_to_shell_and_all_of_it_on_one_console(bare: NestedStack) -> None:
    """The console shows the firmware's boot manager and its shell, GRUB for EFI, and Linux, whose EFI stub GRUB
    starts."""
    word = secrets.token_hex(8)
    bare.l1_run("start_l2_from_uefi 1")
    bare.wait_for_guest()
    with Expect(bare.server.ssh("-tt", "web1")) as console:
        open_the_shell_in_the_boot_manager(console)
        talk_to_the_shell(console)
        choose_linux_in_grub(console, word)
        console.expect(rb"Linux version .*Command line: ", timeout=FIRMWARE_SECONDS, fail=PANIC)
        console.expect(rf"oob\.word={word}", timeout=60)
        ready = console.expect(rb"L2 is ready", timeout=FIRMWARE_SECONDS, fail=PANIC)
        # Only up to there, because L1's shell then prints the same greeting.
        lines = telling_lines(bytes(console.seen[: ready.end()]))
    with bare.console() as shell:
        assert b"efi: EFI v2." in shell.run("dmesg")
        lines |= telling_lines(shell.conversation)
    assert_booted_from(bare, word, lines)
