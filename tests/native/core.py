"""All of `native/core` over a fake host: memory, registers and a clock of the test's own (`half.c`, `core.c`)."""

from __future__ import annotations

import ctypes
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

#: `enum oob_reg` of platform.h, as far as tests name it.
RAX, RCX, RDX, RBX, RIP, EFLAGS, CR0, CR3, CR4, EFER, CS = 0, 1, 2, 3, 16, 17, 18, 19, 20, 21, 22
#: Offsets of the VMCB (vmcb.h).
INTERCEPTS_3, INT_CTL, INT_STATE, EXITINFO2 = 0x0C, 0x60, 0x68, 0x80
EXITCODE, EXITINFO1, N_CR3, SOFTWARE, CS_BASE = 0x70, 0x78, 0xB0, 0x3F8, 0x418
TR_LIMIT, TR_BASE, SAVED_EFER, SAVED_CR4, SAVED_CR3, SAVED_CR0 = 0x494, 0x498, 0x4D0, 0x548, 0x550, 0x558
SAVED_RFLAGS, SAVED_RIP, SAVED_RAX, LSTAR = 0x570, 0x578, 0x5F8, 0x608
MEMORY_BYTES: Final = 1 << 20
UNMAPPED: Final = 2**64 - 1
_REG_COUNT: Final = 23
_DEFAULT: Final = ("socket=s", "machine=l1", "ports=uart@0x3f8-0x3ff:uart@0x2f8-0x2ff", "irq=4:3")
_Turn = ctypes.CFUNCTYPE(ctypes.c_bool)


class Route(NamedTuple):
    """Where an interrupt goes: `struct oob_route` of irqchip.h."""

    vector: int
    ioapic: bool = False
    logical: bool = False
    destination: int = 0


class Core:
    """A machine with two guests that were never run, numbers 1 and 2, and whatever L1 is made to run.

    Args:
        library: what `tests.native.half.build` has made.
        folder: for a copy of it: each has its own variables.
        words: the options.
    """

    def __init__(self, library: Path, folder: Path, words: Sequence[str] = _DEFAULT) -> None:
        own = folder / "core.so"
        shutil.copy(library, own)
        self.lib = ctypes.CDLL(str(own))
        for name in ("half_memory", "half_machine", "oob_context_enter", "oob_context_new", "oob_spares_take"):
            getattr(self.lib, name).restype = ctypes.c_void_p
        for name in ("core_vmcb", "core_hidden_rbx", "core_writable", "half_clock", "half_stat", "oob_reg_read"):
            getattr(self.lib, name).restype = ctypes.c_uint64
        self.lib.virt_read.restype = ctypes.c_uint64
        for name in ("half_begin", "core_level", "core_linear", "core_saved", "half_kept", "oob_spares_low"):
            getattr(self.lib, name).restype = ctypes.c_bool
        for name in ("oob_ioperm_allows", "oob_ioperm_tss_byte", "oob_timer_clamp", "oob_ioperm_asks_tss"):
            getattr(self.lib, name).restype = ctypes.c_bool
        for name in ("oob_lines_urgent", "oob_halt_end"):
            getattr(self.lib, name).restype = ctypes.c_bool
        arguments = (ctypes.c_char_p * len(words))(*(word.encode() for word in words))
        self._turn = _Turn(lambda: False)
        assert self.lib.half_begin(len(words), arguments, self._turn)
        self.machine = ctypes.c_void_p(self.lib.half_machine())
        self.memory = (ctypes.c_uint8 * MEMORY_BYTES).from_address(self.lib.half_memory())

    # -- L1's memory and registers ------------------------------------------------------------------

    def put(self, at: int, value: int, size: int = 8) -> None:
        """Write to L1's memory."""
        self.memory[at : at + size] = list(value.to_bytes(size, "little"))

    def get(self, at: int, size: int = 8) -> int:
        """Read L1's memory."""
        return int.from_bytes(bytes(self.memory[at : at + size]), "little")

    def set_reg(self, reg: int, value: int, vcpu: int = 0) -> None:
        """Set a register of one of L1's vCPUs. While L2 runs, the register is L2's."""
        self.lib.oob_reg_write(self.machine, vcpu, reg, ctypes.c_uint64(value))

    def reg(self, reg: int, vcpu: int = 0) -> int:
        """Return the content of a register."""
        return int(self.lib.oob_reg_read(self.machine, vcpu, reg))

    # -- guests -------------------------------------------------------------------------------------

    def vmcb(self, at: int, ncr3: int, *, rip: int = 0x1000, cs_base: int = 0, kernel: int = 0) -> int:
        """Make a VMCB at that address, as L1 has it before VMRUN. Returns the address."""
        self.memory[at : at + 0x1000] = [0] * 0x1000
        for field, value in ((N_CR3, ncr3), (SAVED_RIP, rip), (CS_BASE, cs_base), (LSTAR, kernel)):
            self.put(at + field, value)
        return at

    def enter(self, vmcb: int) -> int:
        """Enter a guest, as VMRUN does. Returns the address of the vCPU."""
        return int(self.lib.oob_context_enter(self.machine, ctypes.c_uint64(vmcb)))

    def context(self, vcpu: int) -> int:
        """Return the number of the context to which a vCPU belongs."""
        return int(self.lib.core_context(ctypes.c_void_p(vcpu)))

    def index(self, vcpu: int) -> int:
        """Return which of the vCPUs of its context it is."""
        return int(self.lib.core_index(ctypes.c_void_p(vcpu)))

    @property
    def live(self) -> int:
        """How many contexts live."""
        return int(self.lib.core_live(self.machine))

    def tick(self) -> None:
        """Let L1 do something: that is a moment to look for contexts that are gone."""
        self.lib.oob_context_tick(self.machine)

    def let_pass(self, ns: int) -> None:
        """Let so many ns go by."""
        self.lib.half_pass(ctypes.c_uint64(ns))

    @property
    def now(self) -> int:
        """The time by the clock, in ns."""
        return int(self.lib.half_clock())

    def read(self, vcpu: int, port: int, size: int = 1) -> int:
        """Read from a port, as L2 does."""
        return int(self.lib.core_read(ctypes.c_void_p(vcpu), port, size)) & 0xFFFFFFFF

    def write(self, vcpu: int, port: int, value: int, size: int = 1) -> None:
        """Write to a port, as L2 does."""
        self.lib.core_write(ctypes.c_void_p(vcpu), port, size, ctypes.c_uint32(value))

    # -- interrupts ---------------------------------------------------------------------------------

    def out(self, vcpu: int, port: int, value: int) -> None:
        """Write to an 8259, as L2 does."""
        self.lib.core_out(ctypes.c_void_p(vcpu), port, value)

    def mmio(self, vcpu: int, address: int, value: int) -> None:
        """Write to an IOAPIC, as L2 does."""
        self.lib.core_mmio(ctypes.c_void_p(vcpu), ctypes.c_uint64(address), ctypes.c_uint32(value))

    def redirect(self, vcpu: int, line: int, low: int, high: int = 0) -> None:
        """Write an entry of the IOAPIC, as L2 does."""
        for half, value in enumerate((low, high)):
            self.mmio(vcpu, 0xFEC00000, 0x10 + 2 * line + half)
            self.mmio(vcpu, 0xFEC00010, value)

    def route(self, vcpu: int, line: int) -> Route | None:
        """Return where an interrupt of that line goes; None: nowhere."""
        found = int(self.lib.core_route(ctypes.c_void_p(vcpu), line))
        return None if found < 0 else Route(found & 0xFF, bool(found & 0x100), bool(found & 0x200), found >> 16)

    def due(self, vcpu: int, priority: int = -1) -> tuple[int, int] | None:
        """Return the line and the vector of the interrupt that is due on the vCPU; None: none is."""
        found = int(self.lib.core_due(ctypes.c_void_p(vcpu), priority))
        return None if found < 0 else (found >> 8, found & 0xFF)

    def urgent(self, vcpu: int) -> bool:
        """Return whether an interrupt is due on the vCPU that is worth an exit of its own."""
        return bool(self.lib.oob_lines_urgent(ctypes.c_void_p(vcpu), -1))

    def end_halt(self, vcpu: int) -> bool:
        """Return whether a vCPU that has halted goes on, because an interrupt is due on it."""
        return bool(self.lib.oob_halt_end(ctypes.c_void_p(vcpu)))

    def level(self, vcpu: int, line: int) -> bool:
        """Return whether the line is high."""
        return bool(self.lib.core_level(ctypes.c_void_p(vcpu), line))

    def arm(self, vcpu: int, line: int) -> None:
        """Note that an interrupt of the line is on its way into the vCPU."""
        self.lib.oob_lines_arm(ctypes.c_void_p(vcpu), line)

    def delivered(self, vcpu: int) -> None:
        """Note that this interrupt has come into the vCPU."""
        self.lib.oob_lines_delivered(ctypes.c_void_p(vcpu))

    def disarm(self, vcpu: int) -> None:
        """Note that this interrupt has not come into the vCPU."""
        self.lib.oob_lines_disarm(ctypes.c_void_p(vcpu))

    # -- memory of L2 -------------------------------------------------------------------------------

    def nest(self, vcpu: int, levels: int) -> None:
        """Say how many levels the nested page table has."""
        self.lib.core_nest(ctypes.c_void_p(vcpu), levels)

    def linear(self, vcpu: int, address: int, size: int = 8, *, saved: bool = False) -> bytes | None:
        """Return L2's memory at a linear address, found by L2's registers or by its VMCB (`saved`); None: it is not
        mapped."""
        data = ctypes.create_string_buffer(size)
        l2, at = ctypes.c_void_p(vcpu), ctypes.c_uint64(address)
        found = self.lib.core_saved(l2, at, data, size) if saved else self.lib.core_linear(l2, 0, at, data, size)
        return data.raw if found else None

    def writable(self, vcpu: int, address: int) -> int | None:
        """Return where a linear address of L2 lies in L1's memory; None: L2 may not write there."""
        at = int(self.lib.core_writable(ctypes.c_void_p(vcpu), 0, ctypes.c_uint64(address)))
        return None if at == UNMAPPED else at

    def stat(self, index: int) -> int:
        """Return a counter, by its number (`enum oob_stat`)."""
        return int(self.lib.half_stat(index))


class IoInsn(ctypes.Structure):
    """`struct oob_io_insn` of decode.h."""

    _fields_ = (
        *((name, ctypes.c_uint8) for name in ("length", "size", "address", "imm")),
        *((name, ctypes.c_bool) for name in ("out", "immediate", "string", "rep", "wide")),
    )


class MovInsn(ctypes.Structure):
    """`struct oob_mov_insn` of decode.h."""

    _fields_ = (
        ("store", ctypes.c_bool),
        ("immediate", ctypes.c_bool),
        ("reg", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


def packed(*values: int) -> bytes:
    """Return the entries of a table, of eight bytes each."""
    return struct.pack(f"<{len(values)}Q", *values)
