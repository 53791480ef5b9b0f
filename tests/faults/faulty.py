"""A real server whose files fail: at the nth call that concerns them, with an error that disks have."""

from __future__ import annotations

import errno
import mmap
import random
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

from oobconsole.audit import chain, files
from oobconsole.audit.verify import verify
from oobconsole.recording.transcript import Transcript
from tests.faults.preload import preload
from tests.support.server import Server
from tests.support.sync import eventually

ERRORS = (errno.ENOSPC, errno.EIO, errno.EROFS, errno.EFBIG, errno.EPIPE)
#: In place of an error: the calls never return.
HANGS = -1
_PLAN = struct.Struct("6i")


class Faulty:
    """A server over the shim. Its state and its log are what fails; keys of users do not.

    Args:
        folder: for the shim; the server has one of its own.
        below: the beginning of the paths that fail, in the server's folder: `s` is state/ and server.log.
    """

    def __init__(self, folder: Path, below: str = "s") -> None:
        library, plan = preload("shim", folder), folder / "plan"
        plan.write_bytes(bytes(_PLAN.size))
        with plan.open("r+b") as file:
            self._plan = mmap.mmap(file.fileno(), _PLAN.size)
        self.server = Server()
        where = f"OOB_FAULTS_BELOW={self.server.folder}/{below}"
        self.server.through = ("env", f"LD_PRELOAD={library}", f"OOB_FAULTS={plan}", where)

    def __enter__(self) -> Self:
        self.server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.server.__exit__(kind, error, tb)

    def arm(self, first: int, length: int, number: int) -> None:
        """From now on: calls from number `first` on fail, so many, with the error of that number (or they hang)."""
        self._plan[:] = _PLAN.pack(1, first, length, number, 0, 0)

    def disarm(self) -> int:
        """Nothing fails any more; returns how many calls did."""
        failed = _PLAN.unpack(self._plan[:])[5]
        self._plan[:] = bytes(_PLAN.size)
        return int(failed)

    def run(self, chance: random.Random) -> int:
        """Logins, typing, output and audit entries while a call fails; all of them work. Returns how many failed."""
        first, length, number = chance.randrange(1, 20), chance.choice((1, 2, 1 << 30)), chance.choice(ERRORS)
        self.arm(first, length, number)
        self.works(f"{first} {length} {errno.errorcode[number]}")
        return self.disarm()

    def works(self, about: str) -> None:
        """A guest prints what is typed, and a login is possible."""
        done = self.server.run("send", "web1", about, timeout=60)
        assert done.returncode == 0, (about, done, self.server.log.read_text()[-3000:])
        done = self.server.run("ls", timeout=60)
        assert (done.returncode, b"web1" in done.stdout) == (0, True), (about, done)

    def check(self) -> None:
        """The faults are gone: the audit log and the recording go on, and say what is missing."""
        state = self.server.folder / "state"
        transcript = Transcript(state / "recordings" / "web1")

        def recorded() -> bool:
            """Until the recorder tries again, what is printed is counted as missing."""
            self.works("the end")
            return b"".join(part.data for part in transcript.read()).rstrip().endswith(b"the end")

        eventually(recorded, lambda: self.server.log.read_text()[-2000:], seconds=90)
        first = transcript.segments()[0]
        at = first.start
        assert first.header().get("hole", 0) == at, first.header()
        for part in transcript.read():
            assert part.offset == at, f"the recording has offset {part.offset} where {at} is due"
            at += len(part.data) + part.missing
        assert self.server.stop(30) == 0
        report = verify(files.all_of(state / "audit.jsonl"), chain.load_public_key(state / "audit_ed25519_key.pub"))
        assert report.faults == [], report
        assert chain.DAMAGED.encode() not in (state / "audit.jsonl").read_bytes()
