from __future__ import annotations

from tests.bench.goals import GOALS, Goal, told

ECHO, FLOOD = GOALS[0], GOALS[1]


def test_a_goal_is_told_with_both_figures() -> None:
    results = {ECHO.key: 0.5, ECHO.beside: 0.6}
    assert ECHO.told(results) == "met    key to echo, ms: 0.5; the goal is at most 0.6 (1 times 0.6, conserver's)"
    assert ECHO.told(results | {ECHO.key: 0.7}).startswith("MISSED")


def test_more_may_be_better() -> None:
    assert FLOOD.told({FLOOD.key: 50.0, FLOOD.beside: 40.0}).startswith("met")
    assert FLOOD.told({FLOOD.key: 30.0, FLOOD.beside: 40.0}).startswith("MISSED")


def test_a_goal_may_stand_alone() -> None:
    goal = Goal("speed", "a", 150.0, at_least=True)
    assert goal.told({"a": 151.0}) == "met    speed: 151; the goal is at least 150"


def test_what_was_not_measured_is_not_told() -> None:
    assert told({ECHO.key: 0.5}) == []
    assert told({}) == []
