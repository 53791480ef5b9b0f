"""Whoever connects again and again: how long there is between two attempts."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from oobconsole.net import dialer, looking
from oobconsole.net.dialer import LOCAL_MAX, RETRY_MAX, Dialer, longest_wait
from tests.support.aio import soon, until


@pytest.mark.parametrize("host", [None, "localhost", "127.0.0.1", "127.3.2.1", "::1"])
def test_what_is_on_this_host_is_back_within_a_second(host: str | None) -> None:
    """issue 12, section 3: also where it is reached over TCP."""
    assert longest_wait(host) == LOCAL_MAX


@pytest.mark.parametrize("host", ["192.0.2.1", "2001:db8::1", "localhost.example.org", "127.example.org", ""])
def test_other_hosts_are_not_asked_so_often(host: str) -> None:
    assert longest_wait(host) == RETRY_MAX


class Share:
    """A file system of the network: it answers nobody while `answers` is not set."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)
        self.answers = threading.Event()
        self.asked = 0

    def stat(self, path: str) -> os.stat_result:
        """Do what `os.stat` does, when the file system answers."""
        if path.startswith(self.folder):
            self.asked += 1
            self.answers.wait()
        return Path(path).stat()


@pytest.fixture
def share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Share]:
    """It answers at the end of the test, so that no thread is left."""
    folder = tmp_path / "share"
    folder.mkdir()
    made = Share(folder)
    monkeypatch.setattr(looking, "os", _Module(made))
    yield made
    made.answers.set()


class _Module:
    """Stands for the module `os`."""

    def __init__(self, share: Share) -> None:
        self.stat, self.path, self.fspath = share.stat, os.path, os.fspath


class Told:
    """Keeps what a dialer tells, and how often it has connected."""

    def __init__(self, path: Path) -> None:
        self.reasons: list[str] = []
        self.attempts = 0
        self.dialer = Dialer(self._connect, self._down, look=lambda: looking.look(path), longest=LOCAL_MAX)

    async def _connect(self) -> str:
        self.attempts += 1
        raise OSError("nobody is there")

    def _down(self, reason: str, retry_s: float | None) -> None:
        self.reasons.append(reason)


async def test_a_path_that_hangs_stops_no_other_line(share: Share, tmp_path: Path) -> None:
    """security.md 1, variation: a `unix:` path on a hung file system stopped every console, twice a second."""
    (tmp_path / "sock").touch()
    away, here = Told(share.folder / Path("sock")), Told(tmp_path / "sock")
    for told in (away, here):
        told.dialer.start()
    await until(lambda: here.attempts > 2 and bool(away.reasons), lambda: (here.attempts, away.reasons))
    assert away.reasons == ["the file system on which it lies does not answer"]
    assert (away.attempts, share.asked) == (0, 1), "connecting would hang, too"
    share.answers.set()
    await until(lambda: away.attempts > 0, lambda: away.reasons)
    for told in (away, here):
        await told.dialer.stop()


async def test_what_is_said_of_a_look_that_took_long_is_not_said_for_ever(
    share: Share, monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults.md 33, variation: a guest was off, and one look took long. Then the file system was blamed for ever."""
    monkeypatch.setattr(dialer, "HANGS_SECONDS", 0.05)
    monkeypatch.setattr(dialer, "LOOK_SECONDS", 0.01)
    share.answers.set()
    away = Told(share.folder / Path("sock"))
    away.dialer.start()
    await until(lambda: away.reasons == ["nobody is there"], lambda: away.reasons)
    share.answers.clear()
    await until(lambda: "the file system on which it lies does not answer" in away.reasons, lambda: away.reasons)
    share.answers.set()
    await until(lambda: away.reasons[-1] == "nobody is there", lambda: away.reasons)
    await away.dialer.stop()


async def test_a_line_whose_path_hangs_can_be_stopped(share: Share) -> None:
    """security.md 1, variation: the end of the server waits for no file system."""
    away = Told(share.folder / Path("sock"))
    away.dialer.start()
    await until(lambda: share.asked == 1, lambda: share.asked)
    await soon(away.dialer.stop())


async def test_many_lines_in_one_folder_are_looked_for_together(tmp_path: Path) -> None:
    """A thousand lines whose guests are off cost one thread, and not one for each look."""
    before, started = threading.active_count(), list[int]()
    paths = [tmp_path / str(number) for number in range(1000)]
    for path in paths[::2]:
        path.touch()
    looks = [asyncio.ensure_future(looking.look(path)) for path in paths]
    found = []
    for one in looks:
        found.append(await soon(one))
        started.append(threading.active_count() - before)
    assert max(started) <= 1
    assert [one is not None for one in found] == [True, False] * 500
    assert len(set(found)) == 501


async def test_what_appears_is_connected_to_soon(tmp_path: Path) -> None:
    """faults.md 33: by looking, and not by the next attempt."""
    told = Told(tmp_path / "sock")
    told.dialer.start()
    await until(lambda: told.attempts > 0, lambda: told.reasons)
    before = await looking.look(tmp_path / "sock")
    (tmp_path / "sock").touch()
    after = await looking.look(tmp_path / "sock")
    assert before is None
    assert after is not None
    assert after == await looking.look(str(tmp_path / "sock"))
    await until(lambda: told.attempts > 2, lambda: told.reasons)
    await told.dialer.stop()
