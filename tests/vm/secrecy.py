"""Checks that L1 has seen nothing of its guests' consoles."""

from __future__ import annotations

import secrets

from tests.stack.demo import leaked, telling_lines
from tests.stack.nested import NestedStack


def assert_l1_has_nothing(stack: NestedStack, lines: set[bytes]) -> None:
    """Check that none of these lines, which consoles have carried, was on L1's own console, or at the serial port
    that L1 emulates for its first guest. L1 itself prints a line, too, and the search must find that one."""
    marker = secrets.token_hex(16).encode()
    stack.l1_run(f"echo {marker.decode()}")
    emulated = stack.l2_files(1)
    carried = stack.l1_console()
    assert leaked({marker}, carried), "the search finds nothing at all"
    assert lines, "there is nothing to look for"
    assert [line for line in lines if leaked({line}, carried)] == []
    assert [line for line in lines if leaked({line}, emulated)] == []


def assert_booted_from(stack: NestedStack, word: str, lines: set[bytes]) -> None:
    """Check that the guest's Linux was started with what was typed at its boot loader. Check also that L1 has seen
    nothing of what the guest's console has carried: `lines`, and what is typed into its shell here."""
    with stack.console() as shell:
        assert f"oob.word={word}".encode() in shell.run("cat /proc/cmdline")
        assert_l1_has_nothing(stack, lines | telling_lines(shell.conversation))
    assert stack.l2_files(1) == b""
