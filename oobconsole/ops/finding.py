"""One finding of `oobconsole doctor`: what is wrong, and what mends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is."""

    FAULT = "fault"  # the server does not start, or somebody cannot use it, or others can read what is secret
    WARNING = "warning"  # it works, but hardly as it is meant


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        level: how bad it is.
        about: a file, a key of the configuration, or a program.
        text: what is wrong with it.
        mend: what to do about it; a command where there is one.
    """

    level: Level
    about: str
    text: str
    mend: str

    def as_dict(self) -> dict[str, str]:
        """The finding as an object of JSON, for `--json`."""
        return {key: str(value) for key, value in asdict(self).items()}

    def lines(self) -> Iterator[str]:
        """The finding as two lines for people."""
        yield f"{self.level}: {self.about}: {self.text}"
        yield f"    mend: {self.mend}"
