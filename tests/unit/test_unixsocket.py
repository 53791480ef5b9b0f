"""A UNIX socket of ours: private from its first moment, and nothing else is changed by making it."""

from __future__ import annotations

import os
import socket
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from oobconsole.net.unixsocket import UnixSocket

#: Whatever a process's own mask is; the second is that of the server.
MASKS = (0o000, 0o077, 0o022)


@pytest.fixture(params=MASKS, ids=oct)
def mask(request: pytest.FixtureRequest) -> Any:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


class Binding(socket.socket):
    """While it is bound, another thread makes a folder."""

    made: Path

    def bind(self, address: Any) -> None:
        thread = threading.Thread(target=lambda: self.made.mkdir(mode=0o700))
        thread.start()
        thread.join()
        super().bind(address)
        assert stat.S_IMODE(Path(os.fsdecode(address)).stat().st_mode) == 0o600, (
            "it is private before anybody can connect"
        )


def test_other_threads_make_files_as_ever(tmp_path: Path, mask: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """faults.md 2's kind: the mask of the whole process was 0177 meanwhile, so a recording's new folder had
    the mode 0600, and nothing could be written into it."""
    monkeypatch.setattr(Binding, "made", tmp_path / "web1", raising=False)
    monkeypatch.setattr(socket, "socket", Binding)
    bound = UnixSocket(tmp_path / "l1.sock")
    bound.close()
    assert stat.S_IMODE((tmp_path / "web1").stat().st_mode) == 0o700


def test_it_is_for_its_owner_alone(tmp_path: Path, mask: int) -> None:
    bound = UnixSocket(tmp_path / "l1.sock")
    assert stat.S_IMODE((tmp_path / "l1.sock").stat().st_mode) == 0o600
    assert os.umask(mask) == mask
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(tmp_path / "l1.sock"))
    bound.close()
    assert not (tmp_path / "l1.sock").exists()
