"""The frames that the server sends; and HELLO, for those that play a native half."""

from __future__ import annotations

from oobconsole.interceptors.wire.frames import ANSWER, ATTENTION, HEADER, HELLO, INPUT, IRQ, PUBLISH, RESUME, WELCOME
from oobconsole.interceptors.wire.numbers import MAGIC, VERSION, FrameType, IrqMode


def encode_hello(machine: str, instance: int, capabilities: int = 0, version: int = VERSION) -> bytes:
    """HELLO, as a native half sends it."""
    name = machine.encode("ascii")
    return HELLO.pack(HELLO.size, FrameType.HELLO, 0, 0, MAGIC, version, 0, capabilities, name, instance)


def encode_welcome(capabilities: int) -> bytes:
    """WELCOME: the server accepts the native half."""
    return WELCOME.pack(WELCOME.size, FrameType.WELCOME, 0, 0, MAGIC, VERSION, 0, capabilities, 0)


def encode_answer(context: int, seq: int, value: int) -> bytes:
    """ANSWER to the ACCESS `seq`."""
    return ANSWER.pack(16, 0x82, 0, context, seq, value)


def encode_irq(context: int, line: int, mode: IrqMode, accesses: int) -> bytes:
    """IRQ: drive an ISA interrupt line (0-15), after `accesses` accesses (modulo 2**32)."""
    return IRQ.pack(IRQ.size, FrameType.IRQ, 0, context, line, mode, 0, accesses & 0xFFFFFFFF)


def encode_attention(context: int, attended: bool) -> bytes:
    """ATTENTION: is anybody attached."""
    return ATTENTION.pack(ATTENTION.size, FrameType.ATTENTION, 0, context, attended, 0)


def encode_publish(context: int, accesses: int, port: int, valid: int, after_thr: int, values: bytes) -> bytes:
    """PUBLISH: registers that may be read without asking, true after `accesses` accesses (modulo 2**32)."""
    return PUBLISH.pack(
        PUBLISH.size, FrameType.PUBLISH, 0, context, accesses & 0xFFFFFFFF, port, valid, after_thr, values
    )


def encode_input(context: int, port: int, number: int, data: bytes) -> bytes:
    """INPUT: the characters in a receiver (1 to `INPUT_MAX`), from the one of that number (modulo 2**32) on."""
    head = (INPUT.size, FrameType.INPUT, 0, context)
    return INPUT.pack(*head, port, len(data), 0, number & 0xFFFFFFFF, data)


def encode_resume(context: int, port: int, received: int) -> bytes:
    """RESUME: how many bytes of the port's output the server has, since the context was bound."""
    return RESUME.pack(RESUME.size, FrameType.RESUME, 0, context, port, 0, 0, received)


def encode_ready() -> bytes:
    """READY: a RESUME was sent for everything that the server knows."""
    return HEADER.pack(HEADER.size, FrameType.READY, 0, 0)
