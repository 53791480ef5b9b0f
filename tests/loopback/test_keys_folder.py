"""The folder of users' keys does not answer, or cannot be looked at: nobody logs in by it, and who is in stays."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import asyncssh
import pytest

from oobconsole import userkeys
from oobconsole.front import link
from oobconsole.front.ends import QUESTIONS_MAX, Unavailable
from oobconsole.ssh import kind
from tests.loopback.lab import Lab
from tests.support.aio import soon, until


async def test_a_folder_that_does_not_answer_ends_no_front(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """security.md 29, variation: on a file system over the network, whose server is gone, each reading takes minutes.
    After 64 logins that waited for it in vain, the core took the front for a hostile one and ended it, and with it
    everybody's sessions."""
    back, real = threading.Event(), kind.keys(lab.config)

    def slow(user: str) -> bytes:
        back.wait(60)
        return real(user)

    async with await soon(lab.connect()) as before:
        lab.relay.allow(1000, slow)
        with monkeypatch.context() as patched:
            patched.setattr(link, "ANSWER_SECONDS", 0.01)
            for _ in range(QUESTIONS_MAX + 10):
                with pytest.raises(Unavailable, match=r"the core (does not answer|has not answered)") as refused:
                    await soon(lab.ssh.core.keys("alice"))
                assert refused.value.ours
        assert not lab.relay.ended.done()
        assert "web1" in str((await soon(before.run("ls"))).stdout)
        back.set()
        await until(lambda: not lab.relay._questions, lambda: len(lab.relay._questions))
    async with await soon(lab.connect()) as after:
        assert "web1" in str((await soon(after.run("ls"))).stdout)


@pytest.mark.parametrize("what", ["a file of another meaning", "the folder"])
async def test_what_cannot_be_looked_at_is_our_trouble(lab: Lab, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    """security.md 29, variation: the front got no answer, and clients waited for 10 s."""
    folder, real = lab.config.server.authorized_keys, Path.stat
    broken = folder if what == "the folder" else folder / "elsewhere"

    def stat(path: Path, **how: bool) -> object:
        if path == broken:
            raise OSError(5, "Input/output error")
        return real(path, **how)

    def look() -> None:
        file = userkeys.file_of(folder, "alice", [] if broken == folder else [broken])
        assert file is not None
        userkeys.lines(file)

    monkeypatch.setattr(Path, "stat", stat)
    with pytest.raises(userkeys.Unusable, match="Input/output error") as unusable:
        look()
    assert unusable.value.ours


async def test_a_key_that_is_revoked_while_it_is_checked(lab: Lab, tmp_path: Path) -> None:
    """security.md 22, variation: who was logging in during the reload got in by the list of before, and stayed."""
    may, keys = threading.Event(), kind.keys(lab.config)
    calls = 0

    def slow(user: str) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 2:  # the first question is whether the key would do; the second one comes with the signature
            may.wait(60)
        return keys(user)

    revoked = tmp_path / "revoked"
    revoked.write_bytes(lab.key.export_public_key())
    server = lab.config.server.model_copy(update={"revoked_keys": revoked})
    lab.relay.allow(1000, slow)
    login = asyncio.ensure_future(lab.connect())
    await until(lambda: calls == 2, lambda: calls)
    await soon(lab.relay.settle(kind.prepare(lab.config.model_copy(update={"server": server}), None)))
    may.set()
    with pytest.raises(asyncssh.PermissionDenied):
        await soon(login)
