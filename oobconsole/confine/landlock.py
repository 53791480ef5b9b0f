"""Landlock (landlock(7)): a process gives up all rights to files, except to read some of them. Processes that it
starts have no more rights.

Why ctypes? The bindings on PyPI are young, and only three system calls are needed.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from typing import Final

#: The same numbers on every architecture (linux/landlock.h; asm-generic/unistd.h).
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION: Final = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH: Final = 1  # LANDLOCK_RULE_PATH_BENEATH
_READ_FILE, _READ_DIR = 1 << 2, 1 << 3
#: How many rights to files each version of Landlock knows (LANDLOCK_ACCESS_FS_*). All of them are taken away.
_RIGHTS: Final = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1  # from version 4 on
_SCOPE_ABSTRACT, _SCOPE_SIGNAL = 1 << 0, 1 << 1  # from version 6 on
_RULE: Final = struct.Struct("=Qi")  # struct landlock_path_beneath_attr: packed

_libc: Final = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """Return the version of Landlock that this kernel has; 0: it has none."""
    return max(0, int(_libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _VERSION)))


def restrict(readable: Iterable[str]) -> int:
    """Take away these rights, as far as this kernel's version of Landlock knows them: every right to files, except to
    read below the folders `readable`; to connect and to listen by TCP; to send signals to processes outside, and to
    reach them by abstract sockets.

    This counts for the calling thread, and for threads and processes that it starts later. `no_new_privs` must be
    set.

    Returns:
        the version of Landlock.

    Raises:
        OSError: this kernel has no Landlock, or Landlock refuses.
    """
    has = version()
    if not has:
        raise OSError(ctypes.get_errno(), "this kernel has no Landlock")
    files = (1 << _RIGHTS.get(has, 16)) - 1
    net = _BIND_TCP | _CONNECT_TCP if has >= 4 else 0
    scope = _SCOPE_ABSTRACT | _SCOPE_SIGNAL if has >= 6 else 0
    wanted = struct.pack("=QQQ", files, net, scope)[: 8 if has < 4 else 16 if has < 6 else 24]
    ruleset = _checked(_libc.syscall(_CREATE_RULESET, wanted, ctypes.c_size_t(len(wanted)), 0))
    try:
        for folder in readable:
            _allow(ruleset, folder)
        _checked(_libc.syscall(_RESTRICT_SELF, ruleset, 0))
    finally:
        os.close(ruleset)
    return has


def _allow(ruleset: int, folder: str) -> None:
    try:
        at = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # a folder that does not exist needs no rule
    try:
        _checked(_libc.syscall(_ADD_RULE, ruleset, _PATH_BENEATH, _RULE.pack(_READ_FILE | _READ_DIR, at), 0))
    finally:
        os.close(at)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
