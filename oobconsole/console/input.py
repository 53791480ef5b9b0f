"""What users type at a console waits here until the guest takes it. A writer waits while there is no room."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from oobconsole.access import Principal
from oobconsole.console.states import NOBODY, ConsoleState, Observer
from oobconsole.errors import LineFault

#: How much input may wait for the guest, in bytes. When it is more, writers wait.
INPUT_MAX: Final = 65536
#: How much input a device is offered at a time, and how much a writer types before another one has its turn, in
#: bytes.
_OFFER: Final = 256
_TURN: Final = 4096
#: How much input a device is given in one turn of the event loop, in bytes. Why so little? A guest in the same
#: process handles all of it before the call returns: 60 kB of typed text held everybody for 147 ms.
PUMPED_MAX: Final = 512

#: A function that sends a break. It returns whether there was room for the break, or something to await if the line
#: answers later. Raises `LineFault`.
Break = Callable[[], bool | Awaitable[None]]
#: A function that accepts typed bytes, and returns how many of them it took.
Device = Callable[[bytes], int]


class Input:
    """The input of one console. It comes from any number of writers.

    Args:
        observers: are told of everything that is typed. The list may grow later.
        announce: tells a text to the people who are attached.

    Attributes:
        lost: how many typed bytes no guest took, because it was gone or input was held.
        held: the reason why the guest gets no input, in words; empty: it gets what is typed.
        break_unanswered: the line was asked for a break, and has not answered yet whether the break was sent.
    """

    def __init__(self, observers: Sequence[Observer], announce: Callable[[str], object]) -> None:
        self.lost = 0
        self.held = ""
        self.break_unanswered = False
        self._observers = observers
        self._announce = announce
        self._state = ConsoleState.WAITING
        self._is_nobody = False  # the state is one of `NOBODY`
        self._device: Device | None = None
        self._send_break: Break | None = None
        self._takes = False  # the device took something of the last offer
        self._pumps = False  # the next turn of the event loop gives the rest of the input to the device
        self._guests_gone = 0
        self._loss_told = False
        self._queue = bytearray()
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()  # wakes whoever waits for something here, to look again

    # -- the guest's side ---------------------------------------------------------------------------

    def bind(self, device: Device | None, send_break: Break | None) -> None:
        """Say what takes input, and what sends a break. None: nobody takes input now, and the line has no break."""
        self._device = device
        self._send_break = send_break
        self.pump()

    def follow(self, state: ConsoleState) -> None:
        """The console has moved to another state. Input that waits is lost when its guest has ended."""
        self._state, self._is_nobody = state, state in NOBODY
        self._loss_told = False
        if self._is_nobody:
            self._guests_gone += 1
            self._lose()
        self._changed.set()

    def hold(self, reason: str) -> None:
        """Do what `Console.hold_input` says."""
        if reason != self.held:
            self.held = reason
            self._loss_told = bool(reason)  # the reason says so
            self._announce(reason or "input is taken again")
            if reason:
                self._lose()
            self._changed.set()

    def pump(self) -> None:
        """Give the device as much input as it accepts. The device's owner calls this when there is room again."""
        self._changed.set()
        given = 0
        while self._queue and self._device is not None and not self.held:
            if given >= PUMPED_MAX:
                self._pump_later()
                return
            offer = bytes(self._queue[:_OFFER])
            taken = self._device(offer)
            given += taken
            self._takes = taken > 0
            del self._queue[:taken]
            if taken < len(offer):
                return

    def _pump_later(self) -> None:
        """Give the device more input in the next turn of the event loop, after others have had theirs."""
        if not self._pumps:
            self._pumps = True
            asyncio.get_running_loop().call_soon(self._pump_rest)

    def _pump_rest(self) -> None:
        self._pumps = False
        self.pump()

    # -- the users' side ----------------------------------------------------------------------------

    async def write(self, data: bytes, who: Principal | None = None) -> None:
        """Do what `Console.write` says."""
        if self.write_at_once(data, who):
            return
        for at in range(0, len(data), _TURN):
            async with self._turn:
                while len(self._queue) >= INPUT_MAX:
                    await self._change()
                for part in range(at, min(at + _TURN, len(data)), PUMPED_MAX):
                    if part and self._takes:
                        await asyncio.sleep(0)
                    self._enqueue(data[part : min(part + PUMPED_MAX, at + _TURN)], who)

    def write_at_once(self, data: bytes, who: Principal | None = None) -> bool:
        """Do what `Console.write_at_once` says. It is possible for a key, as long as nobody else types, and there is
        room."""
        if len(data) > PUMPED_MAX or len(self._queue) >= INPUT_MAX or self._turn.locked():
            return False
        self._enqueue(data, who)
        return True

    async def send_break(self, key: bytes, who: Principal | None, may: Callable[[], bool]) -> bool:
        """Do what `Console.send_break` says."""
        guests_gone, self.break_unanswered = self._guests_gone, False
        async with self._turn:
            await self.taken()
            while may() and self._may_take_break():
                if guests_gone != self._guests_gone:
                    raise LineFault("the guest for which it was meant is gone")
                if await self._break_sent():
                    self._enqueue(key, who)
                    return True
                await self._change()
        return False

    def _may_take_break(self) -> bool:
        """Return whether a break can be sent now, or later, when the line or the native half is back."""
        if self.held:
            return False
        if self._device is None:
            return self._state in (ConsoleState.LIVE, ConsoleState.AWAY)
        return self._send_break is not None

    async def _break_sent(self) -> bool:
        sent = self._send_break() if self._send_break is not None else False
        if isinstance(sent, bool):
            return sent
        self.break_unanswered = True
        await sent
        self.break_unanswered = False
        return True

    @property
    def is_taken(self) -> bool:
        """Whether somebody takes typed text, at once or as fast as the guest reads."""
        return self._device is not None

    def _enqueue(self, part: bytes, who: Principal | None) -> None:
        if not part:
            return
        if self.held:
            self.lost += len(part)
            return
        self._queue += part
        for observer in self._observers:
            observer.typed(part, who)
        if self._is_nobody:
            self._lose()
        self.pump()

    @property
    def waiting(self) -> int:
        """How many typed bytes no guest has taken yet."""
        return len(self._queue)

    async def taken(self) -> None:
        """Wait until the guest's UART has accepted everything that was typed."""
        while self._queue:
            await self._change()

    async def _change(self) -> None:
        """Wait until the device was offered input, or something else has happened to the input that waits."""
        self._changed.clear()
        await self._changed.wait()

    def _lose(self) -> None:
        if self._queue and not self._loss_told:
            self._loss_told = True
            self._announce("what is typed now is lost, until there is a guest again")
        self.lost += len(self._queue)
        self._queue.clear()
        self._changed.set()
