"""What is counted of a front, for the metrics and for `status --json`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counts:
    """How much has gone through one process of a front, or through all processes that the front has had.

    Attributes:
        logins: how many users have logged in.
        refused: how many clients have left without a login. Connections that were turned away are not among them.
        turned_away: how many connections the front has closed at once, because of a limit or a penalty. The front
            says it with each sign of life, so those of the last second of a process are not counted.
        received_bytes: how many bytes the core has read from the front: what is typed, and nine bytes or more around
            it.
        sent_bytes: how many bytes the core has sent to the front: output, and nine bytes or more around it.
    """

    logins: int = 0
    refused: int = 0
    turned_away: int = 0
    received_bytes: int = 0
    sent_bytes: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.logins + other.logins,
            self.refused + other.refused,
            self.turned_away + other.turned_away,
            self.received_bytes + other.received_bytes,
            self.sent_bytes + other.sent_bytes,
        )
