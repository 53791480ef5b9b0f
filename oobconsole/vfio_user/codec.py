"""The stream of vfio-user taken apart: bytes and descriptors in, messages out. Sans I/O.

Descriptors come with a piece of the stream (unix(7), SCM_RIGHTS); a read ends behind the piece that has some. They
belong to the message that the read's last byte is part of.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from oobconsole.errors import VfioUserError
from oobconsole.vfio_user.messages import (
    FDS_MAX,
    HEADER,
    Command,
    Message,
    check_header,
    parse,
)


class Decoder:
    """One connection's requests.

    The first message is VERSION, and no other one is. After a `VfioUserError` the stream means nothing any more.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0  # offset in the stream of the buffer's first byte
        self._fds: list[tuple[int, int]] = []  # offset in the stream, descriptor
        self._broken: VfioUserError | None = None
        self.negotiated = False

    @property
    def pending(self) -> int:
        """Bytes of a message that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> Iterator[Message]:
        """Take what was read at once; the iterator is to be used up. The descriptors of a message are whoever's
        who gets it; those of messages that never came are left in `take_fds`.

        Raises:
            VfioUserError: no client that speaks the protocol sends this; and again for ever.
        """
        self._buffer += data
        last = self._at + len(self._buffer) - 1
        self._fds += [(last, fd) for fd in fds]
        if self._broken is not None:
            raise self._broken
        try:
            if len(self._fds) > FDS_MAX:
                raise VfioUserError(f"more than {FDS_MAX} descriptors with one message")
            while (message := self._next()) is not None:
                yield message
        except VfioUserError as error:
            self._broken = error
            raise

    def take_fds(self) -> list[int]:
        """The descriptors that no message has; the caller's from now on."""
        left, self._fds = [fd for _, fd in self._fds], []
        return left

    def _next(self) -> Message | None:
        if len(self._buffer) < HEADER.size:
            return None
        header = HEADER.unpack_from(self._buffer)
        check_header(header)
        _, command, size, _, _ = header
        if self.negotiated == (command == Command.VERSION):
            raise VfioUserError("VERSION for a second time" if self.negotiated else "a command before VERSION")
        if len(self._buffer) < size:
            return None
        payload = bytes(self._buffer[HEADER.size : size])
        end = self._at + size
        message = parse(header, payload, [fd for at, fd in self._fds if at < end])
        self._fds = [(at, fd) for at, fd in self._fds if at >= end]
        del self._buffer[:size]
        self._at = end
        self.negotiated = True
        return message
