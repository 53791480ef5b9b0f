"""Which L2 is it? docs/threat-model.md says what identity rests on; these are L1's attempts at it."""

from __future__ import annotations

import re

from tests.adversary.lab import Adversary


def test_two_vmcbs_with_one_nested_table(adversary: Adversary) -> None:
    """Gained: nothing. They are two vCPUs of one L2, which has one console."""
    report = adversary.run("shared_table")
    assert report.consoles == {"a": b"first vCPU\nsecond vCPU\nfirst again\n", "b": b""}


def test_a_page_reused_for_another_l2(adversary: Adversary) -> None:
    """L1 clears a VMCB's page and uses it for another L2.

    Gained: the next free console, as for any new L2. Logged: that the first is gone, and which took its place.
    """
    report = adversary.run("reused_vmcb")
    assert report.consoles["a"] == b"the first owner\nthe second owner\n"
    assert re.search(r"guest gone .*reason='?replaced.*\n.*guest bound .*context=2", report.log)


def test_an_impostor_in_the_users_vmcb(adversary: Adversary) -> None:
    """L1 keeps the tag, and changes everything else.

    Gained: the user's console, as documented: L1 could as well change the user's L2. Logged: nothing.
    """
    report = adversary.run("kept_tag")
    assert report.consoles == {"a": b"the user's\nan impostor\n", "b": b""}


def test_a_copied_tag(adversary: Adversary) -> None:
    """L1 copies the user's VMCB with its tag to another page.

    Gained: by the tag alone, nothing: it is a new L2. With the user's nested table it is one more vCPU of the
    user's L2, as documented: that table maps the user's memory.
    """
    report = adversary.run("copied_tag")
    assert report.consoles == {"a": b"the user's\ntag and table\n", "b": b"the tag alone\n"}


def test_two_cpus_swap_their_guests(adversary: Adversary) -> None:
    """Two CPUs run two L2s, and change places after each byte.

    Gained: nothing: each console has the bytes of its own L2, all of them.
    """
    report = adversary.run("swapped_cpus", smp=2)
    rounds = report.number("rounds")
    assert report.consoles == {"a": b"\n" + b"a" * rounds, "b": b"\n" + b"b" * rounds}


def test_no_intercept_of_port_io(adversary: Adversary) -> None:
    """L1 clears the IOIO intercept, empties the permission map, or points it nowhere, so that L2's `out` would reach
    L1's own hardware.

    Gained: nothing: L0 looks at none of them. (Without a map QEMU enters no guest.)
    """
    report = adversary.run("no_intercept")
    assert report.consoles["a"] == b"no intercept\nempty permission map\n"
    assert report.lines == ["attack=no_intercept", "say_exit=ffffffffffffffff", "done=1"]


def test_a_late_l1(adversary: Adversary) -> None:
    """An honest L1 on an overloaded machine: two seconds pass while a nested table is empty, since L2 has asked for
    something that changes its memory slots.

    Lost: nothing. The L2 keeps its console.
    """
    report = adversary.run("late_l1")
    said = b"before\nafter a reset\nafter a triple fault\nafter PAM\nafter MMIO\n"
    assert report.consoles == {"a": said, "b": b""}
    assert "guest gone" not in report.log


def test_destroyed_l2s(adversary: Adversary) -> None:
    """Two L2s end as KVM ends them: their consoles say so within two seconds."""
    report = adversary.run("destroyed")
    assert report.consoles == {"a": b"runs\nswitches itself off\n", "b": b""}
    assert len(re.findall(r"guest gone .*reason='?destroyed", report.log)) == 2


def test_a_virtual_interrupt_of_l1s(adversary: Adversary) -> None:
    """L1 sets V_IRQ itself, and L2 cannot take it.

    Gained: nothing; and it finds its V_IRQ as it left it.
    """
    report = adversary.run("own_virq")
    assert report.consoles["a"] == b"with an interrupt of L1's\n"
    assert report.value("int_ctl") == "1000100"
    assert report.value("int_vector") == "31"
