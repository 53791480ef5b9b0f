"""The table of the kinds of fronts: one line for each way in which people come in over a network."""

from __future__ import annotations

from typing import Final

from oobconsole.front.kinds import Kind
from oobconsole.ssh.kind import KIND

SSH: Final = KIND
KINDS: Final[tuple[Kind, ...]] = (SSH,)
