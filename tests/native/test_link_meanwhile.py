"""What L1's other vCPUs do while one waits for the server's answer (`native/core/link.c` and `serve.c`).

Most tests here are step by step: another vCPU has its turn once, when the first one sleeps. The last one has threads,
and the plugin's own lock.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from oobconsole.interceptors.wire import Access, ContextGone, GoneReason, Posted
from tests.native.half import FCR, IDLE_LSR, LSR, SCR, Half
from tests.stack.nested import ROOT


def test_another_vcpu_has_its_turn_and_the_answer_is_not_lost(live: Half) -> None:
    """Another vCPU that enters its guest looks for frames, but leaves the answer to the vCPU that waits for it."""
    live.answers[live.base + SCR] = 0x5A
    turns: list[bool] = []

    def enter_a_guest() -> None:
        live.poll()
        turns.append(live.up)

    live.meanwhile(enter_a_guest)
    assert live.ask(SCR) == 0x5A
    assert turns == [True]


def test_what_another_vcpu_wants_to_send_meanwhile_is_sent_afterwards(live: Half) -> None:
    live.meanwhile(lambda: live.gone(2, GoneReason.DESTROYED))
    live.write(SCR, 1, context=2)
    live.take()
    woken = live.woken
    assert live.ask(SCR) == 0
    assert live.woken > woken
    assert [event for event in live.take() if isinstance(event, ContextGone)] == [
        ContextGone(2, GoneReason.DESTROYED),
    ]


@pytest.mark.parametrize("posted", [0, 0xFF])
def test_a_guest_that_ends_while_its_vcpu_waits(live: Half, posted: int) -> None:
    """Its place is another guest's then: that one is left alone, and the vCPU reads ones."""
    number: list[int] = []
    live.hang_up()
    live.posted = posted
    live.begin()
    live.meanwhile(lambda: number.append(live.replace()))
    assert live.read(LSR) & 0xFF == 0xFF
    assert number[0] > 2, "the new guest has the place of the first"
    assert not live.level(context=number[0])
    live.take()
    live.write(SCR, 0x77, context=number[0])
    told = [event for event in live.take() if isinstance(event, Access | Posted) and event.context == number[0]]
    assert [event.port for event in told] == [live.base + SCR]


def test_a_wide_read_ends_with_its_guest(live: Half) -> None:
    """Its other bytes are not asked for."""
    live.meanwhile(lambda: live.replace())
    live.take()
    assert live.read(LSR, size=2) & 0xFFFF == 0xFFFF
    asked = [event for event in live.received if isinstance(event, Access)]
    assert [event.port for event in asked] == [live.base + LSR]


def test_a_guest_that_ends_while_its_write_waits(live: Half) -> None:
    """The new guest's registers are not those that the write has changed."""
    number: list[int] = []
    live.hang_up()
    live.posted = 0
    live.begin()
    live.meanwhile(lambda: number.append(live.replace()))
    live.write(FCR, 0xC7C7, size=2)
    live.take()
    away = live.stat("away")
    assert away == 1, "the write had no answer"
    live.hang_up()
    assert live.read(LSR, context=number[0]) == IDLE_LSR
    assert live.read(FCR, context=number[0]) & 0xC0 == 0, "its FIFOs are off, as after power-on"


def test_a_guest_that_is_reset_while_its_vcpu_waits(live: Half) -> None:
    """What it is told last are the registers after the reset."""
    live.write(SCR, 0x5A)
    live.take()
    live.meanwhile(live.reset)
    assert live.read(LSR) & 0xFF == 0xFF
    assert live.read(SCR) == 0
    assert [event.data for event in live.take() if isinstance(event, Posted) and event.port == live.base + SCR] == [
        b"\0"
    ]


def test_a_new_server_waits_until_the_vcpu_has_given_up(live: Half) -> None:
    """It is told what the guests did only when the shadows have all of it."""

    def another_server() -> None:
        live.hang_up()
        live.connect()
        live.ready()
        assert not live.up

    live.meanwhile(another_server)
    assert live.ask(SCR) is None
    assert not live.up
    live.poll()
    assert live.up


def test_a_vcpu_that_waits_keeps_the_lock_from_nobody(tmp_path: Path) -> None:
    """With threads, and with the plugin's lock: the server never answers, and another vCPU enters its guest.

    A third one accesses the port as well. It waits for its turn, and has the idle answer when the first one has it.
    """
    native = ROOT / "native"
    sources = [*sorted((native / "core").glob("*.c")), *(native / "tcg" / f"{part}.c" for part in ("host", "socket"))]
    program = tmp_path / "lock"
    command = ["cc", "-O1", "-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-pthread"]
    command += [f"-I{native / part}" for part in ("include", "core", "tcg")]
    command += ["-o", str(program), *map(str, sources), str(Path(__file__).with_name("lock.c"))]
    subprocess.run(command, check=True, env={**os.environ, "LC_ALL": "C"})
    done = subprocess.run([str(program)], capture_output=True, text=True, check=True, timeout=60)
    figures = {name: int(value) for name, value in re.findall(r"(\w+)=(\d+)", done.stdout)}
    assert max(figures["first_ms"], figures["second_ms"]) >= 100, done.stdout
    assert figures["entered"] >= 10, done.stdout
    assert figures["first_outcome"] == figures["second_outcome"] == 0, "neither has an answer"
