"""Threads for calls that wait: a bounded number of them, and none when there is nothing to do."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from oobconsole import supervise
from oobconsole.threads import Threads
from tests.support.pace import scaled
from tests.support.sync import eventually


def waits(gate: threading.Event, done: list[int], number: int) -> Callable[[], None]:
    """A job that waits for libvirtd, and says that it has been done."""

    def job() -> None:
        gate.wait(scaled(10))
        done.append(number)

    return job


def test_jobs_beyond_the_bound_wait_and_all_are_done() -> None:
    threads, gate, done = Threads(2), threading.Event(), list[int]()
    for number in range(10):
        threads.begin(waits(gate, done, number), f"job {number}")
    assert threads.running == 2
    gate.set()
    eventually(lambda: len(done) == 10 and threads.running == 0, lambda: (done, threads.running))
    assert sorted(done) == list(range(10))


def test_jobs_that_wait_are_done_in_order() -> None:
    threads, gate, done = Threads(1), threading.Event(), list[int]()
    for number in range(5):
        threads.begin(waits(gate, done, number), f"job {number}")
    gate.set()
    eventually(lambda: len(done) == 5, lambda: done)
    assert done == [0, 1, 2, 3, 4]


def test_a_job_that_fails_is_told_and_keeps_no_other_from_being_done(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    monkeypatch.setattr(supervise, "tell", lambda name, error: told.append(f"{name}: {error}"))
    threads, done = Threads(1), list[int]()
    threads.begin(lambda: 1 // 0, "a bug")
    threads.begin(lambda: done.append(1), "another job")
    eventually(lambda: done == [1] and threads.running == 0, lambda: (done, told))
    assert told == ["a bug: integer division or modulo by zero"]


def test_a_process_that_can_have_no_more_threads_does_the_job_in_one_that_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads, gate, done = Threads(8), threading.Event(), list[int]()
    threads.begin(waits(gate, done, 1), "the first")

    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(supervise, "thread", refuse)
    threads.begin(lambda: done.append(2), "the second")
    assert threads.running == 1
    gate.set()
    eventually(lambda: done == [1, 2], lambda: done)
