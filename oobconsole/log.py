"""Logging: structlog, to standard error, as text for people or JSON for machines."""

from __future__ import annotations

import logging
import sys
import time
from typing import Any, Literal

import structlog


def setup(style: Literal["console", "json", "journald"]) -> None:
    """Send every log record, ours and the libraries', to standard error in one style."""
    shared: list[Any] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer = (
        structlog.processors.JSONRenderer()
        if style == "json"
        # repr: what a client sends must not act on the terminal that shows the log
        else structlog.dev.ConsoleRenderer(colors=False, repr_native_str=True, sort_keys=False)
    )
    tail: list[Any] = [structlog.processors.format_exc_info] if style == "json" else []
    structlog.configure(
        processors=[*shared, *tail, renderer],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
    )
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("asyncssh").setLevel(logging.ERROR)


class LogLimit:
    """Lets so many lines into the log in so many seconds: what a peer or a guest can cause again and again."""

    def __init__(self, lines: int, seconds: float = 60.0) -> None:
        self._lines = lines
        self._seconds = seconds
        self._since = -seconds
        self._written = 0

    def allows(self, **about: object) -> bool:
        """May one more line be written? The first that may not is replaced by one that says so, with `about`."""
        now = time.monotonic()
        if now - self._since >= self._seconds:
            self._since, self._written = now, 0
        self._written += 1
        if self._written == self._lines + 1:
            structlog.get_logger(__name__).warning(f"more of this is not logged for {self._seconds:g} s", **about)
        return self._written <= self._lines
