"""`oobconsole.client` in scripts of several tasks: they wait at the same time, or are cancelled."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.loopback.lab import Lab
from tests.support.aio import until
from tests.support.pace import scaled


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with Lab(tmp_path) as running:
        running.appear()
        yield running


#: Finds `END`, at once. Without it, looking takes all the time that a look has.
SLOW = r"(?=[^E]*END)|(?:a|aa|aaa)+$b"


@pytest.mark.parametrize("quick", ["a", "END one"])
async def test_several_wait_at_the_same_time(lab: Lab, monkeypatch: pytest.MonkeyPatch, quick: str) -> None:
    """faults.md 4 and 5, variations: whoever was quick to look made others miss what had come while they were
    looking, until their time was up; and what the quick one had found was taken away from the others."""
    looking, real = threading.Event(), asyncio.to_thread

    async def to_thread(look: Callable[..., object], *args: object, **named: object) -> object:
        def looks() -> object:
            looking.set()
            return look(*args, **named)

        return await real(looks)

    monkeypatch.setattr(asyncio, "to_thread", to_thread)
    async with lab.script() as there:
        console = await there.attach("web1")
        lab.console.output(b"a" * 60)
        await until(lambda: "aaa" in console.transcript, lambda: console.transcript)
        slow = asyncio.ensure_future(console.expect(SLOW, timeout=scaled(60)))
        await until(looking.is_set, lambda: "the slow one does not look")
        other = asyncio.ensure_future(console.expect(f"{quick}|never", timeout=scaled(60)))
        lab.console.output(b"END one")
        await other
        idle = asyncio.ensure_future(console.expect("never", timeout=scaled(60)))
        async with asyncio.timeout(scaled(20)):  # less than it may take
            await slow
        idle.cancel()


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.01, 0.05])
async def test_an_attach_that_is_cancelled_leaves_nobody_attached(lab: Lab, pause: float) -> None:
    """The session went on behind the script's back, with the keyboard, and came again when the connection was
    closed."""
    async with lab.script() as there:
        attaching = asyncio.ensure_future(there.attach("web1"))
        await asyncio.sleep(pause)
        attaching.cancel()
        await asyncio.gather(attaching, return_exceptions=True)
        if not attaching.cancelled():
            await attaching.result().close()
        await until(lambda: not lab.lobby.visitors, lambda: lab.lobby.visitors)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if "Console._run" in repr(task)]


@pytest.mark.parametrize("pause", [0.0, 0.001, 0.01, 0.1])
async def test_a_command_that_is_cancelled_ends_at_the_server(lab: Lab, pause: float) -> None:
    """It went on there, for as long as its time limit allowed, and ten of them filled a connection."""
    async with lab.script() as there:
        for _ in range(3):
            waiting = asyncio.ensure_future(there.command("wait", "web1", "never"))
            await asyncio.sleep(pause)
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)
        await until(lambda: not lab.lobby.visitors, lambda: lab.lobby.visitors)
        assert len(await there.ls()) == 1


@pytest.mark.parametrize("printed", ["Größe", "Gro\u0308ße"])
@pytest.mark.parametrize("pattern", ["Größe: ", "Gro\u0308ße: ", "(?i)gRÖSSE|GRÖßE: "])
async def test_a_letter_is_found_in_both_spellings(lab: Lab, printed: str, pattern: str) -> None:
    """faults.md 7, a variation: as by the verbs `wait` and `search`, and alerts."""
    async with lab.script() as there:
        console = await there.attach("web1")
        lab.console.output(f"{printed}: 5\r\n".encode())
        await console.expect(pattern, timeout=scaled(10))
