"""What a crash of the machine, logrotate or a stranger leaves of an audit log: it is said where, and it goes on."""

from __future__ import annotations

import errno
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from oobconsole.access import Principal
from oobconsole.audit import chain, files
from oobconsole.audit.log import AuditLog
from oobconsole.cli.main import app
from oobconsole.errors import EnvironmentFault
from oobconsole.events import Event, Kind
from tests.support.sync import eventually
from tests.unit.audit.test_log import ALICE, checked, lines, opened, put_and_wait, write


def zeros(file: Path, begin: int, size: int) -> None:
    """As a file system leaves them that notes a file's size before its content."""
    with file.open("r+b") as stream:
        stream.seek(begin)
        stream.write(bytes(size))


def verified(folder: Path, *which: Path) -> str:
    """What the command says."""
    done = CliRunner().invoke(app, ["audit", "verify", "--key", str(folder / "key.pub"), *map(str, which)])
    assert (done.exit_code, "NOT intact" in done.output) == (1, True), done.output
    return done.output


class TestZeros:
    """issue 12, section 3: an audit log of zero bytes was intact, and the next start began it anew."""

    @pytest.mark.parametrize("size", [1, 400, 65536, 65537, 200_000, 3 << 20])
    def test_it_consists_of_them(self, tmp_path: Path, size: int) -> None:
        chain.load_or_make_key(tmp_path / "key")
        file = tmp_path / "audit.jsonl"
        file.write_bytes(bytes(size))
        assert f"{file}:1: has {size} zero bytes, from byte 0 of the file on" in verified(tmp_path, file)
        with capture_logs() as logs:
            write(tmp_path, 2)
        assert f"audit.jsonl ends with {size} zero bytes, from byte 0 on" in str(logs)
        assert [line.number for line in files.lines(file)] == [1, 2, 3, 4]
        assert len(checked(tmp_path).faults) == 2
        output = verified(tmp_path, file)
        assert f"{file}:1: has {size} zero bytes, from byte 0" in output
        assert f"{file}:2: entry 1 says that the log was damaged: audit.jsonl ends with {size} zero bytes" in output

    @pytest.mark.parametrize("size", [1, 700, 200_000])
    def test_they_are_behind_the_last_entry(self, tmp_path: Path, size: int) -> None:
        head = write(tmp_path)
        file = tmp_path / "audit.jsonl"
        end = file.stat().st_size
        os.truncate(file, end + size)
        assert f"{file}:4: has {size} zero bytes, from byte {end} of the file on" in verified(tmp_path, file)
        write(tmp_path, 1)
        report = checked(tmp_path, head)
        assert (report.seq, len(report.faults), report.notes) == (5, 2, [])
        assert f"zero bytes, from byte {end} on" in report.faults[1]

    def test_they_are_in_the_place_of_the_last_entries(self, tmp_path: Path) -> None:
        """From the middle of a line on; what is left of that one is no torn line."""
        write(tmp_path, 6)
        file = tmp_path / "audit.jsonl"
        whole = file.read_bytes()
        begin = len(b"".join(whole.splitlines(keepends=True)[:3])) + 50
        zeros(file, begin, len(whole) - begin)
        write(tmp_path, 1)
        report = checked(tmp_path)
        assert report.faults[0].startswith(f"{file}:4: has {len(whole) - begin} zero bytes, from byte {begin} of")
        assert report.faults[1].startswith(f"{file}:5: entry 4 says that the log was damaged")
        assert (len(report.faults), report.seq) == (2, 5)

    def test_they_are_in_the_middle(self, tmp_path: Path) -> None:
        write(tmp_path, 6)
        file = tmp_path / "audit.jsonl"
        parts = file.read_bytes().splitlines(keepends=True)
        begin = len(parts[0]) + 50
        zeros(file, begin, len(parts[1] + parts[2]))
        write(tmp_path, 1)
        report = checked(tmp_path)
        assert report.faults == [
            f"{file}:2: has {len(parts[1] + parts[2])} zero bytes, from byte {begin} of the file on: a crash of the "
            "machine, or its disk, has left them in the place of what was written",
            f"{file}:3: entry 5 follows 1: 3 are missing",
        ]
        assert report.seq == 7

    def test_the_older_file_says_where_to_go_on(self, tmp_path: Path) -> None:
        write(tmp_path, 2, rotate=500)
        write(tmp_path, 2)
        file = tmp_path / "audit.jsonl"
        (before,) = files.older(file)
        last = files.last_entry(before)
        assert last is not None
        zeros(file, 0, file.stat().st_size)
        write(tmp_path, 1)
        report = checked(tmp_path)
        assert report.seq == last.seq + 2
        assert len(report.faults) == 2
        zeros(before, 0, before.stat().st_size)
        file.unlink()
        write(tmp_path, 1)
        assert [entry["found"] for entry in lines(tmp_path)[:1]] == [f"{before.name} does not end with an entry"]

    def test_much_that_is_no_entry_stands_behind_the_last_one(self, tmp_path: Path) -> None:
        """The numbers go on, so that it is seen what belongs together."""
        write(tmp_path)
        file = tmp_path / "audit.jsonl"
        with file.open("ab") as stream:
            stream.write(bytes(3 << 20) + b"junk\n" * 100_000)
        write(tmp_path, 1)
        with file.open("rb") as stream:
            whole, _ = files.tail(stream)
        assert [chain.decode(line).seq for line in whole[-2:]] == [4, 5]

    def test_the_public_key(self, tmp_path: Path) -> None:
        """One message that names the file, and says how to make it again."""
        write(tmp_path)
        key = tmp_path / "key.pub"
        for content in (b"", bytes(key.stat().st_size)):
            key.write_bytes(content)
            done = CliRunner().invoke(app, ["audit", "verify", "--key", str(key), str(tmp_path / "audit.jsonl")])
            assert done.exit_code == 2, done.output
            assert f"{key}: is no public key" in done.output
            assert "ssh-keygen -y" in done.output


class TestEmpty:
    def test_it_was_emptied_or_removed_while_no_server_ran(self, tmp_path: Path) -> None:
        """A log that is cut to nothing looks like a new one; the key beside it is older."""
        key = chain.load_or_make_key(tmp_path / "key")
        for number in range(2):
            log = AuditLog(
                tmp_path / "audit.jsonl", key, rotate_bytes=1 << 20, keep_bytes=1 << 20, expected=bool(number)
            )
            put_and_wait(log, Event(Kind.LOGIN, who=ALICE), entries=1 + number)
            log.close()
            assert bool(checked(tmp_path).faults) is bool(number)
            os.truncate(tmp_path / "audit.jsonl", 0)


def _renamed_and_created(file: Path) -> None:
    """logrotate(8), `create 0600 root root`."""
    file.rename(f"{file}.1")
    file.touch(mode=0o600)


def _renamed(file: Path) -> None:
    """logrotate(8), `nocreate`."""
    file.rename(f"{file}.1")


def _copied_and_cut(file: Path) -> None:
    """logrotate(8), `copytruncate`."""
    shutil.copy2(file, f"{file}.1")
    os.truncate(file, 0)


@pytest.mark.parametrize("rotate", [_renamed_and_created, _renamed, _copied_and_cut])
def test_logrotate(tmp_path: Path, rotate: Callable[[Path], None]) -> None:
    """docs/audit.md: it is no way to rotate the audit log, but costs no entry, and what it took away verifies with
    what is there. With `create` the server went on in the file that logrotate removes later."""
    file = tmp_path / "audit.jsonl"
    with opened(tmp_path) as log:
        put_and_wait(log, Event(Kind.LOGIN, who=ALICE))
        rotate(file)
        put_and_wait(log, Event(Kind.LOGOUT, who=ALICE), entries=2)
        put_and_wait(log, Event(Kind.LOGIN, who=ALICE))
        assert len(file.read_bytes().splitlines()) == 3
    output = verified(tmp_path, Path(f"{file}.1"), file)
    assert "entry 2 says that the log was damaged" in output
    assert output.count("FAULT") == 1
    assert "4 entries in 2 file(s)" in output
    assert "what was before is not here, and no entry says that it was removed" in str(checked(tmp_path).faults)


def test_its_file_system_is_mounted_anew(tmp_path: Path) -> None:
    """The same content, another inode: nothing is damaged. With another end it is."""
    file = tmp_path / "audit.jsonl"
    with opened(tmp_path) as log:
        put_and_wait(log, Event(Kind.LOGIN, who=ALICE))
        shutil.copy2(file, tmp_path / "copy")
        (tmp_path / "copy").replace(file)
        put_and_wait(log, Event(Kind.LOGOUT, who=ALICE))
        assert checked(tmp_path, log.head[1]).faults == []
        file.write_bytes(file.read_bytes()[:-20])
        shutil.copy2(file, tmp_path / "copy")
        (tmp_path / "copy").replace(file)
        put_and_wait(log, Event(Kind.LOGIN, who=ALICE), entries=3)
    assert "it ends with another entry than was written last" in str(checked(tmp_path).faults)
    assert checked(tmp_path).seq == 5


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


def _null(path: Path) -> None:
    path.symlink_to(os.devnull)


NO_FILES = [os.mkfifo, Path.mkdir, _socket, _null]


@pytest.mark.timeout(30)
@pytest.mark.parametrize("make", NO_FILES)
def test_something_else_lies_in_its_place(
    tmp_path: Path, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One sentence that names it; a FIFO takes entries and forgets them."""
    monkeypatch.chdir(tmp_path)  # a socket's name is short
    write(tmp_path)
    file = Path("audit.jsonl")
    file.rename("moved")
    make(file)
    with pytest.raises(
        EnvironmentFault, match=r"audit\.jsonl: (is no file, so it cannot be|cannot be used as) .*audit log"
    ):
        write(Path())
    done = CliRunner().invoke(app, ["audit", "verify", "--key", "key.pub", str(file)])
    assert (done.exit_code, done.output.startswith("oobconsole: audit.jsonl: ")) == (2, True), done.output


@pytest.mark.timeout(30)
@pytest.mark.parametrize("make", NO_FILES)
def test_something_else_has_the_name_of_an_older_file(
    tmp_path: Path, make: Callable[[Path], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is none, and is left alone: a FIFO held up the server's start for ever."""
    monkeypatch.chdir(tmp_path)
    make(Path("audit.000000000007.jsonl"))
    head = write(Path(), 3, rotate=500, keep=1)
    assert Path("audit.000000000007.jsonl").exists()
    assert checked(Path(), head).faults == []


def test_somebody_puts_a_fifo_there_while_it_runs(tmp_path: Path) -> None:
    """Entries wait until it is taken away."""
    file = tmp_path / "audit.jsonl"
    told: list[str] = []
    with opened(tmp_path, trouble=told.append) as log:
        put_and_wait(log, Event(Kind.LOGIN, who=ALICE))
        file.unlink()
        os.mkfifo(file)
        log.put(Event(Kind.LOGOUT, who=Principal("bob")))
        eventually(lambda: "is no file" in str(told), lambda: told)
        file.unlink()
        eventually(lambda: log.head[0] == 4, lambda: (log.head, told))
    assert [entry["kind"] for entry in lines(tmp_path)] == [chain.DAMAGED, chain.RESUMED, "logout"]


def test_a_file_that_cannot_be_read_is_no_other_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether it is still there is not known then: entries wait, and nobody is accused."""
    real, fails = Path.stat, {"stat": 1}

    def stat(path: Path, **more: bool) -> os.stat_result:
        if path.name == "audit.jsonl" and fails["stat"]:
            fails["stat"] -= 1
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, **more)

    with opened(tmp_path) as log:
        put_and_wait(log, Event(Kind.LOGIN, who=ALICE))
        monkeypatch.setattr(Path, "stat", stat)
        put_and_wait(log, Event(Kind.LOGOUT, who=ALICE), entries=2)
    assert [entry["kind"] for entry in lines(tmp_path)] == ["login", chain.RESUMED, "logout"]
