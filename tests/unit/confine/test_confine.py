"""What a confined process can still do, tried by one: in a process of its own, because there is no way back."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oobconsole.confine import landlock, seccomp

#: Tries each of these, and says how it went: an error's name, or "done".
PROGRAM = """
import ctypes, errno, json, os, resource, socket, sys, threading
from oobconsole.confine.process import Limits, confine

folder, listening = sys.argv[1], socket.socket(fileno=int(sys.argv[2]))
made_before = socket.socket(socket.AF_UNIX)
libc = ctypes.CDLL(None, use_errno=True)
about = confine(Limits(user="nobody", memory=2 << 30))

def call(number, *args):
    if libc.syscall(number, *args) < 0:
        raise OSError(ctypes.get_errno(), "")

def try_it(what):
    try:
        what()
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
    except (RuntimeError, ValueError) as error:
        return str(error)
    return "done"

def thread():
    threading.Thread(target=int).start()

def file_descriptor(path, flags):
    os.close(os.open(path, flags, 0o600))

tries = {
    "read a recording": lambda: file_descriptor(folder + "/recording", os.O_RDONLY),
    "read its own folder": lambda: os.listdir(folder),
    "read the password file": lambda: file_descriptor("/etc/passwd", os.O_RDONLY),
    "look into the parent": lambda: file_descriptor(f"/proc/{os.getppid()}/mem", os.O_RDONLY),
    "write a file": lambda: file_descriptor(folder + "/new", os.O_WRONLY | os.O_CREAT),
    "write to /tmp": lambda: file_descriptor("/tmp/oob-confined", os.O_WRONLY | os.O_CREAT),
    "make a socket": lambda: socket.socket(socket.AF_INET),
    "make a local socket": lambda: socket.socket(socket.AF_UNIX),
    "connect by a path": lambda: made_before.connect(folder + "/admin.sock"),
    "fork": os.fork,
    "run a program": lambda: os.execv("/bin/true", ["true"]),
    "signal the parent": lambda: os.kill(os.getppid(), 0),
    "become root": lambda: os.setuid(0),
    "trace": lambda: call(101, 16, os.getppid(), 0, 0),
    "use io_uring": lambda: call(425, 1, 0),
    "limit the parent": lambda: resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (1, 1)),
    "more memory": lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)),
    "start a thread": thread,
    "accept": lambda: listening.accept(),
    "look at its own limits": lambda: resource.getrlimit(resource.RLIMIT_NOFILE),
    "make a pair": lambda: socket.socketpair(),
}
print(json.dumps({"about": about, "tries": {name: try_it(what) for name, what in tries.items()}}))
"""
ALLOWED = {"start a thread", "accept", "look at its own limits", "make a pair"}
#: What Landlock alone keeps from a process: a kernel without it lets it through, and that is said.
BY_LANDLOCK = {"read a recording", "read its own folder", "read the password file", "write a file", "write to /tmp"}


@pytest.fixture(scope="module")
def found() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="oob-") as name, socket.socket() as listening:
        folder = Path(name)
        folder.chmod(0o777)  # the user alone must not be what keeps it out
        (folder / "recording").write_text("secret")
        (folder / "recording").chmod(0o666)
        with socket.socket(socket.AF_UNIX) as admin:
            admin.bind(str(folder / "admin.sock"))
            (folder / "admin.sock").chmod(0o777)
            admin.listen()
            listening.bind(("127.0.0.1", 0))
            listening.listen()
            with socket.create_connection(listening.getsockname()):
                done = subprocess.run(
                    [sys.executable, "-c", PROGRAM, name, str(listening.fileno())],
                    pass_fds=[listening.fileno()], capture_output=True, check=False,
                )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        Path("/tmp/oob-confined").unlink(missing_ok=True)
        yield json.loads(done.stdout)


def test_every_measure_that_this_kernel_has_is_taken(found: dict[str, Any]) -> None:
    lacking = [line for line in found["about"] if not line.startswith("+")]
    assert [line.startswith("-Landlock") for line in lacking] == [True] * (not landlock.version())
    assert "+seccomp" in found["about"]
    if os.geteuid() == 0:
        assert "+user: nobody" in found["about"]


def test_what_a_front_needs_it_may(found: dict[str, Any]) -> None:
    through = set() if landlock.version() else BY_LANDLOCK
    assert {name for name, how in found["tries"].items() if how == "done"} == ALLOWED | through, found["tries"]


def test_connecting_to_the_local_socket_is_not_even_a_system_call(found: dict[str, Any]) -> None:
    """Landlock does not know sockets that have a path."""
    assert found["tries"]["connect by a path"] == "ENOSYS"
    assert found["tries"]["make a local socket"] == "ENOSYS"


@pytest.mark.parametrize("machine", seccomp._MACHINES)
def test_a_filter_is_a_program_of_whole_instructions_with_jumps_inside_it(machine: str) -> None:
    code = seccomp.program(machine, 1234)
    instructions = [code[at : at + 8] for at in range(0, len(code), 8)]
    assert len(code) % 8 == 0
    assert len(instructions) < 4096  # BPF_MAXINSNS
    for at, instruction in enumerate(instructions):
        assert at + 1 + max(instruction[2], instruction[3]) < len(instructions) or instruction[0] == seccomp._RETURN


def test_there_is_no_filter_for_a_machine_whose_calls_nobody_has_listed() -> None:
    with pytest.raises(KeyError):
        seccomp.program("vax", 1)
