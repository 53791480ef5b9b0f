"""What tests wait with."""

from __future__ import annotations

import socket

import pytest

from tests.support.expect import Expect, ExpectError, run_to_end
from tests.support.ports import free_port


def test_what_was_told_last_is_found_though_the_output_has_ended() -> None:
    """Both may be there at once."""
    for _ in range(20):
        with Expect(["sh", "-c", "echo last words >&2"], merge_stderr=False) as child:
            child.expect_told("last words\n", timeout=10)
            assert child.read_to_end(10) == b""


def test_what_ends_without_it_says_how() -> None:
    with Expect(["sh", "-c", "echo other words; exit 7"]) as child, pytest.raises(ExpectError) as said:
        child.expect("these words", timeout=10)
    assert "the process ended (status 7)" in str(said.value)
    assert "other words" in str(said.value)


def test_insisting_types_again_until_it_is_heard() -> None:
    """The first two are not: as by a firmware that listens later, or a terminal that drops what comes too early."""
    with Expect(["sh", "-c", "read first; read second; read third; echo heard $third"]) as child:
        assert child.insist("key\n", r"heard (\w+)", timeout=10, every=0.05)[1] == b"key"


def test_insisting_ends_with_an_error() -> None:
    with Expect(["cat"]) as child, pytest.raises(ExpectError, match=r"b'key' was typed again and again"):
        child.insist(b"key", "never", timeout=0.1, every=0.02)


def test_run_to_end_takes_input_of_any_size_and_time_that_is_up() -> None:
    data = b"x" * (1 << 20)
    assert run_to_end(["cat"], data=data, timeout=20).stdout == data
    with pytest.raises(ExpectError, match="did not end in"):
        run_to_end(["sleep", "1000"], data=data, timeout=0.2)


def test_a_free_port_can_be_had() -> None:
    with socket.create_server(("127.0.0.1", port := free_port())):
        assert port > 1024
