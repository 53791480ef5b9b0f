"""QEMU's monitor, beside servers that answer late, garble, flood, or hang up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from oobconsole import supervise
from oobconsole.errors import EnvironmentFault
from oobconsole.net import dialer
from oobconsole.power import qmp as module
from oobconsole.power import qmpclient
from oobconsole.power.power import PowerAction, PowerError
from oobconsole.power.qmp import Qmp, QmpPower
from oobconsole.power.qmpclient import LINE_MAX, Connection
from oobconsole.words import BRIEF_MAX
from tests.support.aio import idle, soon, until
from tests.support.monitor import Monitor, evil


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Monitor]:
    with Monitor(tmp_path / "qmp") as running:
        yield running


@pytest.fixture
async def told() -> list[str]:
    return []


@pytest.fixture
async def monitor(server: Monitor, tmp_path: Path, told: list[str]) -> AsyncIterator[Qmp]:
    supervise.ended.clear()  # of other tests
    qmp = Qmp("web1", tmp_path / "qmp")
    qmp.listeners.append(told.append)
    qmp.start()
    qmp.start()  # every port of a guest starts it
    await until(lambda: qmp.state == "running", lambda: qmp.state)
    yield qmp
    await soon(qmp.stop())
    assert not supervise.ended


async def test_what_happens_is_told_while_an_answer_is_late(
    server: Monitor, monitor: Qmp, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults.md 22: nor does the time limit of an answer end anything."""
    monkeypatch.setattr(module, "ANSWER_SECONDS", 0.05)
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.05)
    server.held.add("query-status")
    with capture_logs() as logs:
        server.event("STOP")
        await until(lambda: any(entry["event"] == "run state is not known" for entry in logs), lambda: logs)
    assert told == ["the guest is paused"]
    assert monitor.state == ""
    server.event("GUEST_PANICKED", action="pause")
    await until(lambda: len(told) == 2, lambda: told)
    server.answers["query-status"] = {"return": {"status": "guest-panicked"}}
    server.release()
    server.event("RESET", reason="host-qmp-system-reset")
    await until(lambda: monitor.state == "guest-panicked", lambda: (monitor.state, server.commands))
    await until(lambda: len(told) == 3, lambda: told)
    assert told[1:] == ["the guest's kernel has panicked", "the guest is reset (host-qmp-system-reset)"]
    assert server.connections == 1


async def test_a_panic_with_a_kernel_for_crashes_is_told(server: Monitor, monitor: Qmp, told: list[str]) -> None:
    """faults.md 36, variation: QEMU calls a panic by another name when the guest has loaded kdump's kernel, and
    nobody was told of it."""
    server.event("GUEST_CRASHLOADED", action="run")
    await until(lambda: bool(told), lambda: told)
    assert told == ["the guest's kernel has panicked, and its kernel for crashes writes a dump"]


async def test_a_command_while_the_connection_ends_is_told_so_in_our_words(server: Monitor, monitor: Qmp) -> None:
    """Between the end of QEMU and the moment at which the library has put everything away. On a busy machine
    `power` answered with "Call disconnect() to return to IDLE state"."""
    connection = monitor._connection
    assert connection is not None
    server.hang_up()
    await until(lambda: connection.is_ending, lambda: connection.runstate)
    with pytest.raises(EnvironmentFault, match=r"qmp: QEMU's monitor is not connected: (it has just ended|QEMU .*)$"):
        await monitor.execute("cont")


async def test_a_command_whose_answer_never_comes_is_named(server: Monitor, monitor: Qmp) -> None:
    server.held.add("cont")
    asked = asyncio.ensure_future(monitor.execute("cont"))
    await until(lambda: "cont" in server.commands, lambda: server.commands)
    server.hang_up()
    with pytest.raises(EnvironmentFault, match=r"monitor was lost: it ended before it had answered cont$"):
        await soon(asked)


@pytest.mark.parametrize(
    "line",
    [
        b"garbage",
        b"\x00\xff\xfe",
        b"[]",
        b"[" * 100_000,
        b'{"event": ' + b"9" * 5000 + b"}",
        b'{"id": []}',
        b'{"error": {"class": "GenericError", "desc": "no id"}}',
        b'{"a": "' + b"x" * LINE_MAX + b'"}',
        b"x" * (4 * LINE_MAX),
    ],
    ids=["garbage", "binary", "list", "deep", "number", "id", "error", "long", "huge"],
)
async def test_garbled_lines_end_the_connection_and_it_is_made_again(
    server: Monitor, monitor: Qmp, told: list[str], line: bytes
) -> None:
    """faults.md 22: garbled and huge lines; the reason is in the log once."""
    with capture_logs() as logs:
        await asyncio.to_thread(server.send, line)
        await until(lambda: server.connections == 2 and monitor.state == "running", lambda: server.connections)
    reasons = [entry["reason"] for entry in logs if entry["event"] == "monitor is not connected"]
    assert reasons == ["it sent what is no message of QMP, or one of more than 64 KiB"]
    server.event("RESET")
    await until(lambda: told == ["the guest is reset"], lambda: told)


async def test_a_closed_socket_is_connected_again(server: Monitor, monitor: Qmp, told: list[str]) -> None:
    """faults.md 22, and 33 for monitors: within a second, however often."""
    for attempt in range(2, 5):
        server.hang_up()
        await until(lambda: server.connections == attempt and monitor.state == "running", lambda: server.connections)  # noqa: B023
        server.event("RESET")
        await until(lambda: len(told) == attempt - 1, lambda: told)  # noqa: B023


async def test_a_monitor_that_appears_is_connected_within_a_second(tmp_path: Path) -> None:
    """faults.md 33: however long it was away. It is found by looking, more often than once in a second."""
    assert dialer.LOOK_SECONDS < 1.0
    qmp = Qmp("web1", tmp_path / "late")
    qmp.start()
    with pytest.raises(EnvironmentFault, match="is not connected"):
        await qmp.execute("query-status")
    qmp._dialer._delay = 1e6  # as after a long time
    with Monitor(tmp_path / "late"):
        await until(lambda: qmp.state == "running", lambda: qmp.state)
        await soon(qmp.stop())


async def test_events_that_are_none_and_floods_cost_nothing(
    server: Monitor, monitor: Qmp, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (None, 3, ["RESET"], {"a": 1}, "NO_SUCH", evil()):
        server.event(name)
    server.send(b'{"event": "STOP", "data": "none"}')
    server.send(b'{"event": "RESUME", "data": {"reason": [1]}}')
    server.send(b'{"return": {}, "id": "nobody asked"}')
    flood = b"\n".join([b'{"event": "NO_SUCH"}'] * 20_000)
    sending = asyncio.create_task(asyncio.to_thread(server.send, flood))
    taken, most = 0, 0  # in one turn of the event loop
    take_apart = qmpclient._take_apart

    def counted(line: bytes) -> tuple[object, float]:
        nonlocal taken
        taken += 1
        return take_apart(line)

    monkeypatch.setattr(qmpclient, "_take_apart", counted)
    while not sending.done():
        taken = 0
        await asyncio.sleep(0)
        most = max(most, taken)
    server.event("RESET")
    await until(lambda: len(told) == 3, lambda: told)
    assert told == ["the guest is paused", "the guest goes on", "the guest is reset"]
    assert most == 1, "one message in a turn of the event loop"
    assert server.connections == 1


async def test_texts_of_the_monitor_act_on_no_terminal(server: Monitor, monitor: Qmp, told: list[str]) -> None:
    """security.md 18: reasons, refusals, states; and they are short."""
    server.answers |= {"query-status": {"return": {"status": evil()}}}
    server.answers |= {"system_reset": {"error": {"class": "GenericError", "desc": evil()}}}
    server.answers |= {"inject-nmi": {"error": {"class": "GenericError", "desc": "x" * 50_000}}}
    server.event("RESET", reason=evil())
    server.event("RESET", reason="y" * 50_000)
    await until(lambda: len(told) == 2 and monitor.state != "running", lambda: (told, monitor.state))
    assert told[0] == "the guest is reset (?]0;PWN??2J?)"
    assert len(told[1]) < BRIEF_MAX + 50
    assert monitor.state == "?]0;PWN??2J?"
    with pytest.raises(PowerError, match=r"^QEMU refuses system_reset: \?]0;PWN\?\?2J\?$"):
        await QmpPower(monitor).do(PowerAction.RESET)
    with pytest.raises(PowerError) as refused:
        await QmpPower(monitor).do(PowerAction.NMI)
    assert len(str(refused.value)) < BRIEF_MAX + 50


@pytest.mark.parametrize("answer", [None, 3, "text", [3], [{}], {"a": 1}, [{"filename": 3, "label": 4}]])
async def test_answers_that_make_no_sense_cost_one_sentence(server: Monitor, monitor: Qmp, answer: object) -> None:
    server.answers |= {"query-status": {"return": answer}, "query-chardev": {"return": answer}}
    with pytest.raises(PowerError, match=r"qmp: what QEMU answers to query-status cannot be understood$"):
        await QmpPower(monitor).do(PowerAction.ON)
    with pytest.raises(EnvironmentFault, match=r"qmp: what QEMU answers to query-chardev cannot be understood$"):
        await monitor.send_break("/serial")


async def test_two_answers_to_one_command(server: Monitor, monitor: Qmp, told: list[str]) -> None:
    server.held.add("stop")
    asking = asyncio.create_task(monitor.execute("stop"))
    await until(lambda: "stop" in server.commands, lambda: server.commands)
    answer = server._waiting[0]
    await asyncio.to_thread(server.send, b"\n".join([answer] * 5))
    assert await soon(asking) == {}
    server.event("RESET")
    await until(lambda: bool(told), lambda: told)
    assert server.connections == 1


async def test_a_bug_in_reading_the_run_state_makes_the_connection_again(
    server: Monitor, monitor: Qmp, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """faults.md 22: a task that ends by an exception is noticed, and told."""
    with monkeypatch.context() as broken, capture_logs() as logs:
        broken.setattr(monitor, "run_state", lambda: 1 / 0)
        server.event("STOP")
        await until(lambda: server.connections > 1, lambda: server.connections)
    assert any("bug in oobconsole" in entry["event"] for entry in logs)
    supervise.ended.clear()
    await until(lambda: monitor.state == "running", lambda: monitor.state)
    server.event("RESET")
    await until(lambda: "the guest is reset" in told, lambda: told)
    await idle()
    supervise.ended.clear()


async def test_one_that_does_not_read_can_be_left(server: Monitor, monitor: Qmp) -> None:
    """What waits to be written keeps nobody from leaving."""
    server.held.add("stop")
    asking = [asyncio.create_task(monitor.execute("stop", text="x" * 50_000)) for _ in range(40)]
    await idle()
    await soon(monitor.stop())
    for error in await asyncio.gather(*asking, return_exceptions=True):
        assert isinstance(error, EnvironmentFault)


async def test_each_long_message_has_a_turn_of_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """security.md 18: what one of them costs at most is bounded, and so is what all of them cost at a time."""
    turn = 0
    taken_apart: list[int] = []

    def count(line: bytes) -> tuple[object, float]:
        taken_apart.append(turn)
        return {}, 0.0

    class Sending(Connection):
        async def _readline(self) -> bytes:
            return bytes(LINE_MAX)

    monkeypatch.setattr(qmpclient, "_take_apart", count)
    connections = [Sending("web1", lambda *_: None) for _ in range(20)]
    reading = asyncio.gather(*(connection._do_recv() for connection in connections))
    while not reading.done():
        await asyncio.sleep(0)
        turn += 1
    assert len(taken_apart) == len(set(taken_apart)) == len(connections)
