"""A guest whose accesses are timed while the server is attacked. It is the native half, driven by a program in place
of a CPU.

The time that an access takes here is what the vCPU of a nested guest would wait, without QEMU's own part.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.stack.nested import ROOT
from tests.support.expect import Expect
from tests.support.server import Server

#: What a server's configuration needs for it.
MACHINE: Final = '[[machine]]\nname = "l1"\n[[machine.guest]]\nname = "vcpu"\n'
_WAITS: Final = rb"waits (\d+), median (\d+), 99th percentile (\d+), longest (\d+) us\n"


def build(folder: Path) -> Path:
    """Build the driver's program, and return its path. It has no sanitizers, because they would make accesses slower.
    Raises `CalledProcessError`."""
    words = ["make", "-s", "-C", str(ROOT / "tests" / "contract" / "guest"), f"OUT={folder}", "CHECKS="]
    subprocess.run(words, check=True)
    return folder / "guest"


class Vcpu(Expect):
    """The guest. All the time it reads, prints as much, and restarts its transmitter."""

    def __init__(self, program: Path, server: Server) -> None:
        prints = server.folder / "prints"
        prints.write_bytes(b"." * (1 << 20))
        words = [sys.executable, "-m", "oobconsole", "qemu-options", "l1", "--config", str(server.config)]
        done = subprocess.run([*words, "--plugin", "x"], check=True, capture_output=True, text=True)
        _, options = shlex.split(done.stdout)
        super().__init__([str(program), str(prints), str(server.folder / "reads"), *options.split(",")[1:]])

    def waits(self) -> str:
        """Return median, 99th percentile and maximum of the times of all accesses since the last call, in
        microseconds."""
        self._process.send_signal(signal.SIGUSR2)
        return " / ".join(word.decode() for word in self.expect(_WAITS, timeout=20).groups()[1:])
