"""The relay's frames: how a front and the core, which are two processes, speak about clients and their sessions.

Sans I/O: bytes in, frames out. A frame is a header of nine bytes (kind, number, length of what follows; big-endian)
and its content. The number says what the frame is about: a session, a connection, or a question that is answered with
the same number. Each side has kinds of its own, and each kind has a least and a greatest length: a length that is not
between them is an error before any of the content is kept.

The core takes a front for hostile. Nothing here trusts what a front has sent; texts are UTF-8, bounded, and checked.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from oobconsole.errors import FrontError

#: Kind, number, length of the content.
HEADER: Final = struct.Struct(">BII")
#: Input or output of a session in one frame, in bytes.
DATA_MAX: Final = 65536
#: A command line has at most 65,536 characters (`session/commands.py`); one that is longer arrives, so that its user
#: can be told. SSH's largest packet bounds it.
COMMAND_MAX: Final = 256 << 10
TERM_MAX: Final = 64
CLIENT_MAX: Final = 256
#: Of the texts about a person (name, key, address) and of a reason, in bytes.
TEXT_MAX: Final = 1024
#: A front's settings: lists of revoked keys may have 16 MiB each.
SETTINGS_MAX: Final = 64 << 20
#: A file of a user's keys.
KEYS_MAX: Final = (4 << 20) + 1

_OPENING: Final = struct.Struct(">IBHHBH")  # connection, flags, rows, columns, length of TERM, of the client's name
_LOGIN: Final = struct.Struct(">d")  # seconds since the connection began
_STAMP: Final = struct.Struct(">Q")  # CLOCK_MONOTONIC, in nanoseconds
_SIZE: Final = struct.Struct(">HH")
_COUNT: Final = struct.Struct(">I")
_STATUS: Final = struct.Struct(">B")
_LENGTH: Final = struct.Struct(">H")
_HAS_TERMINAL, _HAS_COMMAND, _IS_GARBLED = 1, 2, 4


class FromFront(IntEnum):
    """What a front says. The number is a session's, unless it is said."""

    READY = 1  # the child can serve; number 0; the content is what confines it, as texts
    SERVING = 2  # it serves as the settings with this number say
    LOGIN = 3  # somebody has logged in; the number is the connection's from now on
    LOGOUT = 4  # that connection is over, and so are its sessions
    REFUSED = 5  # somebody has left without a login; number 0
    ASK_KEYS = 6  # which lines has a user's file of keys? The number is the question's
    OPEN = 7  # a session begins
    INPUT = 8  # bytes that the client typed, and when they arrived
    END_OF_INPUT = 9
    SIZE = 10  # of the client's terminal
    BREAK = 11  # the client asks for one
    CREDIT = 12  # so many bytes more of output can be taken
    DEAF = 13  # the client reads no more, but wants to know how the session ends
    DISMISS = 14  # the client's right has been taken away: tell why, and end
    CLOSED = 15  # the client has closed the session: nothing more about it comes from the front
    PONG = 16  # the number is the PING's


class FromCore(IntEnum):
    """What the core says. The number is a session's, unless it is said."""

    SETTINGS = 65  # serve like this from now on; the number is that of the settings
    KEYS = 66  # the answer to ASK_KEYS
    OUTPUT = 67
    ERROR = 68  # output for standard error
    TAKEN = 69  # so many bytes of input have been read: as many more may be sent
    EXIT = 70  # the session has ended, with this status
    PING = 71  # the number is the ping's
    STOP = 72  # accept nobody any more, let clients leave, and end; number 0


#: Least and greatest length of the content, by kind.
FRONT_SIZES: Final[Mapping[int, tuple[int, int]]] = {
    FromFront.READY: (0, 16384),
    FromFront.SERVING: (0, 0),
    FromFront.LOGIN: (_LOGIN.size + 6, _LOGIN.size + 3 * (2 + TEXT_MAX)),
    FromFront.LOGOUT: (0, 0),
    FromFront.REFUSED: (8, 4 * (2 + TEXT_MAX)),
    FromFront.ASK_KEYS: (1, TEXT_MAX),
    FromFront.OPEN: (_OPENING.size, _OPENING.size + TERM_MAX + CLIENT_MAX + COMMAND_MAX),
    FromFront.INPUT: (_STAMP.size + 1, _STAMP.size + DATA_MAX),
    FromFront.END_OF_INPUT: (0, 0),
    FromFront.SIZE: (_SIZE.size, _SIZE.size),
    FromFront.BREAK: (0, 0),
    FromFront.CREDIT: (_COUNT.size, _COUNT.size),
    FromFront.DEAF: (0, 0),
    FromFront.DISMISS: (1, TEXT_MAX),
    FromFront.CLOSED: (0, 0),
    FromFront.PONG: (0, 0),
}
CORE_SIZES: Final[Mapping[int, tuple[int, int]]] = {
    FromCore.SETTINGS: (0, SETTINGS_MAX),
    FromCore.KEYS: (1, KEYS_MAX),
    FromCore.OUTPUT: (1, DATA_MAX),
    FromCore.ERROR: (1, DATA_MAX),
    FromCore.TAKEN: (_COUNT.size, _COUNT.size),
    FromCore.EXIT: (_STATUS.size, _STATUS.size),
    FromCore.PING: (0, 0),
    FromCore.STOP: (0, 0),
}


class Frame(NamedTuple):
    """One frame.

    Attributes:
        kind: of `FromFront` or `FromCore`.
        number: what it is about, from 0 to 2**32 - 1.
    """

    kind: int
    number: int
    content: bytes


class Opening(NamedTuple):
    """What a client wants when it begins a session.

    Attributes:
        command: to be done; None: none was said.
        garbled: the command was no UTF-8, so that nobody knows what is asked for.
        term: its terminal's TERM; None: it has no terminal.
        rows: of the terminal, and `columns`; 0 for unknown.
        client: the client's program, as it says itself; empty for unknown.
    """

    command: str | None = None
    garbled: bool = False
    term: str | None = None
    rows: int = 0
    columns: int = 0
    client: str = ""


class Decoder:
    """Frames from the bytes of one side.

    Args:
        sizes: the kinds that this side may send: `FRONT_SIZES` or `CORE_SIZES`.
    """

    def __init__(self, sizes: Mapping[int, tuple[int, int]]) -> None:
        self._sizes = sizes
        self._data: bytes | bytearray = b""
        self._at = 0  # before that, everything has become frames

    @property
    def waiting(self) -> int:
        """Bytes that have not become frames yet."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Take what has come. Bytes are copied only where a frame has begun in what came before."""
        if self._at == len(self._data):
            self._data, self._at = data, 0
            return
        if isinstance(self._data, bytes):
            self._data = bytearray(memoryview(self._data)[self._at :])
        else:
            del self._data[: self._at]
        self._at = 0
        self._data += data

    def next(self) -> Frame | None:
        """The next frame that is complete; None: more bytes are needed.

        Raises:
            FrontError: a kind that this side does not send, or a length that this kind cannot have. What follows
                cannot be understood any more.
        """
        if self.waiting < HEADER.size:
            return None
        kind, number, length = HEADER.unpack_from(self._data, self._at)
        limits = self._sizes.get(kind)
        if limits is None:
            raise FrontError(f"a frame of kind {kind}, which there is not")
        if not limits[0] <= length <= limits[1]:
            raise FrontError(f"a frame of kind {kind} has {length} bytes; it has {limits[0]} to {limits[1]}")
        begin = self._at + HEADER.size
        if len(self._data) < begin + length:
            return None
        self._at = begin + length
        content = self._data[begin : self._at]
        return Frame(kind, number, content if isinstance(content, bytes) else bytes(content))


# -- content, one way and back --------------------------------------------------------------------


def header(kind: int, number: int, length: int = 0) -> bytes:
    """The nine bytes before a content of that length."""
    return HEADER.pack(kind, number, length)


def frame(kind: int, number: int, content: bytes = b"") -> bytes:
    """A whole frame."""
    return HEADER.pack(kind, number, len(content)) + content


def texts(*values: str) -> bytes:
    """Texts, one behind the other; each is cut to `TEXT_MAX` bytes."""
    out = bytearray()
    for value in values:
        encoded = cut(value)
        out += _LENGTH.pack(len(encoded)) + encoded
    return bytes(out)


def cut(text: str, most: int = TEXT_MAX) -> bytes:
    """A text as UTF-8, without whatever is behind so many bytes."""
    encoded = text.encode("utf-8", "replace")
    return encoded if len(encoded) <= most else encoded[:most].decode("utf-8", "ignore").encode()


def as_texts(content: bytes) -> list[str]:
    """The texts in a content. Raises `FrontError`."""
    found, at = [], 0
    while at < len(content):
        if at + _LENGTH.size > len(content):
            raise FrontError("texts end in the middle of a length")
        (length,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size
        if length > TEXT_MAX or at + length > len(content):
            raise FrontError(f"a text of {length} bytes, where {len(content) - at} are left")
        found.append(as_text(content[at : at + length]))
        at += length
    return found


def as_text(content: bytes) -> str:
    """A content that is one text. Raises `FrontError`."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise FrontError(f"a text that is no UTF-8: {error}") from None


def some_texts(content: bytes, count: int) -> Sequence[str]:
    """Exactly so many texts. Raises `FrontError`."""
    found = as_texts(content)
    if len(found) != count:
        raise FrontError(f"{len(found)} texts, where {count} belong")
    return found


def login(age: float, name: str, key: str, address: str) -> bytes:
    """The content of LOGIN: who it is, and how many seconds ago the connection began."""
    return _LOGIN.pack(age) + texts(name, key, address)


def as_login(content: bytes) -> tuple[float, Sequence[str]]:
    """Seconds since the connection began; name, key, address. Raises `FrontError`."""
    (age,) = _LOGIN.unpack_from(content)
    if not 0 <= age < 1e9:
        raise FrontError(f"a connection that began {age} seconds ago")
    return age, some_texts(content[_LOGIN.size :], 3)


def opening(connection: int, wanted: Opening) -> bytes:
    """The content of OPEN."""
    flags = (
        (_HAS_TERMINAL if wanted.term is not None else 0)
        | (_HAS_COMMAND if wanted.command is not None else 0)
        | (_IS_GARBLED if wanted.garbled else 0)
    )
    term, client = cut(wanted.term or "", TERM_MAX), cut(wanted.client, CLIENT_MAX)
    head = _OPENING.pack(connection, flags, wanted.rows, wanted.columns, len(term), len(client))
    return head + term + client + cut(wanted.command or "", COMMAND_MAX)


def as_opening(content: bytes) -> tuple[int, Opening]:
    """The connection, and what its client wants. Raises `FrontError`."""
    connection, flags, rows, columns, term_length, client_length = _OPENING.unpack_from(content)
    at = _OPENING.size + term_length + client_length
    if term_length > TERM_MAX or client_length > CLIENT_MAX or at > len(content) or flags > 7:
        raise FrontError("an opening whose parts do not fit")
    term = as_text(content[_OPENING.size : _OPENING.size + term_length])
    client = as_text(content[_OPENING.size + term_length : at])
    command = as_text(content[at:])
    if (term and not flags & _HAS_TERMINAL) or (command and not flags & _HAS_COMMAND):
        raise FrontError("an opening with a terminal or a command that it says it has not")
    wanted = Opening(
        command if flags & _HAS_COMMAND else None,
        bool(flags & _IS_GARBLED),
        term if flags & _HAS_TERMINAL else None,
        rows,
        columns,
        client,
    )
    return connection, wanted


def stamp(at: float) -> bytes:
    """When the bytes behind it arrived, by `time.monotonic`: one clock for all processes (clock_gettime(2))."""
    return _STAMP.pack(int(at * 1e9))


def as_input(content: bytes) -> tuple[float, bytes]:
    """When bytes arrived, and the bytes."""
    (at,) = _STAMP.unpack_from(content)
    return at / 1e9, content[_STAMP.size :]


def size(rows: int, columns: int) -> bytes:
    """The content of SIZE."""
    return _SIZE.pack(rows, columns)


def as_size(content: bytes) -> tuple[int, int]:
    """Rows and columns."""
    rows, columns = _SIZE.unpack(content)
    return rows, columns


def count(number: int) -> bytes:
    """The content of CREDIT and TAKEN: bytes."""
    return _COUNT.pack(number)


def as_count(content: bytes) -> int:
    """The number of bytes that the content of CREDIT or TAKEN names."""
    (number,) = _COUNT.unpack(content)
    return int(number)


def status(number: int) -> bytes:
    """The content of EXIT."""
    return _STATUS.pack(number)


def as_status(content: bytes) -> int:
    """An exit status."""
    return content[0]
