"""Splits a native half's byte stream into events. This module alone checks what a native half may send, and when."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct
from typing import Final

from oobconsole.config.table import NAME
from oobconsole.errors import VersionError, WireError
from oobconsole.interceptors.wire.frames import (
    ACCESS,
    CONTEXT_APPEARED,
    CONTEXT_GONE,
    GAP,
    HEADER,
    HELLO,
    PORT_RANGE,
    POSTED,
    READ_SERVED,
    STATS_FRAME,
    Access,
    Announced,
    ContextAppeared,
    ContextGone,
    Event,
    Gap,
    Hello,
    PortRange,
    Posted,
    ReadServed,
    Stats,
)
from oobconsole.interceptors.wire.numbers import (
    CONTEXTS_MAX,
    FRAME_MAX,
    LATENCY_BUCKETS,
    MAGIC,
    POSTED_MAX,
    RANGES_MAX,
    STATS,
    STATS_MAX,
    VALUE_MAX,
    VERSION,
    FrameType,
    GoneReason,
)


def _body(frame: Struct) -> Struct:
    """The layout of a frame without its header, because the header is decoded first."""
    return Struct("<8x" + frame.format.removeprefix(HEADER.format))


_HELLO, _ACCESS, _POSTED, _READ_SERVED = _body(HELLO), _body(ACCESS), _body(POSTED), _body(READ_SERVED)
#: The fields with which HELLO begins in every version: magic number and version.
_GREETING_WORDS: Final = Struct("<8xIH")
_CONTEXT_APPEARED, _CONTEXT_GONE = _body(CONTEXT_APPEARED), _body(CONTEXT_GONE)
_GAP, _STATS_FRAME = _body(GAP), _body(STATS_FRAME)
_GONE_REASONS: Final = frozenset(GoneReason)

_event: Final = tuple.__new__  # a NamedTuple's own constructor takes twice as long


def _other_version(version: int) -> str:
    if version < VERSION:
        what_to_do = "Restart its QEMU with the oob_tcg.so of this server's release, which is the newer one."
    else:
        what_to_do = "Install the server of the native half's release, which is the newer one."
    return (
        f"the native half speaks version {version} of the protocol, this server {VERSION}: both must come from one "
        f"release of oobconsole. {what_to_do}"
    )


def _require(condition: bool, reason: str) -> None:
    if not condition:
        raise WireError(reason)


def _ranges(count: int, data: bytes) -> tuple[PortRange, ...]:
    """Return the first `count` ranges of a HELLO; the others must be zero. Raises `WireError`."""
    _require(count <= RANGES_MAX, f"HELLO announces {count} port ranges, of which there can be {RANGES_MAX}")
    ranges = tuple(map(PortRange._make, PORT_RANGE.iter_unpack(data)))
    for one in ranges[:count]:
        sound = one.length and one.first + one.length <= 0x10000 and 0 < one.widths < 8
        _require(bool(sound) and not one.posted, f"HELLO announces a port range that cannot be: {one}")
    _require(not any(map(any, ranges[count:])), f"HELLO has more port ranges than the {count} that it announces")
    return ranges[:count]


def _span(shortest: int, longest: int) -> str:
    return str(shortest) if shortest == longest else f"{shortest} to {longest}"


class Decoder:
    """The server's end of one connection: splits a native half's byte stream into events.

    After it has raised an error the rest of the stream has no meaning, so every further call raises the error again.
    """

    def __init__(self) -> None:
        self._buffer = b""
        self._frames = _GREETING
        self._seq = 0
        self._contexts: set[int] = set()
        self._broken: str | None = None

    def feed(self, data: bytes) -> Iterator[Event]:
        """Yield the events that `data` completes. The caller must iterate to the end.

        Raises:
            WireError: the peer has sent something that the protocol does not allow; the message says what. The
                events before that have been yielded.
            VersionError: a `WireError`: the peer speaks another version of the protocol.
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
        _require(kind in _GREETED or kind in _GREETING, f"frame type {kind:#04x} is none that a native half sends")
        _require(greeted or kind in _GREETING, f"the first frame is {FrameType(kind).name} and not HELLO")
        _require(not greeted or kind in _GREETED, "HELLO came twice on one connection")
        _require(not flags, f"{FrameType(kind).name} has the flags {flags:#04x}, which are reserved")
        shortest, longest, _ = self._frames[kind]
        raise WireError(
            f"{FrameType(kind).name} of {length} bytes: such a frame has {_span(shortest, longest)} bytes"
        )

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
        _require(seq == self._seq + 1, f"ACCESS has the number {seq} where {self._seq + 1} was due")
        _require(size in VALUE_MAX, f"ACCESS is one of {size} bytes: a port access has 1, 2 or 4")
        _require(port + size <= 0x10000, f"ACCESS is one of {size} bytes at port {port:#x}, behind the last port")
        raise WireError(
            f"ACCESS of {size} bytes with direction {direction}, value {value:#x}: a direction is 0 or 1, only a "
            "write has a value, a value fits its size, and reserved bits are 0"
        )

    def _require_appeared(self, context: int) -> None:
        _require(context in self._contexts, f"a frame is about context {context}, which has not appeared")

    def _posted(self, buffer: bytes, at: int, length: int, context: int) -> Posted:
        port, count, vcpu, reserved = _POSTED.unpack_from(buffer, at)
        if context not in self._contexts or count != length - POSTED.size or reserved:
            self._require_appeared(context)
            raise WireError(
                f"POSTED has {length - POSTED.size} bytes of data and says it has {count}, or has reserved bits set"
            )
        return _event(Posted, (context, port, buffer[at + 16 : at + length], vcpu))

    def _read_served(self, buffer: bytes, at: int, length: int, context: int) -> ReadServed:
        port, value, reserved, number = _READ_SERVED.unpack_from(buffer, at)
        if context not in self._contexts or reserved:
            self._require_appeared(context)
            raise WireError("READ_SERVED has reserved bits set")
        return _event(ReadServed, (context, port, value, number))

    def _hello(self, buffer: bytes, at: int, length: int, context: int) -> Hello:
        magic, version = _GREETING_WORDS.unpack_from(buffer, at)
        _require(magic == MAGIC, "HELLO does not begin with the magic number: what has connected is no native half")
        if version != VERSION:
            raise VersionError(_other_version(version))
        _require(length == HELLO.size, f"HELLO of {length} bytes: such a frame has {HELLO.size} bytes")
        _, _, count, capabilities, name, instance, ranges = _HELLO.unpack_from(buffer, at)
        text, _, padding = name.partition(b"\0")
        machine = text.decode("ascii", "replace")
        _require(not padding.strip(b"\0") and name[-1] == 0, "the machine name in HELLO is not padded with zeros")
        _require(
            NAME.fullmatch(machine) is not None,
            f"HELLO says that its machine is {machine!r}, which is no machine name",
        )
        _require(instance != 0 and not context, "HELLO is without instance, or has reserved bits set")
        self._frames = _GREETED
        return Hello(capabilities, machine, instance, _ranges(count, ranges))

    def _appeared(self, buffer: bytes, at: int, length: int, context: int) -> ContextAppeared:
        vmcb, ncr3, reserved = _CONTEXT_APPEARED.unpack_from(buffer, at)
        _require(context != 0 and not reserved, "CONTEXT_APPEARED is about context 0, or has reserved bits set")
        _require(context not in self._contexts, f"context {context} appeared twice, and was not gone between")
        _require(len(self._contexts) < CONTEXTS_MAX, f"more than {CONTEXTS_MAX} contexts at once")
        self._contexts.add(context)
        return ContextAppeared(context, vmcb, ncr3)

    def _gone(self, buffer: bytes, at: int, length: int, context: int) -> ContextGone:
        reason, reserved = _CONTEXT_GONE.unpack_from(buffer, at)
        self._require_appeared(context)
        known = reason in _GONE_REASONS
        _require(known and not reserved, f"CONTEXT_GONE has the unknown reason {reason}, or reserved bits set")
        self._contexts.discard(context)
        return ContextGone(context, GoneReason(reason))

    def _gap(self, buffer: bytes, at: int, length: int, context: int) -> Gap:
        port, reserved, reserved2, lost = _GAP.unpack_from(buffer, at)
        self._require_appeared(context)
        _require(lost > 0 and not reserved and not reserved2, "GAP is about 0 lost bytes, or has reserved bits set")
        return Gap(context, port, lost)

    def _stats(self, buffer: bytes, at: int, length: int, context: int) -> Stats:
        count, reserved, *counters = _STATS_FRAME.unpack_from(buffer, at)
        _require(
            count <= STATS_MAX and not reserved and not context,
            f"STATS has {count} counters, of which there can be {STATS_MAX}, or reserved bits set",
        )
        counters[count:] = [0] * (STATS_MAX - count)
        named = dict(zip(STATS, counters[:count], strict=False))
        return Stats(named, tuple(counters[len(STATS) : len(STATS) + LATENCY_BUCKETS]))

    def _announced(self, buffer: bytes, at: int, length: int, context: int) -> Announced:
        _require(not context, f"ANNOUNCED is about context {context}: it is about all contexts")
        return Announced()


#: For each frame type: the least and the greatest length in bytes, and the method that decodes the frame.
_Frames = dict[int, tuple[int, int, Callable[[Decoder, bytes, int, int, int], Event]]]
_GREETING: Final[_Frames] = {0x01: (_GREETING_WORDS.size, FRAME_MAX, Decoder._hello)}
_GREETED: Final[_Frames] = {
    0x02: (ACCESS.size, ACCESS.size, Decoder._access),
    0x03: (POSTED.size + 1, POSTED.size + POSTED_MAX, Decoder._posted),
    0x04: (CONTEXT_APPEARED.size, CONTEXT_APPEARED.size, Decoder._appeared),
    0x05: (CONTEXT_GONE.size, CONTEXT_GONE.size, Decoder._gone),
    0x06: (GAP.size, GAP.size, Decoder._gap),
    0x07: (STATS_FRAME.size, STATS_FRAME.size, Decoder._stats),
    0x08: (HEADER.size, HEADER.size, Decoder._announced),
    0x09: (READ_SERVED.size, READ_SERVED.size, Decoder._read_served),
}
_UNKNOWN: Final = (1, 0, Decoder._hello)
