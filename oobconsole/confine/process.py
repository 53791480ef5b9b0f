"""A process gives up every right that it does not need, for ever: its user, capabilities, files, system calls and
limits.

Each measure is tried by itself, and each that fails is reported. An older kernel, or a container, does not offer all
of them, but the others still count.
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
    """The rights that are left to a process.

    Attributes:
        user: the user that the process becomes if it is root.
        memory: how large its address space may be, in bytes.
    """

    user: str
    memory: int


def die_with_parent() -> None:
    """Make the kernel end this process when its parent process ends, in whichever way the parent ends (prctl(2))."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def confine(limits: Limits) -> list[str]:
    """Take all measures. Returns the measures that were taken (`+…`), and those that failed, with the reason (`-…`).

    To be called while the process has only one thread. Afterwards Python can still read its own modules.
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
    except Exception as error:  # of any kind, because the other measures must still be taken
        return f"-{name}: {getattr(error, 'strerror', None) or repr(error)}"
    return f"+{name}: {said}" if said else f"+{name}"


def _readable() -> set[str]:
    """Return the folders of modules and shared libraries. Python imports some modules only when it needs them."""
    paths = {os.path.realpath(path) for path in (*sysconfig.get_paths().values(), *sys.path) if path}
    return {path for path in paths if os.path.isdir(path)} | {"/usr/lib", "/lib", "/lib64", "/usr/share/zoneinfo"}  # noqa: PTH112


def _limit(memory: int) -> str:
    """Allow no core file, because it would hold keys; no writing to files; and no more memory than is needed."""
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
    die_with_parent()  # again, because the kernel forgets it when the user changes
    return user


def _drop_capabilities() -> str:
    """Drop all capabilities. A process that is not root has some only if systemd gave them to the core; the front
    needs none of them."""
    _libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    for capability in range(_CAPABILITY_MAX + 1):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)  # fails without CAP_SETPCAP, which does no harm
    head = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    has, none = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    if _libc.capget(ctypes.byref(head), ctypes.byref(has)) == 0 and not any(has):
        return "none"  # without calling capset(2), which may be forbidden already
    if _libc.capset(ctypes.byref(head), ctypes.byref(none)):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return "none"


def _no_new_privileges() -> str:
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # other processes of this user cannot look into its memory
    return ""


def _filter() -> str:
    seccomp.restrict()
    return ""
