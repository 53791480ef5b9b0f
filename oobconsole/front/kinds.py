"""What must the core know of a kind of front? SSH is one kind, and others will come beside it.

The relay, the supervisor and the confinement know no protocol. A kind says which module its process runs, where it
listens, and how a configuration becomes the settings that the process gets. `app/fronts.py` has the table of kinds.
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
        name: the name for the log, `status` and `STATE_DIR/NAME_port`.
        module: the module that its process runs, with `python -m`.
        listen: returns the addresses on which it listens, as HOST:PORT; none: there is no such front.
        prepare: reads the files that the configuration names, and returns the settings of the front. Its second
            argument is what the processes of this kind were given last, or None at the start: what only a start
            reads, as the host key, is taken from there. It is called in a thread, and raises `EnvironmentFault`.
        keys: returns a function that reads a user's file of keys.
        connections: returns how many logged-in connections one of its processes may have.
    """

    name: str
    module: str
    listen: Callable[[Config], Sequence[str]]
    prepare: Callable[[Config, bytes | None], bytes]
    keys: Callable[[Config], Keys]
    connections: Callable[[Config], int]
