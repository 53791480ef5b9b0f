"""The messages of vfio-user: each request is validated and becomes a type of its own; replies are encoded. Sans I/O.

What breaks the framing, or cannot come from a client that speaks the protocol, raises `VfioUserError`. A request that
is well formed but cannot be served becomes a `Refused`, and is answered with an errno, as the protocol says.
"""

from __future__ import annotations

import errno
import json
from collections.abc import Callable
from enum import IntEnum, IntFlag
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

from oobconsole.errors import VfioUserError

HEADER: Final = Struct("<HHIII")  # message id, command, message size, flags, error
MAJOR: Final = 0
MINOR: Final = 0
#: How much one message may have: bytes with the header, file descriptors, and bytes of a region's data.
MESSAGE_MAX: Final = 16384
FDS_MAX: Final = 8
DATA_MAX: Final = 4096
#: The numbers of a vfio PCI device's regions and interrupts (<linux/vfio.h>).
BAR0_REGION: Final = 0
CONFIG_REGION: Final = 7
REGIONS: Final = 9
INTX_IRQ: Final = 0
IRQS: Final = 5


class Command(IntEnum):
    """The commands that a client sends."""

    VERSION = 1
    DMA_MAP = 2
    DMA_UNMAP = 3
    DEVICE_GET_INFO = 4
    DEVICE_GET_REGION_INFO = 5
    DEVICE_GET_REGION_IO_FDS = 6
    DEVICE_GET_IRQ_INFO = 7
    DEVICE_SET_IRQS = 8
    REGION_READ = 9
    REGION_WRITE = 10
    DEVICE_RESET = 13
    REGION_WRITE_MULTI = 15


class Flags(IntFlag):
    """The flags of the header. Its low four bits are the type: 0 is a command, 1 is a reply."""

    REPLY = 0x01
    NO_REPLY = 0x10
    ERROR = 0x20


class IrqSet(IntFlag):
    """The flags of DEVICE_SET_IRQS: which data it has, and what is to be done."""

    DATA_NONE = 0x01
    DATA_BOOL = 0x02
    DATA_EVENTFD = 0x04
    MASK = 0x08
    UNMASK = 0x10
    TRIGGER = 0x20


_DATA: Final = IrqSet.DATA_NONE | IrqSet.DATA_BOOL | IrqSet.DATA_EVENTFD
_ACTION: Final = IrqSet.MASK | IrqSet.UNMASK | IrqSet.TRIGGER


class Version(NamedTuple):
    """The first message.

    Attributes:
        minor: the minor version of the protocol that the client speaks.
        capabilities: what the client can do; None: it does not say.
        size: the size of the message, in bytes. QEMU's buffer for the reply is no larger.
    """

    minor: int
    capabilities: dict[str, Any] | None
    size: int


class DmaMap(NamedTuple):
    """A request that gives us memory of the guest. We do not use it."""


class DmaUnmap(NamedTuple):
    """A request that takes such memory back. `entry` is sent back as the reply."""

    entry: bytes


class GetInfo(NamedTuple):
    """A request that asks what the device is."""


class GetRegionInfo(NamedTuple):
    """A request that asks what a region is."""

    region: int


class GetIrqInfo(NamedTuple):
    """A request that asks what an interrupt is."""

    irq: int


class SetIrqs(NamedTuple):
    """A request that masks, unmasks or triggers interrupts.

    Attributes:
        irq: the number of the interrupt.
        action: what is to be done.
        by_eventfd: whether it is done by an eventfd from now on; otherwise it is done once, at once.
        enabled: for which interrupts of a range it is meant. An empty range means all of them.
    """

    irq: int
    action: IrqSet
    by_eventfd: bool
    enabled: tuple[bool, ...]


class RegionRead(NamedTuple):
    """A request that reads `size` bytes of a region, from `offset` on."""

    region: int
    offset: int
    size: int


class RegionWrite(NamedTuple):
    """A request that writes `data` to a region, at `offset`."""

    region: int
    offset: int
    data: bytes


class WriteMulti(NamedTuple):
    """A request that writes several times, in order."""

    writes: tuple[RegionWrite, ...]


class Reset(NamedTuple):
    """A request that resets the device to its state after power-on."""


class Refused(NamedTuple):
    """A request that is well formed but cannot be served. `error` is the errno that answers it."""

    error: int


Request: TypeAlias = (
    Version
    | DmaMap
    | DmaUnmap
    | GetInfo
    | GetRegionInfo
    | GetIrqInfo
    | SetIrqs
    | RegionRead
    | RegionWrite
    | WriteMulti
    | Reset
    | Refused
)


class Message(NamedTuple):
    """A request with what its reply needs.

    Attributes:
        id: the number that the reply repeats.
        command: the command's number, which the reply repeats, too.
        no_reply: whether the client wants no reply.
        request: what is asked for.
        fds: the file descriptors that came with it. Whoever gets the message closes them.
    """

    id: int
    command: int
    no_reply: bool
    request: Request
    fds: list[int]


_DMA_MAP: Final = Struct("<IIQQQ")  # argsz, flags, offset, address, size
_DMA_UNMAP: Final = Struct("<IIQQ")  # argsz, flags, address, size
INFO: Final = Struct("<IIII")  # argsz, flags, regions, irqs; of an irq: argsz, flags, index, count
REGION_INFO: Final = Struct("<IIIIQQ")  # argsz, flags, index, cap_offset, size, offset
_IRQ_SET: Final = Struct("<IIIII")  # argsz, flags, index, start, count
ACCESS: Final = Struct("<QII")  # offset, region, count
_MULTI: Final = Struct("<QII8s")
COUNT: Final = Struct("<Q")
_VERSION: Final = Struct("<HH")


def parse(header: tuple[int, int, int, int, int], payload: bytes, fds: list[int]) -> Message:
    """Validate one message.

    Args:
        header: the header as `HEADER` unpacks it. `check_header` has checked it.
        payload: what follows the header.
        fds: the file descriptors that came with the message.

    Raises:
        VfioUserError: no client that speaks the protocol sends this.
    """
    number, command, _, flags, _ = header
    parser = _PARSERS.get(command)
    request: Request = parser(payload, len(fds)) if parser else Refused(errno.EOPNOTSUPP)
    return Message(number, command, bool(flags & Flags.NO_REPLY), request, fds)


def check_header(header: tuple[int, int, int, int, int]) -> None:
    """Raise `VfioUserError` if a header cannot begin a command of the protocol."""
    _, command, size, flags, _ = header
    if size < HEADER.size or size > MESSAGE_MAX:
        raise VfioUserError(f"a message of {size} bytes: a message has {HEADER.size} to {MESSAGE_MAX} bytes")
    if flags & ~Flags.NO_REPLY:
        raise VfioUserError(f"a message has flags {flags:#x}, which no command has")
    if not command:
        raise VfioUserError("a message is without a command: its number is 0")


def encode_reply(message: Message, payload: bytes = b"") -> bytes:
    """Return the reply to a message; empty: the message wants none."""
    if message.no_reply:
        return b""
    return HEADER.pack(message.id, message.command, HEADER.size + len(payload), Flags.REPLY, 0) + payload


def encode_error(message: Message, error: int) -> bytes:
    """Return the reply to a message that could not be served: an errno and nothing else."""
    if message.no_reply:
        return b""
    return HEADER.pack(message.id, message.command, HEADER.size, Flags.REPLY | Flags.ERROR, error)


def encode_version(version: Version) -> bytes:
    """Return the payload of the reply to VERSION: what both sides can do. The reply is no longer than the request
    was."""
    plain = _VERSION.pack(MAJOR, min(MINOR, version.minor))
    offer = {"max_msg_fds": FDS_MAX, "max_data_xfer_size": DATA_MAX, "write_multiple": True}
    proposed = version.capabilities or {}
    agreed = {key: value for key, value in offer.items() if proposed.get(key)}
    text = json.dumps({"capabilities": agreed}, separators=(",", ":")).encode() + b"\0"
    return plain + text if HEADER.size + len(plain) + len(text) <= version.size else plain


# -- one for each command -------------------------------------------------------------------------------------


def _exactly(payload: bytes, layout: Struct, what: str) -> tuple[Any, ...]:
    if len(payload) != layout.size:
        raise VfioUserError(f"{what} with {len(payload)} bytes of payload: it has {layout.size}")
    return layout.unpack(payload)


def _version(payload: bytes, _: int) -> Request:
    if len(payload) < _VERSION.size:
        raise VfioUserError(f"VERSION with {len(payload)} bytes of payload: it has at least {_VERSION.size}")
    major, minor = _VERSION.unpack_from(payload)
    if major != MAJOR:
        raise VfioUserError(
            f"the VMM speaks version {major}.{minor} of vfio-user, our card {MAJOR}.x: use QEMU 10.1 or newer"
        )
    return Version(minor, _capabilities(payload[_VERSION.size :]), HEADER.size + len(payload))


def _capabilities(text: bytes) -> dict[str, Any] | None:
    if not text:
        return None
    try:
        data = json.loads(text.removesuffix(b"\0").decode())
    except (ValueError, RecursionError) as error:
        raise VfioUserError(f"VERSION has capabilities that are no JSON: {error}") from error
    found = data.get("capabilities", {}) if isinstance(data, dict) else None
    if not isinstance(found, dict):
        raise VfioUserError("VERSION has capabilities that are no JSON object")
    return found


def _dma_map(payload: bytes, _: int) -> Request:
    _exactly(payload, _DMA_MAP, "DMA_MAP")
    return DmaMap()


def _dma_unmap(payload: bytes, _: int) -> Request:
    _exactly(payload, _DMA_UNMAP, "DMA_UNMAP")
    return DmaUnmap(payload)


def _get_info(payload: bytes, _: int) -> Request:
    argsz, *_rest = _exactly(payload, INFO, "DEVICE_GET_INFO")
    return GetInfo() if argsz >= INFO.size else Refused(errno.EINVAL)


def _get_region_info(payload: bytes, _: int) -> Request:
    argsz, _flags, index, *_rest = _exactly(payload, REGION_INFO, "DEVICE_GET_REGION_INFO")
    return GetRegionInfo(index) if argsz >= REGION_INFO.size and index < REGIONS else Refused(errno.EINVAL)


def _get_irq_info(payload: bytes, _: int) -> Request:
    argsz, _flags, index, _count = _exactly(payload, INFO, "DEVICE_GET_IRQ_INFO")
    return GetIrqInfo(index) if argsz >= INFO.size and index < IRQS else Refused(errno.EINVAL)


def _set_irqs(payload: bytes, fds: int) -> Request:
    if len(payload) < _IRQ_SET.size:
        raise VfioUserError(f"DEVICE_SET_IRQS with {len(payload)} bytes of payload: it has at least {_IRQ_SET.size}")
    argsz, flags, index, start, count = _IRQ_SET.unpack_from(payload)
    data = payload[_IRQ_SET.size :]
    kind, action = flags & _DATA, flags & _ACTION
    if argsz < _IRQ_SET.size or flags != kind | action or kind.bit_count() != 1 or action.bit_count() != 1:
        return Refused(errno.EINVAL)
    if index >= IRQS or start + count > (1 if index == INTX_IRQ else 0):
        return Refused(errno.EINVAL)
    by_eventfd = kind == IrqSet.DATA_EVENTFD
    if fds > (count if by_eventfd else 0) or (kind == IrqSet.DATA_BOOL and len(data) != count):
        return Refused(errno.EINVAL)
    enabled = tuple(map(bool, data)) if kind == IrqSet.DATA_BOOL else (True,) * count
    return SetIrqs(index, IrqSet(action), by_eventfd, enabled)


def _region_read(payload: bytes, _: int) -> Request:
    offset, region, count = _exactly(payload, ACCESS, "REGION_READ")
    return RegionRead(region, offset, count) if 0 < count <= DATA_MAX else Refused(errno.EINVAL)


def _region_write(payload: bytes, _: int) -> Request:
    if len(payload) < ACCESS.size:
        raise VfioUserError(f"REGION_WRITE with {len(payload)} bytes of payload: it has at least {ACCESS.size}")
    offset, region, count = ACCESS.unpack_from(payload)
    data = payload[ACCESS.size :]
    if len(data) != count:
        raise VfioUserError(f"REGION_WRITE is one of {count} bytes, and comes with {len(data)}")
    return RegionWrite(region, offset, data) if 0 < count <= DATA_MAX else Refused(errno.EINVAL)


def _write_multi(payload: bytes, _: int) -> Request:
    if len(payload) < COUNT.size:
        raise VfioUserError(f"REGION_WRITE_MULTI with {len(payload)} bytes of payload: it has at least {COUNT.size}")
    (count,) = COUNT.unpack_from(payload)
    wanted = len(payload) - COUNT.size
    if count * _MULTI.size != wanted:
        raise VfioUserError(
            f"REGION_WRITE_MULTI is one of {count} writes, and comes with {wanted} bytes: a write has {_MULTI.size}"
        )
    found = list(_MULTI.iter_unpack(payload[COUNT.size :]))
    if any(not 0 < size <= 8 for _offset, _region, size, _data in found):
        return Refused(errno.EINVAL)
    return WriteMulti(tuple(RegionWrite(region, offset, data[:size]) for offset, region, size, data in found))


def _reset(payload: bytes, _: int) -> Request:
    if payload:
        raise VfioUserError(f"DEVICE_RESET with {len(payload)} bytes of payload: it has none")
    return Reset()


_PARSERS: Final[dict[int, Callable[[bytes, int], Request]]] = {
    Command.VERSION: _version,
    Command.DMA_MAP: _dma_map,
    Command.DMA_UNMAP: _dma_unmap,
    Command.DEVICE_GET_INFO: _get_info,
    Command.DEVICE_GET_REGION_INFO: _get_region_info,
    Command.DEVICE_GET_IRQ_INFO: _get_irq_info,
    Command.DEVICE_SET_IRQS: _set_irqs,
    Command.REGION_READ: _region_read,
    Command.REGION_WRITE: _region_write,
    Command.REGION_WRITE_MULTI: _write_multi,
    Command.DEVICE_RESET: _reset,
}
