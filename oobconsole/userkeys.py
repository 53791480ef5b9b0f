"""The folder of users' public keys. Which file is whose, and does what stands in it count? Login and doctor ask that.

A user's file is USER or USER.pub. The rules for who may write it are those of sshd's StrictModes (sshd_config(5)).
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from oobconsole import textfile

#: Letters and digits of any script, and what names of directory services have: alice@corp.example, CORP\alice, svc$.
#: A `+` ends the name (USER+CONSOLE), and no name may leave the folder.
_USER: Final = re.compile(r"\w[\w.@$\\-]*")
#: Longest name, in characters and in bytes: a file's name is no longer.
_USER_MAX, _NAME_MAX = 64, 250
#: How the names end that editors, package managers and people give to copies.
_COPIES: Final = (
    *(".bak", ".backup", ".old", ".orig", ".save", ".swp", ".swo", ".tmp", ".new", ".rej"),
    *(
        ".dpkg-old",
        ".dpkg-new",
        ".dpkg-dist",
        ".dpkg-tmp",
        ".rpmsave",
        ".rpmnew",
        ".rpmorig",
        ".ucf-old",
        ".ucf-dist",
    ),
)
_FILE_MAX: Final = 1 << 20


class Unusable(Exception):
    """A file of keys lets nobody in as it stands. The message says why, and what to do.

    Attributes:
        path: the file.
        ours: the reason is this host's trouble (no descriptors, an I/O error), and not whoever wants to log in.
    """

    def __init__(self, path: Path, reason: str, *, ours: bool = False) -> None:
        self.path = path
        self.ours = ours
        super().__init__(f"{path}: {reason}")


class Found(NamedTuple):
    """Something that lies in the folder.

    Attributes:
        path: where it is.
        user: the user that it lets in; None: it lets in nobody.
        why: why it lets in nobody, and what to do.
    """

    path: Path
    user: str | None
    why: str


def why_no_user(name: str) -> str:
    """Why this cannot be a user's name, in words that can stand behind it; empty: it can be one."""
    if name.endswith(".pub"):
        return "ends with .pub, as a file of keys may, and not its user"
    if name.lower().endswith(_COPIES):
        return "is named as a copy of another file"
    if not _USER.fullmatch(name):
        return "is no user's name: those have letters, digits and _ . @ $ \\ -, and begin with a letter, a digit or _"
    if len(name) > _USER_MAX or len(name.encode()) > _NAME_MAX:
        return f"is longer than a user's name may be ({_USER_MAX} characters)"
    return ""


def file_of(folder: Path, user: str, reserved: Collection[Path] = ()) -> Path | None:
    """The user's file of keys; None: there is none, or the name cannot be a user's.

    Args:
        reserved: files that hold other keys, and so are no user's.

    Raises:
        Unusable: the folder cannot be looked at.
    """
    if why_no_user(user):
        return None
    for path in (folder / user, folder / f"{user}.pub"):
        try:
            if stat.S_ISREG(path.stat().st_mode) and not _is_reserved(path, reserved):
                return path
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            raise Unusable(path, f"cannot be looked at: {error.strerror}", ours=True) from error
    return None


def lines(path: Path, *, strict: bool = True) -> list[str]:
    """Return the lines of a user's file.

    Args:
        path: the file.
        strict: whether a file is refused that others than its owner may write.

    Raises:
        Unusable: the file cannot be read, is too large, is not text, or others may write it.
    """
    try:
        with path.open("rb") as file:
            why = _why_not_trusted(os.fstat(file.fileno())) if strict else ""
            why = why or (_why_not_trusted(path.parent.stat()) if strict else "")
            data = b"" if why else file.read(_FILE_MAX + 1)
    except OSError as error:
        raise Unusable(path, f"cannot be read: {error.strerror}", ours=True) from error
    if why:
        raise Unusable(path, f"is not used: {why}, or set strict_modes = false")
    if len(data) > _FILE_MAX:
        raise Unusable(path, f"is too large: more than {_FILE_MAX} bytes")
    try:
        return textfile.decode(data, errors="replace").split("\n")
    except textfile.NotText as error:
        raise Unusable(path, str(error)) from error


def survey(folder: Path, reserved: Collection[Path] = ()) -> Iterator[Found]:
    """Yield everything in the folder, sorted by name, without hidden files. Raises `OSError` if the folder cannot be
    read."""
    seen: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (path.name.removesuffix(".pub"), path.name)):
        if path.name.startswith("."):
            continue
        user = unicodedata.normalize("NFKC", path.name.removesuffix(".pub"))
        why = _why_nobody(path, user, reserved, seen)
        if not why:
            seen[user] = path
        yield Found(path, None if why else user, why)


def _why_nobody(path: Path, user: str, reserved: Collection[Path], seen: dict[str, Path]) -> str:
    if path.is_dir():
        return "is a folder; keys lie in files"
    if not path.is_file():
        return "is no file" if path.exists() else "is a link to nowhere"
    if _is_reserved(path, reserved):
        return "has another meaning in the configuration; keep it in another folder"
    if why := why_no_user(user):
        return why
    if path.name.removesuffix(".pub") != user:
        return f"has a name that is not composed as clients send it: mv it to {user!r}"
    if user in seen:
        return f"is not read: {seen[user].name} is that user's file"
    return "" if path.stat().st_size else "is empty: nobody logs in with it"


def _is_reserved(path: Path, reserved: Collection[Path]) -> bool:
    return any(path == other or (other.exists() and path.samefile(other)) for other in reserved)


def _why_not_trusted(found: os.stat_result) -> str:
    kind = "folder" if stat.S_ISDIR(found.st_mode) else "file"
    if stat.S_IMODE(found.st_mode) & 0o022:
        return f"others may write the {kind} (mode {stat.S_IMODE(found.st_mode):o}): chmod go-w it"
    if found.st_uid not in (0, os.geteuid()):
        return f"the {kind} belongs to user {found.st_uid}: chown it to root or to user {os.geteuid()}"
    return ""
