"""What a front logs: it writes JSON lines to its standard error, which the core reads, and writes to its own log.

So a front has no descriptor of the log's, and what it says is bounded. Lines that are no JSON are an interpreter's
last words, and are logged as they are.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import structlog

from oobconsole.log.log import LogLimit

log = structlog.get_logger(__name__)

#: Lines in a minute, bytes of one, fields of one, and characters of a value.
LINES: Final = 600
LINE_MAX: Final = 32768
FIELDS_MAX: Final = 24
VALUE_MAX: Final = 4096
_LEVELS: Final = frozenset({"debug", "info", "warning", "error", "critical"})
#: Fields that are the log's own, or that structlog or Python would take for something else.
_OURS: Final = frozenset({"event", "level", "timestamp", "front", "self", "exc_info", "stack_info", "stack"})
#: A traceback: structlog's console writes that field as it is, whatever is in it.
_TRACEBACK: Final = "exception"


class Said:
    """Writes what one front says to the log.

    Args:
        front: its name.
    """

    def __init__(self, front: str) -> None:
        self._front = front
        self._limit = LogLimit(LINES)
        self._rest = b""

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Until the front has ended."""
        while data := await reader.read(65536):
            self.feed(data)
        self.feed(b"\n" if self._rest else b"")

    def feed(self, data: bytes) -> None:
        """Bytes of its standard error."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > LINE_MAX:
            lines.append(self._rest)
            self._rest = b""
        others: list[bytes] = []
        for line in filter(None, lines):
            said = _as_entry(line[:LINE_MAX])
            if said is None:
                others.append(line)
            elif self._limit.allows(front=self._front):
                self._say(said)
        if others and self._limit.allows(front=self._front):
            text = b"\n".join(others)[-LINE_MAX:].decode(errors="replace")
            log.error("a front said", front=self._front, text=text)

    def _say(self, said: dict[str, Any]) -> None:
        event = str(said.get("event", ""))[:VALUE_MAX]
        fields = {name: _value(value) for name, value in said.items() if name not in _OURS}
        if _TRACEBACK in fields:
            fields["traceback"] = fields.pop(_TRACEBACK)
        level = said.get("level")
        write = getattr(log, level if isinstance(level, str) and level in _LEVELS else "error")
        write(event, **fields, front=self._front)


def _as_entry(line: bytes) -> dict[str, Any] | None:
    """A log entry, if the line is one."""
    try:
        said = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(said, dict) or len(said) > FIELDS_MAX or not all(name.isidentifier() for name in said):
        return None
    return said


def _value(value: object) -> object:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= VALUE_MAX else text[:VALUE_MAX] + "…"
