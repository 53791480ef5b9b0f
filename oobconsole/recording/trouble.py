"""Which consoles are not recorded as they should be, for `status`, `ls`, metrics and the health of the server."""

from __future__ import annotations


class Trouble:
    """What is wrong with recordings now.

    Attributes:
        unrecorded: why a console is not recorded now, by its name.
        damaged: what somebody else did to a console's recording last, by its name.
    """

    def __init__(self) -> None:
        self.unrecorded: dict[str, str] = {}
        self.damaged: dict[str, str] = {}

    def stopped(self, console: str, reason: str) -> None:
        """A console is not recorded from now on."""
        self.unrecorded[console] = reason

    def over(self, console: str) -> None:
        """A console is recorded again, or nothing is left of it that could be recorded."""
        self.unrecorded.pop(console, None)

    def damage(self, console: str, what: str) -> None:
        """Somebody else has changed a recording. The console may be recorded all the same."""
        self.damaged[console] = what

    def forget(self, console: str) -> None:
        """A console is gone."""
        self.unrecorded.pop(console, None)
        self.damaged.pop(console, None)
