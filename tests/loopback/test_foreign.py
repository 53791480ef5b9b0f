"""What somebody has put into a server's folders before it starts: it is named once, left alone, and waited for by
nobody."""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from oobconsole.recording.segments import CAST, INDEX, RAW, TYPED, segments
from tests.loopback.access import ssh, wait_for_log
from tests.support.server import Server

MANY = 10_000
#: What a name does to a terminal that shows it, or to a log that has a line for each thing.
NAMES = ("notes.txt", "a\nb", "\x1b]0;owned\x07", "\udcff\udcfe", "audit.jsonl.1", "x" * 255)


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _litter(folder: Path) -> set[str]:
    """Of every kind that a file system knows; returns their names."""
    for name in NAMES:
        (folder / name).write_text("kept")
    os.mkfifo(folder / "fifo")
    (folder / "folder").mkdir()
    (folder / "dangling").symlink_to("nowhere")
    (folder / "unreadable").touch(mode=0)
    os.mknod(folder / "device", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    here = os.open(folder, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as made:  # its name is longer than the kernel allows, but not this way
        made.bind(f"/proc/self/fd/{here}/socket")
    os.close(here)
    for number in range(MANY):
        os.mknod(f"{folder}/foreign {number}")
    return _names(folder)


@pytest.fixture
def littered() -> Iterator[tuple[Server, dict[Path, set[str]]]]:
    """A server with a recording of web1, not started, and what else lies in its folders."""
    with Server() as server:
        for text in ("before", "and more"):
            assert ssh(server, "send", "web1", text).returncode == 0
        assert b"before" in ssh(server, "log", "web1").stdout
        server.stop()
        server.log.unlink()
        state = server.folder / "state"
        recordings = state / "recordings"
        before = {folder: _names(folder) for folder in (state, recordings, recordings / "web1")}
        yield server, {folder: _litter(folder) - names for folder, names in before.items()}


@pytest.mark.timeout(180)
def test_it_is_named_once_and_left_alone(littered: tuple[Server, dict[Path, set[str]]]) -> None:
    """issue 12, section 3: nothing that looks at folders holds the event loop (its watchdog names who did)."""
    server, foreign = littered
    state = server.folder / "state"
    for name in ("audit.000000000001.jsonl", "ssh_port.new"):
        os.mkfifo(state / name)
    server.start()
    for folder, names in foreign.items():
        # in the state_dir the FIFO from below, too; what is a folder among recordings may be one
        count = len(names) + (folder == state) - (folder.name == "recordings")
        found = wait_for_log(server, rf".*folder='?{re.escape(str(folder))}'? how_many={count} first=\[.*\]\n")
        assert all(text not in found[0] for text in ("\x1b", "\x07")), found[0]
        assert len(re.findall(rf"folder='?{re.escape(str(folder))}'? how_many", server.log.read_text())) == 1
    assert ssh(server, "send", "web1", "after").returncode == 0
    printed = ssh(server, "log", "web1").stdout
    assert b"before" in printed
    assert b"after" in printed
    assert ssh(server, "replay", "web1", "--speed", "100").returncode == 0
    done = server.run_local("audit", "verify", "--config", str(server.config))
    assert done.returncode == 0, done
    assert server.stop(30) == 0
    held = [line for line in server.log.read_text().splitlines() if "something held the event loop" in line]
    ours = ("foreign.py", "files.py", "janitor.py", "retention.py", "segments.py", "userkeys.py")
    assert not [line for line in held if any(name in line for name in ours)]
    for folder, names in foreign.items():
        assert names <= _names(folder)
    assert stat.S_ISFIFO((state / "audit.000000000001.jsonl").stat().st_mode)


@pytest.mark.timeout(180)
def test_fifos_lie_in_the_place_of_a_segment_s_files() -> None:
    """`log`, `search` and `replay` go by it: who opens one waits for ever, and so does a reader's thread."""
    with Server() as server:
        folder = server.folder / "state" / "recordings" / "web1"
        assert ssh(server, "send", "web1", "before").returncode == 0
        assert b"before" in ssh(server, "log", "web1").stdout
        (first,) = segments(folder)
        for kind in (RAW, INDEX, CAST, TYPED):
            first.path(kind).unlink(missing_ok=True)
            os.mkfifo(first.path(kind))
        assert ssh(server, "send", "web1", "after").returncode == 0
        for verb in (("log", "web1"), ("search", "web1", "after"), ("replay", "web1", "--speed", "100")):
            for _ in range(5):  # there are four threads that read
                done = ssh(server, *verb)
                assert (done.returncode, b"after" in done.stdout) == (0, True), done
        assert ssh(server, "log", "web1", "--typed").returncode == 0
        assert server.stop(30) == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["admin.sock", "audit.jsonl", "audit_ed25519_key", "ssh_host_ed25519_key"])
def test_a_fifo_lies_in_the_place_of_what_is_needed(name: str) -> None:
    """One sentence that names it, and status 1."""
    server = Server()
    state = server.folder / "state"
    state.mkdir(mode=0o700)
    os.mkfifo(state / name)
    try:
        with pytest.raises(Exception, match="did not start") as failed:
            server.start()
        said = rf"(?m)^oobconsole: {re.escape(str(state / name))}: .*(?:move it|is no file)"
        assert len(re.findall(said, str(failed.value))) == 1, failed.value
        assert "Traceback" not in str(failed.value)
    finally:
        server.__exit__(None, None, None)


@pytest.mark.timeout(120)
def test_its_log_is_rotated_by_copytruncate() -> None:
    """docs/guide.md: also where standard error was opened without O_APPEND (`2> FILE`): else as many zero bytes as
    the log had would stand before the next line."""
    server = Server()
    log = server.folder / "rotated"
    server.through = ("sh", "-c", f'exec "$@" 2>{log}', "sh")
    with server:
        assert ssh(server, "ls").returncode == 0
        assert log.stat().st_size > 300
        os.truncate(log, 0)
        assert ssh(server, "ls").returncode == 0
        assert server.stop() == 0
        assert b"stopping" in log.read_bytes()
        assert b"\0" not in log.read_bytes()
