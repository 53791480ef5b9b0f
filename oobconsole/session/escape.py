"""The escape keys of a person's session, as OpenSSH has them: they count at the start of a line. Sans I/O.

How is a paste told from keys? A paste must never be a command. Most terminals put marks around a paste (bracketed
paste) when the guest has asked for that. Without marks, the only sign is time: a paste comes at once, and keys that
are typed come one by one. A program that types for a user waits for answers, so its keys come one by one, too.
Therefore a command counts only if nothing but line ends came at once before the command, and if nothing follows it
for a moment.

Everything else goes to the guest. The filter names the keys that may have been meant as a command, so that the user
can be told.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

from oobconsole.session.typed import LOST_END_SECONDS, Is, Sequences, came_at_once, is_only_text


class Command(Enum):
    """What a user asks of the session rather than of the guest. The value is the key that is typed behind the
    prefix."""

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


#: OpenSSH's client answers `~?` itself, so `~h` asks for help, too.
_COMMANDS: Final = {ord("h"): Command.HELP} | {command.value[0]: command for command in Command}
#: For how many seconds nothing may follow a command before it counts: behind a letter (HOLD_SECONDS), because the
#: letter may begin a home directory as in `~bob/`; behind another key (QUIET_SECONDS); and behind a doubled prefix
#: (DOUBLED_SECONDS), which is mostly followed by what it was doubled for.
HOLD_SECONDS: Final = 0.4
QUIET_SECONDS: Final = 0.1
DOUBLED_SECONDS: Final = 0.05
#: A paste whose end mark is lost is over when at most this many keys come after a pause of `LOST_END_SECONDS`.
_FEW_KEYS: Final = 8
#: How many line ends may come together with a command that still counts.
_ENDS_MAX: Final = 8
#: What a program may send at once with a doubled prefix. Example: `~~.` detaches from a console that is watched
#: within this console.
_BEHIND_DOUBLED: Final = (b".", b"\r", b"\n")
_ESC: Final = 0x1B
_LINE_ENDS: Final = b"\r\n"
#: Keys that are no text, or the first byte of such a key's sequence, also as a C1 control. Behind a command they are
#: for the guest, or they answer the command's question.
_KEY: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\xc2?[\x8f\x9b]")


class Typed(NamedTuple):
    """What was typed, up to the first command.

    Attributes:
        guest: the bytes that go to the guest.
        command: the command that was completed behind these bytes; None: there was none.
        rest: the bytes behind the command, which have not been looked at yet.
        doubted: the keys in `guest` that would have been a command if they had come by themselves.
    """

    guest: bytes
    command: Command | None
    rest: bytes
    doubted: bytes = b""


@dataclass
class _Held:
    """Keys that may be a command. They are held back until it is known what follows them.

    Attributes:
        keys: the prefix and the key behind it.
        command: the command that these keys are; None: the prefix is doubled, and one prefix goes to the guest.
        doubted: text came at once before these keys, so they are no command.
        ends: the line ends that have come behind them.
    """

    keys: bytes
    command: Command | None
    doubted: bool
    ends: bytes = b""

    @property
    def seconds(self) -> float:
        """For how long nothing may follow before the keys count, in seconds."""
        if self.command is None:
            return DOUBLED_SECONDS
        return HOLD_SECONDS if self.keys[-1:].isalpha() else QUIET_SECONDS

    def takes(self, ends: bytes) -> bool:
        """Return whether what follows consists of line ends that belong to the command. A program types whole lines,
        so the line end belongs to the command. Behind a letter it does not: the line may name a home directory."""
        wanted = self.command is not None and not self.keys[-1:].isalpha()
        return wanted and not ends.strip(_LINE_ENDS) and len(self.ends + ends) <= _ENDS_MAX


class EscapeFilter:
    """Splits what a user types into bytes for the guest and commands for us.

    Where does the prefix count? Only behind a line end, or at the very beginning. What the terminal itself sends in
    between (reports) is not counted. Behind the prefix, the prefix's own last character sends the prefix to the
    guest. Any key that is no command is sent to the guest together with the prefix.

    Args:
        prefix: the one or more characters with which every command begins; empty: there are no commands.
    """

    def __init__(self, prefix: bytes = b"~") -> None:
        self._prefix = prefix
        self._line_start = True
        self._matched = 0  # how many bytes of the prefix have come and are held back
        self._doubted = False  # text came at once before these bytes of the prefix
        self._company = False  # text is a part of what is coming at once
        self._held: _Held | None = None
        self._sequences = Sequences()
        self._line_start_before = True  # whether the control sequence that comes now began at the start of a line
        self._paste: bytes | None = None  # the last bytes of the paste that is coming; None: no paste is coming
        self._paste_end = b""  # the mark that ends this paste

    @property
    def holds(self) -> float | None:
        """How many seconds of silence make the held bytes count (`expire`). None: no bytes are held."""
        return None if self._held is None else self._held.seconds

    def expire(self) -> Typed:
        """Return what the held bytes mean. The caller calls this when nothing has come for as long as `holds`
        says."""
        held, self._held = self._held, None
        if held is None:
            return Typed(b"", None, b"")
        if held.doubted:
            self._line_start = bool(held.ends)
            return Typed(held.keys + held.ends, None, b"", held.keys if held.command else b"")
        self._line_start = held.command is not None
        return Typed(b"" if held.command else self._prefix, held.command, b"")

    def end(self) -> Typed:
        """Return what the held bytes mean when nothing will ever follow. This is the end of a script's input: if the
        last line is a command to detach, that is what it means."""
        held = self._held
        if held is not None and held.command is Command.DETACH:
            held.doubted = False
        begun, self._matched = self._prefix[: self._matched], 0
        typed = self.expire()
        return typed._replace(guest=typed.guest + begun)

    def passes(self, data: bytes) -> bool:
        """Return whether `feed` would return just these bytes, all of them for the guest."""
        return self._held is None and self._paste is None and self._is_plain(data)

    def feed(self, data: bytes, pause: float = 0.0) -> Typed:
        """Look at bytes that came at once, up to the first command that they complete.

        Args:
            data: the bytes.
            pause: how many seconds after the bytes of the last call they came.
        """
        self._company = self._company and came_at_once(pause)
        if self._paste is not None:
            if pause < LOST_END_SECONDS or len(data) > _FEW_KEYS or self._paste_end in self._paste + data:
                return self._pasted(data)
            self._paste = None
        return self._typed(data) if self._held is None else self._behind(self._held, data, pause)

    def _behind(self, held: _Held, data: bytes, pause: float) -> Typed:
        """Take `data`, which follows the held bytes after a pause of so many seconds."""
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
        """Take bytes of a paste: everything up to the paste's end mark, and the mark itself, is the guest's."""
        before = self._paste or b""
        end = (before + data).find(self._paste_end)
        if end < 0:
            self._paste = (before + data)[1 - len(self._paste_end) :]
            return Typed(data, None, b"")
        self._paste, self._line_start, self._company = None, False, True
        behind = end + len(self._paste_end) - len(before)
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
        """Return whether the bytes can go to the guest as they are: nothing in them can begin or end a command."""
        first = self._prefix[:1]
        may_begin = bool(first) and first in data
        return not self._matched and not self._sequences.within and not may_begin and is_only_text(data)

    def _is_command(self, byte: int) -> bool:
        """Return whether the whole prefix has come and this byte makes a command of it, or doubles the prefix."""
        return 0 < self._matched == len(self._prefix) and (byte in _COMMANDS or byte == self._prefix[-1])

    def _send(self, text: bytes, guest: bytearray) -> None:
        """Give `text` to the guest, because it was no command."""
        guest += text
        self._matched, self._line_start, self._company = 0, False, True

    def _take(self, byte: int, guest: bytearray) -> None:
        """Take one byte that completes no command: it is part of the prefix, or goes to the guest."""
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
        """Keep track of whether a line begins. A line begins behind a line end, even if the terminal itself has sent
        something since."""
        if byte == _ESC or not self._sequences.within:
            self._line_start_before = self._line_start
        kind = self._sequences.take(byte)
        self._line_start = self._line_start_before if kind is Is.REPORT else kind is Is.LINE_END
        self._company = self._company or kind is Is.TEXT
        if kind is Is.PASTE:
            self._paste, self._paste_end = b"", self._sequences.paste_end
