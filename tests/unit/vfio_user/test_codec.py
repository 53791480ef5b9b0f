"""The codec of vfio-user: what a client may send, whole, in pieces and damaged."""

from __future__ import annotations

import errno
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.errors import VfioUserError
from oobconsole.vfio_user import messages as m
from oobconsole.vfio_user.codec import Decoder
from oobconsole.vfio_user.messages import Command, IrqSet
from tests.support.vfio import VERSION, irq_request, read_request, request, write_request

HELLO = request(Command.VERSION, VERSION)


def decoded(pieces: Iterable[bytes]) -> list[m.Message]:
    decoder = Decoder()
    return [message for piece in pieces for message in decoder.feed(piece)]


def requests(*messages: bytes) -> list[m.Request]:
    """What the messages after VERSION are."""
    return [message.request for message in decoded([HELLO, *messages])][1:]


MULTI = (2).to_bytes(8, "little") + m.ACCESS.pack(0, 0, 1) + b"a".ljust(8) + m.ACCESS.pack(8, 0, 2) + b"bc".ljust(8)
EVENTFD = IrqSet.DATA_EVENTFD | IrqSet.TRIGGER
VALID = {
    "DMA_MAP": (request(Command.DMA_MAP, bytes(32)), m.DmaMap()),
    "DMA_UNMAP": (request(Command.DMA_UNMAP, bytes(range(24))), m.DmaUnmap(bytes(range(24)))),
    "GET_INFO": (request(Command.DEVICE_GET_INFO, m.INFO.pack(16, 0, 0, 0)), m.GetInfo()),
    "GET_REGION_INFO": (
        request(Command.DEVICE_GET_REGION_INFO, m.REGION_INFO.pack(32, 0, 7, 0, 0, 0)),
        m.GetRegionInfo(7),
    ),
    "GET_IRQ_INFO": (request(Command.DEVICE_GET_IRQ_INFO, m.INFO.pack(16, 0, 4, 0)), m.GetIrqInfo(4)),
    "eventfd": (irq_request(EVENTFD), m.SetIrqs(0, IrqSet.TRIGGER, True, (True,))),
    "disable": (irq_request(0x21, count=0), m.SetIrqs(0, IrqSet.TRIGGER, False, ())),
    "disable MSI": (irq_request(0x21, count=0, index=1), m.SetIrqs(1, IrqSet.TRIGGER, False, ())),
    "unmask": (irq_request(0x11), m.SetIrqs(0, IrqSet.UNMASK, False, (True,))),
    "mask": (irq_request(0x0A, data=b"\1"), m.SetIrqs(0, IrqSet.MASK, False, (True,))),
    "mask not": (irq_request(0x0A, data=b"\0"), m.SetIrqs(0, IrqSet.MASK, False, (False,))),
    "read": (read_request(5), m.RegionRead(0, 5, 1)),
    "write": (write_request(0, b"abc"), m.RegionWrite(0, 0, b"abc")),
    "posted": (write_request(0, b"a", posted=True), m.RegionWrite(0, 0, b"a")),
    "multi": (
        request(Command.REGION_WRITE_MULTI, MULTI),
        m.WriteMulti((m.RegionWrite(0, 0, b"a"), m.RegionWrite(0, 8, b"bc"))),
    ),
    "reset": (request(Command.DEVICE_RESET), m.Reset()),
}


@pytest.mark.parametrize("name", VALID)
def test_what_a_client_may_ask_for(name: str) -> None:
    message, meaning = VALID[name]
    assert requests(message) == [meaning]


def test_every_message_byte_by_byte_and_at_once() -> None:
    stream = HELLO + b"".join(message for message, _ in VALID.values())
    at_once = decoded([stream])
    assert len(at_once) == 1 + len(VALID)
    assert decoded(bytes((byte,)) for byte in stream) == at_once


def test_a_posted_message_wants_no_reply() -> None:
    (_, posted, asked) = decoded([HELLO + write_request(0, b"a", posted=True) + read_request(0)])
    assert m.encode_reply(posted) == b""
    assert m.encode_error(posted, errno.EINVAL) == b""
    assert m.encode_error(asked, errno.EINVAL) == m.HEADER.pack(7, 9, 16, 0x21, errno.EINVAL)


REFUSED = {
    "a command that nobody knows": (request(99, b"what"), errno.EOPNOTSUPP),
    "region I/O descriptors": (request(Command.DEVICE_GET_REGION_IO_FDS, bytes(16)), errno.EOPNOTSUPP),
    "a buffer too small": (request(Command.DEVICE_GET_INFO, m.INFO.pack(15, 0, 0, 0)), errno.EINVAL),
    "a region too many": (
        request(Command.DEVICE_GET_REGION_INFO, m.REGION_INFO.pack(32, 0, 9, 0, 0, 0)),
        errno.EINVAL,
    ),
    "an interrupt too many": (request(Command.DEVICE_GET_IRQ_INFO, m.INFO.pack(16, 0, 5, 0)), errno.EINVAL),
    "no action": (irq_request(0x01), errno.EINVAL),
    "two actions": (irq_request(0x31), errno.EINVAL),
    "no data type": (irq_request(0x20), errno.EINVAL),
    "two data types": (irq_request(0x23), errno.EINVAL),
    "an unknown flag": (irq_request(0x61), errno.EINVAL),
    "a second INTx": (irq_request(0x21, start=1), errno.EINVAL),
    "2^32 - 1 of them": (irq_request(0x21, count=0xFFFFFFFF), errno.EINVAL),
    "an MSI": (irq_request(EVENTFD, index=1), errno.EINVAL),
    "an interrupt of no index": (irq_request(0x21, index=5, count=0), errno.EINVAL),
    "booleans that are missing": (irq_request(0x22), errno.EINVAL),
    "a read of nothing": (read_request(0, 0), errno.EINVAL),
    "a read of 4 GiB": (read_request(0, 0xFFFFFFFF), errno.EINVAL),
    "a write of nothing": (write_request(0, b""), errno.EINVAL),
    "a multi-write of nine bytes": (
        request(Command.REGION_WRITE_MULTI, (1).to_bytes(8, "little") + m.ACCESS.pack(0, 0, 9) + bytes(8)),
        errno.EINVAL,
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_well_formed_and_wrong_is_answered_with_an_errno(name: str) -> None:
    message, error = REFUSED[name]
    assert requests(message, read_request(3)) == [m.Refused(error), m.RegionRead(0, 3, 1)]


BROKEN = {
    "garbage": (b"GET / HTTP/1.1\r\n\r\n", "a message of 1414012975 bytes"),
    "0 bytes": (m.HEADER.pack(1, 9, 0, 0, 0), "a message of 0 bytes"),
    "15 bytes": (m.HEADER.pack(1, 9, 15, 0, 0), "a message of 15 bytes"),
    "4 GiB": (m.HEADER.pack(1, 9, 0xFFFFFFFF, 0, 0), "a message of 4294967295 bytes"),
    "a reply": (m.HEADER.pack(1, 9, 16, 1, 0), "flags 0x1"),
    "no command": (m.HEADER.pack(1, 0, 16, 0, 0), "without a command"),
    "a second VERSION": (HELLO, "second time"),
    "a short DMA_MAP": (request(Command.DMA_MAP, bytes(31)), "DMA_MAP with 31 bytes of payload"),
    "a long read": (request(Command.REGION_READ, bytes(17)), "REGION_READ with 17 bytes of payload"),
    "a short write": (request(Command.REGION_WRITE, m.ACCESS.pack(0, 0, 2) + b"a"), "of 2 bytes, and comes with 1"),
    "a write without a head": (request(Command.REGION_WRITE, b"abc"), "at least 16"),
    "a multi-write of 2^64 - 1": (request(Command.REGION_WRITE_MULTI, b"\xff" * 8), "with 0 bytes"),
    "a multi-write without a count": (request(Command.REGION_WRITE_MULTI), "at least 8"),
    "a reset with data": (request(Command.DEVICE_RESET, b"!"), "it has none"),
    "half an interrupt": (request(Command.DEVICE_SET_IRQS, bytes(19)), "at least 20"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_no_client_sends_ends_the_stream(name: str) -> None:
    message, reason = BROKEN[name]
    decoder = Decoder()
    assert len(list(decoder.feed(HELLO + read_request(0)))) == 2
    with pytest.raises(VfioUserError, match=reason):
        list(decoder.feed(message))
    with pytest.raises(VfioUserError, match=reason):
        list(decoder.feed(read_request(0)))


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"\0\0\0", "at least 4"),
        (b"\1\0\0\0", "version 1.0"),
        (b"\0\0\0\0{", "no JSON"),
        (b"\0\0\0\0\xff\0", "no JSON"),
        (b"\0\0\0\0[]\0", "no JSON object"),
        (b'\0\0\0\0{"capabilities": 1}\0', "no JSON object"),
        (b"\0\0\0\0" + b"[" * 5000, "no JSON"),
    ],
)
def test_a_version_that_cannot_be_spoken_to(payload: bytes, reason: str) -> None:
    with pytest.raises(VfioUserError, match=reason):
        decoded([request(Command.VERSION, payload)])


def test_a_command_before_version() -> None:
    with pytest.raises(VfioUserError, match="before VERSION"):
        decoded([read_request(0)])


def test_the_reply_to_version_has_what_both_can_and_fits_the_request() -> None:
    (message,) = decoded([HELLO])
    assert isinstance(message.request, m.Version)
    answer = m.encode_version(message.request)
    assert answer == b'\0\0\0\0{"capabilities":{"max_msg_fds":8,"max_data_xfer_size":4096,"write_multiple":true}}\0'
    (short,) = decoded([request(Command.VERSION, b'\0\0\1\0{"capabilities":{"write_multiple":true}}\0')])
    assert isinstance(short.request, m.Version)
    assert m.encode_version(short.request) == b'\0\0\0\0{"capabilities":{"write_multiple":true}}\0'
    (bare,) = decoded([request(Command.VERSION, b"\0\0\0\0")])
    assert isinstance(bare.request, m.Version)
    assert m.encode_version(bare.request) == b"\0\0\0\0"


class TestDescriptors:
    """Numbers stand for them: the codec opens and closes nothing."""

    def test_they_belong_to_the_message_that_the_read_ends_in(self) -> None:
        decoder = Decoder()
        irq = irq_request(EVENTFD)
        found = list(decoder.feed(HELLO + read_request(0) + irq[:9], [50]))
        assert [message.fds for message in found] == [[], []]
        (message,) = decoder.feed(irq[9:])
        assert message.fds == [50]
        assert decoder.take_fds() == []

    def test_those_of_a_broken_message_are_left(self) -> None:
        decoder = Decoder()
        with pytest.raises(VfioUserError):
            list(decoder.feed(HELLO + request(Command.DMA_MAP, b"short"), [50, 51]))
        assert decoder.take_fds() == [50, 51]
        assert decoder.take_fds() == []

    def test_those_of_half_a_message_are_left(self) -> None:
        decoder = Decoder()
        list(decoder.feed(HELLO + irq_request(EVENTFD)[:20], [50]))
        assert decoder.take_fds() == [50]

    def test_too_many(self) -> None:
        decoder = Decoder()
        with pytest.raises(VfioUserError, match="more than 8 file descriptors"):
            list(decoder.feed(HELLO, range(50, 59)))
        assert len(decoder.take_fds()) == 9

    def test_more_than_an_interrupt_takes_is_refused(self) -> None:
        decoder = Decoder()
        (_, message) = [*decoder.feed(HELLO), *decoder.feed(irq_request(EVENTFD), [50, 51])]
        assert message.request == m.Refused(errno.EINVAL)
        assert message.fds == [50, 51]


@given(data=st.binary(max_size=400), cuts=st.lists(st.integers(1, 60)))
def test_whatever_comes_is_refused_or_understood_the_same_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    stream = HELLO + data
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(stream[at : at + cut])
        at += cut
    pieces.append(stream[at:])
    assert outcome([stream]) == outcome(pieces)


@given(
    damage=st.integers(0, 255),
    at=st.integers(0),
    names=st.lists(st.sampled_from(sorted(VALID)), min_size=1, max_size=5),
)
def test_damage_spares_the_messages_before_it(damage: int, at: int, names: list[str]) -> None:
    messages = [VALID[name][0] for name in names]
    stream = bytearray(b"".join(messages))
    at %= len(stream)
    stream[at] ^= damage
    spared = 0
    while sum(map(len, messages[: spared + 1])) <= at:
        spared += 1
    found, _ = outcome([HELLO, bytes(stream)])
    assert found[1 : spared + 1] == outcome([HELLO, *messages])[0][1 : spared + 1]


def outcome(pieces: Iterable[bytes]) -> tuple[list[m.Message], str]:
    """The messages, and what ended the stream."""
    decoder, found = Decoder(), []
    for piece in pieces:
        try:
            for message in decoder.feed(piece):
                found.append(message)
        except VfioUserError as error:
            return found, str(error)
        assert decoder.pending < m.MESSAGE_MAX
    return found, ""
