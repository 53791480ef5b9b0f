"""What the tests of access share: keys, certificates, and asking the real OpenSSH client."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.support.expect import run_to_end
from tests.support.pace import Deadline
from tests.support.server import Server
from tests.support.sync import eventually

CA = 'user_ca = "ca.pub"\nrevoked_keys = "revoked"\n'
PATIENCE = 20


def keygen(*words: str | Path) -> None:
    done = run_to_end(["ssh-keygen", "-q", *map(str, words)], timeout=PATIENCE)
    assert done.returncode == 0, done


def make_ca(folder: Path, name: str = "ca") -> Path:
    keygen("-t", "ed25519", "-N", "", "-f", folder / name, "-C", name)
    return folder / name


def certify(server: Server, ca: Path, *options: str, user: str = "carol", principals: str = "carol") -> Path:
    """A key of its own, with a certificate that ssh finds beside it."""
    key = server.make_key(f"{user}{len(list(server.folder.iterdir()))}", authorize=False)
    names = ("-n", principals) if principals else ()
    keygen("-s", ca, "-I", f"{user}@laptop", *names, *options, f"{key}.pub")
    return key


def ssh(
    server: Server, *words: str, user: str = "alice", key: Path | None = None, options: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[bytes]:
    return run_to_end(server.ssh(*words, user=user, key=key, options=options), timeout=PATIENCE)


def refused(done: subprocess.CompletedProcess[bytes]) -> bool:
    return done.returncode == 255 and b"Permission denied (publickey)" in done.stderr


def wait_for_log(server: Server, pattern: str, count: int = 1) -> re.Match[str]:
    """Wait until the server has logged something so often: a thread of its own writes its log."""
    found: list[re.Match[str]] = []

    def logged() -> bool:
        found[:] = re.finditer(pattern, server.log.read_text())
        return len(found) >= count

    eventually(logged, lambda: (pattern, server.log.read_text()[-3000:]), seconds=PATIENCE)
    return found[-1]


def grant(server: Server, users: str, rights: str = "all") -> None:
    with server.config.open("a") as file:
        file.write(f'[[grant]]\nusers = "{users}"\nrights = "{rights}"\n')


def authorize(server: Server, options: str, user: str = "bob") -> Path:
    key = server.make_key(user, authorize=False)
    (server.folder / "keys" / user).write_text(f"{options} {key.with_suffix('.pub').read_text()}")
    return key


def wait_for_who(server: Server, count: int) -> None:
    """Wait until so many are attached."""
    deadline = Deadline(PATIENCE)
    while (seen := ssh(server, "who").stdout).count(b"web1") < count:
        assert deadline.left, seen
