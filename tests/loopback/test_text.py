"""What `send` types, and `wait` and `search` look for: by the real OpenSSH client and by the local command."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from tests.support.pace import scaled
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
    done = server.run_local(*words) if local else server.run(*words)
    assert (done.returncode, done.stderr) == (0, b"")
    return server.run("web1", "--from", str(begin)).stdout


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


@pytest.fixture(scope="module")
def printed(server: Server) -> int:
    """The guest has printed a line that is not ASCII; returns the offset before it."""
    begin = end_of(server)
    server.run("web1", data="Größe: 5\r\n".encode() + b"Gr\xf6\xdfe: 6\r\n")
    return begin


@pytest.mark.parametrize("pattern", ["Gr..e: 5", "Gr\\w+: 5", "^Gr[ö]", "[öx]", "(?i)grÖßE: 5", "^Gr..e: 6$"])
def test_a_pattern_is_of_characters(server: Server, printed: int, pattern: str) -> None:
    """faults.md 7: `wait` and `search` with a dot, a class, (?i), and output that is no UTF-8."""
    done = server.run("wait", "--from", str(printed), "--timeout", "20", "web1", pattern)
    assert (done.returncode, done.stderr) == (0, b"")
    assert re.fullmatch(f"(?s){pattern}", done.stdout.decode().rstrip("\n"))
    done = server.run("search", "web1", pattern)
    assert (done.returncode, done.stdout.decode().count("Gr")) == (0, 1)


@pytest.mark.parametrize(
    ("pattern", "output"),
    [
        ("ERROR-A", b"".join(b"\r%d%%" % n for n in range(101)) + b"\rERROR-A\r\n"),
        ("ERROR-B", b'{"x": "' + b"x" * 5000 + b'ERROR-B"}\r\n'),
        ("ERROR-D", b"\x1b[31m\x1b[0m" * 450 + b"ERROR-D\r\n"),
        ("ERROR-G", b"x" * 200_000 + b"ERROR-G\r\n"),
    ],
)
def test_search_looks_at_all_of_a_line(server: Server, pattern: str, output: bytes) -> None:
    """faults.md 8: what is behind 4096 bytes, or in a progress bar's line, was said not to be there."""
    assert server.run("web1", data=output, timeout=scaled(60)).returncode == 0
    done = server.run("search", "web1", pattern)
    assert (done.returncode, done.stdout.count(pattern.encode()), done.stderr) == (0, 1, b"")


def test_a_match_may_be_divided_by_any_limit(server: Server) -> None:
    """faults.md 8: `wait` looked at the newest 64 KiB only, and lost what stood at the seam."""
    begin = end_of(server)
    data = b"x" * 65536 + b"sea" + b"m" + b"y" * 65530 + b"needle" + b"z" * 70_000
    assert server.run("web1", data=data, timeout=scaled(60)).returncode == 0
    for pattern in ("seam", "needle", "xsea", "mz*|needlez"):
        done = server.run("wait", "--from", str(begin), "--timeout", "20", "web1", pattern)
        assert done.returncode == 0, (pattern, done.stderr)


def test_who_waits_for_a_carriage_return_is_told_that_none_comes(server: Server) -> None:
    """faults.md 8, a variation: `expect` of the client has them, so patterns with them come from scripts."""
    begin = end_of(server)
    assert server.run("web1", data=b"one\r\ntwo\r\n").returncode == 0
    done = server.run("wait", "--from", str(begin), "--timeout", "1", "web1", r"one\r\ntwo")
    assert done.returncode == 4
    assert rb"every line ends with \n here, however the guest ended it: \r is found nowhere" in done.stderr
    done = server.run("wait", "--from", str(begin), "--timeout", "20", "web1", r"one\r?\ntwo")
    assert (done.returncode, done.stderr) == (0, b"")


def test_what_was_not_looked_at_is_said(server: Server) -> None:
    """faults.md 8: a limit makes no silent no."""
    begin = end_of(server)
    assert server.run("web1", data=b"first" + b"x" * 200_000 + b"last\r\n", timeout=scaled(60)).returncode == 0
    done = server.run("search", "web1", "first.*last")
    assert (done.returncode, done.stdout) == (5, b"")
    assert b"a match in them is found for sure only if" in done.stderr
    done = server.run("wait", "--from", str(begin), "--timeout", "2", "web1", "first.*last")
    assert done.returncode == 4
    assert b"a match of more than 65536 characters would not have been found" in done.stderr


def test_a_pattern_names_several_consoles(server: Server) -> None:
    done = server.run("send", "--no-enter", "w*", "several words")
    assert (done.returncode, done.stdout) == (0, b"web1: several words\n")
    assert done.stderr == b"oobconsole: typed into 1 of 1 consoles\n"
