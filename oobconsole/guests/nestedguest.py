"""One guest that the configuration of a machine names. Contexts come and go; a binder says which context is the guest
now (identity.py)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from oobconsole.config.guests import ConsoleConfig, GuestConfig
from oobconsole.console.console import Console, ConsoleState
from oobconsole.guests.absence import Absence
from oobconsole.guests.attachment import Attachment
from oobconsole.guests.board import Board
from oobconsole.guests.guest import Guest, Source
from oobconsole.guests.identity import Claim
from oobconsole.interceptors.base import Context, Interceptor
from oobconsole.power.power import CommandPower
from oobconsole.recording.recorder import Recorder


class NestedGuest(Guest):
    """A guest of a machine.

    Args:
        source: the machine.
        interceptor: brings the accesses of the machine's contexts.
        scrollback: of each console, in bytes.
        defaults: the settings of consoles, as far as the guest has none of its own.

    Attributes:
        places: where the guest has UARTs, in the order of the configuration. There is a console for each of them.
        board: the board of the context that is this guest now, and so that context (`Board.context`); None: there is
            no such context.
        left: when the guest's last context went, by `time.monotonic`; minus infinity if it never had one.
    """

    def __init__(
        self,
        config: GuestConfig,
        source: Source,
        interceptor: Interceptor,
        *,
        scrollback: int,
        defaults: ConsoleConfig,
    ) -> None:
        settings = defaults.with_own(config.console)
        super().__init__(
            config.name,
            source,
            settings=settings,
            power=CommandPower(config.name, config.power) if config.power is not None else None,
            consoles=[Console(name, scrollback=scrollback, settings=settings) for name in config.console_names],
        )
        self.places: Final = [uart.place for uart in config.uarts]
        self.board: Board | None = None
        self.left = -math.inf
        self._attachments = [
            Attachment(console, place) for console, place in zip(self.consoles, self.places, strict=True)
        ]
        self._told = False  # people who wait at its consoles have been told where another guest has appeared
        self._absence = Absence(self._missed, lambda: interceptor.connecting)
        for console in self.consoles:
            console.on_attended(self._attended)

    def record(self, recorder_of: Callable[[str], Recorder | None]) -> None:
        """Say what records each of the guest's consoles, by its name."""
        for attachment in self._attachments:
            attachment.record(recorder_of)

    def claim(self, context: Context) -> Claim:
        """Return what the guest's recordings say about that context."""
        recorders = [each.recorder for each in self._attachments if each.recorder is not None]
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
        for attachment in self._attachments:
            attachment.attach(board)
            attachment.connect()
        board.say_lines()
        self._present()

    def back(self) -> None:
        """The guest's context was away, and is back."""
        for attachment in self._attachments:
            attachment.connect()
        self._present()

    def _present(self) -> None:
        self._told = False
        self._absence.end()
        self._attended(True)

    def away(self, reason: str) -> None:
        """The native half went away. The context may come back, and typed text waits for it."""
        if self.board is not None:
            for attachment in self._attachments:
                attachment.disconnect()
            self._absence.begin(reason)

    def _missed(self, reason: str) -> None:
        for attachment in self._attachments:
            attachment.missed(reason)

    def release(self, reason: str) -> None:
        """The context is gone, or has turned out to be another guest."""
        if self.board is not None:
            self.board.guest = ""
            self.board.attend(False)
        self.board = None
        self.left = time.monotonic()
        self._absence.end()
        for attachment in self._attachments:
            attachment.detach(reason)

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
