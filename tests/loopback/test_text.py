"""What `send` types, and `wait` and `search` look for: by the real OpenSSH client and by the local command."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.server import Server

_MACHINE = """
[[machine]]
name = "mem"
interceptor = "memory"
[[machine.guest]]
name = "web1"
"""


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(_MACHINE) as running:
        yield running


def end_of(server: Server) -> int:
    (row,) = server.run("ls", "--json").stdout.splitlines()
    return int(json.loads(row)["offset"])


def typed(server: Server, *words: str, local: bool = False) -> bytes:
    """What reached the guest, which echoes it."""
    begin = end_of(server)
    done = here(server, *words) if local else server.run(*words)
    assert (done.returncode, done.stderr) == (0, b"")
    return server.run("web1", "--from", str(begin)).stdout


def here(server: Server, *words: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "oobconsole", "--config", str(server.config), *words]
    return subprocess.run(command, capture_output=True, timeout=60, check=False)


@pytest.mark.parametrize(
    "text",
    [
        "git push --force",
        "git checkout -- file.c",
        "systemctl stop web --no-enter",
        "ls -l",
        "mount -o remount,rw /",
        "-----BEGIN PUBLIC KEY-----",
        "echo it's  'two'   \"blanks\"",
    ],
)
def test_send_types_the_text(server: Server, text: str) -> None:
    """faults.md 3: `ssh HOST send web1 'git push --force'` typed `git push`, by force, and said success."""
    assert typed(server, "send", "web1", text) == f"{text}\r".encode()
    assert typed(server, "send", "web1", "--", text) == f"{text}\r".encode()
    assert typed(server, "send", "--no-enter", "web1", text, local=True) == text.encode()


def test_a_dash_dash_is_taken_off_once(server: Server) -> None:
    """faults.md 3."""
    assert typed(server, "send", "web1", "--", "echo", "--", "done") == b"echo -- done\r"


def test_an_option_where_the_text_begins_is_refused(server: Server) -> None:
    """faults.md 3: never success with another text than was given."""
    begin = end_of(server)
    done = server.run("send", "web1", "--no-enter is an option")
    assert done.returncode == 2
    assert b"'--no-enter' stands where the text begins" in done.stderr
    assert end_of(server) == begin


def test_wait_and_search_look_for_the_pattern(server: Server) -> None:
    """faults.md 3: `wait web1 'a --timeout 1'`, `search web1 'x --since 5m'`."""
    begin = end_of(server)
    text = "a --timeout 1, x --since 5m"
    assert server.run("send", "web1", text).returncode == 0
    done = server.run("wait", "--from", str(begin), "--timeout", "20", "web1", "a --timeout 1")
    assert (done.returncode, done.stdout) == (0, b"a --timeout 1\n")
    done = server.run("search", "web1", "x --since 5m")
    assert (done.returncode, done.stdout.count(text.encode())) == (0, 1)
    assert b"--since is looked for as part of the text" in done.stderr
