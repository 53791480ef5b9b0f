"""The kinds of fronts that there are: by these people come in over a network."""

from __future__ import annotations

from typing import Final

from oobconsole.front.kinds import Kind
from oobconsole.ssh.kind import KIND

SSH: Final = KIND
KINDS: Final[tuple[Kind, ...]] = (SSH,)
