"""Whoever connects again and again: how long there is between two attempts."""

from __future__ import annotations

import pytest

from oobconsole.net.dialer import LOCAL_MAX, RETRY_MAX, longest_wait


@pytest.mark.parametrize("host", [None, "localhost", "127.0.0.1", "127.3.2.1", "::1"])
def test_what_is_on_this_host_is_back_within_a_second(host: str | None) -> None:
    """issue 12, section 3: also where it is reached over TCP."""
    assert longest_wait(host) == LOCAL_MAX


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "localhost.example.org", "127.example.org", ""])
def test_other_hosts_are_not_asked_so_often(host: str) -> None:
    assert longest_wait(host) == RETRY_MAX
