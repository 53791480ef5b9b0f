"""L1 tries to have the interceptor take L2 for L1, or L1 for L2. The first would hand it L2's console: an `out` would
become an exit, or reach L1's own port. The second would let it forge output and read input."""

from __future__ import annotations

import pytest

from tests.adversary.lab import Adversary, Report

SECRET = "<the secret>"


def _nothing_leaked(report: Report) -> None:
    """L1 was told of no access, and its own port carried nothing of L2's."""
    assert report.exits == []
    assert SECRET not in "".join(report.lines)
    assert report.consoles["a"].startswith(b"L2 begins\n")


def test_exit_code_overwritten_by_another_cpu(adversary: Adversary) -> None:
    """While L2 runs, L1's second CPU writes into its VMCB's EXITCODE, where a #VMEXIT would."""
    _nothing_leaked(adversary.run("exit_code_overwritten", smp=2))


def test_a_vmcb_that_takes_no_writes(adversary: Adversary) -> None:
    """The VMCB lies in shadow RAM that the chipset protects, and L2's port I/O is not intercepted by L1."""
    report = adversary.run("read_only_vmcb")
    assert report.number("write_protected") == 1
    assert report.consoles["a"] == b"L2 begins\n" + SECRET.encode()
    _nothing_leaked(report)


def test_vmrun_with_a_shorter_address(adversary: Adversary) -> None:
    """`addr32 vmrun` takes the VMCB's address from EAX; the rest of RAX names another."""
    _nothing_leaked(adversary.run("addr32_vmrun"))


def test_vmrun_where_32_bit_code_has_it(adversary: Adversary) -> None:
    """Its operand could be EAX or RAX. L2 is not believed then: it is given nothing, and L1 neither."""
    report = adversary.run("low_vmrun")
    assert report.value("exit") == "81"
    _nothing_leaked(report)


def test_an_exception_in_l2_where_l1_has_its_vmrun(adversary: Adversary) -> None:
    """L2 has an exception at the linear address of L1's VMRUN, with L1's value in CR3: as if VMRUN had faulted."""
    _nothing_leaked(adversary.run("exception_at_vmrun"))


def test_a_block_that_l1s_own_l2_has_spoilt(adversary: Adversary) -> None:
    """An L2 of L1's own runs the user's code page while a second CPU overwrites EXITCODE; then the user's L2 runs it:
    QEMU translates a block once for all."""
    report = adversary.run("poisoned_block", smp=2)
    assert report.value("users_told") == " exit=81"
    assert report.consoles["a"].endswith(SECRET.encode())


GAINS_AS_AN_IMPOSTOR = pytest.mark.xfail(
    strict=True, reason="known: it gains what an impostor gains (docs/threat-model.md)"
)


@pytest.mark.parametrize("keep", [0, pytest.param(1, marks=GAINS_AS_AN_IMPOSTOR)])
def test_host_state_rewritten_by_another_cpu(adversary: Adversary, keep: int) -> None:
    """While L2 runs, L1's second CPU rewrites L1's saved state; after the #VMEXIT L1 does port I/O, in code that was
    never run. It may also keep what stands in EXITCODE, and write that back."""
    report = adversary.run("host_state_rewritten", smp=2, keep=keep)
    assert report.number("kept") == 1, "the second CPU had no chance: this shows nothing"
    assert report.consoles["a"] == b"L2 begins\n"
    assert report.value("scratch") in ("77", "ff")  # its own, or none


def test_svme_toggled_by_l1s_own_l2(adversary: Adversary) -> None:
    """An L2 of L1's own clears EFER.SVME, runs on, sets it again, and runs the user's code page; then the user's L2
    runs it."""
    report = adversary.run("svme_toggled")
    assert report.value("users_told") == " exit=81"
    assert report.consoles["a"].endswith(SECRET.encode())


def test_vmrun_at_two_addresses(adversary: Adversary) -> None:
    """L1 has its VMRUN mapped twice; at the second address it faults, for the user's nested table, and the handler,
    never run before, does port I/O."""
    report = adversary.run("aliased_vmrun")
    assert report.consoles["a"] == b"L2 begins\n"
    assert report.value("scratch") == "77"


def test_a_stale_task_register(adversary: Adversary) -> None:
    """L2's user may print, by its TSS, but the VMCB that L1 runs names none: TR was loaded from another."""
    report = adversary.run("stale_task_register")
    _nothing_leaked(report)
    assert not report.value("exit").startswith("7b")


def test_exit_code_restored_by_another_cpu(adversary: Adversary) -> None:
    """At each #VMEXIT L1's second CPU writes back what stood in EXITCODE; L1's next instructions, never run before,
    are port I/O. Then the same once more, without the second CPU. It goes on until the second CPU has been in time
    often enough, which says nothing yet of who was first, it or the interceptor."""
    wanted = 200
    report = adversary.run("exit_code_restored", smp=2, tries=20000, chances=wanted)
    assert report.number("chances") >= wanted, "the second CPU had no chance: this shows nothing"
    tries = report.number("tries")
    written = [part.count(b"X") for part in report.consoles["a"].split(b"L2 again")]
    read = [report.number("foreign"), report.number("foreign_again")]
    assert (written, read) == ([0, 0], [0, 0]), f"L1's own `out` and `in` reached the console, of {tries} tries"
    assert sum(line.count("X") for line in report.lines) == 2 * tries
