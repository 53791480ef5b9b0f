"""Lock files of serial ports, as minicom, cu and ser2net make them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from oobconsole.lines.uucp import PortLock, PortTakenError


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
