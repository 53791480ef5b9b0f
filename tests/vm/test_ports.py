"""An L2 with four serial ports, of which two share an interrupt line each. There is a shell at each port, and nothing
of one port comes out at another."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator

import pytest

from tests.stack.demo import telling_lines
from tests.stack.nested import L2Console, NestedStack
from tests.vm.secrecy import assert_l1_has_nothing

pytestmark = [pytest.mark.vm, pytest.mark.timeout(300)]
COMS = ("com1", "com2", "com3", "com4")
NAMES = ("web1", "web1.com2", "web1.com3", "web1.com4")
LINES = 1000


@pytest.fixture(scope="module")
def ported() -> Iterator[NestedStack]:
    """An L2 that has all the serial ports of a PC."""
    with NestedStack(uarts=COMS, l1_append="oob.l2append=8250.nr_uarts=4") as running:
        with running.console() as first:
            for tty in ("ttyS1", "ttyS2", "ttyS3"):
                first.run(f"setsid sh -c 'exec sh -i <>/dev/{tty} >&0 2>&1' & true")
        yield running


@pytest.fixture
def shells(ported: NestedStack) -> Iterator[list[L2Console]]:
    """A script at the shell of each port."""
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(ported.console(name)) for name in NAMES]


def test_each_port_has_its_address_and_its_interrupt(shells: list[L2Console]) -> None:
    for number, shell in enumerate(shells):
        assert shell.run("tty").strip() == f"/dev/ttyS{number}".encode()
    found = re.findall(rb"uart:16550A port:0{5}(\w+) irq:(\d)", shells[0].run("cat /proc/tty/driver/serial"))
    assert found == [(b"3F8", b"4"), (b"2F8", b"3"), (b"3E8", b"4"), (b"2E8", b"3")]


def interrupts(shell: L2Console) -> tuple[int, int]:
    """Return how many interrupts came on line 4 and on line 3. Linux calls a line by the name of its first port."""
    table = shell.run("cat /proc/interrupts")
    of_4, of_3 = (
        re.search(rb"^ *%d: +(\d+) .*%b$" % port, table, re.MULTILINE) for port in ((4, b"ttyS0"), (3, b"ttyS1"))
    )
    assert of_4 is not None
    assert of_3 is not None
    return int(of_4[1]), int(of_3[1])


def test_a_port_raises_the_interrupt_that_it_shares_and_no_other(shells: list[L2Console]) -> None:
    for shell, line in ((shells[2], 0), (shells[3], 1)):
        before, after = interrupts(shell), interrupts(shell)
        assert after[line] > before[line]
        assert after[1 - line] == before[1 - line]
    assert shells[0].run("dmesg | grep -c -e 'too much work' -e 'nobody cared' || true").strip() == b"0"


def test_all_print_at_once_and_nothing_is_mixed_up(shells: list[L2Console]) -> None:
    for name, shell in zip(NAMES, shells, strict=True):
        shell.send(f"for i in $(seq {LINES}); do echo {name} says $i; done; echo do''ne\n")
    for name, shell in zip(NAMES, shells, strict=True):
        shell.expect(rb"done\r?\n", timeout=60)
        said = re.findall(rb"^(\S+) says (\d+)\r?$", bytes(shell.seen), re.MULTILINE)
        assert said == [(name.encode(), str(i + 1).encode()) for i in range(LINES)]


def test_what_is_typed_at_all_of_them_arrives_where_it_was_typed(shells: list[L2Console]) -> None:
    words = [secrets.token_hex(200) for _ in shells]
    for shell in shells:
        shell.send("read -r word; echo got:$word:\n")
        shell.expect(rb"word:\r?\n", timeout=10)
    for start in range(0, len(words[0]), 8):
        for shell, word in zip(shells, words, strict=True):
            shell.send(word[start : start + 8])
    for shell, word in zip(shells, words, strict=True):
        shell.send("\n")
        shell.expect(f"got:{word}:", timeout=20)


def test_l1_has_seen_nothing_of_any(ported: NestedStack, shells: list[L2Console]) -> None:
    lines = set[bytes]()
    for shell in shells:
        secret = secrets.token_hex(16).encode()
        assert secret in shell.run(f"echo {secret.decode()}")
        lines |= telling_lines(shell.conversation)
    assert_l1_has_nothing(ported, lines)
    assert ported.l2_files(1) == b""
