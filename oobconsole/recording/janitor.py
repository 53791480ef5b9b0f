"""Compresses and removes old recordings, in a thread that yields to all others."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import structlog

from oobconsole import supervise
from oobconsole.config.schema import RecordingConfig
from oobconsole.log.log import LogLimit
from oobconsole.recording import retention

log = structlog.get_logger(__name__)

LOG_LINES: Final = 20


class Janitor:
    """Compresses and removes old segments, one folder after the other.

    Args:
        settings: the configuration's [recording].
        is_recording: returns whether the folder of that name is one of a recording.
        is_live: returns whether there is a console of that name, or one is coming. It is called from the thread.
    """

    def __init__(
        self, settings: RecordingConfig, is_recording: Callable[[str], bool], is_live: Callable[[str], bool]
    ) -> None:
        self._settings = settings
        self._is_recording = is_recording
        self._is_live = is_live
        self._thread = ThreadPoolExecutor(1, "recording-janitor", initializer=_behind_others)
        self._limit = LogLimit(LOG_LINES)
        self._stopping = threading.Event()
        self._began_at = time.clock_gettime(time.CLOCK_BOOTTIME)
        self._run_began: dict[str, int] = {}  # by a console's name: the offset at which this server began
        #: A lock that is held while the folder of a console that is gone is tidied.
        self.gone = threading.Lock()

    def begins(self, name: str, offset: int) -> None:
        """Note the offset at which this server's own recording of a console begins."""
        self._run_began.setdefault(name, offset)

    def tidy(self, folder: Path) -> None:
        """Ask for the recording of a console to be tidied soon: segments that are too old or too many are removed,
        and the others are compressed."""
        self._thread.submit(self._guarded, folder, self._tidy)

    def tidy_gone(self, folder: Path, leaving: set[str]) -> None:
        """Ask for the recordings below `folder` to be tidied soon whose consoles are gone. They have the same
        limits."""
        self._thread.submit(self._guarded, folder, lambda _: self._tidy_gone(folder, leaving))

    def stop(self) -> None:
        """Stop, after the file that is being compressed or removed now."""
        self._stopping.set()
        self._thread.shutdown(wait=False, cancel_futures=True)

    # -- in the thread ------------------------------------------------------------------------------

    def _guarded(self, folder: Path, what: Callable[[Path], object]) -> None:
        """Tidy a folder, and log an error: nobody else reads how the thread's work ended."""
        try:
            what(folder)
        except OSError as error:
            if self._limit.allows():
                log.error("old recordings cannot be compressed or removed", folder=str(folder), reason=error.strerror)
        except Exception as error:
            supervise.tell(f"compressing and removing recordings in {folder}", error)

    def _tidy(self, folder: Path) -> None:
        if folder.exists() and not self._stopping.is_set():
            retention.tidy(folder, self._settings, self._stopping.is_set, run=self._run(folder.name))

    def _run(self, name: str) -> retention.Run | None:
        began = self._run_began.get(name)
        if began is None:
            return None
        return retention.Run(began, time.clock_gettime(time.CLOCK_BOOTTIME) - self._began_at)

    def _tidy_gone(self, folder: Path, leaving: set[str]) -> None:
        for path in folder.iterdir():
            if path.name not in leaving and self._is_recording(path.name):
                self._guarded(path, self._tidy_one_gone)

    def _tidy_one_gone(self, folder: Path) -> None:
        def back() -> bool:
            return self._stopping.is_set() or self._is_live(folder.name)

        with self.gone:
            if not back():
                with contextlib.suppress(InterruptedError):  # the console has come back: its recorder does the rest
                    retention.tidy(folder, self._settings, back, run=self._run(folder.name), gone=True)


def _behind_others() -> None:
    """Give the thread a low priority, unless the process may not (systemd.exec(5): SystemCallFilter=~@resources)."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 10)
