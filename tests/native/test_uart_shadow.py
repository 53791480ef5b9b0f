"""The native half's shadow of a 16550 beside the server's model of one: what the shadow says that it knows is what
the model would have answered, after any program. The two share no line of code, nor a language."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oobconsole.devices.uart16550 import Iir, Reg, Uart16550
from tests.native.shadow import Look, Shadow, Told

THRI = 0x02
#: What a guest reads whose receiver is empty.
EMPTY = (0xFF, 0, bytes([0, 0, 0xC1, 3, 0, 0x60, 0xB0, 0]))
DLAB, LOOP = 0x80, 0x10

REGISTERS = st.integers(0, 7)
#: Registers and values that drivers write come more often than others: THR, FIFOs on and off, OUT2 and loopback.
WRITES = st.one_of(
    st.tuples(REGISTERS, st.integers(0, 255)),
    st.tuples(st.just(0), st.integers(0, 255)),
    st.tuples(st.just(1), st.integers(0, 15)),
    st.tuples(st.just(2), st.sampled_from([0, 1, 3, 7, 0x81, 0xC1])),
    st.tuples(st.just(3), st.sampled_from([3, 0x83])),
    st.tuples(st.just(4), st.sampled_from([0x0B, 0x1B, 3])),
)
STEPS = st.one_of(
    st.tuples(st.just("write"), WRITES),
    st.tuples(st.just("write"), st.tuples(st.just(0), st.integers(0, 255))),
    st.tuples(st.just("read"), REGISTERS),
    st.tuples(st.just("read"), st.sampled_from([Reg.IIR, Reg.LSR, 0])),
    st.tuples(st.just("feed"), st.binary(min_size=1, max_size=20)),
    st.tuples(st.just("break"), st.none()),
    st.tuples(st.just("modem"), st.integers(0, 15)),
    st.tuples(st.just("publish"), st.none()),
    st.tuples(st.just("time"), st.integers(1, 100_000_000)),
)


class Pair:
    """A guest's UART: the server's model, and the native half's shadow of it.

    What comes from the far side is published at once; what the guest does, when the program says so: of that the
    shadow knows without being told.
    """

    def __init__(self, library: Path) -> None:
        self.now = 0
        self.output = bytearray()
        self.model = Uart16550(transmit=self.output.extend, irq=lambda _: None, clock=lambda: self.now, first=7)
        self.shadow = Shadow(library)
        self.known = 0

    def publish(self) -> None:
        """What the server says of the port."""
        if self.shadow.owes is not None:
            self.shadow.accesses += 1
        number, images = self.model.ahead()
        self.shadow.publish(number, images)

    def write(self, register: int, value: int) -> None:
        """As serve.c serves a write while the server is there."""
        before = len(self.output)
        output = self.shadow.write(register, value)
        self.model.write(register, value)
        assert len(self.output) - before == output, "they do not agree about what goes on the line"
        if register == 0 and not output:
            self.publish()  # loopback: the guest waits for the server
        self.compare_lines()

    def read(self, register: int) -> None:
        """As serve.c serves a read."""
        told, value = self.shadow.read(register)
        expected = self.model.read(register)
        if told is Told.UNKNOWN:
            self.shadow.accesses += 1
            value = expected
            self.publish()
        else:
            self.known += 1
            assert value == expected, f"register {register}: {told.name} {value:#x}, the model has {expected:#x}"
        if told is Told.EFFECT:
            self.shadow.was_told(register)
        look = self.shadow.saw(register, value, asked=told is Told.UNKNOWN)
        assert look is (Look.NONE if register != Reg.IIR else Look.DONE if value & 1 else Look.MORE)
        self.compare_lines()

    def compare_lines(self) -> None:
        """The shadow drives the line as the model does, or does not know."""
        assert self.shadow.level() in (-1, self.model.irq_level)

    def far_side(self, name: str, value: object) -> None:
        """What comes from the other end of the line; the server says so at once."""
        if name == "feed" and isinstance(value, bytes):
            self.model.feed(value)
        elif name == "break":
            self.model.receive_break()
        elif name == "modem" and isinstance(value, int):
            cts, dsr, ri, dcd = (bool(value >> bit & 1) for bit in range(4))
            self.model.set_modem_lines(cts=cts, dsr=dsr, ri=ri, dcd=dcd)
        elif name == "time" and isinstance(value, int):
            self.now += value
            self.model.poll()
        self.publish()
        self.compare_lines()


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(program=st.lists(STEPS, min_size=30, max_size=80))
def test_what_the_shadow_knows_is_what_the_model_answers(library: Path, program: list[tuple[str, object]]) -> None:
    pair = Pair(library)
    for name, value in program:
        if name == "write" and isinstance(value, tuple):
            pair.write(*value)
        elif name == "read" and isinstance(value, int):
            pair.read(value)
        else:
            pair.far_side(name, value)


@settings(max_examples=100, deadline=None)
@given(program=st.lists(st.one_of(WRITES, REGISTERS), min_size=20, max_size=60))
def test_standing_in_it_is_a_16550_at_which_nobody_types(library: Path, program: list[object]) -> None:
    """In loopback it has no receiver: once the guest has sent something to itself, what tells of that is not
    compared."""
    model = Uart16550(transmit=lambda _: None, irq=lambda _: None, clock=lambda: 0)
    shadow = Shadow(library)
    looped = False
    for step in program:
        if isinstance(step, tuple):
            shadow.write(*step)
            model.write(*step)
            looped |= model.peek(Reg.MCR) in range(LOOP, 2 * LOOP)
        elif isinstance(step, int) and not looped:
            told, value = shadow.read(step)
            if told is Told.UNKNOWN:
                value = shadow.idle_read(step)
            assert value == model.read(step), f"register {step}"
            assert shadow.level(alone=True) == model.irq_level


@settings(max_examples=100, deadline=None)
@given(program=st.lists(WRITES, min_size=10, max_size=40))
def test_a_replay_makes_a_new_model_what_the_old_one_is(library: Path, program: list[tuple[int, int]]) -> None:
    """A server that has just started is brought to the registers that the guest has written."""
    shadow = Shadow(library)
    old, new = (Uart16550(transmit=lambda _: None, irq=lambda _: None, clock=lambda: 0) for _ in range(2))
    for register, value in program:
        shadow.write(register, value)
        old.write(register, value)
    for register, value in shadow.replay():
        new.write(register, value)
    for register in (Reg.LCR, Reg.MCR, Reg.SCR):
        assert new.read(register) == old.read(register)
    for latch in (0, DLAB):
        for uart in (old, new):
            uart.write(Reg.LCR, latch | 3)
        assert new.read(Reg.IER) == old.read(Reg.IER)
    assert new.read(0) == old.read(0), "the divisor"


@pytest.fixture
def shadow(library: Path) -> Shadow:
    """As after power-on."""
    return Shadow(library)


def test_a_driver_that_prints_does_not_ask(library: Path) -> None:
    """As Linux's 8250 goes about it: nothing is unknown once the server has published."""
    pair = Pair(library)
    pair.publish()
    for register, value in ((Reg.FCR, 0x81), (Reg.MCR, 0x0B), (Reg.IER, 0x07)):
        pair.write(register, value)
    for turn in range(1, 4):
        pair.write(0, ord("x"))
        for register in (Reg.IIR, Reg.LSR, Reg.MSR, Reg.IIR):
            pair.read(register)
        assert pair.known == 4 * turn


@pytest.mark.parametrize("looped_again", [True, False])
@pytest.mark.parametrize("modem", [0b1011, 0b1001, 0b0100])
def test_the_modem_may_change_its_lines_during_loopback(library: Path, modem: int, looped_again: bool) -> None:
    """MSR shows the UART's own outputs then. Behind loopback it shows the lines of the far side, and which of them
    have changed; the shadow knows that without asking."""
    pair = Pair(library)
    pair.publish()
    pair.write(Reg.IER, 8)
    for outputs in (0x0B, 0x05):
        pair.write(Reg.MCR, LOOP | outputs)
        pair.far_side("modem", modem)
        pair.read(Reg.MSR)
        pair.write(Reg.MCR, 0x0B)
        if looped_again:
            pair.write(Reg.MCR, LOOP | 0x0B)
        known = pair.known
        for register in (Reg.IIR, Reg.MSR, Reg.IIR, Reg.MSR):
            pair.read(register)
        assert pair.known - known == 4


def test_an_interrupt_of_an_empty_thr_is_due_at_the_server_as_the_guest_was_promised(shadow: Shadow) -> None:
    """The server has served the one before; the guest has asked for another while the server was late."""
    uart = Uart16550(transmit=lambda _: None, irq=lambda _: None, clock=lambda: 0)

    def replay() -> None:
        for register, value in shadow.replay():
            uart.write(register, value)

    for value in (THRI, 0, THRI):
        shadow.write(Reg.IER, value)
    replay()
    assert uart.read(Reg.IIR) == Iir.THRI
    assert uart.read(Reg.IIR) == Iir.NONE
    replay()
    assert uart.read(Reg.IIR) == Iir.THRI
    assert shadow.idle_read(Reg.IIR) == Iir.THRI
    replay()
    assert uart.read(Reg.IIR) == Iir.NONE


def test_a_reset_leaves_nothing_of_what_was_received(shadow: Shadow) -> None:
    shadow.publish(3, [(0xFF, 1, bytes([ord("a"), 0, 0xC4, 3, 0, 0x61, 0xB0, 0])), EMPTY])
    shadow.write(Reg.SCR, 0x5A)
    shadow.restart()
    assert shadow.read(Reg.SCR) == (Told.PLAIN, 0)
    assert shadow.read(0) == (Told.PLAIN, 0)
    assert shadow.owes is None


def test_registers_are_recalled_and_nothing_else(library: Path, shadow: Shadow) -> None:
    other = Shadow(library)
    other.publish(3, [(0xFF, 1, bytes([ord("a"), 0, 0xC4, 3, 0, 0x61, 0xB0, 0])), EMPTY])
    other.write(Reg.SCR, 0x5A)
    shadow.recall(other)
    assert shadow.read(Reg.SCR) == (Told.PLAIN, 0x5A)
    assert shadow.read(0) == (Told.PLAIN, 0)
    assert shadow.read(Reg.LSR)[0] is Told.UNKNOWN


def test_a_server_that_was_away_is_told_what_was_read(shadow: Shadow) -> None:
    assert [register for register, _ in shadow.reads()] == [Reg.IIR, Reg.MSR]
    shadow.write(0, ord("x"))
    shadow.publish(3, [(0xFF, 1, bytes([ord("a"), 0, 0xC4, 3, 0, 0x61, 0xB0, 0])), EMPTY])
    assert [register for register, _ in shadow.reads()] == [Reg.MSR, 0]
    assert shadow.read(0) == (Told.EFFECT, ord("a"))
    assert shadow.number == 4


def test_what_is_owed_is_told_once_or_not_at_all(shadow: Shadow) -> None:
    shadow.publish(0, [EMPTY])
    shadow.write(Reg.IER, THRI)
    assert shadow.read(Reg.IIR) == (Told.LATER, 2)
    assert shadow.owes == Reg.IIR
    assert shadow.owes is None
    shadow.write(0, ord("x"))
    assert shadow.read(Reg.IIR)[0] is Told.LATER
    shadow.write(0, ord("y"))
    assert shadow.owes is None, "the next byte makes it pending again"


def test_an_empty_transmitter_interrupts_whatever_is_not_known(shadow: Shadow) -> None:
    """Before the server has published anything, a guest's first interrupt is due."""
    shadow.write(Reg.IER, THRI | 5)
    assert shadow.level() == 0, "OUT2 holds it back"
    shadow.write(Reg.MCR, 0x0B)
    assert shadow.level() == 1
    shadow.idle_read(Reg.IIR)
    assert shadow.level() == -1
    assert shadow.level(alone=True) == 0


@pytest.mark.parametrize(("lcr", "mcr", "writes"), [(3, 0x0B, 0), (DLAB | 3, 0x0B, 2), (3, 0x1B, 2)])
def test_output_that_comes_late_is_for_the_line(shadow: Shadow, lcr: int, mcr: int, writes: int) -> None:
    shadow.write(Reg.LCR, lcr)
    shadow.write(Reg.MCR, mcr)
    assert shadow.around_output(behind=False) == [(Reg.LCR, 3), (Reg.MCR, 0x0B)][:writes]
    assert shadow.around_output(behind=True) == [(Reg.LCR, lcr), (Reg.MCR, mcr)][:writes]
