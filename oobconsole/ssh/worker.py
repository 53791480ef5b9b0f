"""The SSH front's process: `python -m oobconsole.ssh.worker`, started by the core."""

from __future__ import annotations

from oobconsole.front.child import main
from oobconsole.ssh import algorithms
from oobconsole.ssh.front import SshFront

if __name__ == "__main__":
    algorithms.has_aes()  # while it can be read
    main(SshFront)
