"""L2 prints a thousand short lines, each from the handler of an interrupt, and halts between them.

The real CPU's part of `tests/native/test_core_short_lines.py`: what the native half writes into the VMCB is what QEMU
makes of it.
"""

from __future__ import annotations

import pytest

from tests.adversary.lab import Adversary

LINES = 1000
#: Writes with which L2 programs its 8259, and which L1 takes.
PROGRAMMING = 5


@pytest.mark.parametrize("intr", [1, 0])
def test_short_lines(adversary: Adversary, intr: int) -> None:
    """real-guests.md F4: each line is printed once, and few of them force an exit.

    L1 is told of an interrupt where L2 has halted with one of ours due. L1 does not see the HLT, and so does not let
    L2 sleep. An L1 that does not intercept physical interrupts sees each HLT.
    """
    report = adversary.run("short_lines", lines=LINES, intr=intr, timeout=60)
    assert report.value("exit") == "81"
    assert report.number("handled") == LINES
    assert report.consoles["a"] == b"l\n" * LINES
    assert report.number("halts") == (0 if intr else LINES)
    assert report.number("intr") >= (LINES if intr else 0)
    assert report.stat("forced") < LINES / 2


def test_an_l1_that_opens_port_0x80(adversary: Adversary) -> None:
    """real-guests.md F3: as Xen does. An `out` to that port is no exit there, so a forced exit goes by another port.

    L1 is told of an interrupt in place of it. L2's registers are its own behind it.
    """
    report = adversary.run("short_lines", lines=LINES, open_post_code=1, timeout=60)
    assert report.value("exit") == "81"
    assert report.number("handled") == LINES
    assert report.consoles["a"] == b"l\n" * LINES
    assert report.number("exits_by_io") == PROGRAMMING, "L1 sees ports of its own alone"
    assert report.number("intr") >= LINES + report.stat("forced") > LINES
