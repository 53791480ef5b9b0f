"""Who has a serial port: lock files as minicom, cu, ser2net and conserver make them, and flock's holder.

Filesystem Hierarchy Standard 3.0, 5.9: `LCK..ttyS0` in /var/lock, the process's number in ten ASCII characters and a
newline (HDB format). Advisory: a program that knows none of them takes the port all the same.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import structlog

from oobconsole import textfile
from oobconsole.words import brief

log = structlog.get_logger(__name__)

FOLDER: Final = Path("/var/lock")
#: A lock file has less, in bytes.
_SIZE_MAX: Final = 64
#: A lock of a dead process is removed and tried again: so often.
_TRIES: Final = 3


class PortTakenError(OSError):
    """Another program has the port: which, and how it is known."""


class PortLock:
    """Our lock files of one port: by its own name, and by the one that it is configured by.

    Args:
        device: the port.
        folder: where lock files lie.

    Attributes:
        trouble: why other programs cannot know that we have the port; empty: they can.

    Raises:
        PortTakenError: another program's lock is there.
    """

    def __init__(self, device: str, folder: Path = FOLDER) -> None:
        self.trouble = ""
        self._made: list[Path] = []
        names = dict.fromkeys((Path(os.path.realpath(device)).name, Path(device).name))
        try:
            for name in names:
                self._lock(folder / f"LCK..{name}")
        except PortTakenError:
            self.release()
            raise

    def _lock(self, file: Path) -> None:
        mine = file.with_name(f"LTMP.{os.getpid()}.{file.name[5:]}")
        try:
            mine.write_text(f"{os.getpid():>10}\n")
            mine.chmod(0o644)
        except OSError as error:
            _require_free(file)
            self.trouble = f"{file} cannot be made: {error.strerror}"
            return
        try:
            self.trouble = (
                ""
                if self._place(mine, file)
                else f"{file} is there, and no process's number in it: remove it, if no program has the port"
            )
        finally:
            mine.unlink(missing_ok=True)

    def _place(self, mine: Path, file: Path) -> bool:
        """A link is there with its content, or not at all."""
        for _ in range(_TRIES):
            try:
                os.link(mine, file)
            except FileExistsError:
                if not _require_free(file):
                    return False
                file.unlink(missing_ok=True)
            else:
                self._made.append(file)
                return True
        return False

    def release(self) -> None:
        """Remove those that are still ours. Idempotent."""
        made, self._made = self._made, []
        for file in made:
            try:
                if _owner(file) == os.getpid():
                    file.unlink()
            except OSError as error:
                log.warning("a lock file cannot be removed", file=str(file), reason=error.strerror)


def _require_free(file: Path) -> bool:
    """True: the process that made it is no more, or it is ours, or there is none. False: nobody knows.

    Raises:
        PortTakenError: who has the port.
    """
    try:
        pid = _owner(file)
    except FileNotFoundError:
        return True
    except OSError as error:
        raise PortTakenError(f"somebody has it ({file}, which cannot be read: {error.strerror})") from error
    if pid is None:
        return False
    if pid != os.getpid() and _lives(pid):
        raise PortTakenError(f"{process(pid)} has it ({file})")
    return True


def _owner(file: Path) -> int | None:
    """The process's number; None: there is none in it. Old programs write it as four bytes."""
    content = textfile.read(file, _SIZE_MAX)
    word = content.split()[0] if content.split() else b""
    if word.isdigit():
        return int(word) if len(word) <= 10 else None
    return int.from_bytes(content, "little") if len(content) == 4 else None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError) as error:
        return isinstance(error, PermissionError)
    return pid > 0


def process(pid: int) -> str:
    """Its name and number, as far as they can be known."""
    try:
        name = brief(Path(f"/proc/{pid}/comm").read_text(errors="replace").strip())
    except OSError:
        name = "a program"
    return f"{name} (pid {pid})"


def flock_holder(device: str) -> str:
    """Who has it by flock (proc(5), /proc/locks); another program, where that cannot be known."""
    try:
        found = os.stat(device)  # noqa: PTH116 - a device's path as it is configured
        where = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if len(words) > 5 and words[1] == "FLOCK" and words[5] == where and int(words[4]) > 0:
                return process(int(words[4]))
    except (OSError, ValueError):
        pass
    return "another program"
