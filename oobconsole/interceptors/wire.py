"""The wire between a native half and the server: a sans-I/O codec for `native/include/oob_wire.h`.

Bytes go in, events come out; what a peer may send, and when, is checked here and nowhere else.
docs/wire-protocol.md says what the frames mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import IntEnum, IntFlag
from struct import Struct
from typing import Final, NamedTuple

from oobconsole.config.table import NAME
from oobconsole.errors import WireError

MAGIC: Final = 0x31424F4F
VERSION: Final = 1
FRAME_MAX: Final = 4096
POSTED_MAX: Final = 2048
CONTEXTS_MAX: Final = 256
STATS_MAX: Final = 80
INPUT_MAX: Final = 16


class FrameType(IntEnum):
    """`enum oob_type`."""

    HELLO = 0x01
    ACCESS = 0x02
    POSTED = 0x03
    CONTEXT_APPEARED = 0x04
    CONTEXT_GONE = 0x05
    GAP = 0x06
    STATS = 0x07
    ANNOUNCED = 0x08
    THRE_SERVED = 0x09
    TAKEN = 0x0A
    WELCOME = 0x81
    ANSWER = 0x82
    IRQ = 0x83
    ATTENTION = 0x84
    PUBLISH = 0x85
    RESUME = 0x86
    READY = 0x87
    INPUT = 0x88


class Capability(IntFlag):
    """`enum oob_capability`."""

    IRQ_LEVEL = 1
    IRQ_PULSE = 2
    ATTENTION = 4
    PUBLISH = 8
    INPUT = 16


class IrqMode(IntEnum):
    """`enum oob_irq_mode`."""

    LOW = 0
    HIGH = 1
    PULSE = 2


class GoneReason(IntEnum):
    """`enum oob_gone_reason`."""

    REPLACED = 1
    RESET = 2
    EVICTED = 3
    SHUTDOWN = 4
    DESTROYED = 5


#: `enum oob_stat`, in its order.
STATS: Final = (
    "reads",
    "writes",
    "published",
    "injected",
    "forced",
    "clamped",
    "refused",
    "away",
    "dropped",
    "reconnects",
    "read_ns",
)
#: Counters behind those: accesses by how long their answer took, in quarter octaves from 1 us.
LATENCY_BUCKETS: Final = 64


class Hello(NamedTuple):
    """First frame of a connection: who the native half is."""

    capabilities: int
    machine: str
    instance: int


class Access(NamedTuple):
    """One port access whose vCPU waits for the answer."""

    context: int
    seq: int
    port: int
    size: int
    write: bool
    value: int
    vcpu: int


class Posted(NamedTuple):
    """Byte-wide writes to one port, in order, that nobody waits for."""

    context: int
    port: int
    data: bytes
    vcpu: int


class ThreServed(NamedTuple):
    """The guest has read from a port, IIR, that THR is empty; nobody waits."""

    context: int
    port: int


class Taken(NamedTuple):
    """The guest has read from a port, RBR, all characters before the one of that number; nobody waits."""

    context: int
    port: int
    next: int


class ContextAppeared(NamedTuple):
    """An L2 that has begun to use our ports, or is announced again on a new connection."""

    context: int
    vmcb: int
    ncr3: int


class ContextGone(NamedTuple):
    """An L2 that is no more."""

    context: int
    reason: GoneReason


class Gap(NamedTuple):
    """Output that was lost while the server was away."""

    context: int
    port: int
    lost: int


class Announced(NamedTuple):
    """Every context that a server has known has appeared; the native half waits for READY."""


class Stats(NamedTuple):
    """What the native half counted since it started: by the names in `STATS`, and in `LATENCY_BUCKETS`."""

    counters: dict[str, int]
    latency: tuple[int, ...]

    def latency_us(self, quantile: float) -> float:
        """The time in us within which that part (0 to 1) of the accesses was answered."""
        left = sum(self.latency) * quantile
        for bucket, count in enumerate(self.latency):
            if left <= count:
                return float(2 ** ((bucket + (left / count if count else 0)) / 4))
            left -= count
        return float(2 ** (LATENCY_BUCKETS / 4))


Event = Hello | Access | Posted | ThreServed | Taken | ContextAppeared | ContextGone | Gap | Stats | Announced

HEADER: Final = Struct("<HBBI")
HELLO: Final = Struct("<HBBIIHHI48sI")
WELCOME: Final = Struct("<HBBIIHHII")
ACCESS: Final = Struct("<HBBIIHBBIHH")
ANSWER: Final = Struct("<HBBIII")
POSTED: Final = Struct("<HBBIHHHH")
THRE_SERVED: Final = Struct("<HBBIHHI")
TAKEN: Final = Struct("<HBBIHHI")
CONTEXT_APPEARED: Final = Struct("<HBBIQQQ")
CONTEXT_GONE: Final = Struct("<HBBIII")
GAP: Final = Struct("<HBBIHHIQ")
STATS_FRAME: Final = Struct(f"<HBBIII{STATS_MAX}Q")
IRQ: Final = Struct("<HBBIBBHI")
ATTENTION: Final = Struct("<HBBIII")
PUBLISH: Final = Struct("<HBBIIHBB8s")
RESUME: Final = Struct("<HBBIHHIQ")
INPUT: Final = Struct("<HBBIHBBI16s")


def _body(frame: Struct) -> Struct:
    """A frame without its header, which is decoded first."""
    return Struct("<8x" + frame.format.removeprefix(HEADER.format))


_HELLO, _ACCESS, _POSTED, _THRE_SERVED = _body(HELLO), _body(ACCESS), _body(POSTED), _body(THRE_SERVED)
_TAKEN = _body(TAKEN)
_CONTEXT_APPEARED, _CONTEXT_GONE = _body(CONTEXT_APPEARED), _body(CONTEXT_GONE)
_GAP, _STATS_FRAME = _body(GAP), _body(STATS_FRAME)

#: The greatest value of an access, by its size in bytes.
VALUE_MAX: Final = {1: 0xFF, 2: 0xFFFF, 4: 0xFFFFFFFF}
_event: Final = tuple.__new__  # a NamedTuple's own constructor takes twice as long


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise WireError(reason)


class Decoder:
    """The server's end of one connection: takes a native half's byte stream apart.

    After it has raised, the stream has no meaning any more: every further call raises again.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._frames = _GREETING
        self._seq = 0
        self._contexts: set[int] = set()
        self._broken: str | None = None

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that `data` completes; to be iterated to its end.

        Raises:
            WireError: the peer sent what the protocol does not allow; with the reason. What came before
                that has been yielded.
        """
        if self._broken is not None:
            raise WireError(self._broken)
        buffer = self._buffer + data if self._buffer else data
        self._buffer = b""
        at, end = 0, len(buffer)
        try:
            while end - at >= 8:
                length, kind, flags, context = HEADER.unpack_from(buffer, at)
                shortest, longest, decode = self._frames.get(kind, _UNKNOWN)
                if flags or not shortest <= length <= longest:
                    self._refuse_header(length, kind, flags)
                if end - at < length:
                    break
                yield decode(self, buffer, at, length, context)
                at += length
        except WireError as error:
            self._broken = str(error)
            raise
        self._buffer = buffer[at:]

    def _refuse_header(self, length: int, kind: int, flags: int) -> None:
        greeted = self._frames is _GREETED
        _require(kind in _GREETED or kind in _GREETING, f"frame type {kind:#04x} is not one a native half sends")
        _require(greeted or kind in _GREETING, "the first frame is not HELLO")
        _require(not greeted or kind in _GREETED, "HELLO came twice")
        _require(not flags, "reserved flags are set")
        raise WireError(f"{FrameType(kind).name} of {length} bytes")

    def _access(self, buffer: bytes, at: int, length: int, context: int) -> Access:
        seq, port, size, direction, value, vcpu, reserved = _ACCESS.unpack_from(buffer, at)
        if (
            context not in self._contexts
            or seq != self._seq + 1
            or value > VALUE_MAX.get(size, -1)
            or direction > 1
            or port + size > 0x10000
            or reserved
            or (value and not direction)
        ):
            self._refuse_access(context, seq, port, size, direction, value)
        self._seq = seq if seq != 0xFFFFFFFF else -1
        return _event(Access, (context, seq, port, size, direction == 1, value, vcpu))

    def _refuse_access(self, context: int, seq: int, port: int, size: int, direction: int, value: int) -> None:
        self._require_appeared(context)
        _require(seq == self._seq + 1, f"access {seq} where access {self._seq + 1} was due")
        _require(size in VALUE_MAX, f"an access of {size} bytes")
        _require(port + size <= 0x10000, f"an access of {size} bytes at port {port:#x}")
        raise WireError(f"an access with direction {direction}, value {value:#x} or reserved bits that cannot be")

    def _require_appeared(self, context: int) -> None:
        _require(context in self._contexts, f"context {context} has not appeared")

    def _posted(self, buffer: bytes, at: int, length: int, context: int) -> Posted:
        port, count, vcpu, reserved = _POSTED.unpack_from(buffer, at)
        if context not in self._contexts or count != length - POSTED.size or reserved:
            self._require_appeared(context)
            raise WireError(f"POSTED of {length} bytes that says it has {count}, or with reserved bits")
        return _event(Posted, (context, port, buffer[at + 16 : at + length], vcpu))

    def _thre_served(self, buffer: bytes, at: int, length: int, context: int) -> ThreServed:
        port, reserved, reserved2 = _THRE_SERVED.unpack_from(buffer, at)
        if context not in self._contexts or reserved or reserved2:
            self._require_appeared(context)
            raise WireError("THRE_SERVED with reserved bits")
        return _event(ThreServed, (context, port))

    def _taken(self, buffer: bytes, at: int, length: int, context: int) -> Taken:
        port, reserved, following = _TAKEN.unpack_from(buffer, at)
        if context not in self._contexts or reserved:
            self._require_appeared(context)
            raise WireError("TAKEN with reserved bits")
        return _event(Taken, (context, port, following))

    def _hello(self, buffer: bytes, at: int, length: int, context: int) -> Hello:
        magic, version, reserved, capabilities, name, instance = _HELLO.unpack_from(buffer, at)
        _require(magic == MAGIC, "HELLO without the magic number: this is no native half")
        _require(version == VERSION, f"the native half speaks version {version}, this server {VERSION}")
        text, _, padding = name.partition(b"\0")
        machine = text.decode("ascii", "replace")
        _require(not padding.strip(b"\0") and name[-1] == 0, "the machine name is not padded with zeros")
        _require(NAME.fullmatch(machine) is not None, f"{machine!r} is no machine name")
        _require(instance != 0 and not reserved and not context, "HELLO without instance, or with reserved bits")
        self._frames = _GREETED
        return Hello(capabilities, machine, instance)

    def _appeared(self, buffer: bytes, at: int, length: int, context: int) -> ContextAppeared:
        vmcb, ncr3, reserved = _CONTEXT_APPEARED.unpack_from(buffer, at)
        _require(context != 0 and not reserved, "CONTEXT_APPEARED of context 0, or with reserved bits")
        _require(context not in self._contexts, f"context {context} appeared twice")
        _require(len(self._contexts) < CONTEXTS_MAX, f"more than {CONTEXTS_MAX} contexts at once")
        self._contexts.add(context)
        return ContextAppeared(context, vmcb, ncr3)

    def _gone(self, buffer: bytes, at: int, length: int, context: int) -> ContextGone:
        reason, reserved = _CONTEXT_GONE.unpack_from(buffer, at)
        self._require_appeared(context)
        known = 1 <= reason <= len(GoneReason)
        _require(known and not reserved, f"CONTEXT_GONE with reason {reason}, or with reserved bits")
        self._contexts.discard(context)
        return ContextGone(context, GoneReason(reason))

    def _gap(self, buffer: bytes, at: int, length: int, context: int) -> Gap:
        port, reserved, reserved2, lost = _GAP.unpack_from(buffer, at)
        self._require_appeared(context)
        _require(lost > 0 and not reserved and not reserved2, "GAP of nothing, or with reserved bits")
        return Gap(context, port, lost)

    def _stats(self, buffer: bytes, at: int, length: int, context: int) -> Stats:
        count, reserved, *counters = _STATS_FRAME.unpack_from(buffer, at)
        _require(count <= STATS_MAX and not reserved and not context, "STATS with too many counters or reserved bits")
        counters[count:] = [0] * (STATS_MAX - count)
        named = dict(zip(STATS, counters[:count], strict=False))
        return Stats(named, tuple(counters[len(STATS) : len(STATS) + LATENCY_BUCKETS]))

    def _announced(self, buffer: bytes, at: int, length: int, context: int) -> Announced:
        _require(not context, "ANNOUNCED of one context")
        return Announced()


#: Frame type: least and greatest length in bytes, and what decodes it.
_Frames = dict[int, tuple[int, int, Callable[[Decoder, bytes, int, int, int], Event]]]
_GREETING: Final[_Frames] = {0x01: (HELLO.size, HELLO.size, Decoder._hello)}
_GREETED: Final[_Frames] = {
    0x02: (ACCESS.size, ACCESS.size, Decoder._access),
    0x03: (POSTED.size + 1, POSTED.size + POSTED_MAX, Decoder._posted),
    0x04: (CONTEXT_APPEARED.size, CONTEXT_APPEARED.size, Decoder._appeared),
    0x05: (CONTEXT_GONE.size, CONTEXT_GONE.size, Decoder._gone),
    0x06: (GAP.size, GAP.size, Decoder._gap),
    0x07: (STATS_FRAME.size, STATS_FRAME.size, Decoder._stats),
    0x08: (HEADER.size, HEADER.size, Decoder._announced),
    0x09: (THRE_SERVED.size, THRE_SERVED.size, Decoder._thre_served),
    0x0A: (TAKEN.size, TAKEN.size, Decoder._taken),
}
_UNKNOWN: Final = (1, 0, Decoder._hello)


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
