"""The smaller parts of `native/core`: bus, spares, machine, timer, latencies; and the plugin's options."""

from __future__ import annotations

import ctypes
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.interceptors import wire
from oobconsole.interceptors.wire import PortRange
from tests.native.core import Core
from tests.native.half import Half

ROOT, A = 0x8000, 0x10000
COM1, SCR = 0x3F8, 0x3FF
DROPPED, CLAMPED = 8, 5  # OOB_STAT_DROPPED, OOB_STAT_CLAMPED
SPARES = 32
SECOND_NS = 1_000_000_000


@pytest.fixture
def core(library: Path, tmp_path: Path) -> Core:
    """With COM1 and COM2."""
    return Core(library, tmp_path)


def guest(core: Core, at: int = A) -> int:
    core.put(ROOT, 1)
    return core.enter(core.vmcb(at, ROOT, rip=0xFFF0, cs_base=0xFFFF0000))


# -- the bus, and devices that have no shadow ----------------------------------------------------------


@pytest.fixture
def i8042(library: Path, tmp_path: Path) -> Half:
    """A UART, and a device of two ports and two interrupts, of which the native half has no shadow."""
    half = Half(
        library, tmp_path, ("socket=s", "machine=l1", "ports=uart@0x3f8-0x3ff:generic@0x60+0x64", "irq=4:1+12")
    )
    half.begin()
    return half


def test_a_device_without_a_shadow_is_the_servers(i8042: Half) -> None:
    i8042.answers = {0x60: 0xFA, 0x64: 0x1D}
    assert i8042.read(0, base=0x60) == 0xFA
    assert i8042.read(0, base=0x64) == 0x1D
    assert i8042.read(0, base=0x61) == 0xFF, "it is not ours"
    assert i8042.asked == 2
    i8042.write(0, 0xD4, base=0x64)
    assert [event for event in i8042.take() if isinstance(event, wire.Access)][-1].port == 0x64


def test_what_the_server_publishes_of_it_is_read(i8042: Half) -> None:
    i8042.write(0, 1, base=0x64)
    i8042.take()
    i8042.say(wire.encode_publish(1, i8042.served(), 0x64, 0, [(1, 0, bytes([0x1D, *[0] * 7]))]))
    asked = i8042.asked
    assert i8042.read(0, base=0x64) == 0x1D
    assert i8042.asked == asked
    i8042.say(wire.encode_publish(1, i8042.served(), 0x65, 0, [(1, 0, bytes([0x77] * 8))]))
    assert i8042.read(0, base=0x64) == 0x1D, "no range begins there"
    i8042.say(wire.encode_publish(1, i8042.served(), 0x64, 0, [(1, 1, bytes([0x77] * 8))]))
    assert i8042.asks_at(0x64) == (True, 0), "reading has an effect, of which the server must know"


def test_while_the_server_is_away_it_reads_as_ones(i8042: Half) -> None:
    i8042.hang_up()
    i8042.write(0, 0xAA, base=0x60)
    assert (i8042.read(0, base=0x60), i8042.read(0, base=0x64)) == (0xFF, 0xFF)
    i8042.connect()
    i8042.ready()
    assert not [event for event in i8042.take() if isinstance(event, wire.Posted) and event.port in (0x60, 0x64)]


def test_what_is_said_of_its_lines_and_its_receiver(i8042: Half) -> None:
    i8042.write(0, 1, base=0x60)
    for line in (1, 12):
        i8042.irq(wire.IrqMode.HIGH, line=line)
        assert i8042.line_level(line)
    i8042.irq(wire.IrqMode.HIGH, line=5)
    assert not i8042.line_level(5), "no device has it"
    i8042.restart()
    i8042.hang_up()
    assert not i8042.line_level(1)


@pytest.mark.parametrize(
    "words",
    [
        "ports=",
        "ports=uart@0x3f8-",
        "ports=generic@0x3f8-0x400",  # nine ports
        "ports=uart@0x3ff-0x3f8",
        "ports=uart@0x3f8-0x3ff,uart@0x2f8-0x2ff",
        "ports=uart@0x3f8-0x3ff:uart@0x3f8-0x3ff",
        "ports=generic@0x60+0x60",
        "ports=generic@0x10000",
        "ports=generic@-1",
        "ports=" + ":".join(f"generic@{16 * n}" for n in range(16)),
        "ports=generic@" + "+".join(f"{16 * n}" for n in range(33)),
        "irq=",
        "irq=16",
        "irq=4:3",
        "irq=4x",
        "irq=-4",
        "irq=--",
        "irq=4+-",
        "irq=-:4",
        "irq=1+2+3",
        "ports=generic@0x60+0x64:uart@0x3f8-0x3ff irq=1",
        "colour=blue",
        "verbose",
        "registers=perhaps",
        "machine=",
        "socket=" + "x" * 108,
        "machine=" + "x" * 48,
    ],
)
def test_options_that_are_refused(library: Path, tmp_path: Path, words: str) -> None:
    good = {"socket": "s", "machine": "l1"}
    names = {word.partition("=")[0] for word in words.split()}
    given = [f"{name}={value}" for name, value in good.items() if name not in names] + words.split()
    with pytest.raises(AssertionError):
        Core(library, tmp_path, given)


@pytest.mark.parametrize(
    ("ports", "reason"),
    [
        ("0x3f8-0x3ff", "ports= wants a kind in front of each device's ports"),
        ("uart@0x3f8-0x3ff:0x2f8-0x2ff", "ports= wants a kind in front of each device's ports"),
        ("vga@0x3c0-0x3c7", "the kinds are uart (a 16550) and generic (any other device)"),
        ("uart", "the kinds are uart (a 16550) and generic (any other device)"),
        ("uarts@0x3f8-0x3ff", "the kinds are uart (a 16550) and generic (any other device)"),
        ("uart@0x3f8-0x3fe", "ports= wants exactly eight adjacent ports for each uart"),
        ("uart@0x3f8-0x3fb+0x3fc-0x3ff", "ports= wants exactly eight adjacent ports for each uart"),
        ("generic@", "ports= wants up to 15 devices"),
        ("generic@0x60;", "ports= wants up to 15 devices"),
    ],
)
def test_ports_that_are_refused_say_why(
    library: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], ports: str, reason: str
) -> None:
    with pytest.raises(AssertionError):
        Core(library, tmp_path, ("socket=s", "machine=l1", f"ports={ports}"))
    said = capfd.readouterr().err
    assert reason in said
    assert f"'{ports}'" in said


def test_eight_ports_of_another_device_are_no_uart(library: Path, tmp_path: Path) -> None:
    """A shadow of a 16550 would answer 0x5a from its scratch register, and keep what is written to port 0x2f8."""
    half = Half(
        library, tmp_path, ("socket=s", "machine=l1", "ports=uart@0x3f8-0x3ff:generic@0x2f8-0x2ff", "irq=4:-")
    )
    half.begin()
    half.answers = {0x2FD: 0x13, 0x2FF: 0x31}
    half.write(7, 0x5A, base=0x2F8)
    assert half.read(7, base=0x2F8) == 0x31
    assert half.read(5, base=0x2F8) == 0x13
    half.hang_up()
    half.write(0, ord("x"), base=0x2F8)
    assert half.read(7, base=0x2F8) == 0xFF


DISPI = 0x1CE


def dispi(library: Path, folder: Path, widths: int) -> Half:
    """A UART, and the two registers of 16 bits that a display adapter has at 0x1ce and 0x1cf."""
    half = Half(library, folder, ("socket=s", "machine=l1", "ports=uart@0x3f8-0x3ff:generic@0x1ce-0x1d0", "irq=4:-"))
    half.widths, half.posted = widths, 0
    half.begin()
    half.answers = {DISPI: 0xB0C5, DISPI + 1: 0x1234, DISPI + 2: 0x77}
    return half


def accesses(half: Half) -> list[tuple[int, int, bool, int]]:
    return [(one.port, one.size, one.write, one.value) for one in half.take() if isinstance(one, wire.Access)]


def test_a_wide_register_is_accessed_whole(library: Path, tmp_path: Path) -> None:
    half = dispi(library, tmp_path, 0b011)
    assert half.read(0, base=DISPI, size=2) == 0xB0C5
    half.write(0, 0xFEDC_1234, base=DISPI + 1, size=2)
    assert accesses(half) == [(DISPI, 2, False, 0), (DISPI + 1, 2, True, 0x1234)]
    half.take()
    assert half.read(0, base=DISPI, size=4) & 0xFFFF_FFFF == 0xFF77_B0C5, "the last byte is at a port of nobody's"
    half.write(0, 0x5678, base=DISPI + 2, size=2)
    assert accesses(half) == [(DISPI, 2, False, 0), (DISPI + 2, 1, False, 0), (DISPI + 2, 1, True, 0x78)]
    half.hang_up()
    assert half.read(0, base=DISPI, size=2) == 0xFFFF
    half.write(0, 5, base=DISPI, size=2)


def test_a_guest_that_ends_while_a_wide_access_waits(library: Path, tmp_path: Path) -> None:
    """The rest of the access is another guest's, and is not made."""
    half = dispi(library, tmp_path, 0b011)
    half.meanwhile(lambda: half.replace(1))
    assert half.read(0, base=DISPI, size=4) & 0xFFFF_FFFF == 0xFFFF_FFFF
    assert accesses(half) == [(DISPI, 2, False, 0)]
    half.meanwhile(lambda: half.replace(2))
    half.write(0, 5, base=DISPI, size=4, context=2)
    assert accesses(half) == [(DISPI, 2, True, 5)]


def test_what_the_server_takes_apart_comes_in_bytes(library: Path, tmp_path: Path) -> None:
    half = dispi(library, tmp_path, 0b001)
    assert half.read(0, base=DISPI, size=2) == 0x34C5
    assert accesses(half) == [(DISPI, 1, False, 0), (DISPI + 1, 1, False, 0)]


def test_a_shadow_gets_bytes_whatever_the_server_says(library: Path, tmp_path: Path) -> None:
    half = dispi(library, tmp_path, 0b111)
    half.write(0, 0x5A, base=COM1 + 7, size=2)
    assert half.read(0, base=COM1 + 6, size=2) & 0xFF00 == 0x5A00


def test_many_devices_and_ranges(library: Path, tmp_path: Path) -> None:
    """A display adapter alone has six ranges of ports, because a range has eight ports at most."""
    vga = "generic@0x3b4-0x3b5+0x3ba+0x3c0-0x3c7+0x3c8-0x3cf+0x3d4-0x3d5+0x3da"
    others = [f"generic@{first:#x}+{first + 2:#x}" for first in range(0x500, 0x500 + 12 * 4, 4)]
    ports = ":".join(["uart@0x3f8-0x3ff", vga, *others, "generic@0xe9"])
    half = Half(library, tmp_path, ("socket=s", "machine=l1", f"ports={ports}", "irq=4" + ":-" * 14))
    assert ports.count(":") + 1 == 15
    assert ports.count("@") + ports.count("+") == 32
    half.begin()
    half.answers = {0x3C5: 0x0F, 0x52E: 0x5A, 0xE9: 0xE9}
    assert [half.read(0, base=port) for port in (0x3C5, 0x52E, 0xE9, 0x52D)] == [0x0F, 0x5A, 0xE9, 0xFF]
    half.say(wire.encode_publish(1, half.served(), 0x52E, 0, [(1, 0, bytes([0x77, *[0] * 7]))]))
    asked = half.asked
    assert half.read(0, base=0x52E) == 0x77
    assert half.asked == asked


@pytest.mark.parametrize("missing", ["socket", "machine"])
def test_options_that_are_needed(library: Path, tmp_path: Path, missing: str) -> None:
    with pytest.raises(AssertionError):
        Core(library, tmp_path, [word for word in ("socket=s", "machine=l1") if not word.startswith(missing)])


def test_options_that_may_be_left_out(library: Path, tmp_path: Path) -> None:
    core = Core(library, tmp_path, ("socket=s", "machine=l1", "registers=shown"))
    vcpu = guest(core)
    core.write(vcpu, SCR, 0x5A)
    assert core.read(vcpu, SCR) == 0x5A


def test_a_device_may_have_no_interrupt(library: Path, tmp_path: Path) -> None:
    """It is served, and no line is taken from the UART beside it."""
    half = Half(library, tmp_path, ("socket=s", "machine=l1", "ports=generic@0xe8-0xeb:uart@0x3f8-0x3ff", "irq=-:4"))
    half.begin()
    half.answers = {0xE9: 0x5A}
    assert half.read(1, base=0xE8) == 0x5A
    half.irq(wire.IrqMode.HIGH, line=4)
    half.hang_up()
    assert half.read(1, base=0xE8) == 0xFF


def test_an_access_may_reach_two_devices_and_nothing(library: Path, tmp_path: Path) -> None:
    core = Core(
        library, tmp_path, ("socket=s", "machine=l1", "ports=uart@0x3f8-0x3ff:generic@0x400-0x401", "irq=4:3")
    )
    vcpu = guest(core)
    core.write(vcpu, SCR, 0x11_22_33_5A, size=4)
    assert core.read(vcpu, SCR, size=4) == 0xFF_FF_FF_5A


# -- do both halves mean the same ports? -----------------------------------------------------------------

OURS = [
    PortRange(COM1, 8, 1 << 4),
    PortRange(0x60, 1, 1 << 1 | 1 << 12, widths=7),
    PortRange(0x64, 1, 1 << 1 | 1 << 12, widths=7),
]


@pytest.mark.parametrize(
    ("served", "missing"),
    [
        (OURS, -1),
        (OURS[::-1], -1),
        (OURS[:1], -1),
        ([], -1),
        ([PortRange(0x2F8, 8, 1 << 3)], 0x2F8),
        ([OURS[0], PortRange(0x60, 1, 1 << 1)], 0x60),
        ([PortRange(COM1, 4, 1 << 4)], COM1),
        ([PortRange(COM1, 8, 1 << 4, widths=2)], COM1),
        ([PortRange(COM1, 8, 1 << 4, widths=7, posted=0xFF)], -1),
    ],
)
def test_ranges_that_the_server_has_and_we_have_not(
    library: Path, tmp_path: Path, served: list[PortRange], missing: int
) -> None:
    core = Core(
        library, tmp_path, ("socket=s", "machine=l1", "ports=uart@0x3f8-0x3ff:generic@0x60+0x64", "irq=4:1+12")
    )
    assert core.lib.core_missing(core.machine, wire.encode_welcome(0, served)) == missing


def test_our_ranges_are_said(library: Path, tmp_path: Path) -> None:
    core = Core(
        library, tmp_path, ("socket=s", "machine=l1", "ports=uart@0x3f8-0x3ff:generic@0x60+0x64", "irq=4:1+12")
    )
    expected = wire.encode_hello("l1", 7, ranges=OURS)
    hello = ctypes.create_string_buffer(wire.encode_hello("l1", 7), len(expected))
    core.lib.core_say_ranges(core.machine, hello)
    assert hello.raw == expected


# -- memory ----------------------------------------------------------------------------------------------


def test_memory_for_output_is_asked_for_ahead(core: Core) -> None:
    """A vCPU takes what is there, and says when it runs low; what there is no room for is counted as lost."""
    for n in range(SPARES):
        core.write(guest(core, A + 0x1000 * n), COM1, ord("x"))
    assert core.stat(DROPPED) == 0
    assert core.lib.half_woken() == 1, "half of it was taken"
    last = guest(core, A + 0x1000 * SPARES)
    core.write(last, COM1, ord("x"))
    assert core.stat(DROPPED) == 1
    core.lib.half_no_memory(True)
    core.lib.oob_machine_tend(core.machine)
    core.write(last, COM1, ord("y"))
    assert core.stat(DROPPED) == 2, "there is none to be had"
    core.lib.half_no_memory(False)
    core.lib.oob_machine_tend(core.machine)
    core.write(last, COM1, ord("z"))
    assert core.stat(DROPPED) == 2


def test_memory_that_comes_back_is_kept_or_freed(core: Core) -> None:
    core.write(guest(core), COM1, ord("x"))
    core.lib.oob_machine_tend(core.machine)
    core.lib.oob_machine_free(core.machine)
    assert core.live == 0
    core.lib.oob_machine_tend(core.machine)
    core.write(guest(core), COM1, ord("x"))
    assert core.stat(DROPPED) == 0


# -- the timer of an idle guest ------------------------------------------------------------------------


def clamp(core: Core, vcpu: int, deadline: int) -> int:
    value = ctypes.c_uint64(deadline)
    changed = core.lib.oob_timer_clamp(ctypes.c_void_p(vcpu), ctypes.byref(value))
    assert changed == (value.value != deadline)
    return value.value


def attend(
    core: Core, vcpu: int, attended: bool, *, typed_ago: int = SECOND_NS, printed_ago: int = SECOND_NS
) -> None:
    now = core.now
    core.lib.core_attend(
        ctypes.c_void_p(vcpu), attended, ctypes.c_uint64(now - typed_ago), ctypes.c_uint64(now - printed_ago)
    )


@pytest.mark.parametrize("ghz", [0.1, 1, 2.5, 5])
@pytest.mark.parametrize("between_ns", [21_000_000, 300_000_000, 3600 * SECOND_NS])
def test_a_deadline_is_brought_forward_by_the_guests_own_clock(core: Core, ghz: float, between_ns: int) -> None:
    vcpu = guest(core)
    attend(core, vcpu, True)
    for ns in (0, between_ns):
        core.let_pass(ns)
        core.lib.oob_timer_saw_tsc(ctypes.c_void_p(vcpu), ctypes.c_uint64(int((core.now + 20_000) * ghz)))
    attend(core, vcpu, True)
    limit = clamp(core, vcpu, 2**63)
    assert limit / ghz - core.now == pytest.approx(5_000_000, rel=0.02)
    assert clamp(core, vcpu, limit - 1_000_000) == limit - 1_000_000, "it is early enough"
    attend(core, vcpu, True, typed_ago=1000)
    assert clamp(core, vcpu, 2**63) / ghz - core.now == pytest.approx(500_000, rel=0.2)
    assert core.stat(CLAMPED) == 2
    attend(core, vcpu, False)
    assert clamp(core, vcpu, 2**63) == 2**63, "nobody is there"
    assert clamp(core, vcpu, 0) == 0


def test_a_vcpu_of_several_is_woken_for_what_another_prints(core: Core) -> None:
    core.put(ROOT, 1)
    first, second = (core.enter(core.vmcb(at, ROOT)) for at in (A, A + 0x1000))
    for tsc in (10**9, 10**9 + 30_000_000):
        core.lib.oob_timer_saw_tsc(ctypes.c_void_p(second), ctypes.c_uint64(tsc))
        core.let_pass(30_000_000)
    attend(core, first, False, printed_ago=1000)
    assert clamp(core, second, 2**63) < 2**63


def test_a_deadline_is_left_alone_until_the_clock_is_known(core: Core) -> None:
    vcpu = guest(core)
    attend(core, vcpu, True)
    assert clamp(core, vcpu, 2**63) == 2**63
    core.lib.oob_timer_saw_tsc(ctypes.c_void_p(vcpu), ctypes.c_uint64(10**12))
    core.let_pass(30_000_000)
    core.lib.oob_timer_saw_tsc(ctypes.c_void_p(vcpu), ctypes.c_uint64(10**6))
    attend(core, vcpu, True)
    assert clamp(core, vcpu, 2**63) == 2**63, "it was set back, and is measured anew"


# -- how long answers took -------------------------------------------------------------------------------


@given(ns=st.one_of(st.integers(0, 2**20), st.integers(0, 2**63)))
def test_latencies_are_counted_by_quarters_of_a_power_of_two(library: Path, ns: int) -> None:
    stats = (ctypes.c_uint64 * 80)()
    ctypes.CDLL(str(library)).oob_exchange_count(stats, ctypes.c_uint64(ns))
    buckets = list(stats[len(wire.STATS) : len(wire.STATS) + 64])
    exact = min(63.0, 4 * math.log2(ns / 1000)) if ns > 1000 else 0.0
    assert buckets.index(1) == pytest.approx(exact, abs=1.0)
    assert buckets.index(1) == int(exact) or abs(exact - round(exact)) < 1e-6
    assert sum(buckets) == 1
    assert stats[wire.STATS.index("read_ns")] == ns
