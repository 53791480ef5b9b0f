"""One machine (an L1) and its guests. Which context is which guest, and who is told when a context comes or goes?"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import structlog

from oobconsole.config.guests import ConsoleConfig, GuestConfig, MachineConfig
from oobconsole.console.console import NEW_GUEST, Console, ConsoleState
from oobconsole.guests.absence import Absence
from oobconsole.guests.board import Board
from oobconsole.guests.fittings import fit_out
from oobconsole.guests.guest import Guest, Listing
from oobconsole.guests.identity import Binder, Claim, InOrder, NoGuest
from oobconsole.interceptors.base import Context, Interceptor, PortHandler
from oobconsole.log.log import LogLimit
from oobconsole.power.power import CommandPower
from oobconsole.recording.recorder import Recorder

log = structlog.get_logger(__name__)

#: How many lines a minute the log gets about guests of one machine that come and go.
LOG_LINES: Final = 60


class NestedGuest:
    """One guest that the configuration of a machine names: its consoles, and the board of the context that is this
    guest now.

    Attributes:
        places: where the guest has UARTs, in the order of the configuration.
        consoles: one for each UART.
        board: the board of the context that is this guest now; None: there is no such context.
        left: when the guest's last context went, by `time.monotonic`; minus infinity if it never had one.
    """

    def __init__(
        self, config: GuestConfig, interceptor: Interceptor, *, scrollback: int, defaults: ConsoleConfig
    ) -> None:
        self.name = config.name
        settings = defaults.with_own(config.console)
        self.places = [uart.place for uart in config.uarts]
        self.consoles = [Console(name, scrollback=scrollback, settings=settings) for name in config.console_names]
        self.board: Board | None = None
        self.left = -math.inf
        self._recorders: list[Recorder | None] = [None] * len(self.consoles)
        self._told = False  # people who wait at its consoles have been told where another guest has appeared
        self._absence = Absence(self._missed, lambda: interceptor.connecting)
        for console in self.consoles:
            console.on_attended(self._attended)

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Say what records each of the guest's consoles, by its name."""
        self._recorders = [recorder_of(console.name) for console in self.consoles]
        if self.board is not None:
            for place, recorder in zip(self.places, self._recorders, strict=True):
                self.board.port_at(place).record(recorder)

    def claim(self, context: Context) -> Claim:
        """Return what the guest's recordings say about that context."""
        recorders = [recorder for recorder in self._recorders if recorder is not None]
        if not context.instance or not any(r.remembers(context.instance) for r in recorders):
            return Claim.FREE
        own = any(r.remembers(context.instance, context.number) for r in recorders)
        return Claim.OWN if own else Claim.OTHERS

    # -- the context that it is ---------------------------------------------------------------------

    def bind(self, board: Board) -> None:
        """The context of that board is this guest from now on."""
        self.board = board
        board.guest = self.name
        board.fit(self.places)
        for place, console, recorder in zip(self.places, self.consoles, self._recorders, strict=True):
            port = board.port_at(place)
            port.attach(console, recorder)
            console.set_state(ConsoleState.LIVE, "" if port.known else NEW_GUEST)
            port.connect()
        board.say_lines()
        self._present()

    def back(self, board: Board) -> None:
        """The context of that board was away, and is back."""
        for place, console in zip(self.places, self.consoles, strict=True):
            console.set_state(ConsoleState.LIVE)
            board.port_at(place).connect()
        self._present()

    def _present(self) -> None:
        self._told = False
        self._absence.end()
        self._attended(True)

    def away(self, reason: str) -> None:
        """The native half went away. The context may come back, and typed text waits for it."""
        if self.board is not None:
            for port in self.board.ports:
                port.disconnect()
            self._absence.begin(reason)

    def _missed(self, reason: str) -> None:
        for console in self.consoles:
            if console.state is ConsoleState.LIVE:
                console.set_state(ConsoleState.AWAY, reason)

    def release(self, reason: str) -> None:
        """The context is gone, or has turned out to be another guest."""
        if self.board is not None:
            self.board.guest = ""
            self.board.attend(False)
            for port in self.board.ports:
                port.detach()
        self.board = None
        self.left = time.monotonic()
        self._absence.end()
        for console in self.consoles:
            console.set_state(ConsoleState.GONE, reason)

    # -- who is told --------------------------------------------------------------------------------

    def tell_elsewhere(self, name: str) -> None:
        """Another guest has appeared, at the console of that name. The people who wait for a guest here are told so,
        but only once."""
        waiting = [console for console in self.consoles if console.state is ConsoleState.GONE]
        if self._told or not any(console.attached for console in waiting):
            return
        self._told = True
        for console in waiting:
            console.tell_elsewhere(name)

    def _attended(self, _: bool) -> None:
        if self.board is not None:
            self.board.attend(any(console.attached for console in self.consoles))


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
            NestedGuest(guest, interceptor, scrollback=scrollback, defaults=defaults) for guest in config.guests
        ]
        self._config = config
        self._defaults = defaults
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
        for config, guest in zip(self._config.guests, self.guests, strict=True):
            power = CommandPower(config.name, config.power) if config.power is not None else None
            settings = self._defaults.with_own(config.console)
            directory.appeared(Guest(config.name, self, settings=settings, power=power, consoles=guest.consoles))

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Say what records each console, by its name. To be called before `start`."""
        for guest in self.guests:
            guest.record(recorder_of)

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
        fit_out(board)
        self._binder.equip(board, partial(self._identify, board))
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
            guest.back(board)
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
