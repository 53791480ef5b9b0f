"""The host key: made once, kept private."""

from __future__ import annotations

import errno
import os
import re
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncssh
import pytest

from oobconsole import keyfile
from oobconsole.errors import EnvironmentFault
from oobconsole.ssh.hostkeys import load_certificate, load_or_make


def test_is_made_once(tmp_path: Path) -> None:
    path = tmp_path / "state" / "key"
    made = load_or_make(path)
    assert made.algorithm == b"ssh-ed25519"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_make(path).public_data == made.public_data
    assert path.with_suffix(".pub").read_bytes().split()[:2] == made.export_public_key().split()[:2]
    assert sorted(file.name for file in path.parent.iterdir()) == ["key", "key.pub"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    load_or_make(path)
    path.chmod(mode)
    with pytest.raises(EnvironmentFault, match=re.escape(f"{path}: others may read this private key; chmod 600 it")):
        load_or_make(path)


def test_what_is_no_key_is_refused_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("not a key")
    path.chmod(0o600)
    with pytest.raises(EnvironmentFault, match="is no usable private key"):
        load_or_make(path)
    assert path.read_text() == "not a key"


@pytest.mark.parametrize("form", [(), ("-m", "PEM")])
def test_a_key_with_a_passphrase(tmp_path: Path, form: tuple[str, ...]) -> None:
    """The advice was to restore the key from a backup, which has the same passphrase."""
    path = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "secret", "-f", path, *form], check=True)
    with pytest.raises(EnvironmentFault, match=re.escape(f"remove it with ssh-keygen -p -f {path}")):
        load_or_make(path)


def test_a_place_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="the host key cannot be used"):
        load_or_make(tmp_path / "file" / "key")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(EnvironmentFault, match="No such file"):
        load_or_make(tmp_path / "dangling")


@pytest.mark.parametrize("fails", ["fsync", "replace", "write"])
@pytest.mark.parametrize("nth", [1, 2])
def test_a_first_start_on_a_full_disk_leaves_nothing_in_the_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str, nth: int
) -> None:
    """security.md 13: an empty file of our own process number blocked every later start in a container."""
    path = tmp_path / "key"
    (tmp_path / f"key.{os.getpid()}").touch()  # what an older version has left
    calls = iter(range(1, 10))

    def full(*args: object) -> object:
        if next(calls) == nth:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args)

    owner = {"fsync": os, "replace": Path, "write": keyfile}[fails]
    name = {"fsync": "fsync", "replace": "replace", "write": "_put"}[fails]
    real = getattr(owner, name)
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, full)
        with pytest.raises(EnvironmentFault, match="host key cannot be used: No space left on device"):
            load_or_make(path)
    assert not path.exists()
    made = load_or_make(path)
    assert load_or_make(path).public_data == made.public_data
    left = {file.name for file in tmp_path.iterdir()}
    assert left == {"key", "key.pub", f"key.{os.getpid()}"}


def test_an_empty_key_file_is_no_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    assert load_or_make(path).algorithm == b"ssh-ed25519"


@pytest.mark.parametrize("content", [b"", bytes(399)])
def test_a_crash_leaves_an_empty_key_or_zeros(tmp_path: Path, content: bytes) -> None:
    """issue 12, section 3: one message that names the file and says what to do; an empty one was replaced silently,
    and clients said that somebody is in the middle."""
    path = tmp_path / "key"
    load_or_make(path)
    path.write_bytes(content)
    with pytest.raises(
        EnvironmentFault, match=f"^{re.escape(str(path))}: the host key is .* restore it from a backup; or move"
    ):
        load_or_make(path)
    assert path.read_bytes() == content


def _what_it_is(path: Path) -> tuple[int, ...]:
    """Which file is there, and when it was changed last; not when it was read: following a link reads it."""
    found = path.lstat()
    return found.st_dev, found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns


@pytest.mark.timeout(30)
@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to(os.devnull)])
def test_what_is_no_file_is_left_alone(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """A FIFO and a device have a size of 0: they were replaced by a key."""
    path = tmp_path / "key"
    make(path)
    before = _what_it_is(path)
    with pytest.raises(EnvironmentFault, match=f"{path}: is no file, so it cannot be the host key: move it away"):
        load_or_make(path)
    assert _what_it_is(path) == before
    with pytest.raises(
        EnvironmentFault, match=f"{path}: the host certificate cannot be read: it is no file|Is a dir"
    ):
        load_certificate(path, asyncssh.generate_private_key("ssh-ed25519"))
