"""seccomp (seccomp(2)): a front may use the system calls that it needs, and no others.

The filter is written in BPF by hand. Why not with a library? The bindings of libseccomp on PyPI are not maintained,
or need headers to be built. A list of numbers and a few checks of arguments are all that is needed.

A call that is not on the list fails with ENOSYS, as it would on a kernel that is too old for it. Libraries then do
without the call.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
from typing import Final

#: The system calls that CPython, uvloop, OpenSSL and the C library use after the start, with their numbers for x86-64
#: and for arm64 (asm/unistd_64.h and asm-generic/unistd.h); None: there is no such call.
_CALLS: Final[dict[str, tuple[int | None, int | None]]] = {
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "recvfrom": (45, 207),
    "sendto": (44, 206),
    "recvmsg": (47, 212),
    "sendmsg": (46, 211),
    "accept": (43, 202),
    "accept4": (288, 242),
    "shutdown": (48, 210),
    "getsockname": (51, 204),
    "getpeername": (52, 205),
    "setsockopt": (54, 208),
    "getsockopt": (55, 209),
    "socketpair": (53, 199),  # an event loop makes one, to wake itself
    "pipe2": (293, 59),
    "eventfd2": (290, 19),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "close": (3, 57),
    "dup": (32, 23),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "stat": (4, None),
    "lstat": (6, None),
    "statx": (332, 291),
    "openat": (257, 56),
    "open": (2, None),
    "lseek": (8, 62),
    "pread64": (17, 67),
    "getdents64": (217, 61),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "access": (21, None),
    "faccessat2": (439, 439),
    "getcwd": (79, 17),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mremap": (25, 216),
    "mprotect": (10, 226),
    "madvise": (28, 233),
    "brk": (12, 214),
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "rseq": (334, 293),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "gettid": (186, 178),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "getrandom": (318, 278),
    "getrusage": (98, 165),
    "sysinfo": (99, 179),
    "uname": (63, 160),
    "exit": (60, 93),
    "exit_group": (231, 94),
}
#: Allowed only if the first argument is this process: `tgkill`, with which a fatal error sends a signal, and
#: `prlimit64`, with 0 for this process, which reads limits.
_TGKILL: Final = (234, 131)
_PRLIMIT64: Final = (302, 261)
#: Allowed only to make a thread, and not a process: the first argument must have this flag (clone(2)). A filter
#: cannot see the flags of clone3, so clone3 fails with ENOSYS, and the C library then uses clone.
_CLONE: Final = (56, 220)
_CLONE_THREAD: Final = 0x00010000
#: Allowed only as prctl(PR_SET_NAME), which names a thread.
_PRCTL: Final = (157, 167)
_SET_NAME: Final = 15

_MACHINES: Final = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column, AUDIT_ARCH_…
_X32: Final = 0x40000000  # calls of x86-64's other ABI have this bit
_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_ALLOW, _ENOSYS, _KILL = 0x7FFF0000, 0x00050000 | 38, 0x80000000

_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_SET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data

_libc: Final = ctypes.CDLL(None, use_errno=True)


def _instruction(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, if_true, if_false, value)


def program(machine: str, pid: int) -> bytes:
    """Return the filter for a machine (such as x86_64) and a process, as an array of `struct sock_filter`.

    Raises:
        KeyError: the numbers of that machine's system calls are not known.
    """
    column, architecture = _MACHINES[machine]
    numbers = sorted(number for pair in _CALLS.values() if (number := pair[column]) is not None)
    out = [
        _instruction(_LOAD, _ARCHITECTURE),
        _instruction(_JUMP_EQUAL, architecture, 1, 0),
        _instruction(_RETURN, _KILL),
        _instruction(_LOAD, _NUMBER),
        _instruction(_JUMP_AT_LEAST, _X32, 0, 1),
        _instruction(_RETURN, _ENOSYS),
    ]
    for number in numbers:
        out += [_instruction(_JUMP_EQUAL, number, 0, 1), _instruction(_RETURN, _ALLOW)]
    for number, test in (
        (_TGKILL[column], _instruction(_JUMP_EQUAL, pid, 0, 1)),
        (_PRLIMIT64[column], _instruction(_JUMP_EQUAL, 0, 0, 1)),
        (_PRCTL[column], _instruction(_JUMP_EQUAL, _SET_NAME, 0, 1)),
        (_CLONE[column], _instruction(_JUMP_SET, _CLONE_THREAD, 0, 1)),
    ):
        out += [
            _instruction(_JUMP_EQUAL, number, 0, 4),
            _instruction(_LOAD, _FIRST_ARGUMENT),
            test,
            _instruction(_RETURN, _ALLOW),
            _instruction(_RETURN, _ENOSYS),
        ]
    out.append(_instruction(_RETURN, _ENOSYS))
    return b"".join(out)


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def restrict() -> None:
    """Allow only the calls of the list, for the calling thread and the threads that it starts. `no_new_privs` must be
    set.

    Raises:
        OSError: this kernel has no such filters, or there is no list for this machine.
    """
    machine = platform.machine()
    try:
        code = program(machine, os.getpid())
    except KeyError:
        raise OSError(0, f"there is no list of system calls for {machine}") from None
    made = _Program(len(code) // 8, code)
    if _libc.prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(made), 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
