"""What the verbs that read a recording have in common. Files are read in threads, one slice at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TypeVar

from oobconsole.events import Kind
from oobconsole.patterns import TooSlow
from oobconsole.recording.recordings import Recordings
from oobconsole.recording.transcript import Transcript
from oobconsole.session.request import Request, UsageError
from oobconsole.session.when import When

T = TypeVar("T")


class History:
    """The recording that a verb reads: that of the console that was named, whether or not the console still exists.

    Args:
        request: whose request it is.
        verb: the verb's name, for the audit log.

    Raises:
        UsageError: nothing is recorded, or as in `Request.recorded`.
        Denied: as in `Request.recorded`.
    """

    def __init__(self, request: Request, verb: str) -> None:
        self.name = request.recorded()
        if request.services.recordings is None:
            raise UsageError("nothing is recorded: the server's configuration says [recording] enabled = false")
        self.request = request
        self.recordings: Recordings = request.services.recordings
        self.transcript = Transcript(self.recordings.folder / self.name)
        request.services.events.emit(Kind.READ, self.name, request.who, by=verb)

    async def ready(self) -> bool:
        """Bring everything that was printed so far into the files. If that fails, say why. Returns whether it has
        succeeded."""
        try:
            await self.recordings.flush()
            late = False
        except TimeoutError:
            late = True
        recorder = self.recordings.recorder(self.name)
        reason = (
            recorder.reason if recorder is not None else self.request.services.trouble.unrecorded.get(self.name, "")
        )
        if late or reason:
            await self.request.peer.tell(
                f"{self.name}: the newest output is not recorded: {reason or 'the disk is slow'}"
            )
            return False
        return True

    async def call(self, what: Callable[[], T]) -> T:
        """Call `what` in a reader's thread, and return its result.

        Raises:
            UsageError: a file cannot be read, or a pattern takes too long.
        """
        try:
            return await self.recordings.read(what)
        except TooSlow as error:
            raise UsageError(str(error)) from error
        except (OSError, EOFError) as error:  # EOFError: a compressed file that ends too early
            raise UsageError(f"{self.name}: its recording cannot be read: {error}") from error

    async def next(self, items: Iterator[T]) -> T | None:
        """Return the next item, which is made in a reader's thread; None at the end. Raises `Denied` or `UsageError`
        when a reload has taken away the user's right meanwhile."""
        item: T | None = await self.call(partial(next, items, None))
        self.request.keep_right()
        return item

    async def offset_since(self, since: When) -> int | None:
        """Return the offset of the first output since that moment; None: nothing was printed since. A duration means
        time that has passed, even if the clock was set meanwhile."""
        at, elapsed = since.before(time.time()), since.at is None
        return await self.call(partial(self.transcript.offset_at, at, elapsed=elapsed))
