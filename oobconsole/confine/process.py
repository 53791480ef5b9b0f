"""A process gives up every right that it does not need, for ever: user, capabilities, files, system calls, limits.

Each measure is tried by itself, and each that cannot be had is said: an older kernel, or a container, has not all of
them, and the others still count.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import resource
import signal
import sys
import sysconfig
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from oobconsole.confine import landlock, seccomp

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP = 1, 4, 24
_PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 38, 47, 4
_CAPABILITY_MAX: Final = 63
_CAPABILITY_VERSION_3: Final = 0x20080522  # linux/capability.h

_libc: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Limits:
    """What is left to a process.

    Attributes:
        user: whom it becomes when it is root.
        memory: bytes of its address space.
    """

    user: str
    memory: int


def die_with_parent() -> None:
    """Have the kernel end this process when the one that has started it ends, however that is (prctl(2))."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def confine(limits: Limits) -> list[str]:
    """Do all of it; returns what was done (`+…`), and what could not be, with the reason (`-…`).

    Called while there is one thread. What Python still has to read afterwards are modules of its own.
    """
    readable = _readable()
    measures: tuple[tuple[str, Callable[[], str]], ...] = (
        ("limits", lambda: _limit(limits.memory)),
        ("user", lambda: _become(limits.user)),
        ("capabilities", _drop_capabilities),
        ("no new privileges", _no_new_privileges),
        ("Landlock", lambda: f"version {landlock.restrict(readable)}"),
        ("seccomp", _filter),
    )
    return [_tried(name, measure) for name, measure in measures]


def _tried(name: str, measure: Callable[[], str]) -> str:
    try:
        said = measure()
    except Exception as error:  # whatever it is: the other measures count all the same
        return f"-{name}: {getattr(error, 'strerror', None) or repr(error)}"
    return f"+{name}: {said}" if said else f"+{name}"


def _readable() -> set[str]:
    """Where modules and shared libraries lie: Python imports some when they are needed first."""
    paths = {os.path.realpath(path) for path in (*sysconfig.get_paths().values(), *sys.path) if path}
    return {path for path in paths if os.path.isdir(path)} | {"/usr/lib", "/lib", "/lib64", "/usr/share/zoneinfo"}  # noqa: PTH112


def _limit(memory: int) -> str:
    """No core file, which would hold keys; no file that grows; no more memory than it needs."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    most = memory if hard == resource.RLIM_INFINITY else min(memory, hard)
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return ""


def _become(user: str) -> str:
    if os.geteuid() != 0:
        return "the core's own, which is not root"
    found = pwd.getpwnam(user)
    os.setgroups([])
    os.setresgid(found.pw_gid, found.pw_gid, found.pw_gid)
    os.setresuid(found.pw_uid, found.pw_uid, found.pw_uid)
    die_with_parent()  # which the kernel forgets with another user
    return user


def _drop_capabilities() -> str:
    """Whoever is not root has none, unless systemd gave it some: those of the core are not the front's."""
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in range(_CAPABILITY_MAX + 1):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # which needs a right that we may not have
    head = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    has, none = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    if _libc.capget(ctypes.byref(head), ctypes.byref(has)) == 0 and not any(has):
        return "none"  # and capset(2) may be forbidden already
    if _libc.capset(ctypes.byref(head), ctypes.byref(none)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return "none"


def _no_new_privileges() -> str:
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # no other process of this user looks into it
    return ""


def _filter() -> str:
    seccomp.restrict()
    return ""
