"""Who has a serial port? Lock files tell, as minicom, cu, ser2net and conserver make them, and the holder of a flock.

Filesystem Hierarchy Standard 3.0, 5.9: the file is `LCK..ttyS0` in /var/lock, and has the number of the process in
ten ASCII characters and a newline (HDB format). These locks are advisory: a program that does not know them takes the
port all the same.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections import Counter
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
#: A lock file is written anew, and not through a link or into a file that somebody else has put there.
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

#: What this process itself has: each port, with the name by which a console has it, and how many ports each lock file
#: stands for. Ports are opened in threads, so whoever looks at these, or at lock files, has `_turn`.
_turn: Final = threading.Lock()
_ports: Final[dict[object, str]] = {}
_files: Final[Counter[Path]] = Counter()


class PortTakenError(OSError):
    """Another program, or another console, has the port. The message says which, and how that is known."""


class PortLock:
    """Our lock files of one port: one for the name of the device itself, and one for the name that the configuration
    has.

    Args:
        device: the port.
        folder: the folder of the lock files.

    Attributes:
        trouble: why other programs cannot know that we have the port; empty: they can.

    Raises:
        PortTakenError: another program has a lock file there, or another console of this server has the port,
            perhaps by another name.
    """

    def __init__(self, device: str, folder: Path = FOLDER) -> None:
        self.trouble = ""
        self._made: list[Path] = []
        self._port = _port(device)
        names = dict.fromkeys((Path(os.path.realpath(device)).name, Path(device).name))
        with _turn:
            if self._port in _ports:
                raise PortTakenError(f"another console of this server has it, as {_ports[self._port]}")
            _ports[self._port] = device
            with contextlib.ExitStack() as undone:
                undone.callback(self._release)
                for name in names:
                    self._lock(folder / f"LCK..{name}")
                undone.pop_all()

    def _lock(self, file: Path) -> None:
        mine = file.with_name(f"LTMP.{os.getpid()}.{file.name[5:]}")
        try:
            mine.unlink(missing_ok=True)  # of a former process with our number, which was killed
            with os.fdopen(os.open(mine, _NEW, 0o644), "w") as opened:
                os.fchmod(opened.fileno(), 0o644)
                opened.write(f"{os.getpid():>10}\n")
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
        """Put our lock file in its place. A link appears together with its content, or not at all. A file of ours
        that is there already stands for another port with the same name in another folder. Returns False if a file is
        in the way of which nobody knows whose it is."""
        if _files[file] and _is_ours(file):
            self._note(file)
            return True
        for _ in range(_TRIES):
            try:
                os.link(mine, file)
            except FileExistsError:
                if not _require_free(file):
                    return False
                file.unlink(missing_ok=True)
            else:
                self._note(file)
                return True
        return False

    def _note(self, file: Path) -> None:
        self._made.append(file)
        _files[file] += 1

    def release(self) -> None:
        """Remove the lock files that are still ours, and that stand for no other port. A second call does nothing."""
        with _turn:
            self._release()

    def _release(self) -> None:
        made, self._made = self._made, []
        if self._port is not None:
            del _ports[self._port]
            self._port = None
        for file in made:
            _files[file] -= 1
            if _files[file]:
                continue
            del _files[file]
            try:
                if _is_ours(file):
                    file.unlink()
            except OSError as error:
                log.warning("a lock file cannot be removed", file=str(file), reason=error.strerror)


def _port(device: str) -> object:
    """What a device is, whatever the name by which it is reached: links may lie in any folder."""
    try:
        found = os.stat(device)  # noqa: PTH116 - a device's path as it is configured
    except OSError:
        return os.path.realpath(device)
    return found.st_rdev if stat.S_ISCHR(found.st_mode) else os.path.realpath(device)


def _is_ours(file: Path) -> bool:
    try:
        return _owner(file) == os.getpid()
    except FileNotFoundError:
        return False


def _require_free(file: Path) -> bool:
    """Return whether it is known that no other program has the port: there is no lock file, its process is no more,
    or it has our number, which was another process's before. False: nobody knows.

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
