"""No interrupt into L2 is lost, whichever controller the guest has programmed, and on whichever vCPU."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.stack.nested import L2Console, NestedStack

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]
PAIRS = 10_000
#: The kernel's options by which an L2 of two vCPUs programs its interrupt controllers in different ways, and the name
#: that Linux then has for the controller of ttyS0.
CONTROLLERS = {
    "": rb"IO-APIC +4-edge",
    "nox2apic": rb"IO-APIC +4-edge",
    "noapic": rb"XT-PIC",
}


def interrupts(console: L2Console) -> list[int]:
    """Return how many interrupts of ttyS0 there were on each vCPU."""
    line = re.search(rb"^ *4:((?: +\d+)+) ", console.run("cat /proc/interrupts"), re.MULTILINE)
    assert line is not None
    return [int(count) for count in line[1].split()]


def request_and_answer(console: L2Console, pairs: int) -> None:
    """Type a byte and wait for it to come back, so many times."""
    console.send(f"stty raw -echo; echo rea''dy; head -c {pairs}; stty sane; echo fi''nis\n")
    console.expect(rb"ready\n", timeout=20)
    for i in range(pairs):
        byte = bytes((ord("a") + i % 26,))
        console.send(byte)
        console.expect(byte, timeout=20)
    console.expect(rb"finis\r?\n", timeout=20)


@pytest.mark.parametrize("load", ["idle", "busy"])
def test_ten_thousand_requests_and_answers(stack: NestedStack, load: str) -> None:
    """The guest is otherwise idle at first, and then has a process that never rests."""
    with stack.console() as console:
        if load == "busy":
            console.run("touch /tmp/busy; (while [ -e /tmp/busy ]; do :; done) >/dev/null 2>&1 & true")
        before = sum(interrupts(console))
        request_and_answer(console, PAIRS)
        count = sum(interrupts(console)) - before
        console.run("rm -f /tmp/busy")
    # There is at least one interrupt for each byte that came. In an interrupt storm there would be many for each
    # byte.
    assert PAIRS <= count <= 4 * PAIRS


@pytest.fixture(scope="module", params=CONTROLLERS, ids=lambda words: words or "default")
def two_vcpus(request: pytest.FixtureRequest) -> Iterator[tuple[NestedStack, bytes]]:
    """An L2 with two vCPUs, under an L1 with two vCPUs."""
    words = request.param
    with NestedStack(smp=2, l1_append=f"oob.l2smp=2 oob.l2append={words}") as running:
        yield running, CONTROLLERS[words]


def test_every_controller_and_both_vcpus(two_vcpus: tuple[NestedStack, bytes]) -> None:
    """Interrupts come through the 8259 to the first vCPU, or through the IOAPIC to the vCPU that its entry names."""
    stack, controller = two_vcpus
    routed = b"IO-APIC" in controller
    with stack.console() as console:
        assert console.run("nproc").strip() == b"2"
        table = console.run("cat /proc/interrupts")
        assert re.search(rb"^ *4:[ \d]+" + controller + rb".*ttyS0", table, re.MULTILINE)
        for vcpu in (0, 1) if routed else (0,):
            if routed:
                console.run(f"echo {vcpu} >/proc/irq/4/smp_affinity_list")
            before = interrupts(console)
            for writer in (0, 1):
                printed = console.run(f"taskset -c {writer} seq 1 500", timeout=60)
                assert printed.split() == [str(n).encode() for n in range(1, 501)]
            after = interrupts(console)
            assert after[vcpu] > before[vcpu]
