"""Makes files in the format asciicast v2 (docs.asciinema.org/manual/asciicast/v2): a line of JSON as the header, and
then a line of JSON for each event. Sans I/O."""

from __future__ import annotations

import codecs
import json
from typing import Final

_decoder: Final = codecs.getincrementaldecoder("utf-8")
#: The encoder is made once, because `json.dumps` with an option would make one for every event.
_encoder: Final = json.JSONEncoder(ensure_ascii=False)
#: What JSON escapes in text of ASCII (RFC 8259, section 7), and how the `json` module does it: the backslash first.
_ESCAPED: Final = (
    *((b"\\", b"\\\\"), (b'"', b'\\"'), (b"\r", b"\\r"), (b"\n", b"\\n"), (b"\t", b"\\t")),
    *((b"\b", b"\\b"), (b"\x1b", b"\\u001b")),
)
#: Other control characters are rare. If there is one, the `json` module does the work.
_RARE: Final = bytes(byte for byte in range(0x20) if byte not in b"\r\n\t\b\x1b")
#: From how many bytes on it takes less time to look for each escaped byte in turn than to let the encoder look at
#: each byte.
_LONG: Final = 1024


class Asciicast:
    """Makes the lines of one asciicast file.

    Args:
        began: when the recording began, in seconds since 1970. A file that is gone on with keeps the time of its
            header.
    """

    __slots__ = ("_began", "_decoder", "_last")

    def __init__(self, began: float) -> None:
        self._began = began
        self._last = 0.0
        self._decoder = _decoder("replace")

    def header(self, title: str, rows: int, columns: int) -> bytes:
        """The file's first line, which says how large the terminal is and when the recording began."""
        fields = {"version": 2, "width": columns, "height": rows, "timestamp": int(self._began), "title": title}
        return json.dumps(fields).encode() + b"\n"

    def output(self, at: float, data: bytes) -> bytes:
        """Return the line for output of the guest. An incomplete character waits for its other bytes. Bytes that are
        not UTF-8 become U+FFFD, because the format has no other way to hold them."""
        if len(data) >= _LONG and data.isascii() and not self._decoder.getstate()[0]:
            return self._event(at, b"o", _quoted_ascii(data))
        text = self._decoder.decode(data)
        return self._event(at, b"o", _quoted(text)) if text else b""

    def marker(self, at: float, label: str) -> bytes:
        """Return the line for something that happened beside the output. Players stop there, or show `label`."""
        return self._event(at, b"m", _quoted(label))

    def _event(self, at: float, code: bytes, quoted: bytes) -> bytes:
        """Return the line of an event. Its time is never before that of the last event, even if the clock was set
        back, because players would stop there. JSON writes numbers as Python does."""
        self._last = max(self._last, round(at - self._began, 6))
        return b'[%r, "%b", %b]\n' % (self._last, code, quoted)


def _quoted(text: str) -> bytes:
    """Return a text as a JSON string, in UTF-8."""
    return _encoder.encode(text).encode("utf-8", "replace")


def _quoted_ascii(data: bytes) -> bytes:
    """Return ASCII text as a JSON string, as `_quoted` does. Most of what consoles print is ASCII, so this quicker
    way is worth its lines."""
    if len(data.translate(None, _RARE)) < len(data):
        return _quoted(data.decode("ascii"))
    for byte, escape in _ESCAPED:
        data = data.replace(byte, escape)
    return b'"%b"' % data
