"""The escape keys of an interactive session, as OpenSSH's: recognized at the start of a line. Sans I/O.

A paste is never a command. Most terminals mark it (bracketed paste) when the guest has asked for that. Where they do
not, what came at once is looked at. Keys that are typed come one by one, and who lets a program type waits for
answers. So a command counts when nothing but line ends came at once before it, and nothing follows it for a moment.
Everything else is the guest's, and what may have been meant as a command is named, so that its user can be told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from oobconsole.session.typed import LOST_END_SECONDS, PASTE_END, Is, Sequences, came_at_once


class Command(Enum):
    """What a user asks of the session rather than of the guest: the key after the prefix."""

    HELP = b"?"
    DETACH = b"."
    BREAK = b"b"
    SYSRQ = b"s"
    WHO = b"w"
    MESSAGE = b"m"
    ROLE = b"r"
    POWER = b"p"
    LAST = b"l"
    SIZE = b"z"
    DRAW = b"d"


#: OpenSSH's client answers `~?` itself, so there is another key for help.
_COMMANDS: Final = {ord("h"): Command.HELP} | {command.value[0]: command for command in Command}
#: So long, in seconds, nothing may follow: behind a letter, which may begin a home directory (`~bob/`), behind
#: another key, and behind a doubled prefix, which mostly is followed by what it was doubled for.
HOLD_SECONDS: Final = 0.4
QUIET_SECONDS: Final = 0.1
DOUBLED_SECONDS: Final = 0.05
#: A paste without an end is over when, after a while, a few keys come.
_FEW_KEYS: Final = 8
_ENDS_MAX: Final = 8
#: What a program may send at once with a doubled prefix: to detach from a console within this one.
_BEHIND_DOUBLED: Final = (b".", b"\r", b"\n")
_ESC: Final = 0x1B
_LINE_ENDS: Final = b"\r\n"
#: Keys that are no text: behind a command they are for the guest, or for what the command asks.
_KEY: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Typed(NamedTuple):
    """What was typed, up to the first command.

    Attributes:
        guest: goes to the guest.
        command: was completed behind that.
        rest: stands behind the command, not looked at yet.
        doubted: keys in `guest` that are a command when they come by themselves.
    """

    guest: bytes
    command: Command | None
    rest: bytes
    doubted: bytes = b""


@dataclass
class _Held:
    """What may be a command, and waits for what follows.

    Attributes:
        keys: the prefix and the key.
        command: None: the prefix is doubled, and one of it is sent.
        doubted: text came at once before it.
        ends: line ends behind it.
    """

    keys: bytes
    command: Command | None
    doubted: bool
    ends: bytes = b""

    @property
    def seconds(self) -> float:
        if self.command is None:
            return DOUBLED_SECONDS
        return HOLD_SECONDS if self.keys[-1:].isalpha() else QUIET_SECONDS

    def takes(self, ends: bytes) -> bool:
        """Do these belong to it? Programs type lines; behind a letter that may be the line of a home directory."""
        wanted = self.command is not None and not self.keys[-1:].isalpha()
        return wanted and not ends.strip(_LINE_ENDS) and len(self.ends + ends) <= _ENDS_MAX


class EscapeFilter:
    """Splits what a user types into bytes for the guest and commands for us.

    The prefix counts only after a line end or at the very beginning, terminal reports between them not counted.
    Behind it, its own last character sends the prefix, and any key that is no command is sent with it.

    Args:
        prefix: of every command, one or more characters; empty: there are none.
    """

    def __init__(self, prefix: bytes = b"~") -> None:
        self._prefix = prefix
        self._line_start = True
        self._matched = 0  # bytes of the prefix that are held back
        self._doubted = False  # text came at once before them
        self._company = False  # of what comes now, text has come already
        self._held: _Held | None = None
        self._sequences = Sequences()
        self._line_start_before = True  # the sequence that has begun
        self._paste: bytes | None = None  # within one: the last bytes of it

    @property
    def holds(self) -> float | None:
        """If nothing comes for so many seconds, the held bytes count (`expire`). None: no bytes are held."""
        return None if self._held is None else self._held.seconds

    def expire(self) -> Typed:
        """Nothing has come for as long as `holds` says. Returns what the held bytes mean then."""
        held, self._held = self._held, None
        if held is None:
            return Typed(b"", None, b"")
        if held.doubted:
            self._line_start = bool(held.ends)
            return Typed(held.keys + held.ends, None, b"", held.keys if held.command else b"")
        self._line_start = held.command is not None
        return Typed(b"" if held.command else self._prefix, held.command, b"")

    def end(self) -> Typed:
        """Nothing will ever come: a script has ended, and if its last line is to detach, that is what it means."""
        held = self._held
        if held is not None and held.command is Command.DETACH:
            held.doubted = False
        begun, self._matched = self._prefix[: self._matched], 0
        typed = self.expire()
        return typed._replace(guest=typed.guest + begun)

    def feed(self, data: bytes, pause: float = 0.0) -> Typed:
        """Look at what came at once, up to the first command that it completes; `pause` seconds after what was fed
        before."""
        self._company = self._company and came_at_once(pause)
        if self._paste is not None:
            if pause < LOST_END_SECONDS or len(data) > _FEW_KEYS or PASTE_END in self._paste + data:
                return self._pasted(data)
            self._paste = None
        return self._typed(data) if self._held is None else self._behind(self._held, data, pause)

    def _behind(self, held: _Held, data: bytes, pause: float) -> Typed:
        """Take `data`, which follows held bytes after a pause of so many seconds."""
        if pause >= held.seconds:
            return self.expire()._replace(rest=data)
        if held.takes(data):
            held.ends += data
            return Typed(b"", None, b"")
        self._held = None
        if held.command and not held.doubted and _KEY.match(data):
            self._line_start = True
            return Typed(b"", held.command, data)
        self._line_start, self._company = bool(held.ends), True
        typed = self._typed(data)
        return typed._replace(guest=held.keys + held.ends + typed.guest)

    def _pasted(self, data: bytes) -> Typed:
        """Within a paste: everything is the guest's, to its end and with it."""
        before = self._paste or b""
        end = (before + data).find(PASTE_END)
        if end < 0:
            self._paste = (before + data)[1 - len(PASTE_END) :]
            return Typed(data, None, b"")
        self._paste, self._line_start, self._company = None, False, True
        behind = end + len(PASTE_END) - len(before)
        typed = self._typed(data[behind:])
        return typed._replace(guest=data[:behind] + typed.guest)

    def _typed(self, data: bytes) -> Typed:
        if self._is_plain(data):
            self._company = self._company or bool(data.strip(_LINE_ENDS))
            self._line_start = data[-1:] in (b"\r", b"\n")
            return Typed(data, None, b"")
        guest = bytearray()
        doubted = b""
        for at, byte in enumerate(data):
            if not self._is_command(byte):
                self._take(byte, guest)
                if self._paste is None:
                    continue
                typed = self._pasted(data[at + 1 :])
                return typed._replace(guest=bytes(guest) + typed.guest)
            held, rest = _Held(self._prefix + bytes((byte,)), _COMMANDS.get(byte), self._doubted), data[at + 1 :]
            self._matched = 0
            if not rest or held.takes(rest):
                held.ends, self._held = rest, held
                return Typed(bytes(guest), None, b"", doubted)
            if held.command and not held.doubted and _KEY.match(rest):
                self._line_start = True
                return Typed(bytes(guest), held.command, rest, doubted)
            doubted = doubted or (held.keys if held.command and not held.doubted else b"")
            is_doubled = held.command is None and not held.doubted and rest in _BEHIND_DOUBLED
            self._send(self._prefix if is_doubled else held.keys, guest)
        return Typed(bytes(guest), None, b"", doubted)

    def _is_plain(self, data: bytes) -> bool:
        first = self._prefix[:1]
        return not self._matched and not self._sequences.within and not (first and first in data) and _ESC not in data

    def _is_command(self, byte: int) -> bool:
        """The whole prefix has come: is this byte one of ours behind it?"""
        return 0 < self._matched == len(self._prefix) and (byte in _COMMANDS or byte == self._prefix[-1])

    def _send(self, text: bytes, guest: bytearray) -> None:
        """Give `text` to the guest: it was no command."""
        guest += text
        self._matched, self._line_start, self._company = 0, False, True

    def _take(self, byte: int, guest: bytearray) -> None:
        prefix = self._prefix
        if 0 < self._matched < len(prefix) and byte == prefix[self._matched]:
            self._matched += 1
        elif not self._matched and self._line_start and byte == next(iter(prefix), -1):
            self._matched, self._doubted = 1, self._company
        else:
            if self._matched:
                self._send(prefix[: self._matched], guest)
            guest.append(byte)
            self._follow(byte)

    def _follow(self, byte: int) -> None:
        """A line begins behind line ends, also when the terminal itself types something between them."""
        kind = self._sequences.take(byte)
        if byte == _ESC:
            self._line_start_before = self._line_start
        self._line_start = self._line_start_before if kind is Is.REPORT else kind is Is.LINE_END
        self._company = self._company or kind is Is.TEXT
        if kind is Is.PASTE:
            self._paste = b""
