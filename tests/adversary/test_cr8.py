"""L2 writes to CR8 while an interrupt is pending in its VMCB.

QEMU 11.1 aborts by itself then, as it calls `cpu_interrupt` without its lock: one guest would end L1 and all its
guests. EDK2's firmware does it without any malice (real-guests.md F1).
"""

from __future__ import annotations

import pytest

from tests.adversary.lab import Adversary

WRITES = 1000
#: What L2 writes last is its counter's 1.
LAST = 1


@pytest.mark.parametrize(("masking", "window", "real"), [(1, 0, 0), (0, 0, 0), (1, 1, 0), (0, 1, 0), (1, 0, 1)])
def test_l2_hammers_cr8(adversary: Adversary, masking: int, window: int, real: int) -> None:
    """An interrupt of ours is pending, or L1's own V_IRQ of an interrupt window, and L2 takes none.

    Gained: nothing: QEMU lives, CR8 holds what was written, and L1 sees no exit that it has not asked for.
    """
    report = adversary.run("cr8", times=WRITES, masking=masking, window=window, real=real)
    assert report.value("exit") == "81"
    assert report.number("cr8_writes") == 0
    assert 1 <= report.number("intr") < WRITES / 10, "exits that each write would cost"
    if not real:
        assert report.number("cr8") == LAST
    if masking:
        assert report.number("v_tpr") == LAST
    assert report.value("intercept_cr") == "0", "L1's word of intercepts is not as it was"
    assert report.value("v_irq") == ("100" if window else "0"), "L1's V_IRQ is not as it was"
    assert report.value("int_vector") == "25", "L1's vector is not as it was"


@pytest.mark.parametrize(("own", "intr", "window"), [(1, 1, 0), (0, 0, 0), (1, 1, 1)])
def test_l1_that_is_told(adversary: Adversary, own: int, intr: int, window: int) -> None:
    """L1 intercepts the writes itself, or does not intercept physical interrupts, which could stand for them."""
    report = adversary.run("cr8", times=WRITES, own=own, intr=intr, window=window)
    assert report.value("exit") == "81"
    assert report.number("cr8_writes") == 1
    assert report.number("cr8") == LAST


def test_l2_takes_interrupts_and_writes_cr8_all_the_time(adversary: Adversary) -> None:
    """As an operating system does that keeps its priorities in CR8. L1 takes the CPU away 2000 times a second.

    Gained: nothing: every interrupt is delivered, every byte that its handler prints arrives.
    """
    report = adversary.run("cr8_and_interrupts", timeout=60)
    assert report.value("exit") == "81"
    assert report.value("intercept_cr") == "0"
    assert report.number("interrupts") > 50
    assert report.consoles["a"] == b"I" * report.number("interrupts")
