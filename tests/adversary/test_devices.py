"""L1 hands the plugin an address where it has a device, so that each look at it takes QEMU's own lock; and exceptions
that strike inside of an access. What was read of QEMU for both: docs/qemu-assumptions.md."""

from __future__ import annotations

import pytest

from tests.adversary.lab import Adversary

HPET, IOAPIC = 0xFED00000, 0xFEC00000
TIMES = 5000


@pytest.mark.parametrize("device", [HPET, IOAPIC], ids=["hpet", "ioapic"])
@pytest.mark.parametrize("step", [1, 0], ids=["single-step", "io-breakpoint"])
def test_a_permission_map_in_a_device_while_another_l2_has_exceptions_at_its_accesses(
    adversary: Adversary, device: int, step: int
) -> None:
    """One CPU prints with such a map: the plugin waits for QEMU's lock there, with its own held. The other one
    delivers exceptions that strike inside of L2's accesses, with QEMU's lock held, and the plugin's is wanted.

    Gained: nothing. Both go on, whoever has waited; all output is there, and L2's registers are its own.
    """
    report = adversary.run("map_in_a_device", smp=2, timeout=60, device=device, step=step, times=TIMES)
    assert report.value("exit") == "81"
    assert report.number("rounds") > 0
    assert report.number("traps") >= TIMES
    assert report.consoles["a"] == b"<" + b"A" * TIMES
    assert report.consoles["b"] == b"<" + b"B" * report.number("rounds")
    assert (report.value("rax"), report.value("rdx")) == ("41", "3f8")
