"""L1 meddles with L2's registers and code between its runs, and listens at its exits."""

from __future__ import annotations

import pytest

from tests.adversary.lab import LONG_TEXT, Adversary

#: What L2 has in RAX and RDX when it prints `F` (payload/l2code.S).
RAX, RDX = "1122334455667746", "99aabbcc000003f8"


@pytest.mark.parametrize(
    ("attack", "l2_has"),
    [
        ("forced_honest", (RAX, RDX)),
        ("forced_registers", (RAX, RDX)),
        ("forced_again", ("1122334400000000", "99aabbcc00000080")),
        ("forced_elsewhere", ("1122334400000000", "0")),
    ],
)
def test_a_forced_exit(adversary: Adversary, attack: str, l2_has: tuple[str, str]) -> None:
    """At an exit that the interceptor forced, L1 resumes L2 as it should; with other registers; once more at the same
    instruction; or elsewhere, at code that shows L1 the registers.

    Gained: nothing. L1 sees `out 0x80` with a zero in place of the byte, nothing in RDX, and never gets the byte
    back: it is restored only behind the forced instruction. An L2 that is resumed elsewhere has lost two registers.
    """
    report = adversary.run(attack)
    assert report.value("forced_exit") == "7b"
    assert (report.value("seen_rax"), report.value("seen_rdx")) == ("1122334400000000", "0")
    assert (report.value("l2_rax"), report.value("l2_rdx")) == l2_has
    assert report.consoles["a"] == b"F"


def test_a_step_after_a_forced_exit(adversary: Adversary) -> None:
    """L1 resumes L2 with the trap flag, and sees its registers one instruction later.

    Gained: the byte that was printed, as documented: L1 sees L2's registers at every exit.
    """
    report = adversary.run("forced_single_step")
    assert report.value("seen_rax") == "1122334400000000"
    assert report.value("step_rax") == RAX


def test_reads_single_stepped(adversary: Adversary) -> None:
    """L1 has L2 trap after each instruction, and looks at AL after each `in` from the receive register.

    Gained: what is typed, as documented: only hidden registers would prevent it.
    """
    with adversary.boot("stepped_reads") as l1:
        l1.expect(rb"type=now", timeout=20)
        with l1.console("a") as console:
            console.send(b"secret")
            report = l1.finish(20)
    assert bytes.fromhex(report.value("heard")) == b"secret"


@pytest.mark.parametrize("takes", [0, 1])
def test_an_interrupt_of_l1s(adversary: Adversary, takes: int) -> None:
    """L1 injects an interrupt, as every hypervisor does, and L2's handler looks at its port and prints.

    It is delivered once, though QEMU would deliver it again if the first access were stepped over. Gained: nothing.
    """
    report = adversary.run("injected", takes=takes)
    assert report.number("handled") == 1
    assert report.consoles["a"] == b"I"
    assert report.exits == []


@pytest.mark.parametrize(
    ("user", "takes", "window", "exits"),
    [
        (0, 1, 0, "81,81"),
        (0, 0, 0, "81,81"),
        (0, 1, 1, "64,64"),
        (0, 0, 1, "81,81"),
        (1, 1, 0, "81,81"),
        (1, 1, 1, "81,64"),
    ],
)
def test_an_interrupt_of_l1s_while_another_cpu_stops_all(
    adversary: Adversary, user: int, takes: int, window: int, exits: str
) -> None:
    """L1 injects an interrupt, and its other CPU has QEMU stop all CPUs again and again while L2's handler runs.

    It is delivered once: QEMU by itself delivers what EVENTINJ has injected once more at each stop. In the kernel,
    whether it takes interrupts or not, and in a user's code, and when L1 waits for the next interrupt's turn.
    """
    report = adversary.run("injected_and_stopped", smp=2, timeout=60, user=user, takes=takes, window=window)
    assert report.number("handled") == 1
    assert report.value("exits") == exits
    assert report.value("left") == f"{window << 8:x},0"


def test_code_that_changes(adversary: Adversary) -> None:
    """L2 rewrites its own `out` to `nop` and back, in the block that runs; then L1 does, while L2 is stopped.

    Gained: nothing: what is executed is what is there.
    """
    assert adversary.run("modified_code").consoles["a"] == b"0246"


def test_interrupted_while_l2_prints(adversary: Adversary) -> None:
    """L1 takes the CPU away 2000 times a second. Gained: nothing: every byte arrives, once."""
    report = adversary.run("interrupted")
    assert report.number("interrupts") > 0
    assert report.consoles["a"] == LONG_TEXT * report.number("rounds")


def test_last_words_arrive(adversary: Adversary) -> None:
    """L1 ends the machine right after L2 has printed. Gained: nothing: what was printed arrives."""
    assert adversary.run("shared_table", settle=0).consoles["a"] == b"first vCPU\nsecond vCPU\nfirst again\n"
