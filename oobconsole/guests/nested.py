"""One machine (an L1) and its guests. Which context is which guest, and who is told when a context comes or goes?"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from oobconsole.config.guests import ConsoleConfig, MachineConfig
from oobconsole.config.schema import Config
from oobconsole.console.console import Console
from oobconsole.guests.board import Board
from oobconsole.guests.fittings import fit_out
from oobconsole.guests.guest import Listing
from oobconsole.guests.identity import Binder, InOrder, NoGuest
from oobconsole.guests.nestedguest import NestedGuest
from oobconsole.interceptors.base import Context, Interceptor, PortHandler
from oobconsole.log.log import LogLimit
from oobconsole.recording.recorder import Recorder

log = structlog.get_logger(__name__)

#: How many lines a minute the log gets about guests of one machine that come and go.
LOG_LINES: Final = 60


class Machine:
    """One L1. It binds its contexts to the configured guests.

    Args:
        binder: says which guest a context is. The default is `InOrder`.

    Attributes:
        connected: whether the machine's native half is connected.
        guests: the guests in the order of the configuration.
    """

    def __init__(
        self,
        config: MachineConfig,
        interceptor: Interceptor,
        *,
        scrollback: int,
        defaults: ConsoleConfig | None = None,
        binder: Binder | None = None,
    ) -> None:
        self.name = config.name
        self.connected = False
        defaults = defaults or ConsoleConfig()
        self.interceptor = interceptor
        self.guests = [
            NestedGuest(guest, self, interceptor, scrollback=scrollback, defaults=defaults) for guest in config.guests
        ]
        self._config = config
        self._binder = binder or InOrder()
        self._boards: dict[Context, Board] = {}
        self._limit = LogLimit(LOG_LINES)
        self._attended: dict[NestedGuest, None] = {}  # the guests to whose consoles anybody is attached
        for guest in self.guests:
            for console in guest.consoles:
                console.on_attended(partial(self._note_attended, guest))

    @property
    def links(self) -> dict[str, bool]:
        """For the name of the machine: whether its native half is connected."""
        return {self.name: self.connected}

    def introduce(self, directory: Listing) -> None:
        """Add every guest that the configuration names to the directory. Which context is which guest is found out
        when the contexts appear."""
        for guest in self.guests:
            directory.appeared(guest)

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Say what records each console, by its name. To be called before `start`."""
        for guest in self.guests:
            guest.record(recorder_of)

    def configure(self, config: Config) -> None:
        """Give the machine's guests the settings that a configuration has for them."""
        machine = config.machine(self.name)
        own = {guest.name: guest.console for guest in machine.guests} if machine is not None else {}
        for guest in self.guests:
            guest.configure(config.console.with_own(own.get(guest.name)))

    async def start(self) -> None:
        """Begin to listen for the native half. Raises `EnvironmentFault`."""
        await self.interceptor.start(self)

    async def stop(self, reason: str) -> None:
        """Tell the people who are attached why, and disconnect. The guests go on without the server."""
        for guest in self.guests:
            for console in guest.consoles:
                console.close(reason)
        await self.interceptor.stop()

    @property
    def consoles(self) -> list[Console]:
        """The consoles of all guests."""
        return [console for guest in self.guests for console in guest.consoles]

    # -- InterceptorEvents --------------------------------------------------------------------------

    def link_up(self, peer: str) -> None:
        self.connected = True
        log.info("machine connected", machine=self.name, peer=peer)

    def link_down(self, reason: str) -> None:
        self.connected = False
        for guest in self.guests:
            guest.away(f"machine {self.name} is not connected: {reason}")

    def context_appeared(self, context: Context) -> PortHandler | None:
        board = self._boards.get(context)
        if board is not None:
            self._back(board)
            return board
        guest = self._binder.guest_for(context, self.guests)
        if guest is NoGuest.NEVER:
            self._log(log.warning, f"another L2 gets no console: {guest.value}", context)
            return None
        board = self._boards[context] = Board(context, self.interceptor)
        fit_out(board, self._config, partial(self._identify, board))
        if isinstance(guest, NoGuest):
            board.fit(place for each in self.guests for place in each.places)
            self._log(log.info, f"another L2 waits for its console: {guest.value}", context)
        else:
            self._bind(board, guest)
        return board

    def context_gone(self, context: Context, reason: str) -> None:
        board = self._boards.pop(context, None)
        if board is None:
            return
        board.close()
        guest = self._guest_of(board)
        if guest is not None:
            guest.release(f"the guest is gone: {reason}")
            self._log(log.info, "guest gone", context, guest=guest.name, reason=reason)

    # -- which guest is it? -------------------------------------------------------------------------

    def _back(self, board: Board) -> None:
        board.returned()
        guest = self._guest_of(board)
        if guest is not None:
            guest.back()
            self._log(log.info, "guest bound", board.context, guest=guest.name)

    def _identify(self, board: Board, name: str | None) -> None:
        """It has turned out which guest a running context is: the one of that name, or none."""
        guest = next((guest for guest in self.guests if guest.name == name), None)
        former = self._guest_of(board)
        if guest is former or board.context not in self._boards:
            return
        if former is not None:
            former.release("it is another guest" if guest is None else f"it is {guest.name}")
            self._log(log.info, "guest released", board.context, guest=former.name)
        if guest is not None:
            self._bind(board, guest)

    def _bind(self, board: Board, guest: NestedGuest) -> None:
        if guest.board is not None:
            guest.release("another L2 is this guest")
        guest.bind(board)
        for other in tuple(self._attended):  # not all guests: a machine may have a thousand, most of them unattended
            other.tell_elsewhere(guest.name)
        self._log(log.info, "guest bound", board.context, guest=guest.name)

    def _note_attended(self, guest: NestedGuest, _: bool) -> None:
        if any(console.attached for console in guest.consoles):
            self._attended[guest] = None
        else:
            self._attended.pop(guest, None)

    def _guest_of(self, board: Board) -> NestedGuest | None:
        return next((guest for guest in self.guests if guest.board is board), None)

    def _log(self, write: Callable[..., object], event: str, context: Context, **about: object) -> None:
        if self._limit.allows(machine=self.name):
            write(event, **about, machine=self.name, context=context.number, origin=context.origin)
