"""The figures that the server shall reach, most of them in comparison with conserver in the same run.

`make bench` prints each goal with what was measured. A goal that is missed does not make it fail.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tests.bench.trust import Results


class Goal(NamedTuple):
    """A goal for one of our figures.

    Attributes:
        what: what the figure is, with its unit.
        key: the key of the figure in the results.
        factor: our figure may be at most so many times the other figure, or must be at least so many times that.
        beside: the key of the other figure; empty: there is none, and `factor` is the goal itself.
        at_least: whether more is better.
    """

    what: str
    key: str
    factor: float
    beside: str = ""
    at_least: bool = False

    def told(self, results: Results) -> str:
        """Return the goal and what was measured, in one line; empty: one of the figures was not measured."""
        ours, theirs = results.get(self.key), results.get(self.beside, 1.0 if not self.beside else None)
        if ours is None or theirs is None:
            return ""
        bound = self.factor * theirs
        met = ours >= bound if self.at_least else ours <= bound
        how = "at least" if self.at_least else "at most"
        compared = f" ({self.factor:g} times {theirs:.3g}, {self.beside.split('.')[1]}'s)" if self.beside else ""
        return f"{'met   ' if met else 'MISSED'} {self.what}: {ours:.3g}; the goal is {how} {bound:.3g}{compared}"


GOALS: Final = (
    Goal("key to echo, ms", "server.oobconsole.echo_ms.alone.median", 1.0, "server.conserver.echo_ms.alone.median"),
    Goal(
        "a flood to one client, MiB/s",
        "server.oobconsole.flood_mib_s.one_client",
        1.0,
        "server.conserver.flood_mib_s.one_client",
        at_least=True,
    ),
    Goal(
        "processor time for a flood to all watchers, s",
        "server.oobconsole.watchers.cpu_s",
        1.5,
        "server.conserver.watchers.cpu_s",
    ),
    Goal("short lines of a nested guest, times isa-serial", "nested.short_lines_ratio", 10.0, at_least=True),
    Goal("a flood with nobody there, recorded, MiB/s", "server.oobconsole.flood_mib_s.nobody", 150.0, at_least=True),
)


def told(results: Results) -> list[str]:
    """Return a line for each goal whose figures were measured."""
    return [line for goal in GOALS if (line := goal.told(results))]
