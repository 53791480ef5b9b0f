"""The socket at which native halves connect: who may use it, what happens to an old one, and no more descriptors."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from oobconsole.errors import EnvironmentFault
from oobconsole.interceptors import wire
from oobconsole.interceptors.tcg import TcgInterceptor
from oobconsole.net import listener
from tests.contract.logged import Output
from tests.contract.rigs import Events, TcgRig
from tests.support.aio import until


async def test_the_socket_is_private_and_goes_away(tmp_path: Path) -> None:
    rig = TcgRig(tmp_path / "new" / "folder")
    await rig.start()
    assert stat.S_IMODE(rig.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(rig.path.parent.stat().st_mode) == 0o700
    await rig.interceptor.stop()
    assert not rig.path.exists()


async def test_a_socket_that_took_the_place_of_ours_stays(tmp_path: Path) -> None:
    rig = TcgRig(tmp_path)
    await rig.start()
    rig.path.unlink()
    rig.path.write_text("another's")
    await rig.interceptor.stop()
    assert rig.path.read_text() == "another's"


async def test_a_dead_servers_socket_is_replaced_a_live_ones_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    first = TcgInterceptor("l1", path, spin_us=0)
    await first.start(Events())
    with pytest.raises(EnvironmentFault, match=f"{path}: another server listens here"):
        await TcgInterceptor("l1", path, spin_us=0).start(Events())
    await first.stop()


async def test_paths_that_cannot_be_sockets_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    for path, reason in (
        (tmp_path / "file", "no socket"),
        (tmp_path / "file" / "s", "Not a directory|File exists"),
        (tmp_path / ("x" * 120), "at most 107 bytes"),
        (open_to_all / "s", "everybody may write here"),
    ):
        with pytest.raises(EnvironmentFault, match=reason) as fault:
            await TcgInterceptor("l1", path, spin_us=0).start(Events())
        assert str(tmp_path) in str(fault.value)
    assert (tmp_path / "file").read_text() == "precious"


@contextlib.contextmanager
def no_descriptors() -> Iterator[None]:
    """Nothing more can be opened. What earlier tests have left is closed before: it would make room."""
    gc.collect()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    probe = os.dup(0)
    resource.setrlimit(resource.RLIMIT_NOFILE, (probe, hard))
    os.close(probe)
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_descriptors_it_tries_again_later(
    tcg: TcgRig, output: Output, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "RETRY_SECONDS", 0.01)
    await tcg.lose_link()
    with socket.socket(socket.AF_UNIX) as late:
        late.setblocking(False)
        with no_descriptors():
            late.connect(str(tcg.path))
            late.send(wire.encode_hello("l1", 9))
            await until(lambda: bool(output.lines("no connection can be accepted")), lambda: output.lines(""))
        tcg.events.log.clear()
        await tcg.events.wait_for("up")
