"""The relay's frames: the language in which a front and the core, which are two processes, speak about clients.

The codec is sans I/O: bytes go in, and frames come out. A frame is a header of nine bytes and a content. The header
has the kind, a number and the length of the content, all big-endian. The number says what the frame is about: a
session, a connection, or a question, whose answer has the same number. Each side has its own kinds. Each kind has a
least and a greatest length, and a frame of another length is an error before any of its content is kept.

The core treats a front as hostile, so nothing here trusts what a front has sent. Texts are UTF-8, bounded and
checked.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple

from oobconsole.errors import FrontError

#: Kind, number, length of the content.
HEADER: Final = struct.Struct(">BII")
#: How much input or output of a session one frame may have, in bytes.
DATA_MAX: Final = 65536
#: The contents of so many OUTPUT frames that were sent last and are longer than `KEPT_MIN` bytes can be sent to other
#: sessions by AGAIN. Both sides keep them. Its content is 0 for the newest of them, 1 for the one before, and so on.
KEPT: Final = 4
KEPT_MIN: Final = 4096
#: How long a command line may be, in bytes. `session/commands.py` allows 65,536 characters, but a longer command line
#: must arrive, so that its user can be told. SSH's largest packet bounds it.
COMMAND_MAX: Final = 256 << 10
TERM_MAX: Final = 64
CLIENT_MAX: Final = 256
#: How long the name of a signal may be, in bytes.
SIGNAL_MAX: Final = 8
#: How long a text about a person (name, key, address) or a reason may be, in bytes.
TEXT_MAX: Final = 1024
#: How long a front's settings may be, in bytes. Lists of revoked keys may have 16 MiB each.
SETTINGS_MAX: Final = 64 << 20
#: How long a user's file of keys may be, in bytes, with the byte that says that it was found.
KEYS_MAX: Final = (4 << 20) + 1

#: The largest number that the content of CREDIT, TAKEN and PONG can be.
COUNT_MAX: Final = 2**32 - 1

_OPENING: Final = struct.Struct(">IBHHBH")  # connection, flags, rows, columns, length of TERM, of the client's name
_LOGIN: Final = struct.Struct(">d")  # seconds since the connection began
_STAMP: Final = struct.Struct(">Q")  # CLOCK_MONOTONIC, in nanoseconds
_HEADER_AND_STAMP: Final = struct.Struct(">BIIQ")
_SIZE: Final = struct.Struct(">HH")
_COUNT: Final = struct.Struct(">I")
_STATUS: Final = struct.Struct(">B")
_LENGTH: Final = struct.Struct(">H")
_HAS_TERMINAL, _HAS_COMMAND, _IS_GARBLED = 1, 2, 4


class FromFront(IntEnum):
    """The kinds of frames that a front sends. The number is that of a session, unless a comment says otherwise."""

    READY = 1  # the front can serve; number 0; the content is what confines it, as texts
    SERVING = 2  # the front now serves by the settings that had this number
    LOGIN = 3  # a user has logged in; the number is that of the connection
    LOGOUT = 4  # a connection is over, and so are its sessions; the number is that of the connection
    REFUSED = 5  # a client has left without a login; number 0
    ASK_KEYS = 6  # asks for the lines of a user's file of keys; the number is that of the question
    OPEN = 7  # a session begins
    INPUT = 8  # bytes that the client typed, and when they arrived
    END_OF_INPUT = 9  # the client will type no more
    SIZE = 10  # the client's terminal has this size
    BREAK = 11  # the client asks for a break; the content says whether it wants to be told if the break was sent
    CREDIT = 12  # the client can take so many more bytes of output
    DEAF = 13  # the client reads no more, but wants to know how the session ends
    DISMISS = 14  # the user has lost the right to be here: tell why, and end the session
    CLOSED = 15  # the client has closed the session: the front sends nothing more about it
    PONG = 16  # the answer to the PING of this number: how many connections were turned away since the last PONG
    SIGNAL = 17  # the client has sent a signal, with this name


class FromCore(IntEnum):
    """The kinds of frames that the core sends. The number is that of a session, unless a comment says otherwise."""

    SETTINGS = 65  # serve by these settings from now on; the number is that of the settings
    KEYS = 66  # the answer to the ASK_KEYS of this number
    OUTPUT = 67  # bytes for the client's standard output or terminal
    ERROR = 68  # bytes for the client's standard error
    TAKEN = 69  # so many bytes of input have been read, so that as many more may be sent
    EXIT = 70  # the session has ended, with this status
    PING = 71  # asks for a sign of life; the number is that of the ping
    STOP = 72  # accept no more clients, let those that are there leave, and end; number 0
    BROKE = 73  # the answer to a BREAK that wants one: whether the break was sent
    AGAIN = 74  # this session's standard output gets bytes that another session has got; the content says which


#: For each kind: the least and the greatest length of the content, in bytes.
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
    FromFront.BREAK: (_STATUS.size, _STATUS.size),
    FromFront.CREDIT: (_COUNT.size, _COUNT.size),
    FromFront.DEAF: (0, 0),
    FromFront.DISMISS: (1, TEXT_MAX),
    FromFront.CLOSED: (0, 0),
    FromFront.PONG: (_COUNT.size, _COUNT.size),
    FromFront.SIGNAL: (1, SIGNAL_MAX),
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
    FromCore.AGAIN: (_STATUS.size, _STATUS.size),
    FromCore.BROKE: (_STATUS.size, _STATUS.size),
}


class Frame(NamedTuple):
    """One frame.

    Attributes:
        kind: a member of `FromFront` or `FromCore`.
        number: what the frame is about, from 0 to 2**32 - 1.
    """

    kind: int
    number: int
    content: bytes


class Opening(NamedTuple):
    """What a client wants when it begins a session.

    Attributes:
        command: the command to be done; None: the client has given none.
        garbled: the command was not UTF-8, so that nobody knows what the client wants.
        term: the TERM of the client's terminal; None: the client has no terminal.
        rows: how many rows the terminal has, and `columns` how many columns; 0: unknown.
        client: the name of the client's program, as the client says it; empty: unknown.
    """

    command: str | None = None
    garbled: bool = False
    term: str | None = None
    rows: int = 0
    columns: int = 0
    client: str = ""


class Decoder:
    """Splits the byte stream of one side into frames.

    Args:
        sizes: the kinds that this side may send, with their lengths: `FRONT_SIZES` or `CORE_SIZES`.
    """

    def __init__(self, sizes: Mapping[int, tuple[int, int]]) -> None:
        self._sizes = sizes
        self._data: bytes | bytearray = b""
        self._at = 0  # the bytes before this index have become frames

    @property
    def waiting(self) -> int:
        """How many bytes have not become frames yet."""
        return len(self._data) - self._at

    def feed(self, data: bytes) -> None:
        """Take bytes that have arrived. They are copied only if earlier bytes are left that are no whole frame."""
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
        """Return the next frame that is complete, or None when more bytes are needed.

        Raises:
            FrontError: this side does not send that kind, or the kind cannot have that length. The bytes that follow
                cannot be understood any more.
        """
        at = self._at
        left = len(self._data) - at - HEADER.size
        if left < 0:
            return None
        kind, number, length = HEADER.unpack_from(self._data, at)
        limits = self._sizes.get(kind)
        if limits is None:
            raise FrontError(f"a frame is of kind {kind}, which there is not")
        if not limits[0] <= length <= limits[1]:
            raise FrontError(f"a frame of kind {kind} says {length} bytes; it has {limits[0]} to {limits[1]}")
        if left < length:
            return None
        begin = at + HEADER.size
        self._at = begin + length
        content = self._data[begin : self._at]
        return Frame(kind, number, content if isinstance(content, bytes) else bytes(content))


# -- content, one way and back --------------------------------------------------------------------


def header(kind: int, number: int, length: int = 0) -> bytes:
    """Return the nine bytes of a header before a content of `length` bytes."""
    return HEADER.pack(kind, number, length)


def frame(kind: int, number: int, content: bytes = b"") -> bytes:
    """Return a frame: header and content."""
    return HEADER.pack(kind, number, len(content)) + content


def texts(*values: str) -> bytes:
    """Return a content of several texts. Each is cut to `TEXT_MAX` bytes."""
    out = bytearray()
    for value in values:
        encoded = cut(value)
        out += _LENGTH.pack(len(encoded)) + encoded
    return bytes(out)


def cut(text: str, most: int = TEXT_MAX) -> bytes:
    """Return a text as UTF-8, cut to at most `most` bytes but not within a character."""
    encoded = text.encode("utf-8", "replace")
    return encoded if len(encoded) <= most else encoded[:most].decode("utf-8", "ignore").encode()


def as_texts(content: bytes) -> list[str]:
    """Return the texts of a content that is a list of texts. Raises `FrontError` if the content is no such list."""
    found, at = [], 0
    while at < len(content):
        if at + _LENGTH.size > len(content):
            raise FrontError("a list of texts ends within the length of a text")
        (length,) = _LENGTH.unpack_from(content, at)
        at += _LENGTH.size
        if length > TEXT_MAX or at + length > len(content):
            raise FrontError(
                f"a text of {length} bytes, where {len(content) - at} bytes are left: a text has at most {TEXT_MAX}"
            )
        found.append(as_text(content[at : at + length]))
        at += length
    return found


def as_text(content: bytes) -> str:
    """Return the text of a content that is one text. Raises `FrontError` if the text is not UTF-8."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise FrontError(f"a text is no UTF-8: {error}") from None


def some_texts(content: bytes, count: int) -> Sequence[str]:
    """Return the texts of a content that is a list of texts. Raises `FrontError` unless it has exactly `count`."""
    found = as_texts(content)
    if len(found) != count:
        raise FrontError(f"a frame has {len(found)} texts, where {count} belong")
    return found


def login(age: float, name: str, key: str, address: str) -> bytes:
    """Return the content of LOGIN: who has logged in, and how many seconds ago the connection began (`age`)."""
    return _LOGIN.pack(age) + texts(name, key, address)


def as_login(content: bytes) -> tuple[float, Sequence[str]]:
    """Return the seconds since the connection began, and name, key and address. Raises `FrontError` if the content is
    none of LOGIN."""
    (age,) = _LOGIN.unpack_from(content)
    if not 0 <= age < 1e9:
        raise FrontError(f"LOGIN says that the connection began {age} seconds ago, which cannot be")
    return age, some_texts(content[_LOGIN.size :], 3)


def opening(connection: int, wanted: Opening) -> bytes:
    """Return the content of OPEN: the connection's number, and what the client wants."""
    flags = (
        (_HAS_TERMINAL if wanted.term is not None else 0)
        | (_HAS_COMMAND if wanted.command is not None else 0)
        | (_IS_GARBLED if wanted.garbled else 0)
    )
    term, client = cut(wanted.term or "", TERM_MAX), cut(wanted.client, CLIENT_MAX)
    head = _OPENING.pack(connection, flags, wanted.rows, wanted.columns, len(term), len(client))
    return head + term + client + cut(wanted.command or "", COMMAND_MAX)


def as_opening(content: bytes) -> tuple[int, Opening]:
    """Return the connection's number, and what its client wants. Raises `FrontError` if the content is none of
    OPEN."""
    connection, flags, rows, columns, term_length, client_length = _OPENING.unpack_from(content)
    at = _OPENING.size + term_length + client_length
    if term_length > TERM_MAX or client_length > CLIENT_MAX or at > len(content) or flags > 7:
        raise FrontError("OPEN has parts that do not fit: flags, or the lengths of the terminal and client names")
    term = as_text(content[_OPENING.size : _OPENING.size + term_length])
    client = as_text(content[_OPENING.size + term_length : at])
    command = as_text(content[at:])
    if (term and not flags & _HAS_TERMINAL) or (command and not flags & _HAS_COMMAND):
        raise FrontError("OPEN has a terminal or a command, and its flags say that it has none")
    wanted = Opening(
        command if flags & _HAS_COMMAND else None,
        bool(flags & _IS_GARBLED),
        term if flags & _HAS_TERMINAL else None,
        rows,
        columns,
        client,
    )
    return connection, wanted


def typed(number: int, at: float, data: bytes) -> bytes:
    """Return an INPUT frame, which is made for each typed key.

    Args:
        number: the session's number.
        at: when the bytes arrived, in seconds by `time.monotonic`. That clock is the same in all processes
            (clock_gettime(2)).
        data: 1 to `DATA_MAX` bytes.
    """
    return _HEADER_AND_STAMP.pack(FromFront.INPUT, number, _STAMP.size + len(data), int(at * 1e9)) + data


def as_input(content: bytes) -> tuple[float, bytes]:
    """Return when the bytes of an INPUT arrived, in seconds by `time.monotonic`, and the bytes."""
    (at,) = _STAMP.unpack_from(content)
    return at / 1e9, content[_STAMP.size :]


def size(rows: int, columns: int) -> bytes:
    """Return the content of SIZE: rows and columns, each from 0 to 65535."""
    return _SIZE.pack(rows, columns)


def as_size(content: bytes) -> tuple[int, int]:
    """Return the rows and columns of a SIZE."""
    rows, columns = _SIZE.unpack(content)
    return rows, columns


def count(number: int) -> bytes:
    """Return the content of CREDIT and TAKEN, a number of bytes; or that of PONG, a number of connections."""
    return _COUNT.pack(number)


def as_count(content: bytes) -> int:
    """Return the number that a CREDIT, TAKEN or PONG holds."""
    (number,) = _COUNT.unpack(content)
    return int(number)


def status(number: int) -> bytes:
    """Return the content of EXIT, a status from 0 to 255; or that of BREAK and BROKE, 1 for yes and 0 for no."""
    return _STATUS.pack(number)


def as_status(content: bytes) -> int:
    """Return the number of an EXIT, a BREAK or a BROKE."""
    return content[0]
