"""What the core has to know of a kind of front: SSH is one, others come beside it.

The relay, the supervisor and the confinement know no protocol. A kind says which module its process runs, where it
listens, and how a configuration becomes the settings that the process is given; `app/fronts.py` has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from oobconsole.config.schema import Config
from oobconsole.front.relay import Keys


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of front.

    Attributes:
        name: for the log, `status` and `STATE_DIR/NAME_port`.
        module: what its process runs, with `python -m`.
        listen: the addresses that it listens on, as HOST:PORT; none: there is no such front.
        prepare: reads what the configuration names, and returns what the front is told of it. Called in a thread.
            Raises `EnvironmentFault`.
        keys: makes what reads a user's file of keys.
        connections: how many logged-in connections one of its processes may have.
    """

    name: str
    module: str
    listen: Callable[[Config], Sequence[str]]
    prepare: Callable[[Config], bytes]
    keys: Callable[[Config], Keys]
    connections: Callable[[Config], int]
