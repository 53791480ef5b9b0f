"""One console of a UEFI guest, from its firmware's boot manager to a Linux shell, typed at through a real ssh client.

EDK2 writes CR8 whenever it returns from an interrupt. Without `native/tcg/guard.c` that ends L0's QEMU
(`docs/qemu-assumptions.md`).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator

import pytest

from tests.stack.demo import telling_lines
from tests.stack.nested import PANIC, NestedStack
from tests.support.pace import Deadline, scaled
from tests.support.terminal import Terminal
from tests.vm.secrecy import assert_booted_from

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]
DOWN = "\x1b[B"
#: How long to wait, in seconds. The firmware alone takes half a minute, and five times as long on a busy machine.
FIRMWARE_SECONDS = 300
#: The pause between two presses of ESC, in seconds of the guest's own clock.
ESC_EVERY = 15
#: The firmware shows the entry that Enter chooses in these colours, by pyte's names.
MARKED = ("white", "black")
#: A menu is drawn when nothing has come for so many seconds on a quiet machine.
REST_SECONDS = 3
#: A screen larger than any that the firmware may choose.
ROWS, COLUMNS = 50, 132


@pytest.fixture(scope="module")
def bare() -> Iterator[NestedStack]:
    """An L1 that has started no L2, and that has what UEFI guests need."""
    with NestedStack(l1_append="oob.l2=0", l1_more=["uefi.cpio"]) as running:
        yield running


def press(console: Terminal, text: str) -> None:
    """Press one key after the other, as a person would."""
    for at, key in enumerate(text, start=1):
        console.send(key)
        console.expect_screen(re.escape(text[:at].rstrip()) + "$", timeout=60)
    console.send("\r")


def choose(console: Terminal, entry: str) -> None:
    """Go down in one of the firmware's menus until `entry` is marked, and choose it."""
    console.rest(scaled(REST_SECONDS))
    for _ in range(10):
        before = console.coloured(*MARKED)
        console.send(DOWN)
        deadline = Deadline(60)
        while console.coloured(*MARKED) == before and deadline.left:
            console.rest(0.2)
        if console.coloured(*MARKED).startswith(entry):
            console.send("\r")
            return
    raise AssertionError(f"{entry!r} is not in the menu:\n" + "\n".join(console.lines))


def stop_the_firmware(console: Terminal) -> None:
    """Press ESC until the firmware's own program begins, and not once more, because that would end the program.

    The firmware throws away what was typed before it has opened its console, and prints nothing while it waits for
    the key. It waits for 60 s by its own clock, however slow the machine is. So the pause between two presses is
    measured by that clock, too.
    """
    console.insist("\x1b", rb'loading Boot\d+ "UiApp"', timeout=FIRMWARE_SECONDS, every=ESC_EVERY)


def open_the_shell_in_the_boot_manager(console: Terminal) -> None:
    stop_the_firmware(console)
    console.expect_screen("=Select Entry", timeout=60)
    choose(console, "Boot Manager")
    console.expect_screen("Boot Manager Menu", timeout=60)
    console.expect_screen("EFI Internal Shell", timeout=60)
    choose(console, "EFI Internal Shell")
    console.expect_screen(r"startup\.nsh", timeout=FIRMWARE_SECONDS)
    console.send("\x1b")
    console.expect_screen("^Shell>$", timeout=60)


def talk_to_the_shell(console: Terminal) -> None:
    press(console, "ver")
    console.expect_screen(r"UEFI v2.*EDK II", timeout=60)
    console.expect_screen("^Shell>$", timeout=60)
    press(console, r"fs0:\EFI\BOOT\BOOTX64.EFI")


def choose_linux_in_grub(console: Terminal, word: str) -> None:
    """Use GRUB's command line and its menu, on the firmware's console."""
    console.expect_screen(r"\*An entry that boots nothing", timeout=120)
    # GRUB throws away a key that comes before its menu reads the console, so the key is pressed again.
    console.insist_on_screen("c", "^grub>", timeout=60, every=scaled(5))
    console.insist_on_screen("\x15", "^grub>$", timeout=60, every=scaled(5))  # a second c is no part of the command
    press(console, f"set word={word}; export word")
    console.expect_screen("^grub>$", timeout=60)
    console.send("\x1b")
    console.expect_screen(r"\*An entry that boots nothing", timeout=60)
    console.insist_on_screen(DOWN, r"\*Linux", timeout=60, every=scaled(5))
    console.send("\r")


def test_from_uefi_firmware_to_shell_and_all_of_it_on_one_console(bare: NestedStack) -> None:
    """The console shows the firmware's boot manager and its shell, GRUB for EFI, and Linux, whose EFI stub GRUB
    starts."""
    word = secrets.token_hex(8)
    bare.l1_run("start_l2_from_uefi 1")
    bare.wait_for_guest()
    with Terminal(bare.server.ssh("-tt", "web1"), rows=ROWS, columns=COLUMNS) as console:
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
