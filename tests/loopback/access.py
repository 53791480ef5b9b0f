"""What the tests of access share: keys, certificates, and asking the real OpenSSH client."""

from __future__ import annotations

import contextlib
import re
import subprocess
from pathlib import Path

from tests.support.pace import Deadline, scaled
from tests.support.server import Server

CA = 'user_ca = "ca.pub"\nrevoked_keys = "revoked"\n'
PATIENCE = 20


def keygen(*words: str | Path) -> None:
    subprocess.run(["ssh-keygen", "-q", *map(str, words)], check=True, capture_output=True, timeout=scaled(PATIENCE))


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
    command = server.ssh(*words, user=user, key=key, options=options)
    return subprocess.run(
        command, capture_output=True, timeout=scaled(PATIENCE), check=False, stdin=subprocess.DEVNULL
    )


def refused(done: subprocess.CompletedProcess[bytes]) -> bool:
    return done.returncode == 255 and b"Permission denied (publickey)" in done.stderr


def wait_for_log(server: Server, pattern: str, count: int = 1) -> re.Match[str]:
    """Wait until the server has logged something so often."""
    deadline = Deadline(PATIENCE)
    pause = server.folder / "no-such-file"
    while True:
        found = list(re.finditer(pattern, server.log.read_text()))
        if len(found) >= count:
            return found[-1]
        if not deadline.left:
            raise AssertionError(f"{pattern!r} was not logged:\n{server.log.read_text()[-3000:]}")
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(["tail", "--follow=name", pause], timeout=0.02, capture_output=True, check=False)


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
