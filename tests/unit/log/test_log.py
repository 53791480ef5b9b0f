"""Lines to standard error: nobody waits for who reads them, and nobody gets the errors of who does not."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pty
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import structlog

from oobconsole.log import log
from oobconsole.log import sink as logsink
from oobconsole.log.sink import LogSink
from tests.support.sync import eventually

MANY = 3 * logsink.WAITING_MAX // 1024


def sink_to(descriptor: int) -> LogSink:
    return LogSink(descriptor, log._lost_as_text)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        with contextlib.suppress(OSError):  # the test has closed it
            os.close(descriptor)


def read_until(descriptor: int, wanted: bytes) -> bytes:
    seen = bytearray()

    def read() -> bool:
        seen.extend(os.read(descriptor, 1 << 20))
        return wanted in seen

    eventually(read, lambda: bytes(seen[-500:]))
    return bytes(seen)


def test_a_pipe_that_nobody_reads_costs_lines_not_time(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    sink = sink_to(writing)
    for _ in range(MANY):
        sink.write("x" * 1023 + "\n")
    assert 0 < sink.lost < MANY
    lost = sink.lost
    kept = b""
    while kept.count(b"x\n") < MANY - lost:
        kept += os.read(reading, 1 << 20)
    sink.write("again\n")
    kept += read_until(reading, b"again\n")
    told = re.findall(rb"^(\d+) log lines were lost: nobody took them in time$", kept, re.MULTILINE)
    assert sum(map(int, told)) == lost  # some may be told of before all were lost: the pipe itself takes 64 KiB
    sink.close()


def test_a_pipe_whose_reader_has_ended(pipe: tuple[int, int]) -> None:
    """faults.md 1: EPIPE is nobody's business but the log's."""
    reading, writing = pipe
    sink = sink_to(writing)
    os.close(reading)
    for _ in range(100):
        sink.write("nobody reads this\n")
    eventually(lambda: sink.lost == 100, lambda: sink.lost)
    sink.close()


def test_a_terminal_that_is_closed() -> None:
    """faults.md 31: EIO of a terminal that hung up."""
    ours, theirs = pty.openpty()
    sink = sink_to(theirs)
    sink.write("seen\n")
    read_until(ours, b"seen")
    os.close(ours)
    for _ in range(10):
        sink.write("nobody sees this\n")
    eventually(lambda: sink.lost == 10, lambda: sink.lost)
    sink.close()
    os.close(theirs)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EFBIG, errno.EROFS, errno.EBADF])
def test_what_could_not_be_written_is_said_later(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """faults.md 2, security.md 3: a full disk costs lines, and says so when it takes lines again."""
    reading, writing = pipe
    real: Callable[[int, bytes], int] = os.write

    def fails(descriptor: int, data: bytes) -> int:
        if descriptor != writing:
            return real(descriptor, data)
        raise OSError(number, os.strerror(number))

    sink = sink_to(writing)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fails)
        for _ in range(7):
            sink.write("lost\n")
        eventually(lambda: sink.lost == 7, lambda: sink.lost)
    sink.write("again\n")
    said = read_until(reading, b"again\n").decode()
    assert said == f"7 log lines were lost: {os.strerror(number)}\nagain\n"
    sink.close()
    assert sink.lost == 7


def test_half_a_line_that_fitted_is_ended_before_the_next(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = pipe
    real = os.write
    full = iter([3])

    def fits_in_part(descriptor: int, data: bytes) -> int:
        if descriptor != writing:
            return real(descriptor, data)
        if (size := next(full, None)) is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:size])

    sink = sink_to(writing)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", fits_in_part)
        sink.write("torn line\n")
        eventually(lambda: sink.lost == 1, lambda: sink.lost)
    sink.write("whole line\n")
    assert read_until(reading, b"whole line\n").startswith(b"tor\n1 log lines were lost")
    sink.close()


def test_others_have_set_it_non_blocking(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)
    sink = sink_to(writing)
    for number in range(300):  # more than a pipe holds
        sink.write(f"{number:04d}" + "x" * 1019 + "\n")
    seen = read_until(reading, b"0299" + b"x" * 1019 + b"\n")
    assert re.findall(rb"\d{4}", seen) == [b"%04d" % number for number in range(300)]
    assert sink.lost == 0
    sink.close()


def test_what_is_lost_last_is_said_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logsink, "WAITING_MAX", 0)
    with (tmp_path / "log").open("wb") as file:
        sink = sink_to(file.fileno())
        sink.write("too much\n")
        sink.close()
    assert (tmp_path / "log").read_text() == "1 log lines were lost: nobody took them in time\n"


def test_a_program_that_reads_json_can_read_what_was_lost() -> None:
    said = json.loads(log._lost_as_json(3, "No space left on device"))
    assert (said["event"], said["lines"], said["reason"]) == ("log lines were lost", 3, "No space left on device")


def test_json_lines(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    sink = LogSink(writing, log._lost_as_json)
    log._to_stream(True, sink)
    structlog.get_logger().info("guest bound", guest="web1\x1b[2J")
    line = read_until(reading, b"\n")
    sink.close()
    structlog.reset_defaults()
    record = json.loads(line)
    assert (record["event"], record["guest"], record["level"]) == ("guest bound", "web1\x1b[2J", "info")
    assert b"\x1b" not in line
