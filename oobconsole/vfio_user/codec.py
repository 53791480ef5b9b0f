"""Takes the stream of vfio-user apart: bytes and file descriptors go in, messages come out. Sans I/O.

To which message does a file descriptor belong? Descriptors come with a piece of the stream (unix(7), SCM_RIGHTS), and
a read ends behind such a piece. So they belong to the message that has the read's last byte.
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
    """Takes the requests of one connection apart.

    The first message must be VERSION, and no later one may be VERSION. After a `VfioUserError` the rest of the stream
    has no meaning.

    Attributes:
        negotiated: whether VERSION has come.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._at = 0  # the offset of the buffer's first byte in the stream
        self._fds: list[tuple[int, int]] = []  # for each descriptor: the offset of the byte with which it came
        self._broken: VfioUserError | None = None
        self.negotiated = False

    @property
    def pending(self) -> int:
        """How many bytes have come of a message that is not complete."""
        return len(self._buffer)

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> Iterator[Message]:
        """Yield the messages that the bytes of one read complete. The caller must iterate to the end.

        Whoever gets a message owns its descriptors. Descriptors that belong to no message are left to `take_fds`.

        Args:
            data: the bytes.
            fds: the descriptors that came with them.

        Raises:
            VfioUserError: no client that speaks the protocol sends this. Every later call raises it, too.
        """
        self._buffer += data
        last = self._at + len(self._buffer) - 1
        self._fds += [(last, fd) for fd in fds]
        if self._broken is not None:
            raise self._broken
        try:
            if len(self._fds) > FDS_MAX:
                raise VfioUserError(f"a message comes with more than {FDS_MAX} file descriptors")
            while (message := self._next()) is not None:
                yield message
        except VfioUserError as error:
            self._broken = error
            raise

    def take_fds(self) -> list[int]:
        """Return the descriptors that belong to no message. The caller owns them from now on."""
        left, self._fds = [fd for _, fd in self._fds], []
        return left

    def _next(self) -> Message | None:
        if len(self._buffer) < HEADER.size:
            return None
        header = HEADER.unpack_from(self._buffer)
        check_header(header)
        _, command, size, _, _ = header
        if self.negotiated == (command == Command.VERSION):
            raise VfioUserError(
                "VERSION came for a second time" if self.negotiated else "a command came before VERSION"
            )
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
