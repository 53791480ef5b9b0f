"""What `oobconsole doctor` finds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is."""

    FAULT = "fault"  # the server does not start, or somebody cannot use it, or others can read what is secret
    WARNING = "warning"  # it works, but hardly as it is meant


@dataclass(frozen=True)
class Finding:
    """One.

    Attributes:
        about: a file, a key of the configuration, a program.
        text: what is wrong.
        mend: what to do: a command where there is one.
    """

    level: Level
    about: str
    text: str
    mend: str

    def as_dict(self) -> dict[str, str]:
        """For JSON."""
        return {key: str(value) for key, value in asdict(self).items()}

    def lines(self) -> Iterator[str]:
        """For people."""
        yield f"{self.level}: {self.about}: {self.text}"
        yield f"    mend: {self.mend}"
