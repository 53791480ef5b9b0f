"""Which bytes are text, sequences, or noise; and which sequences a guest may not send to somebody's terminal.

Sequences are named as in ECMA-48 and xterm's "Control Sequences" (ctlseqs). Every pattern takes time in proportion
to what it matches: its repetitions are possessive.
"""

from __future__ import annotations

import re
from typing import Final


def _any_of(*kinds: bytes) -> bytes:
    """A group that can be repeated possessively.

    Python before 3.11.5 (Debian 12 has 3.11.2) goes on from where the last alternative failed, not from where it
    began (python/cpython#106052). So the last alternative is one that fails at once.
    """
    return b"(?:" + b"|".join(kinds) + b"|(?!))"


#: Characters of UTF-8 (RFC 3629, section 4) but for C1.
_CHARACTER: Final = (
    rb"\xc2[\xa0-\xbf]|[\xc3-\xdf][\x80-\xbf]|\xe0[\xa0-\xbf][\x80-\xbf]|[\xe1-\xec\xee\xef][\x80-\xbf]{2}"
    rb"|\xed[\x80-\x9f][\x80-\xbf]|\xf0[\x90-\xbf][\x80-\xbf]{2}|[\xf1-\xf3][\x80-\xbf]{3}"
    rb"|\xf4[\x80-\x8f][\x80-\xbf]{2}"
)
#: What needs no second look: no ESC, no ENQ.
_TEXT: Final = rb"[^\x1b\x05\x80-\xff]++|" + _CHARACTER
#: And the sequences of which every screen is full: cursor, erasing, inserting, colours, character sets.
_USUAL: Final = rb"\x1b(?:[78=>DM]|[()][0B]|\[(?:[0-9;]{0,64}[@-HJ-MPXdm]|\?25[hl]))"
#: Control Sequence Introducer in its three forms, and the longest parameters that are looked at.
_CSI: Final = rb"(?:\x1b\[|\x9b|\xc2\x9b)"
PARAMETERS_MAX: Final = 253
_PARAMETERS: Final = rb"[ -?]{0,253}+"
#: What shows nothing: ENQ; a control sequence or an escape that something else cancels; characters that UTF-8
#: forbids, which may be controls to a careless decoder.
_NOTHING: Final = (
    rb"\x05|"
    + _CSI
    + _PARAMETERS
    + rb"(?:[\x18\x1a\x7f]|(?=[\x1b\x80-\xff]))|\x1b[ -/]{0,253}+(?=[\x00-\x1f\x7f-\xff])"
    rb"|\xe0[\x80-\x9f][\x80-\xbf]|\xed[\xa0-\xbf][\x80-\xbf]|\xf0[\x80-\x8f][\x80-\xbf]{2}|\xf4[\x90-\xbf][\x80-\xbf]{2}"
)
#: Bytes that are no UTF-8, each by itself; and characters of which the end is missing.
_NOISE: Final = rb"[\xa0-\xc1\xf5-\xff]|[\xc2-\xf4](?=[\x00-\x7f\xc0-\xff])"
_HALVES: Final = rb"(?:[\xe0-\xef][\x80-\xbf]|[\xf0-\xf4][\x80-\xbf]{1,2})(?=[\x00-\x7f\xc0-\xff])"
#: C1 controls, which are ESC and the byte 0x40 below, that begin neither a control sequence nor a string.
_C1: Final = rb"\xc2?[\x80-\x8f\x91-\x97\x99\x9a\x9c]"
#: Whole escape sequences, and what begins a string: DCS, OSC, SOS, PM, APC, and GNU screen's title (k).
_ESCAPE: Final = rb"\x1b(?:[ -/]{1,253}+[0-~]|[0-OQ-WYZ\x5c`-jl-~])"
_STRING: Final = rb"\x1b[P\]X^_k]|\xc2?[\x90\x98\x9d-\x9f]"
#: The inside of a string. What looks like ST within a character is none: 0x9C is in every third Chinese title.
_INSIDE: Final = (
    _any_of(
        rb"[^\x07\n\x18\x1a\x1b\x80-\xff]++",
        _CHARACTER,
        rb"\xc2[\x80-\x9b\x9d-\x9f]|[\x80-\x9b\x9d-\xc1\xf5-\xff]|[\xc2-\xdf](?=[^\x80-\xbf])",
        rb"[\xe0-\xef][\x80-\xbf]{0,1}+(?=[^\x80-\xbf])|[\xf0-\xf4][\x80-\xbf]{0,2}+(?=[^\x80-\xbf])",
        rb"[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}",
    )
    + b"*+"
)
#: What ends it; an ESC that begins something else is left to that.
_STRING_END: Final = rb"(?:[\x07\n\x18\x1a\x9c]|\xc2\x9c|\x1b\x5c|(?=\x1b[^\x5c]))"


def _token(plain: bytes) -> re.Pattern[bytes]:
    groups = (
        _any_of(plain) + b"++",
        _any_of(_NOTHING, _NOISE, _C1) + b"++",
        _any_of(_HALVES) + b"++",
        _CSI + b"(?P<body>" + _PARAMETERS + b"[@-~])",
        _ESCAPE,
        _STRING,
    )
    names = ("plain", "junk", "halves", "csi", "escape", "string")
    return re.compile(b"|".join(b"(?P<%s>%s)" % (n.encode(), g) for n, g in zip(names, groups, strict=True)))


#: The next token between two sequences; none is found where one is not complete.
TOKEN: Final = _token(_TEXT + b"|" + _USUAL)
TOKEN_STRICT: Final = _token(_TEXT)
INSIDE: Final = re.compile(_INSIDE)
#: Everything that is complete, in one step, where nothing is shown of it: strings and sequences of any length, with
#: controls in their midst.
SKIPPED: Final = re.compile(
    b"(?P<skipped>"
    + _any_of(
        rb"[^\x1b\x80-\xff]++",
        _CHARACTER,
        _NOTHING,
        _NOISE,
        _C1,
        _HALVES,
        _CSI + rb"[\x00-\x17\x19\x1c-?]*+(?:[@-~\x18\x1a\x7f]|(?=[\x1b\x80-\xff]))",
        rb"\x1b(?:[ -/]++(?:[0-~]|(?=[\x00-\x1f\x7f-\xff]))|[0-OQ-WYZ\x5c`-jl-~])",
        b"(?:" + _STRING + b")" + _INSIDE + _STRING_END,
    )
    + b"++)|(?P<string>"
    + _STRING
    + b")"
)
#: The parameters of a control sequence that comes in pieces.
PARAMETERS: Final = re.compile(rb"[ -?]++")

#: In bytes that are no text: the bytes that show nothing; and the lead byte of a C1 control's form in UTF-8.
_NOTHING_THERE: Final = re.compile(_NOTHING)
_C1_LEAD: Final = re.compile(rb"\xc2(?=[\x80-\x9f])")
#: ENQ marks where something was taken out, so that its neighbours do not become a character. ENQ itself never passes.
_MARK: Final = b"\x05"
#: The escape sequences that pass: those that the model knows (DECSC, DECRC, DECKPAM, DECKPNM, IND, NEL, HTS, RI, RIS,
#: DECALN), and those that change nothing (ST without a string, DECSWL, UTF-8, and GNU screen's visual bell, `g`).
#:
#: Why not a list of what is forbidden? A terminal and its model would understand a sequence that is on neither list
#: in different ways. What we put back under a notice, and what is drawn for the next person, would be wrong, and
#: nobody would know. xterm has sequences that make it answer (DECID); that make it send other bytes for keys (S8C1T);
#: that take UTF-8 for single bytes (DOCS); that make a row's characters twice as large (DECDHL, DECDWL), so that half
#: of the row has no room; that protect what is written from being erased (SPA, EPA), also by whoever has the terminal
#: afterwards; that move columns (DECBI, DECFI), lock rows, or choose character sets (SS2, LS2, LS1R and others).
ESCAPES_PASSED: Final = frozenset(
    {*(b"\x1b" + bytes((byte,)) for byte in b"78=>DEHMcg\\"), b"\x1b#8", b"\x1b#5", b"\x1b%G"}
)
#: Choosing a character set for G0 or G1 (SCS).
_CHARACTER_SET: Final = re.compile(rb"\x1b[()][0-~]")
#: A C1 control becomes the escape sequence of seven bits that means the same, if that passes. Other bytes stay.
_JUNK: Final = {
    byte: f"\x1b{chr(byte - 0x40)}" if b"\x1b" + bytes((byte - 0x40,)) in ESCAPES_PASSED else None
    for byte in range(0x80, 0xA0)
} | {5: None}
#: The same if only text may pass. Bytes above C1 are replaced: dropping what is between two of them could make a
#: character of both.
_JUNK_STRICT: Final = {5: None, **dict.fromkeys(range(0x80, 0xA0)), **dict.fromkeys(range(0xA0, 0x100), "\ufffd")}
#: The control sequences that pass, by their prefix, intermediate and final bytes: those that the model knows, and
#: one that changes nothing on the screen (`q`: DECLL, which lights LEDs). Setting modes (`h`, `l`) is looked at by
#: itself.
#:
#: Why not a list of what is forbidden? See `ESCAPES_PASSED`. Among the others are sequences that make a terminal
#: answer (DA, DSR, DECREQTPARM, DECRQM, DECRQCRA, XTREPORTSGR, XTQMODKEYS, XTQFMTKEYS, …); test itself (DECTST); act
#: on its window (XTWINOPS, DECSCPP, DECSNLS); print (MC); send other bytes for keys (XTMODKEYS, XTFMTKEYS, kitty's
#: CSI u, DECSCL); set any mode (XTRESTORE); move output to a status line (DECSSDT, DECSASD); protect what is written
#: (DECSCA); change rectangles (DECFRA, DECERA, DECSERA, DECCRA, DECCARA, DECRARA) or columns (SL, SR, DECIC, DECDC);
#: and the Linux console's own (`]`: screen blanking, bell, which console is shown).
CSI_PASSED: Final = frozenset((*"@ABCDEFGHIJKLMPSTXZ`abdefgmqrsu", "?J", "?K", "?W", " q", "!p"))
_CSI_PARTS: Final = re.compile(r"([<=>?]?)([\d:;]*)([ -/]*)([@-~])", re.ASCII)
#: The modes that a guest may set: those of which it is known what they change, and which are set back when the
#: terminal is given back (`restore.py`). With a question mark: cursor keys, smooth scrolling, reverse screen, origin,
#: wrapping, repeating keys; the cursor's blinking, and that it is seen; the alternate screen and the saved cursor;
#: keypad, what Backspace sends; bracketed paste, synchronized output. Without: inserting.
#:
#: Why not a list of what is forbidden? Terminals have some hundred modes, and each has some of its own. Some of them
#: make a terminal send what nobody typed (reports of mouse, focus, size, theme), or other bytes for a key; raise its
#: window, change its size or open another one (DECTEK); take other widths for characters than we do (2027); write a
#: log; have margins at its sides; or no longer know the alternate screen or ECMA-48. Without a question mark: lock
#: its keyboard (KAM), show controls instead of obeying them (CRM), echo what is typed (SRM), send two characters for
#: Enter (LNM).
_MODES: Final = {
    "?": frozenset(
        {
            *("1", "4", "5", "6", "7", "8", "12", "25", "47", "1047", "1048", "1049", "66", "67"),
            *("2004", "2026"),
        }
    ),
    "": frozenset({"4"}),
}


def safe_junk(junk: bytes, *, strict: bool) -> bytes:
    """Return what is shown of a run of bytes that are no text. `junk` may end with the one byte behind the run; that
    byte is left out."""
    left = _C1_LEAD.sub(b"", _NOTHING_THERE.sub(_MARK, junk)).decode("latin-1")
    return left.translate(_JUNK_STRICT).encode() if strict else left.translate(_JUNK).encode("latin-1")


def end_of_inside(data: bytes, at: int) -> int:
    """Return where the inside of a string ends. `at` is where the string begins, or goes on."""
    inside = INSIDE.match(data, at)
    return inside.end() if inside else at


def safe_escape(sequence: bytes) -> bytes:
    """Return the escape sequence as it may be shown, and nothing if it may not be shown.

    A character set other than line drawing becomes ASCII, as the model takes it: in a national one, other characters
    stand for some of ASCII's.
    """
    if _CHARACTER_SET.fullmatch(sequence):
        return sequence if sequence.endswith(b"0") else sequence[:-1] + b"B"
    return sequence if sequence in ESCAPES_PASSED else b""


def safe_csi(body: bytes, *, strict: bool) -> bytes:
    """Return a control sequence as it may be shown: as a whole, without some of its parameters, or not at all.

    Args:
        body: what stands behind CSI.
        strict: whether only colours may be shown.
    """
    text = body.decode("ascii")
    parts = _CSI_PARTS.fullmatch(text)
    if parts is None:
        return b""  # parameters behind intermediate bytes are no terminal's
    prefix, parameters, intermediate, final = parts.groups()
    kind = prefix + intermediate + final
    if strict:
        return b"\x1b[" + body if kind == "m" else b""
    if kind in ("h", "l", "?h", "?l"):
        return _safe_modes(prefix, parameters, final)
    return b"\x1b[" + body if kind in CSI_PASSED and not _means_other(kind, parameters) else b""


def _means_other(kind: str, parameters: str) -> bool:
    """Return whether these parameters make something else of a sequence than the model believes. CSI T with several
    parameters begins to track the mouse (XTHIMOUSE), and CSI u with any may be kitty's. Colons are known in colours
    only; with them, terminals take other sequences for nothing."""
    if kind == "m":
        return False
    return ":" in parameters or (kind == "T" and ";" in parameters) or (kind == "u" and bool(parameters))


def _safe_modes(private: str, parameters: str, final: str) -> bytes:
    """Set or reset (SM, RM, DECSET, DECRST) those of the modes that a guest may."""
    allowed = _MODES[private]
    kept = [mode for mode in parameters.split(";") if mode.lstrip("0") in allowed]
    return f"\x1b[{private}{';'.join(kept)}{final}".encode() if kept else b""
