"""The journal's protocol, against a real datagram socket."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from oobconsole.errors import EnvironmentFault
from oobconsole.log import journal, log
from tests.support.pace import scaled


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "socket"))
        sock.settimeout(scaled(5))
        yield sock


@pytest.fixture
def to_journal(tmp_path: Path, receiver: socket.socket, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(journal, "SOCKET", tmp_path / "socket")
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    log.setup("journald")
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def _fields(datagram: bytes) -> dict[str, str]:
    """Decode, as the protocol's page describes it."""
    fields = {}
    while datagram:
        line, _, datagram = datagram.partition(b"\n")
        key, equals, value = line.partition(b"=")
        if not equals:
            size = int.from_bytes(datagram[:8], "little")
            value, datagram = datagram[8 : 8 + size], datagram[8 + size + 1 :]
        fields[key.decode()] = value.decode()
    return fields


@pytest.mark.usefixtures("to_journal")
def test_a_record_has_its_fields(receiver: socket.socket) -> None:
    structlog.get_logger().warning("guest bound", guest="web1", weird_key="a\nb=c")
    fields = _fields(receiver.recv(65536))
    assert fields["MESSAGE"].startswith("guest bound guest='web1'")
    assert fields["PRIORITY"] == "4"
    assert fields["SYSLOG_IDENTIFIER"] == "oobconsole"
    assert fields["OOB_GUEST"] == "web1"
    assert fields["OOB_WEIRD_KEY"] == "a\nb=c"


@pytest.mark.usefixtures("to_journal")
def test_an_exception_comes_with_its_traceback(receiver: socket.socket) -> None:
    try:
        raise ValueError("broken")
    except ValueError:
        structlog.get_logger().exception("a session failed")
    fields = _fields(receiver.recv(65536))
    assert fields["PRIORITY"] == "3"
    assert "Traceback" in fields["MESSAGE"]
    assert "broken" in fields["MESSAGE"]


@pytest.mark.usefixtures("to_journal")
def test_a_librarys_record_goes_there_too(receiver: socket.socket) -> None:
    logging.getLogger("some.library").error("it failed")
    fields = _fields(receiver.recv(65536))
    assert (fields["MESSAGE"], fields["OOB_LOGGER"], fields["PRIORITY"]) == ("it failed", "some.library", "3")


@pytest.mark.usefixtures("to_journal")
def test_a_journal_that_does_not_read_costs_records_not_time(receiver: socket.socket) -> None:
    logger = structlog.get_logger()
    for i in range(5000):  # far more than the receiver's queue holds: would hang here if it waited
        logger.info("line", number=i)
    receiver.setblocking(False)
    taken = 0
    try:
        while receiver.recv(65536):
            taken += 1
    except BlockingIOError:
        pass
    assert 0 < taken < 5000
    receiver.setblocking(True)
    logger.info("again")
    assert int(_fields(receiver.recv(65536))["OOB_RECORDS_LOST"]) == 5000 - taken


def test_no_journal_is_said_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentFault, match=r'there is no journal here.*log = "json"'):
        journal.Journal(tmp_path / "nothing")


def test_a_field_is_cut(tmp_path: Path, receiver: socket.socket) -> None:
    journal.Journal(tmp_path / "socket").send("info", "x" * 10**6, {})
    assert len(_fields(receiver.recv(1 << 20))["MESSAGE"]) == journal.FIELD_MAX
