"""The receiver of a 16550A: the characters that have come and that the guest has not read, what was wrong with them,
and the character timeout.

Without FIFOs the receiver holds one character, with FIFOs 16. The sections that are named are those of the PC16550D
datasheet (June 1995).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from oobconsole.devices.uart16550_registers import Lsr

FIFO_SIZE: Final = 16
TRIGGER_LEVELS: Final = (1, 4, 8, 14)
#: A character of zeros with the error that a break condition gives it (section 8.3, bit 4).
BREAK: Final = int(Lsr.BI) << 8

# IntFlag arithmetic costs more than a register access may: plain integers where it counts.
_DR, _OE, _FIFOE = int(Lsr.DR), int(Lsr.OE), int(Lsr.FIFOE)
#: PE, FE and BI, which belong to a character.
_ERRORS: Final = int(Lsr.PE | Lsr.FE | Lsr.BI)


@dataclass(slots=True)
class Receiver:
    """The receiver of one UART.

    Attributes:
        clock: a monotonic time in ns.
        number: of the character that the guest reads next; each character has one more than the one before it.
        characters: oldest first. A character carries its errors, as LSR shows them, above its eight bits.
        fcr: the FIFO control register without the bits that empty a FIFO.
        overrun: OE of LSR, or 0.
        timeout_ns: so long after the last character, or the last reading, the character timeout comes.
        timed_out: the character timeout has come.
        due: when the character timeout will come; None: never.
    """

    clock: Callable[[], int] = field(repr=False)
    number: int
    characters: deque[int] = field(default_factory=deque)
    fcr: int = 0
    overrun: int = 0
    timeout_ns: int = 0
    timed_out: bool = False
    due: int | None = None

    @property
    def room(self) -> int:
        """How many characters can come without an overrun."""
        return FIFO_SIZE - len(self.characters) if self.fcr & 1 else int(not self.characters)

    @property
    def threshold(self) -> int:
        """From how many characters on the receiver asks for an interrupt."""
        return TRIGGER_LEVELS[self.fcr >> 6] if self.fcr & 1 else 1

    def receive(self, character: int) -> None:
        """A character comes from the line. With FIFOs a character that finds no room is lost; without them it takes
        the place of the one that was there (section 8.3, bit 1)."""
        if len(self.characters) < (FIFO_SIZE if self.fcr & 1 else 1):
            self.characters.append(character)
        else:
            self.overrun = _OE
            if not self.fcr & 1:
                self.characters[0] = character
        if self.fcr & 1:
            self.due = self.clock() + self.timeout_ns

    def receive_block(self, data: bytes) -> None:
        """So many characters without an error come at once. The caller knows that there is room for all of them."""
        self.characters.extend(data)
        if self.fcr & 1:
            self.due = self.clock() + self.timeout_ns

    def take(self, count: int) -> None:
        """The guest has read so many characters, which are there. Reading restarts the character timeout."""
        for _ in range(count):
            self.characters.popleft()
        self.number += count
        self.timed_out = False
        self.due = self.clock() + self.timeout_ns if self.characters else None

    def empty(self) -> None:
        """Drop all characters, and the timeout. An overrun stays."""
        self.number += len(self.characters)
        self.characters.clear()
        self.timed_out = False
        self.due = None

    # -- its part of LSR ----------------------------------------------------------------------------

    def errors(self) -> int:
        """Bits 4-1 of LSR: an overrun at once, a character's own errors when that character is the next to be read
        (section 8.3)."""
        return self.overrun | (self.characters[0] >> 8 if self.characters else 0)

    def status(self, taken: int = 0) -> int:
        """LSR without the transmitter's bits, as it is once the guest has read `taken` of the characters."""
        if taken >= len(self.characters):
            return self.overrun
        status = self.overrun | self.characters[taken] >> 8 | _DR
        if self.fcr & 1 and max(islice(self.characters, taken, None)) > 0xFF:
            status |= _FIFOE
        return status

    def end_errors(self, shown: int) -> None:
        """The guest has read LSR with these bits, which ends the errors among them."""
        self.overrun &= ~shown
        if self.characters and shown & _ERRORS:
            self.characters[0] &= 0xFF

    # -- time ---------------------------------------------------------------------------------------

    @property
    def deadline(self) -> int | None:
        """When `expire` has something to do; None: never."""
        return None if self.timed_out else self.due

    def expire(self) -> bool:
        """Raise the character timeout if it is due (section 8.4.3). Returns whether it was due."""
        if self.due is None or self.clock() < self.due:
            return False
        self.due = None
        self.timed_out = bool(self.characters)
        return True
