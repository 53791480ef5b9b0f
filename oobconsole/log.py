"""Logging: structlog, to standard error, as text for people or JSON for machines."""

from __future__ import annotations

import logging
import sys
from typing import Any, Literal

import structlog


def setup(style: Literal["console", "json"]) -> None:
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
