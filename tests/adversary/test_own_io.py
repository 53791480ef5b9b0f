"""L1's own port I/O at the console's ports: it reaches L1's own hardware, and nothing of the guest's."""

from __future__ import annotations

from tests.adversary.lab import Adversary


def test_around_guest_runs(adversary: Adversary) -> None:
    """L1 uses its own COM1 before, between and after guest runs, and looks for the guest's input there.

    Gained: nothing. Each side has its own scratch register; what is typed is there for L2 alone.
    """
    with adversary.boot("own_io") as l1:
        l1.expect(rb"type=now", timeout=20)
        with l1.console("a") as console:
            console.send(b"typed")
            report = l1.finish(20)
    assert [line for line in report.lines if line.startswith("own=")] == ["own=before", "own=between"]
    assert report.consoles["a"] == b"L2 alone\n"
    assert (report.value("l2_scratch"), report.value("own_scratch")) == ("11", "77")
    assert (report.number("own_ready"), report.value("own_data")) == (0, "0")
    assert report.value("l2_read") == "typed"
    assert report.value("map") == "ff", "L1's permission map is not as it was"
    assert "typed" not in "".join(line for line in report.lines if not line.startswith("l2_read="))


def test_input_of_an_l2_that_only_polls(adversary: Adversary) -> None:
    """L1 lets L2 run and never interrupts it; L2 polls LSR. Gained: nothing: L2 sees what is typed."""
    with adversary.boot("polled_input") as l1:
        l1.expect(rb"type=now", timeout=20)
        with l1.console("a") as console:
            console.send(b"x")
            l1.finish(5)


def test_a_vmrun_that_fails(adversary: Adversary) -> None:
    """VMRUN faults, or exits at once, and L1's very next instruction is an `out` to the console's port.

    Gained: nothing. The console carries what L2 printed before; L1's own port gets both bytes of each try, and its
    own scratch register is what it reads.
    """
    report = adversary.run("failing_vmrun")
    for how in ("misaligned", "no_memory"):
        assert report.value(how) == "scratch:77 faults:1"
    for how in ("asid_0", "no_svme", "no_vmrun_intercept", "leaves_at_once", "nested_fault"):
        assert report.value(how) == "scratch:77 faults:0"
    assert sum(line.count("X") for line in report.lines) == 7
    assert report.consoles == {"a": b"L2 was here\n", "b": b""}


def test_one_instruction_for_both(adversary: Adversary) -> None:
    """L1 and L2 execute one `out` at one physical and linear address, by turns.

    Gained: nothing: QEMU keeps a translated block for each of them.
    """
    report = adversary.run("shared_code")
    turns = report.number("turns")
    assert [line for line in report.lines if set(line) == {"1"}] == ["1" * turns]
    assert report.consoles == {"a": b"2" * turns, "b": b""}


def test_init_takes_a_cpu_out_of_its_guest(adversary: Adversary) -> None:
    """L1 sends INIT to a CPU that runs L2: no #VMEXIT happens, and L1 goes on there.

    Gained: nothing: what L1 prints there goes to its own port, and L2, resumed, has its console.
    """
    report = adversary.run("init_in_guest", smp=2)
    assert "own=after INIT" in report.lines
    assert report.consoles["a"] == b"before INIT\nafter INIT\n"


def test_svm_turned_on_after_init(adversary: Adversary) -> None:
    """The same, and L1 there sets EFER.SVME and does port I/O, all in code that was never run.

    Gained: nothing: it is refused.
    """
    report = adversary.run("init_and_svme", smp=2)
    assert report.consoles["a"] == b"before INIT\nafter INIT\n"
    assert report.value("scratch") in ("77", "ff")  # its own, or none
