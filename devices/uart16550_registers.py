"""The registers of a 16550A, as types: names as in the datasheet (PC16550D, June 1995)."""

from __future__ import annotations

from enum import Enum, IntEnum, IntFlag


class Reg(IntEnum):
    """Offsets of the registers from the I/O base. Where one offset has several names, the first is what a read
    reaches, the second what a write does; DLL and DLM are there while DLAB of LCR is set."""

    RBR = THR = DLL = 0
    IER = DLM = 1
    IIR = FCR = 2
    LCR = 3
    MCR = 4
    LSR = 5
    MSR = 6
    SCR = 7


class Ier(IntFlag):
    """IER: the conditions that may raise the interrupt line, each with a bit of its own."""

    RDI = 0x01  # received data, and the character timeout
    THRI = 0x02  # transmitter holding register empty
    RLSI = 0x04  # receiver line status
    MSI = 0x08  # modem status


class Iir(IntEnum):
    """IIR, which can only be read: the pending condition of the highest priority (they are in this order), or NONE;
    bits 7 and 6, which are not in these values, say that FIFOs are on."""

    RLSI = 0x06
    RDI = 0x04
    TIMEOUT = 0x0C
    THRI = 0x02
    MSI = 0x00
    NONE = 0x01


class Fcr(IntFlag):
    """FCR, which can only be written: FIFOs on or off, a bit to empty each of them, which reads as 0 again by itself,
    and at how many received bytes the interrupt comes (TRIGGER: 1, 4, 8 or 14)."""

    ENABLE = 0x01
    RESET_RX = 0x02
    RESET_TX = 0x04
    DMA = 0x08
    TRIGGER = 0xC0


class Lcr(IntFlag):
    """LCR: how characters look on the line, and DLAB, which puts the divisor where RBR, THR and IER are else."""

    WORD_LENGTH = 0x03
    STOP = 0x04
    PARITY = 0x08
    FORMAT = 0x3F  # word length, stop bits, parity
    BREAK = 0x40
    DLAB = 0x80


class Mcr(IntFlag):
    """MCR: the outputs of the modem interface, and the loopback in which they are its inputs."""

    DTR = 0x01
    RTS = 0x02
    OUT1 = 0x04
    OUT2 = 0x08  # gates the interrupt line on every PC
    LOOP = 0x10


class Lsr(IntFlag):
    """LSR: what the receiver has, with its errors (OE, PE, FE, BI, cleared by reading), and whether the transmitter
    can take a byte (THRE) or has sent all (TEMT)."""

    DR = 0x01
    OE = 0x02
    PE = 0x04
    FE = 0x08
    BI = 0x10
    THRE = 0x20
    TEMT = 0x40
    FIFOE = 0x80  # a character with an error is somewhere in the FIFO


class Msr(IntFlag):
    """MSR: in the lower half which of the inputs has changed since the last reading, in the upper half their
    levels."""

    DCTS = 0x01
    DDSR = 0x02
    TERI = 0x04
    DDCD = 0x08
    CTS = 0x10
    DSR = 0x20
    RI = 0x40
    DCD = 0x80


class LineEvent(Enum):
    """What the guest does to the line besides sending bytes."""

    BREAK_ON = "break on"
    BREAK_OFF = "break off"
    MODEM = "modem control"
    FORMAT = "line format"
