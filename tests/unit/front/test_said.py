"""What a front logs. A front that was taken over may say anything, and is read to its end all the same."""

from __future__ import annotations

import inspect
import json
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from oobconsole.front.said import Said


def names() -> list[str]:
    """The names of all arguments on the way of a log line through structlog."""
    bound = structlog.make_filtering_bound_logger(0)
    found = {"event", "level", "timestamp", "front", "log_level"}
    for name in ("info", "error", "_proxy_to_logger", "_process_event"):
        found |= set(inspect.signature(getattr(bound, name)).parameters)
    return sorted(found)


@pytest.mark.parametrize("name", names())
def test_a_field_of_any_name_does_no_harm(name: str) -> None:
    """faults.md 1, variation: an error of what is logged ended the reading of the front's log for good."""
    said = Said("ssh 1")
    with capture_logs() as logged:
        said.feed(json.dumps({"event": "one", "level": "info", name: "x"}).encode() + b"\n")
        said.feed(json.dumps({"event": "two", "level": "info"}).encode() + b"\n")
    last: Any = logged[-1]
    assert (len(logged), last["event"], last["front"]) == (2, "two", "ssh 1")
