"""Runs one attack, in a process of its own. The command line is NAME PORT USER KEY FOLDER SECONDS CORE SPARED."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import Any, Final

from tests.attack import attacks, fronts, inside
from tests.attack.target import FAULTS, Attack, Target

ATTACKS: Final[tuple[Attack, ...]] = (*attacks.ATTACKS, *inside.ATTACKS, *fronts.ATTACKS)
#: Lines that some attacks need in the server's configuration, by the attack's name.
MACHINES: Final = inside.MACHINES


async def _main(name: str, port: str, user: str, key: str, folder: str, seconds: str, core: str, spared: str) -> None:
    attack: Any = next(attack for attack in ATTACKS if attack.__name__ == name)
    with contextlib.suppress(*FAULTS):
        async with asyncio.timeout(float(seconds)):
            about = Path(key), Path(folder), float(seconds)
            await attack(Target(int(port), user, *about, core=int(core), spared=int(spared)))


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
