"""When typed bytes arrived, so that what was typed is told from what was pasted at once. Sans I/O."""

from __future__ import annotations


class Arrivals:
    """The times at which the bytes of an input buffer came. All times are of `time.monotonic`, in seconds.

    Attributes:
        pause: the seconds between the arrival of what was read last and the arrival of what was read before that.
    """

    def __init__(self) -> None:
        self.pause = 0.0
        self._oldest = self._newest = 0.0  # of what waits to be read
        self._read = 0.0  # the newest of what was read
        self._full = False

    def came(self, now: float, *, first: bool, full: bool) -> None:
        """Bytes came.

        Args:
            first: nothing waited to be read.
            full: the client may send no more until something is read. What it sends then came without a pause: the
                client could not send it before.
        """
        if first:
            self._oldest = self._newest if self._full else now
            self._full = False
        self._newest = now
        self._full = self._full or full

    @property
    def next_pause(self) -> float:
        """What `pause` will be when the input that waits has been read."""
        return max(0.0, self._oldest - self._read)

    def was_read(self) -> None:
        """All input that waited has been read."""
        self.pause, self._read = self.next_pause, self._newest

    def was_put_back(self) -> None:
        """Input that was read waits again, before all other input."""
        self._oldest = self._read
