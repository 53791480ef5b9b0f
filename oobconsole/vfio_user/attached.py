"""The keeper's end of the connection to a server that is attached to one port of the card."""

from __future__ import annotations

import socket
from typing import Any, Final, Protocol

from oobconsole.errors import WireError
from oobconsole.vfio_user import link
from oobconsole.vfio_user.link import Kind
from oobconsole.vfio_user.port import INPUT_MAX, Port

_READ_MAX: Final = 65536
#: The most bytes of output in one frame. The next frame is made when the kernel has taken this one.
_OUTPUT_MAX: Final = 16384


class Owner(Protocol):
    """The keeper, as an attached server sees it."""

    def port_for(self, server: Attached, number: int) -> Port | None:
        """Return the port with that number, which is this server's alone from now on; None: there is no such port."""

    def state(self) -> dict[str, Any]:
        """Return what a STATE frame says about the device."""

    def not_needed(self) -> None:
        """Note that the server needs another keeper than this one."""


class Attached:
    """One connection of a server, from `accept` to its end.

    Args:
        sock: the connection, non-blocking. It is closed with this object.
        owner: the keeper.
        hello: the content of the HELLO frame.

    Attributes:
        port: the port that the server is attached to; None: it has not attached yet.
        closed: whether the connection is over.
    """

    def __init__(self, sock: socket.socket, owner: Owner, hello: dict[str, Any]) -> None:
        self.port: Port | None = None
        self.closed = False
        self._sock = sock
        self._owner = owner
        self._decoder = link.Decoder()
        self._out = bytearray(link.encode(Kind.HELLO, hello))
        self._sent = 0  # up to which offset of the port's output everything was sent
        self._counts_breaks = False
        self.flush()

    @property
    def wants_write(self) -> bool:
        """Whether there are bytes that the socket has not taken yet."""
        return bool(self._out)

    def fileno(self) -> int:
        """Return the file descriptor, for a selector."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close the connection. Only the keeper may call this, because it selects on the file descriptor."""
        self.closed = True
        self._sock.close()

    def state(self, state: dict[str, Any]) -> None:
        """Send a STATE frame."""
        self._out += link.encode(Kind.STATE, state)
        self.flush()

    def readable(self) -> None:
        """Read what the server has sent, and do it."""
        try:
            data = self._sock.recv(_READ_MAX)
            if not data:
                self.closed = True
                return
            for frame in self._decoder.feed(data):
                self._take(frame)
        except BlockingIOError:
            return
        except (OSError, WireError):
            self.closed = True  # the server logs what went wrong

    def flush(self) -> None:
        """Send what the port has printed and which input it has taken, as far as the socket takes it."""
        try:
            while not self.closed:
                if self._out:
                    del self._out[: self._sock.send(self._out)]
                elif not self._fill():
                    return
        except BlockingIOError:
            return
        except OSError:
            self.closed = True

    def _take(self, frame: link.Frame) -> None:
        if frame.kind is Kind.END:
            self._owner.not_needed()
        elif frame.kind is Kind.ATTACH and self.port is None:
            self._attached(frame.table)
        elif frame.kind is Kind.INPUT and self.port is not None:
            self._input(self.port, frame.payload)
        elif frame.kind is Kind.BREAK and self.port is not None:
            self._break(self.port)
        else:
            raise WireError(f"{frame.kind.name} came where no server sends it")

    def _input(self, port: Port, data: bytes) -> None:
        if port.waiting + len(data) > 2 * INPUT_MAX:
            raise WireError(f"INPUT is more than may wait, which is {2 * INPUT_MAX} bytes")
        port.type(data)

    def _break(self, port: Port) -> None:
        """Send a break to the guest. A server that counts breaks sends no more than may wait; an older one cannot be
        told."""
        if not port.send_break() and self._counts_breaks:
            raise WireError("BREAK is one more than may wait")

    def _attached(self, table: dict[str, Any]) -> None:
        number, have = table.get("port"), table.get("have")
        if not isinstance(number, int) or not (have is None or isinstance(have, int)):
            raise WireError("ATTACH has no number of a port, or no number of bytes")
        port = self._owner.port_for(self, number)
        if port is None:
            raise WireError(f"ATTACH names port {number}, which the card does not have")
        backlog = port.backlog
        self._sent = backlog.start if have is None else min(have, backlog.end)
        self._out += link.encode(Kind.ATTACHED, self._sent)
        self._counts_breaks = table.get("breaks") is True
        port.taken = port.breaks_taken = 0  # these counts are about what an earlier server has typed
        self.port = port
        self.state(self._owner.state() | {"waiting": port.waiting, "breaks": port.breaks})

    def _fill(self) -> bool:
        """Make the next frames. Returns False if there is nothing to send."""
        port = self.port
        if port is None:
            return False
        if port.taken:
            self._out += link.encode(Kind.TAKEN, port.taken)
            port.taken = 0
        if port.breaks_taken and self._counts_breaks:
            self._out += link.encode(Kind.BREAKS_TAKEN, port.breaks_taken)
            port.breaks_taken = 0
        lost = port.backlog.start - self._sent
        if lost > 0:
            self._out += link.encode(Kind.GAP, lost)
            self._sent = port.backlog.start
        if data := port.backlog.read(self._sent, _OUTPUT_MAX):
            self._out += link.encode(Kind.OUTPUT, data)
            self._sent += len(data)
        return bool(self._out)
