"""Who has a serial port? Lock files tell, as minicom, cu, ser2net and conserver make them, and the holder of a flock.

Filesystem Hierarchy Standard 3.0, 5.9: the file is `LCK..ttyS0` in /var/lock, and has the number of the process in
ten ASCII characters and a newline (HDB format). These locks are advisory: a program that does not know them takes the
port all the same.
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
#: How many bytes of a lock file are read: more than any lock file has.
_SIZE_MAX: Final = 64
#: How often it is tried to replace the lock of a dead process.
_TRIES: Final = 3


class PortTakenError(OSError):
    """Another program has the port. The message says which program, and how that is known."""


class PortLock:
    """Our lock files of one port: one for the name of the device itself, and one for the name that the configuration
    has.

    Args:
        device: the port.
        folder: the folder of the lock files.

    Attributes:
        trouble: why other programs cannot know that we have the port; empty: they can.

    Raises:
        PortTakenError: another program has a lock file there.
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
        """Put our lock file in its place. A link appears together with its content, or not at all. Returns False if a
        file is in the way of which nobody knows whose it is."""
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
        """Remove the lock files that are still ours. A second call does nothing."""
        made, self._made = self._made, []
        for file in made:
            try:
                if _owner(file) == os.getpid():
                    file.unlink()
            except OSError as error:
                log.warning("a lock file cannot be removed", file=str(file), reason=error.strerror)


def _require_free(file: Path) -> bool:
    """Return whether it is known that no other program has the port: there is no lock file, it is ours, or its
    process is no more. False: nobody knows.

    Raises:
        PortTakenError: another program has the port.
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
    """Return the number of the process in a lock file; None: there is none in it. Old programs write it as four
    bytes."""
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
    """Return the name and the number of a process, as far as they can be known."""
    try:
        name = brief(Path(f"/proc/{pid}/comm").read_text(errors="replace").strip())
    except OSError:
        name = "a program"
    return f"{name} (pid {pid})"


def flock_holder(device: str) -> str:
    """Return who has locked the device by flock (proc(5), /proc/locks), or "another program" if that cannot be
    known."""
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
