"""How does a front log? It writes lines of JSON to its standard error. The core reads them, and writes them to its
log.

So a front needs no descriptor of the log, and the core can bound what the front logs. Lines that are not JSON are
most probably the last words of the Python interpreter, and are logged as they are.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any, Final

import structlog

from oobconsole.log.log import LogLimit

log = structlog.get_logger(__name__)

#: Limits: how many lines a minute, bytes of a line, fields of a line, and characters of a value.
LINES: Final = 600
LINE_MAX: Final = 32768
FIELDS_MAX: Final = 24
VALUE_MAX: Final = 4096
_LEVELS: Final = frozenset({"debug", "info", "warning", "error", "critical"})
#: Fields that the log itself sets, or that have another meaning for structlog or Python.
_OURS: Final = frozenset(
    {"event", "level", "timestamp", "front", "self", "method_name", "exc_info", "stack_info", "stack"}
)
#: The field of a traceback. It is renamed, because structlog's console prints this field as it is, whatever it holds.
_TRACEBACK: Final = "exception"


class Said:
    """Writes to the log what one front logs.

    Args:
        front: the front's name.
    """

    def __init__(self, front: str) -> None:
        self._front = front
        self._limit = LogLimit(LINES)
        self._rest = b""

    async def read(self, reader: asyncio.StreamReader) -> None:
        """Read the front's standard error until the front has ended."""
        while data := await reader.read(65536):
            self.feed(data)
        self.feed(b"\n" if self._rest else b"")

    def feed(self, data: bytes) -> None:
        """Take bytes of the front's standard error."""
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
    """Return the log entry that the line holds, or None if it is not one."""
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
