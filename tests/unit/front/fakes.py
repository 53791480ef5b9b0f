"""What is at the other end of a visitor, or of a relay, in memory."""

from __future__ import annotations


class FakeClient:
    """A session's client: keeps what it gets.

    Attributes:
        output: what was sent; `errors`: on standard error.
        credit: of input, in bytes, that it was given behind the first window.
        statuses: with which its session has ended.
        breaks: whether each break was sent for which it wanted an answer.
    """

    def __init__(self) -> None:
        self.output = bytearray()
        self.errors = bytearray()
        self.sizes: list[int] = []
        self.credit = 0
        self.statuses: list[int] = []
        self.breaks: list[bool] = []

    def send(self, data: bytes, *, error: bool) -> None:
        self.sizes.append(len(data))
        if error:
            self.errors += data
        else:
            self.output += data

    def taken(self, count: int) -> None:
        self.credit += count

    def break_answered(self, sent: bool) -> None:
        self.breaks.append(sent)

    def finish(self, status: int) -> None:
        self.statuses.append(status)
