"""What the server's half of the wire has logged."""

from __future__ import annotations

import pytest


class Output:
    """What was logged."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self._seen = ""

    def lines(self, about: str) -> list[str]:
        """Return all lines so far that contain a text."""
        self._seen += self._capsys.readouterr().out
        return [line for line in self._seen.splitlines() if about in line]
