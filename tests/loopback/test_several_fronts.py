"""Limits with `[front] workers = 3`: each front counts for itself, and says so to whoever loses by it.

Which front accepts a connection is the kernel's choice. So a test stops the others (SIGSTOP) until a connection has
been accepted.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence

import pytest

from tests.loopback.test_front import PATIENCE, fronts, pid_of
from tests.support.expect import Expect
from tests.support.pace import scaled
from tests.support.server import Server
from tests.support.sync import eventually

WORKERS = 3
SEVERAL = f"[front]\nworkers = {WORKERS}\n"


def pids(server: Server) -> list[int]:
    found = [pid_of(server, name) for name in sorted(fronts(server))]
    assert len(set(found)) == WORKERS
    return found


@contextlib.contextmanager
def only(server: Server, pid: int) -> Iterator[None]:
    """Whoever connects meanwhile comes to that front."""
    others = [other for other in server.fronts() if other != pid]
    for other in others:
        os.kill(other, signal.SIGSTOP)
    try:
        yield
    finally:
        for other in others:
            with contextlib.suppress(ProcessLookupError):
                os.kill(other, signal.SIGCONT)


def come(server: Server, pid: int, *words: str, options: Sequence[str] = ()) -> Expect:
    """A client of OpenSSH's whose connection that front has accepted."""
    with only(server, pid):
        client = Expect(server.ssh(*words, options=("-v", *options)))
        client.expect("Remote protocol version", timeout=PATIENCE)
    return client


def comes_in(server: Server, pid: int, *options: str) -> None:
    with come(server, pid, "ls", options=options) as client:
        assert client.wait(PATIENCE) == 0, client.seen


def is_told(server: Server, pid: int, text: str) -> None:
    with come(server, pid, "ls") as client:
        client.expect(text, timeout=PATIENCE)
        assert client.wait(PATIENCE) == 255


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("max_connections_per_source = 1", "your address has 1 connections, and may not have more"),
        ("max_connections = 1", "too many connections, try again later"),
    ],
)
def test_connections_count_in_each_front(limit: str, told: str) -> None:
    """So there may be three times as many in all, and a client is refused whose front has as many as it may."""
    with Server(limits=limit, settings=f"\n{SEVERAL}") as server, contextlib.ExitStack() as stack:
        every = pids(server)
        for pid in every:
            client = stack.enter_context(come(server, pid, "watch", "web1"))
            client.expect("Entering interactive session", timeout=PATIENCE)
        eventually(lambda: connections(server) == [1, 1, 1], lambda: fronts(server), seconds=PATIENCE)
        for pid in every:
            is_told(server, pid, told)
        assert connections(server) == [1, 1, 1]


def connections(server: Server) -> list[object]:
    return [front["connections"] for _, front in sorted(fronts(server).items())]


def test_logins_that_have_begun_count_in_each_front() -> None:
    limit = 'max_startups = "2:100:5"\npenalties = false'
    with Server(limits=limit, settings=f"\n{SEVERAL}") as server, contextlib.ExitStack() as stack:
        first, second, _ = pids(server)
        with only(server, first):
            for _ in range(2):
                waiting = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                waiting.settimeout(scaled(PATIENCE))
                assert waiting.recv(8) == b"SSH-2.0-"
        is_told(server, first, "too many logins at the same time, try again later")
        comes_in(server, second)


def test_an_address_has_to_wait_at_the_front_at_which_it_has_failed() -> None:
    with Server(limits="", settings=f"\n{SEVERAL}") as server:
        first, second, _ = pids(server)
        stranger = server.make_key("mallory", authorize=False)
        with only(server, first):
            tries = [
                subprocess.Popen(server.ssh("ls", key=stranger), stderr=subprocess.DEVNULL) for _ in range(5)
            ]  # all at once: what has added up is less with every second that passes
            for client in tries:
                assert client.wait(scaled(PATIENCE)) == 255
        is_told(server, first, r"your address failed to log in; it has to wait \d+ s")
        comes_in(server, second)


def test_a_front_that_is_begun_again_has_forgotten_what_it_held_against_anybody() -> None:
    """What a front knew ends with it, for the better (a front that was taken over) and for the worse."""
    with Server(limits="", settings="\n[front]\nworkers = 1\n") as server:
        stranger = server.make_key("mallory", authorize=False)
        tries = [subprocess.Popen(server.ssh("ls", key=stranger), stderr=subprocess.DEVNULL) for _ in range(5)]
        for client in tries:
            assert client.wait(scaled(PATIENCE)) == 255
        refused = subprocess.run(server.ssh("ls"), capture_output=True, check=False)
        assert re.search(rb"it has to wait \d+ s", refused.stderr)
        pid = pid_of(server)
        os.kill(pid, signal.SIGKILL)
        pid_of(server, other=pid)
        assert server.run("ls").returncode == 0
