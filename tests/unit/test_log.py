"""Lines to standard error: nobody waits for who reads them."""

from __future__ import annotations

import json
import os

import structlog

from oobconsole import log


def test_a_pipe_that_nobody_reads_costs_lines_not_time() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        unblocked = log.Unblocked(stream)
        for _ in range(1000):  # 1 MB: a pipe holds 64 KiB
            unblocked.write("x" * 1023 + "\n")
        kept = len(os.read(reading, 1 << 20))
        unblocked.write("again\n")
        told = os.read(reading, 1 << 20).decode()
    os.close(reading)
    lost = 1000 - kept // 1024
    assert told == f"{lost} log lines were lost: nobody read them\nagain\n"


def test_json_lines() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        log._to_stream(True, log.Unblocked(stream))
        structlog.get_logger().info("guest bound", guest="web1\x1b[2J")
    line = os.read(reading, 65536)
    os.close(reading)
    structlog.reset_defaults()
    record = json.loads(line)
    assert (record["event"], record["guest"], record["level"]) == ("guest bound", "web1\x1b[2J", "info")
    assert b"\x1b" not in line
