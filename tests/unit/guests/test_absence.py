"""Whether a native half is away, step by step: a clock and a loop of the test's own, and no real time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest

from oobconsole.guests import absence
from oobconsole.guests.absence import AWAY_SECONDS, STEPS_MAX, Absence

STEP = AWAY_SECONDS / absence.STEPS


class Watch:
    """An absence under the hands of a test.

    Attributes:
        connecting: is there a connection?
        told: what people were told.
        now: the time.
    """

    def __init__(self) -> None:
        self.connecting = False
        self.told: list[str] = []
        self.now = 1000.0
        self._timer: tuple[float, Callable[[], None]] | None = None
        self.absence = Absence(self.told.append, lambda: self.connecting, clock=lambda: self.now, later=self._later)

    def _later(self, delay: float, call: Callable[[], None]) -> asyncio.TimerHandle:
        assert self._timer is None, "one at a time"
        self._timer = (self.now + delay, call)
        return cast(asyncio.TimerHandle, SimpleNamespace(cancel=self._cancel))

    def _cancel(self) -> None:
        self._timer = None

    def run(self, seconds: float) -> None:
        """This process runs for so long, and serves its timers in time."""
        end = self.now + seconds
        while self._timer is not None and self._timer[0] <= end:
            self.now, call = self._timer
            self._timer = None
            call()
        self.now = end

    def stand(self, seconds: float) -> None:
        """It does not run for so long; then whatever timer has expired is served before anything else."""
        self.now += seconds
        if self._timer is not None and self._timer[0] <= self.now:
            call, self._timer = self._timer[1], None
            call()


@pytest.fixture
def watch() -> Watch:
    return Watch()


def test_an_absence_of_more_than_a_second_is_told_once(watch: Watch) -> None:
    watch.absence.begin("it closed the connection")
    watch.run(AWAY_SECONDS)
    assert watch.told == []
    watch.run(1.5 * STEP)
    assert watch.told == ["it closed the connection"]
    assert not watch.absence.pending
    watch.run(100)
    assert len(watch.told) == 1


def test_a_guest_that_is_bound_again_was_not_away(watch: Watch) -> None:
    watch.absence.begin("it closed the connection")
    watch.run(0.99 * AWAY_SECONDS)
    watch.absence.end()
    watch.run(100)
    assert watch.told == []


@pytest.mark.parametrize("ran", [0.001, 0.05])
def test_time_in_which_this_process_did_not_run_is_no_absence(watch: Watch, ran: float) -> None:
    """Stopped again and again for two seconds, and in between it runs for too short to see who is back: a timer
    that expires while it stands said each time that a part of a second had passed without the native half."""
    watch.absence.begin("it closed the connection")
    for _ in range(20):
        watch.stand(2.0)
        watch.run(ran)
    assert watch.told == []
    watch.absence.end()


def test_a_stop_in_the_middle_of_an_absence_does_not_shorten_it(watch: Watch) -> None:
    watch.absence.begin("it closed the connection")
    watch.run(0.5 * AWAY_SECONDS)
    watch.stand(3600)
    watch.run(0.4 * AWAY_SECONDS)
    assert watch.told == []
    watch.run(0.4 * AWAY_SECONDS)
    assert len(watch.told) == 1


def test_one_that_is_connecting_is_not_absent(watch: Watch) -> None:
    """Who waits for a processor on a busy machine takes its time from connecting to announcing its guests."""
    watch.absence.begin("it closed the connection")
    watch.run(0.95 * AWAY_SECONDS)
    watch.connecting = True
    watch.run(2.0)
    assert watch.told == []


def test_one_that_connects_again_after_each_loss_is_absent_for_as_long_as_the_last_one(watch: Watch) -> None:
    watch.absence.begin("first")
    watch.run(0.8 * AWAY_SECONDS)
    watch.absence.begin("second")  # it was back in between, but no guest was bound
    watch.run(0.8 * AWAY_SECONDS)
    assert watch.told == []
    watch.run(0.4 * AWAY_SECONDS)
    assert watch.told == ["second"]


def test_one_that_connects_and_is_lost_again_for_ever_is_told_of_in_the_end(watch: Watch) -> None:
    losses = 0
    while not watch.told:
        watch.absence.begin("it closed the connection")
        watch.run(0.5 * AWAY_SECONDS)
        losses += 1
    assert losses - STEPS_MAX // 5 in (0, 1)


def test_one_that_connects_and_says_nothing_of_its_guests_is_told_of_in_the_end(watch: Watch) -> None:
    watch.absence.begin("it closed the connection")
    watch.connecting = True
    watch.run(STEP * (STEPS_MAX - 0.5))
    assert watch.told == []
    watch.run(STEP)
    assert watch.told == ["it closed the connection; it is connecting again"]


def test_a_process_that_is_always_late_tells_of_it_in_the_end(watch: Watch) -> None:
    watch.absence.begin("it closed the connection")
    for _ in range(STEPS_MAX - 1):
        watch.stand(3 * STEP)
    assert watch.told == []
    watch.stand(3 * STEP)
    assert watch.told == ["it closed the connection"]


def test_each_absence_has_all_its_steps(watch: Watch) -> None:
    for _ in range(3):
        watch.connecting = True
        watch.absence.begin("it closed the connection")
        watch.run(STEP * (STEPS_MAX - 1))
        watch.absence.end()
    assert watch.told == []
