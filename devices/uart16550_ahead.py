"""What a guest will read from a 16550A, told ahead as images of its registers (`Ahead` of `device.py`)."""

from __future__ import annotations

from typing import Final

from oobconsole.devices.device import Ahead, Image
from oobconsole.devices.uart16550_interrupts import THR_EMPTY, Interrupts
from oobconsole.devices.uart16550_registers import Lcr, Lsr, Mcr

#: Bits of LSR and IIR that do not depend on what is received.
IDLE: Final = int(Lsr.THRE | Lsr.TEMT)
FIFOS_ON: Final = 0xC0
LINE_ERRORS: Final = int(Lsr.OE | Lsr.PE | Lsr.FE | Lsr.BI)

_DLAB, _LOOP = int(Lcr.DLAB), int(Mcr.LOOP)
_MSR_BIT: Final = 1 << 6  # of an image: MSR is register 6


def ahead(interrupts: Interrupts, lcr: int, scr: int) -> Ahead:
    """Return one image for each received character, and one for the empty receiver behind them.

    Of the first two registers an image has the values of RBR and IER. While DLAB is set, the divisor is there, and
    neither is valid.
    """
    receiver = interrupts.receiver
    held = len(receiver.characters)
    images = [_image(interrupts, lcr, scr, 0, receiver.status(), interrupts.pending())]
    for taken in range(1, held + 1):
        status = receiver.status(taken)
        pending = interrupts.highest(held - taken, status & LINE_ERRORS, False)  # reading ends a timeout
        images.append(_image(interrupts, lcr, scr, taken, status, pending))
    return Ahead(receiver.number, tuple(images))


def _image(interrupts: Interrupts, lcr: int, scr: int, taken: int, status: int, pending: int) -> Image:
    """Return the registers when the guest has read `taken` characters. `status` has the receiver's bits of LSR, and
    `pending` bits 3-0 of IIR.

    In loopback MSR is not valid: its value has the lines of the far side, which MSR shows when loopback has ended. A
    shadow knows the outputs that MSR shows instead, because the guest has written them."""
    receiver, modem = interrupts.receiver, interrupts.modem
    here = taken < len(receiver.characters)
    values = (
        receiver.characters[taken] & 0xFF if here else 0,
        interrupts.ier,
        pending | (FIFOS_ON if receiver.fcr & 1 else 0),
        lcr,
        modem.mcr,
        IDLE | status,
        modem.lines | modem.deltas,
        scr,
    )
    dlab = lcr & _DLAB
    valid = (0xFC if dlab else 0xFF) & (~_MSR_BIT if modem.mcr & _LOOP else 0xFF)
    errors = bool(status & LINE_ERRORS)
    effects = (here and not dlab) | (pending == THR_EMPTY) << 2 | errors << 5 | bool(modem.deltas) << 6
    return Image(valid, effects & valid, bytes(values))
