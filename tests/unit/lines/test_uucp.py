"""Lock files of serial ports, as minicom, cu and ser2net make them."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from oobconsole.config.guests import SerialConfig
from oobconsole.lines import serialport
from oobconsole.lines.serialport import SerialStream
from oobconsole.lines.uucp import PortLock, PortTakenError
from tests.support.aio import until


@pytest.fixture
def dead() -> int:
    with subprocess.Popen(["true"]) as ended:
        ended.wait()
    return ended.pid


def test_ours_is_made_and_removed(tmp_path: Path) -> None:
    """faults.md 21"""
    lock = PortLock("/dev/ttyUSB0", tmp_path)
    assert (tmp_path / "LCK..ttyUSB0").read_bytes() == b"%10d\n" % os.getpid()
    assert [file.name for file in tmp_path.iterdir()] == ["LCK..ttyUSB0"]
    lock.release()
    lock.release()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("binary", [False, True])
def test_another_programs_is_respected_and_named(tmp_path: Path, binary: bool) -> None:
    """faults.md 21: pid in ASCII, or in four bytes as old programs write it."""
    pid = os.getppid()
    content = pid.to_bytes(4, "little") if binary else b"%10d minicom root\n" % pid
    (tmp_path / "LCK..ttyUSB0").write_bytes(content)
    with pytest.raises(PortTakenError, match=rf"\(pid {pid}\) has it \({tmp_path}/LCK..ttyUSB0\)"):
        PortLock("/dev/ttyUSB0", tmp_path)
    assert (tmp_path / "LCK..ttyUSB0").read_bytes() == content


def test_one_of_a_dead_process_is_replaced(tmp_path: Path, dead: int) -> None:
    """faults.md 21"""
    (tmp_path / "LCK..ttyUSB0").write_text(f"{dead:>10}\n")
    lock = PortLock("/dev/ttyUSB0", tmp_path)
    assert int((tmp_path / "LCK..ttyUSB0").read_text()) == os.getpid()
    lock.release()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"9" * 70])
def test_one_without_a_number_is_left_and_told(tmp_path: Path, content: bytes) -> None:
    """faults.md 21"""
    file = tmp_path / "LCK..ttyUSB0"
    file.write_bytes(content)
    lock = PortLock("/dev/ttyUSB0", tmp_path)
    lock.release()
    assert file.read_bytes() == content


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """faults.md 21: the port works without."""
    lock = PortLock("/dev/ttyUSB0", tmp_path / "none")
    assert "cannot be made: No such file or directory" in lock.trouble
    lock.release()


@pytest.mark.parametrize("content", [b"", bytes(11)])
def test_a_crash_leaves_an_empty_lock_or_zeros(tmp_path: Path, content: bytes) -> None:
    """issue 12, section 3: nobody knows whose it is, so it stays, and what to do is said."""
    file = tmp_path / "LCK..ttyUSB0"
    file.write_bytes(content)
    lock = PortLock("/dev/ttyUSB0", tmp_path)
    assert lock.trouble == f"{file} is there, and no process's number in it: remove it, if no program has the port"
    lock.release()
    assert file.read_bytes() == content


@pytest.mark.timeout(30)
def test_a_fifo_with_a_lock_s_name_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "LCK..ttyUSB0")
    with pytest.raises(PortTakenError, match="cannot be read: it is no file"):
        PortLock("/dev/ttyUSB0", tmp_path)


@pytest.fixture
def device() -> Iterator[str]:
    """A port: the name of its device."""
    master, slave = pty.openpty()
    yield os.ttyname(slave)
    os.close(master)
    os.close(slave)


def files(folder: Path) -> list[str]:
    """The lock files in a folder."""
    return sorted(file.name for file in folder.glob("L*"))


def link(folder: Path, name: str, device: str) -> str:
    """Make another name for a device."""
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.symlink_to(device)
    return str(path)


def test_two_names_of_one_port_are_one_port(tmp_path: Path, device: str) -> None:
    """faults.md 21, variation: our own lock file did not count. The second console could not open the port, and
    removed the first one's lock file: then minicom got the port."""
    names = [link(tmp_path / "names", name, device) for name in ("console-a", "console-b")]
    first = PortLock(names[0], tmp_path)
    had = files(tmp_path)
    with pytest.raises(PortTakenError, match=f"^another console of this server has it, as {names[0]}$"):
        PortLock(names[1], tmp_path)
    assert files(tmp_path) == had == sorted([f"LCK..{Path(device).name}", "LCK..console-a"])
    first.release()
    PortLock(names[1], tmp_path).release()
    assert files(tmp_path) == []


def test_two_names_of_one_port_are_one_port_without_lock_files(tmp_path: Path, device: str) -> None:
    """faults.md 21, variation: where no lock files can be made."""
    first = PortLock(device, tmp_path / "none")
    with pytest.raises(PortTakenError, match=f"another console of this server has it, as {device}"):
        PortLock(link(tmp_path, "console-b", device), tmp_path / "none")
    first.release()


def test_two_ports_of_one_name_have_the_name_s_lock_file_until_both_are_closed(tmp_path: Path, device: str) -> None:
    """faults.md 21, variation: links of the same name in two folders."""
    master, slave = pty.openpty()
    first = PortLock(link(tmp_path / "rack1", "port1", device), tmp_path)
    second = PortLock(link(tmp_path / "rack2", "port1", os.ttyname(slave)), tmp_path)
    first.release()
    first.release()
    assert files(tmp_path) == sorted([f"LCK..{Path(os.ttyname(slave)).name}", "LCK..port1"])
    second.release()
    assert files(tmp_path) == []
    os.close(master)
    os.close(slave)


def test_a_lock_file_with_our_number_from_before_is_replaced(tmp_path: Path) -> None:
    """faults.md 21, variation: in a container, the process before had the same number."""
    for name in ("LCK..ttyUSB0", f"LTMP.{os.getpid()}.ttyUSB0"):
        (tmp_path / name).write_text(f"{os.getpid():>10}\n")
    lock = PortLock("/dev/ttyUSB0", tmp_path)
    assert (lock.trouble, files(tmp_path)) == ("", ["LCK..ttyUSB0"])
    lock.release()
    assert files(tmp_path) == []


def test_a_link_in_the_folder_is_not_written_through(tmp_path: Path) -> None:
    """faults.md 21, variation: anybody may write to /var/lock, and laid a link to a file of the server's there."""
    precious = tmp_path / "precious"
    precious.write_text("data")
    (tmp_path / f"LTMP.{os.getpid()}.ttyUSB0").symlink_to(precious)
    PortLock("/dev/ttyUSB0", tmp_path).release()
    assert precious.read_text() == "data"


async def test_the_console_that_comes_second_says_which_one_has_the_port(
    tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults.md 21, variation"""
    monkeypatch.setattr(serialport, "PortLock", lambda device: PortLock(device, tmp_path))
    first, second = Events(), Events()
    lines = [
        SerialStream(name, SerialConfig(device=device_))
        for name, device_ in (("web1", device), ("web2", link(tmp_path, "console-b", device)))
    ]
    await lines[0].start(first)
    await until(lambda: bool(first.told), lambda: first.told)
    await lines[1].start(second)
    await until(lambda: len(second.told) > 1, lambda: second.told)
    assert second.told[0] == f"{tmp_path}/console-b: another console of this server has it, as {device}"
    assert first.told == [f"up: {device}"]
    for line in lines:
        await line.stop()


class Events:
    """Keeps what a line tells of its connection."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def up(self, where: str) -> None:
        """Note where the port is."""
        self.told.append(f"up: {where}")

    def down(self, reason: str, retry_s: float | None) -> None:
        """Note the reason."""
        self.told.append(reason)

    def output(self, data: bytes) -> None:
        """Do nothing."""

    def gap(self, lost: int = 0) -> None:
        """Do nothing."""

    def writable(self) -> None:
        """Do nothing."""
