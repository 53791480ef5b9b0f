"""Encodes the frames that the server sends, and HELLO, for tests and benchmarks that play a native half."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from oobconsole.interceptors.wire.frames import (
    ANSWER,
    ATTENTION,
    HEADER,
    HELLO,
    IMAGE,
    IRQ,
    PORT_RANGE,
    PUBLISH,
    RESUME,
    WELCOME,
    PortRange,
)
from oobconsole.interceptors.wire.numbers import MAGIC, VERSION, FrameType, IrqMode

_ANSWER: Final = int(FrameType.ANSWER)  # a vCPU waits for this frame, and a plain integer is packed faster


def encode_hello(
    machine: str,
    instance: int,
    capabilities: int = 0,
    version: int = VERSION,
    ranges: Sequence[PortRange] = (),
) -> bytes:
    """HELLO: a native half names its machine, its instance (not 0) and the ranges that it intercepts."""
    head = (HELLO.size, FrameType.HELLO, 0, 0, MAGIC, version, len(ranges))
    return HELLO.pack(*head, capabilities, machine.encode("ascii"), instance, _pack(ranges))


def encode_welcome(capabilities: int, ranges: Sequence[PortRange] = ()) -> bytes:
    """WELCOME: the server accepts the native half, and serves these ranges."""
    head = (WELCOME.size, FrameType.WELCOME, 0, 0, MAGIC, VERSION, len(ranges))
    return WELCOME.pack(*head, capabilities, 0, _pack(ranges))


def _pack(ranges: Sequence[PortRange]) -> bytes:
    return b"".join(PORT_RANGE.pack(*one) for one in ranges)


def encode_answer(context: int, seq: int, value: int) -> bytes:
    """ANSWER: the value that the guest reads by ACCESS number `seq`; 0 as the answer to a write."""
    return ANSWER.pack(ANSWER.size, _ANSWER, 0, context, seq, value)


def encode_irq(context: int, line: int, mode: IrqMode, accesses: int) -> bytes:
    """IRQ: drive an ISA interrupt line (0-15). The server has served `accesses` accesses (modulo 2**32) before."""
    return IRQ.pack(IRQ.size, FrameType.IRQ, 0, context, line, mode, 0, accesses & 0xFFFFFFFF)


def encode_attention(context: int, attended: bool) -> bytes:
    """ATTENTION: whether anybody is attached to the context's console."""
    return ATTENTION.pack(ATTENTION.size, FrameType.ATTENTION, 0, context, attended, 0)


def encode_publish(
    context: int, accesses: int, port: int, number: int, images: Sequence[tuple[int, int, bytes]]
) -> bytes:
    """PUBLISH: what the guest will read from the range that begins at `port`, after `accesses` accesses. `number` is
    that of the first image (both are modulo 2**32). An image is (valid, effects, values): `devices.device.Image`."""
    length = PUBLISH.size + IMAGE.size * len(images)
    head = (length, FrameType.PUBLISH, 0, context, accesses & 0xFFFFFFFF, number & 0xFFFFFFFF)
    return PUBLISH.pack(*head, port, len(images), 0) + b"".join([IMAGE.pack(*image) for image in images])


def encode_resume(context: int, port: int, received: int) -> bytes:
    """RESUME: how many bytes of the port's output the server has received since the context was first bound."""
    return RESUME.pack(RESUME.size, FrameType.RESUME, 0, context, port, 0, 0, received)


def encode_ready() -> bytes:
    """READY: the server has sent a RESUME for every context that it knows."""
    return HEADER.pack(HEADER.size, FrameType.READY, 0, 0)
