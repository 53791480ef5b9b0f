"""A connected client of vfio-user, in the keeper: QEMU, whose vCPU waits for most answers.

How is the vCPU kept from waiting? A message that is one access to one register is looked up as a whole, except for
its id. A write is answered before it acts, so that the vCPU wakes up meanwhile. After a message, the next message is
looked for without sleeping, for `SPIN_NS`.
"""

from __future__ import annotations

import os
import re
import socket
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from oobconsole.errors import VfioUserError
from oobconsole.net.peer import credentials
from oobconsole.vfio_user import messages as m
from oobconsole.vfio_user.codec import Decoder
from oobconsole.vfio_user.device import Device

#: How many ns to look for the next message before sleeping.
SPIN_NS: Final = 100_000
#: How many ns nothing must have come before the interrupt is raised and output is passed on. A driver polls in its
#: interrupt handler, and each interrupt that it does not need costs it one more message.
QUIET_NS: Final = 50_000
#: After how many ns output is passed on however busy the guest is; one turn of `serve` lasts no longer.
TURN_NS: Final = 2_000_000
#: How many seconds a client has for its first message, and for the rest of a message that has begun.
PATIENCE_S: Final = 5.0
_ANCILLARY: Final = socket.CMSG_SPACE(m.FDS_MAX * 4)
_THR: Final = 0


class _Access(NamedTuple):
    """What to do for a message that is one register access.

    Attributes:
        offset: what the access reaches: the offset in BAR 0, which is a port of the card's bus.
        write: whether it is a write.
        reply: the reply, without its first two bytes, which are the id, and without the value of a read; empty: none.
        size: the size of the message, in bytes.
    """

    offset: int
    write: bool
    reply: bytes
    size: int


class Client:
    """One connection of a VMM to the device.

    Args:
        sock: the connection, non-blocking. It is closed with this object.
        device: what the client sees.
        busy: called about every `TURN_NS` of uninterrupted work, and whenever nothing has come for `QUIET_NS`.

    Attributes:
        fault: why the connection is over, in words; empty: it is not.
        gone: whether the client itself has ended a connection that was in use. That is no fault.
    """

    def __init__(self, sock: socket.socket, device: Device, busy: Callable[[], object]) -> None:
        self.fault = ""
        self.gone = False
        self._sock = sock
        self._device = device
        self._bus = device.bus
        self._busy = busy
        self._decoder = Decoder()
        self._accesses = _accesses(device)
        self._posted_thr = _posted_thr(device)
        self._last = time.monotonic_ns()
        self._settled = True
        self._since = self._last  # when the message that is not complete began, or the connection

    @property
    def negotiated(self) -> bool:
        """Whether the client has sent VERSION."""
        return self._decoder.negotiated

    @property
    def peer(self) -> str:
        """Which process is at the other end, in words."""
        return f"process {credentials(self._sock).pid}"

    def close(self) -> None:
        """Close the socket, and every descriptor that the client has given."""
        for fd in self._decoder.take_fds():
            os.close(fd)
        self._device.intx.close()
        self._sock.close()

    def fileno(self) -> int:
        """Return the file descriptor, for a selector."""
        return self._sock.fileno()

    def deadline(self) -> float | None:
        """Return until when the client must have sent more, by `time.monotonic`; None: it may take its time."""
        if self.negotiated and not self._decoder.pending:
            return None
        return self._since / 1e9 + PATIENCE_S

    def expire(self) -> None:
        """End the connection, because its deadline has passed."""
        said = "half a message" if self._decoder.pending else "nothing"
        self.fault = f"it said {said} for {PATIENCE_S:g} s"

    @property
    def awake(self) -> bool:
        """Whether `serve` is to be called again at once."""
        return not self._settled or self._device.intx.due

    def serve(self) -> None:
        """Serve what has arrived, and then look for more."""
        end = time.monotonic_ns() + TURN_NS
        while not self.fault:
            try:
                data, ancillary, flags, _ = self._sock.recvmsg(m.MESSAGE_MAX, _ANCILLARY)
            except BlockingIOError:
                if self._idle(end):
                    return
                continue
            except OSError as error:
                self._ended(error.strerror or "connection lost")
                return
            if ancillary or flags:
                self._take_all(data, ancillary, flags)
            elif data:
                self._take(data)
            else:
                self._ended("it closed the connection")
                return
            self._last = time.monotonic_ns()
            self._settled = False
            if self._last >= end:
                self._busy()
                return

    def _idle(self, end: int) -> bool:
        """Do what is due when nothing has come. Returns whether to stop looking for more for now."""
        now = time.monotonic_ns()
        quiet = now - self._last
        if quiet >= QUIET_NS and (not self._settled or self._device.intx.due):
            self._settled = True
            self._device.intx.settle()
            self._busy()
        if quiet >= SPIN_NS or now >= end:
            return True
        os.sched_yield()
        return False

    def _ended(self, reason: str) -> None:
        self.fault = reason
        self.gone = self.negotiated and not self._decoder.pending

    # -- messages -----------------------------------------------------------------------------------

    def _take(self, data: bytes) -> None:
        """Serve messages that are single accesses. From the first other message on, the decoder takes the data
        apart."""
        if self._decoder.pending or not self._decoder.negotiated:
            self._take_slowly(data)
            return
        at, size = 0, len(data)
        while at < size:
            access = self._accesses.get(data[at + 2 : at + m.HEADER.size + m.ACCESS.size])
            if access is None or at + access.size > size:
                self._take_slowly(data[at:])
                return
            at = self._access(access, data, at)

    def _access(self, access: _Access, data: bytes, at: int) -> int:
        """Serve one access. Returns where the next message begins."""
        offset, write, reply, size = access
        end = at + size
        if not write:
            self._send(data[at : at + 2] + reply + bytes((self._bus.read(offset, 1),)))
        elif reply:
            self._send(data[at : at + 2] + reply)
            self._bus.write_block(offset, data[end - 1 : end])
        else:
            if (thr := self._posted_thr.get(offset)) and (run := thr.match(data, at)):
                end = run.end()
            self._bus.write_block(offset, data[at + size - 1 : end : size])
        return end

    def _take_slowly(self, data: bytes, fds: list[int] | None = None) -> None:
        self._since = self._since if self._decoder.pending else time.monotonic_ns()
        try:
            for message in self._decoder.feed(data, fds or ()):
                self._since = time.monotonic_ns()
                self._send(self._device.serve(message))
        except VfioUserError as error:
            self.fault = f"protocol error: {error}"

    def _take_all(self, data: bytes, ancillary: list[tuple[int, int, bytes]], flags: int) -> None:
        fds: list[int] = []
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds += memoryview(payload[: len(payload) // 4 * 4]).cast("i").tolist()
        self._take_slowly(data, fds)
        if flags & socket.MSG_CTRUNC:
            self.fault = self.fault or f"protocol error: a message comes with more than {m.FDS_MAX} file descriptors"

    def _send(self, reply: bytes) -> None:
        """Send a reply. Replies are small and few: a client that leaves so many unread that no more fit is at
        fault."""
        if not reply:
            return
        try:
            if self._sock.send(reply) == len(reply):
                return
            self.fault = "it does not read its answers"
        except BlockingIOError:
            self.fault = "it does not read its answers"
        except OSError as error:
            self._ended(error.strerror or "connection lost")


def _accesses(device: Device) -> dict[bytes, _Access]:
    """Return every access of one byte that there can be, by its message without the id."""
    found = {}
    for offset in (port for slot in device.bus.slots for port in slot.ports):
        access = m.ACCESS.pack(offset, m.BAR0_REGION, 1)
        for flags in (0, m.Flags.NO_REPLY):
            found[_begin(m.Command.REGION_WRITE, 1, flags) + access] = _Access(
                offset, True, b"" if flags else _answer(m.Command.REGION_WRITE, 0) + access, _SIZE + 1
            )
        found[_begin(m.Command.REGION_READ, 0, 0) + access] = _Access(
            offset, False, _answer(m.Command.REGION_READ, 1) + access, _SIZE
        )
    return found


_SIZE: Final = m.HEADER.size + m.ACCESS.size


def _begin(command: int, data: int, flags: int) -> bytes:
    """Return a header without its id."""
    return m.HEADER.pack(0, command, _SIZE + data, flags, 0)[2:]


def _answer(command: int, data: int) -> bytes:
    return _begin(command, data, m.Flags.REPLY)


def _posted_thr(device: Device) -> dict[int, re.Pattern[bytes]]:
    """Return, for the offset of each THR, a pattern that matches posted bytes of output that follow each other."""
    found = {}
    for offset in (slot.first + _THR for slot in device.bus.slots):
        access = m.ACCESS.pack(offset, m.BAR0_REGION, 1)
        one = re.escape(_begin(m.Command.REGION_WRITE, 1, m.Flags.NO_REPLY) + access)
        found[offset] = re.compile(b"(?:.." + one + b".)+", re.DOTALL)
    return found
