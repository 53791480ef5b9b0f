"""Whatever happens to the link, a guest reads what the 16550 alone would have given it.

A random guest program runs on the native half (C), with the server's connection and device behind it, while the
server is slow, is stopped, loses its connection or is restarted. A second 16550, the reference, runs the same program
without a wire: it receives each character at the moment at which the native half learns of it. Everything that the
guest reads must be equal, byte for byte, and so must the interrupt line.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from oobconsole.devices.uart16550 import Uart16550
from tests.native.half import FCR, IER, IIR, LCR, LSR, MCR, MSR, RBR, SCR, THR, Half
from tests.native.served import Model, Server

SECOND = 1_000_000_000
#: What drivers write, and what they do not.
VALUES: dict[int, tuple[int, ...]] = {
    IER: (0x00, 0x01, 0x02, 0x03, 0x05, 0x07, 0x0F),
    FCR: (0x00, 0x01, 0x07, 0x41, 0x81, 0xC1, 0xC7, 0x03, 0x05),
    LCR: (0x03, 0x83, 0x43),
    MCR: (0x00, 0x03, 0x0B, 0x08, 0x1B, 0x12, 0x18),
    SCR: (0x5A, 0xA5),
}
Step = tuple[Any, ...]

reads = st.tuples(st.just("read"), st.sampled_from((RBR, IER, IIR, LCR, MCR, LSR, MSR, SCR)))
polls = st.tuples(st.just("read"), st.sampled_from((IIR, LSR, RBR)))
writes = st.sampled_from([("write", register, value) for register in VALUES for value in VALUES[register]])
prints = st.tuples(st.just("print"), st.binary(min_size=1, max_size=20))
types = st.tuples(st.just("type"), st.binary(min_size=1, max_size=40).map(lambda b: b.replace(b"\0", b"0")))
world = st.sampled_from(
    [
        *([("turn",)] * 4),
        *([("service",)] * 2),
        ("poll",),
        ("timeout",),
        ("break",),
        ("stop",),
        ("go",),
        ("drop",),
        ("connect",),
        ("later", 2_000_000),
        ("later", 6 * SECOND),
    ]
)
steps = st.lists(st.one_of(reads, polls, polls, writes, prints, types, world, world), max_size=80)
resets = st.sampled_from([("restart",), ("reset",)])
restarts = st.lists(st.one_of(reads, polls, writes, prints, types, world, world, resets), max_size=80)


class Run:
    """One run: the native half with its server, and the reference."""

    def __init__(self, half: Half) -> None:
        self.half = half
        self.server = Server(half)
        self.printed = bytearray()
        self.now = 0
        self.reference = Uart16550(transmit=self.printed.extend, irq=lambda _: None, clock=lambda: self.now, first=0)
        self.typed = bytearray()
        self.read_back = bytearray()
        self.clears = False  # the guest has emptied its receiver, perhaps of what it never knew of
        self.log: list[object] = []
        self.server.connect()

    # -- the guest ----------------------------------------------------------------------------------

    def read(self, register: int) -> int:
        value = self.half.read(register)
        popped = register == RBR and not self.reference.divisor_latch and self.shows(value)
        self.learn(bytes((value,)) + self.half.held if popped else self.half.held)
        if register == IIR and value & 0x0F == 0x0C:
            self.time_out()
        expected = self.reference.read(register)
        self.log.append((register, hex(value), hex(expected)))
        assert value == expected, self.log
        if popped:
            self.read_back.append(value)
        self.compare()
        return value

    def shows(self, value: int) -> bool:
        """Was this read from a receiver that had something? An empty one reads as 0, and so does a break."""
        return bool(value) or len(self.reference.ahead().images) > 1

    def write(self, register: int, value: int) -> None:
        if register == THR and self.reference.read(MCR) & 0x10:
            return  # in loopback, this is the guest's own input: another test
        before = self.half.held
        self.learn(before)
        self.half.write(register, value)
        if register == FCR:
            self.clears |= bool(value & 2 or (value ^ self.fcr) & 1)
            self.fcr = value
        elif register != FCR:
            self.learn(self.half.held)
        self.reference.write(register, value)
        self.log.append(("w", register, hex(value)))
        self.compare()

    fcr = 0

    def learn(self, known: bytes) -> None:
        """The reference receives what the native half has learnt of."""
        there = self.held_by(self.reference)
        assert known[: len(there)] == there, (known, there, self.log)
        for character in known[len(there) :]:
            self.reference._receiver.receive(character if character else 0x1000)  # 0: a break
        self.reference._update()

    @staticmethod
    def held_by(uart: Uart16550) -> bytes:
        return bytes(character & 0xFF for character in uart._receiver.characters)

    def time_out(self) -> None:
        self.now += SECOND
        self.reference.poll()

    def compare(self) -> None:
        """Behind each step: the interrupt line."""
        self.learn(self.half.held)
        if self.half.images and self.half.receiver == 0x0C:
            self.time_out()
        if self.half.images and self.half.receiver != 0xFF:
            assert self.half.level() == self.reference.irq_level, self.log

    # -- the world ----------------------------------------------------------------------------------

    def happen(self, what: str, *about: Any) -> None:
        self.log.append((what, *about))
        act: dict[str, Callable[..., object]] = {
            "read": self.read,
            "write": self.write,
            "print": self.print,
            "type": self.type,
            "turn": self.server.turn,
            "service": self.service,
            "poll": self.half.poll,
            "timeout": lambda: self.server.model.pass_time(SECOND),
            "break": self.server.model.uart.receive_break,
            "stop": lambda: setattr(self.server, "silent", True),
            "go": lambda: setattr(self.server, "silent", False),
            "drop": self.server.drop,
            "connect": self.connect,
            "later": self.half.let_pass,
            "restart": self.restart,
            "reset": self.reset,
        }
        act[what](*about)
        if not self.half.connected:
            self.half.closed()
            self.server.forget()
        self.compare()

    def print(self, data: bytes) -> None:
        for byte in data:
            self.write(THR, byte)

    def type(self, data: bytes) -> None:
        self.typed += data
        self.server.model.typed.extend(data)
        if not self.server.silent:
            self.server.model.pump()

    def service(self) -> None:
        if self.half.connected:
            self.half.service()

    def connect(self) -> None:
        if not self.half.connected and not self.server.silent:
            self.server.connect()

    def restart(self) -> None:
        self.server.restart()

    def reset(self) -> None:
        """The guest is reset, and its devices with it; its firmware enables the FIFOs, which empties the receiver."""
        self.clears = True
        self.half.restart()
        self.reference.reset()
        self.fcr = 0
        self.write(FCR, 0x07)

    def settle(self) -> None:
        """Everything that was said arrives."""
        self.server.silent = False
        for _ in range(6):
            self.happen("connect")
            for what in ("turn", "poll", "service", "turn", "poll"):
                self.happen(what)

    def end(self) -> None:
        """The guest reads all that there is; both 16550s are the same then."""
        self.write(LCR, 0x03)
        self.write(MCR, 0x0B)
        self.settle()
        for _ in range(len(self.typed) + 100):
            if not self.read(LSR) & 1:
                self.settle()
                if not self.read(LSR) & 1:
                    break
            self.read(RBR)
        self.settle()
        self.read(MSR)  # a server that was away does not learn of changes that the guest has not read
        self.settle()


def check(run: Run, program: list[Step]) -> None:
    for step in program:
        run.happen(*step)
    run.end()


def in_a_loop(library: Path, program: list[Step], judge: Callable[[Run], None]) -> None:
    async def body(folder: Path) -> None:
        run = Run(Half(library, folder))
        try:
            check(run, program)
            judge(run)
        finally:
            run.server.drop()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(body(Path(folder)))


def nothing_is_lost(run: Run) -> None:
    model: Model = run.server.model
    assert bytes(model.printed) == bytes(run.printed), run.log
    keys = bytes(run.read_back).replace(b"\0", b"")
    if run.clears:
        rest = iter(run.typed)
        assert all(key in rest for key in keys), "in order, none twice"
    else:
        assert keys == bytes(run.typed), run.log
    assert model.uart.ahead().images == run.reference.ahead().images, run.log
    assert run.half.level() == model.uart.irq_level


def nothing_is_doubled(run: Run) -> None:
    """What was in the receiver of a server that was killed may be lost; the rest comes in order, and once. What was
    printed is all there: the native half has kept it."""
    model: Model = run.server.model
    assert bytes(model.printed) == bytes(run.printed), run.log
    rest = iter(run.typed)
    assert all(key in rest for key in bytes(run.read_back).replace(b"\0", b"")), run.log
    assert model.uart.ahead().images == run.reference.ahead().images, run.log
    assert run.half.level() == model.uart.irq_level


RANDOM = settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))


@RANDOM
@given(program=steps)
@example(program=[("write", FCR, 0x07), ("type", b"ab"), ("turn",), ("write", FCR, 0x07), ("poll",), ("read", LSR)])
@example(
    program=[
        *[("write", FCR, 0x01), ("break",), ("turn",), ("poll",), ("stop",), ("read", LSR), ("drop",), ("go",)],
        *[("connect",), ("turn",), ("poll",), ("turn",), ("poll",), ("read", LSR), ("read", RBR)],
    ]
)
@example(
    program=[
        *[("write", FCR, 0x01), ("break",), ("turn",), ("poll",), ("drop",), ("read", LSR), ("connect",)],
        *[("turn",), ("poll",), ("turn",), ("poll",), ("turn",), ("poll",), ("read", LSR), ("read", RBR)],
    ]
)
def test_a_guest_reads_what_the_model_alone_would_have_given_it(library: Path, program: list[Step]) -> None:
    in_a_loop(library, program, nothing_is_lost)


@RANDOM
@given(program=restarts)
def test_a_server_that_is_killed_and_started_again(library: Path, program: list[Step]) -> None:
    in_a_loop(library, program, nothing_is_doubled)
