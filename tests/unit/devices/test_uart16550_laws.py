"""What holds for a 16550A whatever has happened to it before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from oobconsole.devices.uart16550 import Uart16550
from tests.unit.devices.bench import Bench, in_use

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 7), st.integers(0, 255)),
        st.tuples(st.just("read"), st.integers(0, 7), st.just(0)),
        st.tuples(st.just("feed"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("wait"), st.integers(0, 10**9), st.just(0)),
        st.tuples(st.just("break"), st.just(0), st.just(0)),
        st.tuples(st.just("lines"), st.integers(0, 15), st.just(0)),
    ),
    max_size=60,
)


def drive(bench: Bench, operations: list[tuple[str, int, int]]) -> None:
    """Run them; the line is always what the registers say."""
    for kind, a, b in operations:
        if kind == "write":
            bench.uart.write(a, b)
        elif kind == "read":
            bench.uart.read(a)
        elif kind == "feed":
            bench.uart.feed(bytes(range(a)))
        elif kind == "wait":
            bench.now += a
            bench.uart.poll()
        elif kind == "break":
            bench.uart.receive_break()
        else:
            bench.uart.set_modem_lines(cts=bool(a & 1), dsr=bool(a & 2), ri=bool(a & 4), dcd=bool(a & 8))
        assert bench.levels[-1] == bench.uart.irq_level, (kind, a, b)


def snapshot(uart: Uart16550) -> dict[str, object]:
    return {name: repr(value) for name, value in vars(uart).items() if not callable(value)}


@given(OPERATIONS)
def test_only_changes_of_the_line_are_told(operations: list[tuple[str, int, int]]) -> None:
    bench = in_use()
    drive(bench, operations)
    assert all(a != b for a, b in zip(bench.levels, bench.levels[1:], strict=False))


@given(OPERATIONS, st.integers(0, 7))
def test_a_peek_is_a_read_if_that_has_no_effect(operations: list[tuple[str, int, int]], offset: int) -> None:
    bench = in_use()
    drive(bench, operations)
    before = snapshot(bench.uart)
    value = bench.uart.peek(offset)
    assert snapshot(bench.uart) == before
    read = bench.uart.read(offset)
    assert value in (None, read)
    assert (value is None) == (snapshot(bench.uart) != before)


@given(OPERATIONS, st.lists(st.integers(0, 7), max_size=40))
def test_what_is_told_ahead_is_what_the_guest_reads(
    operations: list[tuple[str, int, int]], offsets: list[int]
) -> None:
    """As long as each reading without an effect, or of RBR, is answered from the images."""
    bench = in_use()
    drive(bench, operations)
    images = list(bench.uart.ahead().images)
    for offset in offsets:
        image = images[0]
        if not image.valid >> offset & 1:
            continue
        assert bench.uart.read(offset) == image.values[offset]
        if image.effects >> offset & 1 and offset:
            break  # what it changes is in no image
        if image.effects & 1 and offset == 0:
            del images[0]
        assert bench.uart.ahead().images == tuple(images)


@given(OPERATIONS, st.integers(0, 7))
def test_a_reading_served_elsewhere_does_what_a_reading_does(
    operations: list[tuple[str, int, int]], offset: int
) -> None:
    one, other = in_use(), in_use()
    drive(one, operations)
    drive(other, operations)
    number, images = one.uart.ahead()
    if images[0].valid >> offset & 1:
        value = one.uart.read(offset)
        other.uart.served(offset, value, number + (offset == 0 and images[0].effects & 1))
        assert snapshot(one.uart) == snapshot(other.uart)


@given(OPERATIONS, st.integers(0, 7), st.binary(max_size=40))
def test_a_block_is_its_bytes(operations: list[tuple[str, int, int]], offset: int, data: bytes) -> None:
    one, many = in_use(), in_use()
    drive(one, operations)
    drive(many, operations)
    one.uart.write_block(offset, data)
    for value in data:
        many.uart.write(offset, value)
    assert snapshot(one.uart) == snapshot(many.uart)
    assert one.sent == many.sent
    assert one.levels[-1:] == many.levels[-1:]
