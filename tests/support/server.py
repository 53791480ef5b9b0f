"""A real console server in a process of its own, and ways to log in to it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.expect import Expect, ExpectError, run_to_end, wait_for
from tests.support.pace import Deadline

MEMORY_MACHINE = """
[[machine]]
name = "mem"
interceptor = "memory"
[[machine.guest]]
name = "web1"
[[machine.guest]]
name = "web2"
"""


#: Many clients come from one address here, and some fail on purpose; test_access.py tests the limits.
NO_LIMITS = 'max_startups = "1000:30:1000"\npenalties_exempt = "127.0.0.0/8"\n'


def fronts_of(core: int) -> list[int]:
    """The processes that strangers reach, of the server with that process id, the oldest first."""
    children = Path(f"/proc/{core}/task/{core}/children").read_text().split()
    return [int(pid) for pid in children if _is_front(pid)]


def _is_front(pid: str) -> bool:
    with contextlib.suppress(OSError):  # it has ended meanwhile
        return b"oobconsole.ssh.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


class Server:
    """`oobconsole serve` with generated keys, port 0 and a folder of its own; user `alice` may log in.

    Args:
        machines: the `[[machine]]` part of the configuration.
        settings: more lines for `[server]`.
        limits: those lines that are about clients' limits.
        folder: where everything lies; made and removed when not given. Kept short: sockets lie in it.
        through: words before the server's own, such as `env NAME=VALUE`.
        stderr: a descriptor for its log; else that is the file `log`.
        patience: how long it may take to start, in seconds.
    """

    def __init__(
        self,
        machines: str = MEMORY_MACHINE,
        *,
        settings: str = "",
        limits: str = NO_LIMITS,
        folder: Path | None = None,
        through: Sequence[str] = (),
        stderr: int | None = None,
        patience: float = 20,
    ) -> None:
        self.through = tuple(through)
        self.stderr = stderr
        self._patience = patience
        self._own_folder = folder is None
        self.folder = folder or Path(tempfile.mkdtemp(prefix="oob-"))
        self.config = self.folder / "oobconsole.toml"
        self.log = self.folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        (self.folder / "keys").mkdir(exist_ok=True)
        self.key = self.make_key("alice")
        self.config.write_text(
            f'[server]\nlisten = "127.0.0.1:0"\nstate_dir = "state"\nauthorized_keys = "keys"\n{limits}{settings}\n'
            f'{machines}\n[[grant]]\nusers = ["alice"]\nrights = "all"\n'
        )

    def make_key(self, user: str, *, authorize: bool = True) -> Path:
        """Generate a key pair, and let `user` log in with it."""
        key = self.folder / f"id_{user}"
        if not key.exists():
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        if authorize:
            shutil.copy(f"{key}.pub", self.folder / "keys" / user)
        return key

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()
        if self._own_folder:
            shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start, and wait until it listens."""
        ready = self.folder / "state" / "ssh_port"
        ready.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.through, sys.executable, "-m", "oobconsole", "serve", "--config", str(self.config)],
                stdout=log,
                stderr=log if self.stderr is None else self.stderr,
            )
        deadline = Deadline(self._patience)
        while not (ready.exists() and ready.read_text().endswith("\n")):
            if self._process.poll() is not None or not deadline.left:
                raise ExpectError(f"the server did not start:\n{self.log.read_text()[-2000:]}")
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(0.02)

    def stop(self, timeout: float = 10) -> int | None:
        """Ask the server to end. Returns its exit status."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.terminate()
        try:
            return wait_for(process, timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise

    def kill(self) -> None:
        """End the server without warning (SIGKILL)."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self._process = None

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop the server meanwhile (SIGSTOP), as on a machine that gives it no time."""
        os.kill(self.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.pid, signal.SIGCONT)

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def fronts(self) -> list[int]:
        """The processes that strangers reach, the oldest first: it serves, and the next one is the spare."""
        return fronts_of(self.pid)

    @property
    def port(self) -> int:
        """The TCP port on which the server listens."""
        return int((self.folder / "state" / "ssh_port").read_text())

    def ssh(
        self, *words: str, user: str = "alice", key: Path | None = None, options: tuple[str, ...] = ()
    ) -> list[str]:
        """Return the command line of the real OpenSSH client. If an option is given twice, OpenSSH takes the first
        value, so `options` win."""
        fixed = {
            "IdentitiesOnly": "yes",
            "StrictHostKeyChecking": "no",
            "UserKnownHostsFile": os.devnull,
            "LogLevel": "ERROR",
            "BatchMode": "yes",
            "ControlPath": "none",
        }
        settings = [part for name, value in fixed.items() for part in ("-o", f"{name}={value}")]
        identity = ["-F", "none", "-i", str(key or self.key)]
        return ["ssh", *identity, *options, *settings, "-p", str(self.port), f"{user}@127.0.0.1", *words]

    def local(self, *words: str) -> list[str]:
        """Return the command line of `oobconsole` with a verb that this server is to carry out."""
        return [sys.executable, "-m", "oobconsole", "--config", str(self.config), *words]

    def run_local(self, *words: str, data: bytes = b"", timeout: float = 30) -> subprocess.CompletedProcess[bytes]:
        """Run `local` to its end."""
        return run_to_end(self.local(*words), data=data, timeout=timeout)

    def run(self, *words: str, data: bytes = b"", timeout: float = 20) -> subprocess.CompletedProcess[bytes]:
        """Run a command through ssh to its end."""
        return run_to_end(self.ssh(*words), data=data, timeout=timeout)

    def attach(self, *words: str, merge_stderr: bool = True) -> Expect:
        """Return an ssh client that stays attached."""
        return Expect(self.ssh(*words), merge_stderr=merge_stderr)
