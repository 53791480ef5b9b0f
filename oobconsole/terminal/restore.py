"""Gives a terminal back as a shell wants it, whatever the guests have done to it that have drawn there. Sans I/O.

Modes are named as in ECMA-48, DEC's VT510 manual and xterm's "Control Sequences" (ctlseqs). Each one is undone by
itself: DECSTR, which would undo most of them, is unknown to the Linux console and others.
"""

from __future__ import annotations

import re
from typing import Final

from oobconsole.terminal.state import TABS_AT_FIRST

_MAIN_SCREEN: Final = b"\x1b[?1049l"
#: Switches margins and origin mode off. Both move the cursor, so the cursor is saved before and restored after them.
#: With the cursor, a terminal also restores an origin mode that was on when the cursor was saved.
_NO_MARGINS: Final = b"\x1b7\x1b[r\x1b[?6l%b\x1b8"
#: Sets tab stops every eight columns, with the cursor's help. On a narrower terminal the last one is in the last
#: column, to which a tab goes anyhow. DECST8C, where a terminal knows it, leaves none there.
_TABS: Final = b"\x1b[3g" + b"".join(b"\x1b[%dG\x1bH" % (x + 1) for x in sorted(TABS_AT_FIRST)) + b"\x1b[?5W"
_NO_ORIGIN: Final = b"\x1b[?6l\x1b[999;1H"
_SANE: Final = (
    b"\x1b[?2026l"  # synchronized output: what follows is shown
    b"\x1b[0;10m\x1b(B\x0f"  # attributes, the Linux console's own fonts, character sets
    b"\x1b[4l\x1b[20l\x1b[12h"  # inserting (IRM), Enter as two characters (LNM), local echo (SRM)
    b"\x1b[?69l"  # left and right margins (DECLRMM)
    b"\x1b[?1l\x1b>\x1b[?67l"  # cursor keys, keypad, what Backspace sends (DECCKM, DECKPNM, DECBKM)
    b"\x1b[?5l\x1b[?4l\x1b[?45l\x1b[?7h\x1b[?8h"  # reverse screen, smooth scrolling, wrapping, repeating keys
    b"\x1b[?2004l"  # bracketed paste
    b"\x1b[0 q\x1b[?12l\x1b[?25h"  # the cursor's shape, blinking, and that it is seen
)
#: Leaves VT52 mode, in which a terminal obeys no other sequence of ours, and sends other bytes for the arrow keys.
_ANSI: Final = b"\x1b<"
#: Undoes what a guest can ask a terminal for where nothing was filtered: reports of mouse, focus, theme and size;
#: other codes for keys (XTMODKEYS, also all of its kinds at once; kitty's; xterm's for other keyboards; mintty's for
#: Escape; those of Windows, 9001); other widths for characters (2027); a locked keyboard (KAM); and protection from
#: being erased (EPA, DECSCA).
_NO_REPORTS: Final = (
    b"\x1b[?1000;1002;1003;1004;1006l\x1b[?9;1001;1005;1007;1015;1016;2031;2048l\x1b[>4m\x1b[>m\x1b[=0;1u\x1b[2l"
    b'\x1b[?1050;1051;1052;1053;1060;1061;7727;9001;2027l\x1bW\x1b[0"q'
)
#: kitty has keyboard modes of their own for each of the two screens.
_NO_REPORTS_ON_MAIN: Final = b"\x1b[=0;1u"
#: Undone only if a guest has used it, because some terminals know these sequences so little that they would show a
#: part of them: another conformance level (DECSCL) and C1 controls (S8C1T), which also change what the terminal
#: sends; and other formats for keys (XTFMTKEYS). Level 4 is xterm's own.
_LEVEL: Final = b'\x1b[62;1"p\x1b[64;1"p'
_SEVEN_BITS: Final = b"\x1b F"
_NO_FORMATS: Final = b"\x1b[>4f"
#: Switches attributes, fonts, character sets and margins off, and puts the cursor in the last row.
_PLAIN: Final = b"\x1b[0m\x0f\x1b(B\x1b[?6l\x1b[4l\x1b[r\x1b[999;1H"
#: Sequences that decide how the terminal is given back: private modes, RIS, DECSTR, what sets or clears tab stops
#: (HTS, TBC), DECSCL, S8C1T, XTFMTKEYS.
_DECIDES: Final = re.compile(
    rb"(?:\x1b\[|\xc2\x9b)(?:\?(?P<modes>[\d;:]{1,64})(?P<final>[hl])|(?P<soft>!p)|(?P<stops>[\d;]{0,64}g)"
    rb'|(?P<level>[\d;]{0,64}"p)|(?P<formats>>[\d;]{0,64}f))'
    rb"|(?P<full>\x1bc)|(?P<stop>\x1bH)|(?P<eight>\x1b G)"
)
#: What may change more than text: ESC, SO, and the control sequence introducer of C1 in UTF-8.
_ACTS: Final = re.compile(rb"[\x1b\x0e]|\xc2\x9b")
_BEGUN: Final = re.compile(rb"(?:\x1b|(?:\x1b\[|\xc2\x9b)[?!>]?[\d;:]{0,64}\"?|\x1b |\xc2)\Z")
_ALTERNATE: Final = frozenset({b"47", b"1047", b"1049"})


def scrolled_away(rows: int, behind: bytes = b"") -> bytes:
    """Return the bytes that scroll everything away that a terminal of so many rows shows, and `behind` with it. The
    cursor is then in the first row of an empty screen."""
    return _PLAIN + behind + b"\r\n" * rows + b"\x1b[H"


class Lent:
    """A terminal that a guest draws on.

    Args:
        filtered: whether everything that reaches the terminal has gone through a `SafeFilter`.

    Attributes:
        touched: whether the terminal was sent something that may have changed more than its text.
    """

    def __init__(self, *, filtered: bool) -> None:
        self.touched = False
        self._filtered = filtered
        self._alternate = False
        self._origin = False
        self._tabs = False  # the tab stops were changed
        self._vt52 = self._level = self._eight_bits = self._formats = False  # whether this was used
        self._begun = b""

    def feed(self, shown: bytes) -> None:
        """Note that `shown` is sent to the terminal, in whatever pieces."""
        if not self._begun and not _ACTS.search(shown) and not shown.endswith(b"\xc2"):
            return  # text, as most output is
        shown = self._begun + shown
        self.touched = self.touched or bool(_ACTS.search(shown))
        for found in _DECIDES.finditer(shown):
            self._follow(found)
        begun = _BEGUN.search(shown, max(0, len(shown) - 80))
        self._begun = begun[0] if begun else b""

    def _follow(self, found: re.Match[bytes]) -> None:
        full_reset = bool(found["full"])
        self._tabs = (self._tabs and not full_reset) or bool(found["stops"] or found["stop"])
        self._level = self._level or bool(found["level"])
        self._eight_bits = self._eight_bits or bool(found["eight"])
        self._formats = self._formats or bool(found["formats"])
        if full_reset or found["soft"]:
            self._origin = False
            self._alternate = self._alternate and not full_reset
        elif found["modes"]:
            self._follow_modes({number.lstrip(b"0") for number in found["modes"].split(b";")}, found["final"] == b"h")

    def _follow_modes(self, modes: set[bytes], on: bool) -> None:
        if modes & _ALTERNATE:
            self._alternate = on
        if b"6" in modes:
            self._origin = on
        if b"2" in modes and not on:
            self._vt52 = True

    def restored(self) -> bytes:
        """The bytes that give the terminal back. An unfinished sequence of the guest's is cancelled first."""
        cancel = b"\x18" if self._begun else b""  # CAN: the sequence ends, and does nothing
        return b"".join(
            (
                cancel,
                self._kind_restored(),
                b"" if self._filtered else _NO_REPORTS,
                _MAIN_SCREEN if self._alternate else b"",
                b"" if self._filtered else _NO_REPORTS_ON_MAIN,
                _NO_MARGINS % (_TABS if self._tabs else b""),
                _NO_ORIGIN if self._origin else b"",
                _SANE,
            )
        )

    def _kind_restored(self) -> bytes:
        """The bytes that make the terminal of the kind again that it was. xterm is a VT100 behind VT52 mode, so its
        level is set then, too; and a VT100 would not obey S7C1T."""
        return b"".join(
            (
                _ANSI if self._vt52 else b"",
                _LEVEL if self._vt52 or self._level else b"",
                _SEVEN_BITS if self._vt52 or self._level or self._eight_bits else b"",
                _NO_FORMATS if self._formats else b"",
            )
        )
