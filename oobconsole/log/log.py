"""Logging by structlog: as text or JSON to standard error, or to the journal. Whoever logs never waits."""

from __future__ import annotations

import atexit
import json
import logging
import time
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from oobconsole.log import journal
from oobconsole.log.sink import LogSink, append

STANDARD_ERROR: Final = 2

_sinks: list[LogSink | journal.Journal] = []


def lost() -> int:
    """How many log lines could not be written so far."""
    return sum(sink.lost for sink in _sinks)


def close() -> None:
    """Write the lines that wait, for a few seconds at most. What is logged afterwards is lost."""
    for sink in _sinks:
        if isinstance(sink, LogSink):  # the journal has each line already
            sink.close()


def setup(style: Literal["console", "json", "journald"]) -> None:
    """Send every log record, ours and the libraries', to one place in one style.

    Raises:
        EnvironmentFault: the style is `journald`, and there is no journal.
    """
    atexit.register(close)
    logging.getLogger("asyncssh").setLevel(logging.ERROR)
    if style == "journald":
        _to_journal(journal.SOCKET)
    else:
        append(STANDARD_ERROR)
        sink = LogSink(STANDARD_ERROR, _lost_as_json if style == "json" else _lost_as_text)
        _sinks.append(sink)
        _to_stream(style == "json", sink)


def _lost_as_text(lines: int, why: str) -> str:
    return f"{lines} log lines were lost: {why}\n"


def _lost_as_json(lines: int, why: str) -> str:
    now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
    return json.dumps({"event": "log lines were lost", "lines": lines, "reason": why, "level": "warning",
                       "timestamp": now}) + "\n"  # fmt: skip


def _configure(factory: Any, *tail: Any) -> None:
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, *tail],
        logger_factory=factory,
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )


def _to_stream(as_json: bool, stream: Any) -> None:
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    if as_json:
        _configure(
            structlog.WriteLoggerFactory(stream),
            stamp,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        )
    else:
        # repr: what a client sends must not act on the terminal that shows the log
        plain = structlog.dev.ConsoleRenderer(
            colors=False,
            repr_native_str=True,
            sort_keys=False,
            # the default draws boxes for a quarter of a second, and shows every local variable: keys, what was typed
            exception_formatter=structlog.dev.plain_traceback,
        )
        _configure(structlog.WriteLoggerFactory(stream), stamp, plain)
    logging.basicConfig(stream=stream, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")


def _to_journal(path: Path) -> None:
    target = journal.Journal(path)
    _sinks.append(target)
    _configure(lambda *_: journal.JournalLogger(target), structlog.processors.format_exc_info, _as_fields)
    logging.basicConfig(handlers=[journal.JournalHandler(target)], level=logging.WARNING, format="%(message)s")


def _as_fields(_: Any, __: str, record: Any) -> Any:
    return (), dict(record)


class LogLimit:
    """A limit for lines that a peer or a guest can cause again and again.

    Args:
        lines: how many may be written in `seconds`.
    """

    def __init__(self, lines: int, seconds: float = 60.0) -> None:
        self._lines = lines
        self._seconds = seconds
        self._since = -seconds
        self._written = 0

    def allows(self, **about: object) -> bool:
        """Return whether one more line may be written. In the place of the first line that may not, a line is written
        that says so, with the fields `about`."""
        now = time.monotonic()
        if now - self._since >= self._seconds:
            self._since, self._written = now, 0
        self._written += 1
        if self._written == self._lines + 1:
            structlog.get_logger(__name__).warning(f"more of this is not logged for {self._seconds:g} s", **about)
        return self._written <= self._lines


#: How many log lines a minute one user may cause, and for how many users that is counted.
USER_LINES: Final = 120
USERS_MAX: Final = 1024


class LogLimits:
    """One `LogLimit` for each of many names, such as users.

    Args:
        lines: how many lines each name may cause in a minute.
        names: how many names are counted. The name that has been silent for longest is forgotten.
    """

    def __init__(self, lines: int, names: int) -> None:
        self._lines = lines
        self._names = names
        self._limits: OrderedDict[str, LogLimit] = OrderedDict()

    def allows(self, name: str, **about: object) -> bool:
        """Return whether one more line about that name may be written. The first that may not is replaced as
        `LogLimit` says."""
        limit = self._limits.setdefault(name, LogLimit(self._lines))
        self._limits.move_to_end(name)
        if len(self._limits) > self._names:
            self._limits.popitem(last=False)
        return limit.allows(**about)
