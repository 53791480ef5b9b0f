"""The timer of an idle guest of Xen's (`native/core/xen.c`). Source: Xen's public headers xen.h and vcpu.h."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.native.core import SAVED_CR0, Core

A, ROOT = 0x10000, 0x8000
INFO_PAGE, STACK, UNMAPPED = 0x30000, 0x31000, 0x400000
VCPU_INFO, TIME = INFO_PAGE + 0x80, INFO_PAGE + 0x80 + 32
VCPU_OP, SET_SINGLESHOT, SET_PERIODIC, REGISTER = 24, 8, 6, 10
PRESENT_WRITABLE, LARGE, PG = 3, 0x80, 1 << 31
CLAMPED = 5  # OOB_STAT_CLAMPED
SECOND_NS = 10**9
FAR = 2**62
#: The guest's TSC counts 2.5 GHz, of which Xen says: 0.8 / 2 ns, shifted by 1.
GHZ, MULTIPLIER, SHIFT = 2.5, int(0.8 / 4 * 2**32), 1
#: When the guest's TSC was 0, Xen's clock had this.
XEN_NS = 77 * SECOND_NS


class Call(ctypes.Structure):
    """`struct oob_xen_call` of xen.h."""

    _fields_ = tuple((name, ctypes.c_uint64) for name in ("number", "command", "vcpu", "argument"))


class Guest:
    """A vCPU of a guest whose physical memory is L1's first 2 MiB, and whose linear addresses are physical ones."""

    def __init__(self, core: Core) -> None:
        self.core = core
        for level in range(2):
            core.put(ROOT + 0x1000 * level, (ROOT + 0x1000 * (level + 1)) | PRESENT_WRITABLE)
        self.last_entry = ROOT + 0x2000
        core.put(self.last_entry, PRESENT_WRITABLE | LARGE)
        self.l2 = core.enter(core.vmcb(A, ROOT))

    def read_tsc(self) -> None:
        """RDTSC, of which the plugin looks at some."""
        self.core.lib.oob_timer_saw_tsc(ctypes.c_void_p(self.l2), ctypes.c_uint64(int(self.core.now * GHZ)))

    def call(self, command: int, argument: int, *, vcpu: int = 0, number: int = VCPU_OP) -> None:
        """VMMCALL."""
        self.core.lib.oob_xen_on_call(ctypes.c_void_p(self.l2), ctypes.byref(Call(number, command, vcpu, argument)))

    def register(self, address: int = VCPU_INFO, *, vcpu: int = 0) -> None:
        """It says where Xen is to write the time."""
        self.core.put(STACK, address // 0x1000)
        self.core.put(STACK + 8, address % 0x1000, 4)
        self.call(REGISTER, STACK, vcpu=vcpu)

    def time(self, *, version: int = 2, multiplier: int = MULTIPLIER, shift: int = SHIFT, ago_ns: int = 0) -> None:
        """Xen writes the time."""
        at = self.core.now - ago_ns
        page = struct.pack("<IIQQIbB2x", version, 0, int(at * GHZ), at + XEN_NS, multiplier, shift, 0)
        self.core.memory[TIME : TIME + len(page)] = list(page)

    def attended(self, attended: bool = True, *, typed_ago: int = SECOND_NS) -> None:
        """Somebody is at its console."""
        now = self.core.now
        self.core.lib.core_attend(
            ctypes.c_void_p(self.l2), attended, ctypes.c_uint64(now - typed_ago), ctypes.c_uint64(0)
        )

    def sleep(self, deadline: int = FAR, at: int = STACK) -> int:
        """Set the timer; returns what Xen reads. Afterwards there stands again what the guest has written."""
        self.core.put(at, deadline)
        self.call(SET_SINGLESHOT, at)
        seen = self.core.get(at)
        self.put_back()
        assert self.core.get(at) == deadline
        return seen

    def halts(self) -> None:
        """HLT, and the exit for it."""
        self.core.lib.oob_xen_on_halt(ctypes.c_void_p(self.l2))

    def put_back(self) -> None:
        """VMRUN."""
        self.core.lib.oob_xen_put_back(ctypes.c_void_p(self.l2))

    def until(self, deadline: int) -> int:
        """How far away a time of Xen's clock is."""
        return deadline - XEN_NS - self.core.now


@pytest.fixture
def guest(library: Path, tmp_path: Path) -> Guest:
    """One that runs since a while, is attended, and has been told the time by Xen."""
    guest = Guest(Core(library, tmp_path))
    guest.read_tsc()
    guest.core.let_pass(SECOND_NS)
    guest.read_tsc()
    guest.register()
    guest.time()
    guest.attended()
    return guest


@pytest.mark.parametrize("later_ns", [0, 900_000_000, 60 * SECOND_NS])
def test_a_deadline_is_brought_forward_by_xens_clock(guest: Guest, later_ns: int) -> None:
    """real-guests.md F3: an idle domU was not within reach, and the echo of a key took 348 ms in the median."""
    guest.core.let_pass(later_ns)
    guest.attended()
    seen = guest.sleep()
    assert guest.until(seen) == pytest.approx(5_000_000, abs=400_000)
    assert guest.sleep(seen - 1_000_000) == seen - 1_000_000, "it is early enough"
    guest.attended(typed_ago=1000)
    guest.halts()
    assert guest.until(guest.sleep()) == pytest.approx(500_000, abs=400_000)
    assert guest.core.stat(CLAMPED) == 2


def test_a_guest_that_has_not_halted_is_left_time_to_get_further(guest: Guest) -> None:
    """real-guests.md F3, variation: a timer that fired took longer than the next one was away, so one key in ten
    took 86 ms and more."""
    for halts, longest in ((True, 500_000), (False, 5_000_000), (False, 5_000_000), (True, 500_000)):
        if halts:
            guest.halts()
        guest.attended(typed_ago=1000)
        assert guest.until(guest.sleep()) == pytest.approx(longest, abs=400_000)
    guest.attended(False)
    assert guest.sleep() == FAR


def test_a_guest_that_nobody_attends_sleeps_as_long_as_it_likes(guest: Guest) -> None:
    guest.attended(False)
    assert guest.sleep() == FAR


def test_the_rate_may_be_given_with_a_shift_to_the_right(guest: Guest) -> None:
    guest.time(multiplier=int(0.8 * 2**32), shift=-1)
    guest.core.let_pass(SECOND_NS)
    guest.attended()
    assert guest.until(guest.sleep()) == pytest.approx(5_000_000, abs=400_000)


def test_xen_may_have_looked_at_its_clock_later_than_we(guest: Guest) -> None:
    guest.time(ago_ns=-1_000_000)
    assert guest.until(guest.sleep()) == pytest.approx(6_000_000, abs=400_000)


@pytest.mark.parametrize("vcpu", [0, 1])
def test_the_page_of_the_first_vcpu_tells_the_time(library: Path, tmp_path: Path, vcpu: int) -> None:
    guest = Guest(Core(library, tmp_path))
    guest.read_tsc()
    guest.core.let_pass(SECOND_NS)
    guest.read_tsc()
    guest.register(vcpu=vcpu)
    guest.time()
    guest.attended()
    assert (guest.sleep() != FAR) == (vcpu == 0)


def test_nothing_is_changed_before_the_rate_of_the_tsc_is_known(library: Path, tmp_path: Path) -> None:
    guest = Guest(Core(library, tmp_path))
    guest.register()
    guest.time()
    guest.attended()
    assert guest.sleep() == FAR


def _odd(guest: Guest) -> None:
    guest.time(version=3)


def _no_rate(guest: Guest) -> None:
    guest.time(multiplier=0)


def _shifted_out(guest: Guest) -> None:
    guest.time(shift=32)


def _shifted_away(guest: Guest) -> None:
    guest.time(shift=-32)


def _nowhere(guest: Guest) -> None:
    guest.register(UNMAPPED)


@pytest.mark.parametrize("spoil", [_odd, _no_rate, _shifted_out, _shifted_away, _nowhere])
def test_nothing_is_changed_where_the_time_cannot_be_read(guest: Guest, spoil: Callable[[Guest], None]) -> None:
    spoil(guest)
    assert guest.sleep() == FAR


def test_a_page_that_cannot_be_is_not_learnt(guest: Guest) -> None:
    guest.register(INFO_PAGE + 0xFF8)
    guest.call(REGISTER, UNMAPPED)
    assert guest.sleep() != FAR, "the first one is still known"


@pytest.mark.parametrize(("command", "number"), [(SET_PERIODIC, VCPU_OP), (SET_SINGLESHOT, VCPU_OP + 1)])
def test_other_calls_are_left_alone(guest: Guest, command: int, number: int) -> None:
    guest.core.put(STACK, FAR)
    guest.call(command, STACK, number=number)
    assert guest.core.get(STACK) == FAR


def test_a_deadline_that_is_not_whole_in_a_page_or_not_there_is_left_alone(guest: Guest) -> None:
    assert guest.sleep(at=STACK + 4) == FAR
    guest.call(SET_SINGLESHOT, UNMAPPED)
    guest.put_back()
    assert guest.core.stat(CLAMPED) == 0


def test_memory_where_l1_lets_the_guest_not_write_is_left_alone(guest: Guest) -> None:
    guest.core.put(guest.last_entry, 1 | LARGE)
    assert guest.sleep() == FAR


def test_linear_addresses_are_looked_up_in_the_guests_tables(guest: Guest) -> None:
    """Its saved CR0 has paging, and its CR3 leads to an empty table."""
    guest.core.put(A + SAVED_CR0, PG | 1)
    assert guest.sleep() == FAR


def test_what_another_vcpu_has_written_meanwhile_stays(guest: Guest) -> None:
    guest.core.put(STACK, FAR)
    guest.call(SET_SINGLESHOT, STACK)
    assert guest.core.get(STACK) != FAR
    guest.core.put(STACK, 4711)
    guest.put_back()
    assert guest.core.get(STACK) == 4711
