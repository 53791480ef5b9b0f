"""A machine whose guests live in the process of the tests: what they do at their ports, and what consoles show."""

from __future__ import annotations

from oobconsole.config.guests import MachineConfig
from oobconsole.console.console import Console
from oobconsole.guests.identity import Binder
from oobconsole.guests.nested import Machine
from oobconsole.interceptors.base import PortHandler
from oobconsole.interceptors.memory import MemoryInterceptor

#: What is read of a console at most, in bytes.
READ_MAX = 1 << 17


class Rack:
    """A started machine, its interceptor, and what the guests do.

    Args:
        guests: as the tables `[[machine.guest]]` of a configuration; none: one that is called web1.
        binder: says which guest it is; None: the machine's own.
        scrollback: of each console, in bytes.
    """

    def __init__(self, *guests: dict[str, object], binder: Binder | None = None, scrollback: int = 4096) -> None:
        config = MachineConfig.model_validate({"name": "rack7", "guest": list(guests or ({"name": "web1"},))})
        self.interceptor = MemoryInterceptor("rack7")
        self.machine = Machine(config, self.interceptor, scrollback=scrollback, binder=binder)

    async def started(self) -> Rack:
        await self.machine.start()
        return self

    def console(self, name: str = "web1") -> Console:
        return next(console for console in self.machine.consoles if console.name == name)

    def appear(self, number: int = 1) -> PortHandler:
        handler = self.interceptor.appear(number)
        assert handler is not None
        return handler

    def level(self, line: int = 4, number: int = 1) -> bool:
        return self.interceptor.levels.get((number, line), False)

    def printed(self, name: str = "web1") -> bytes:
        return self.console(name).read_from(0, READ_MAX).data
