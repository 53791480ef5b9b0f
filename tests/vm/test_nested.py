"""The whole stack: stock QEMU, unmodified L1 and L2, our UART in between, a real ssh client on top."""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import subprocess

import pytest

from tests.stack.demo import leaked, telling_lines
from tests.stack.nested import PLUGIN, PROMPT, L2Console, NestedStack, qemu
from tests.support.expect import Expect, ExpectError

pytestmark = [pytest.mark.vm, pytest.mark.timeout(300)]


def test_boot_reaches_a_prompt_and_answers(console: L2Console) -> None:
    assert re.search(rb"^Linux l2 ", console.run("uname -a"), re.MULTILINE)


def test_the_guest_finds_a_16550a_on_its_ioapic(console: L2Console) -> None:
    assert b"uart:16550A port:000003F8 irq:4" in console.run("cat /proc/tty/driver/serial")
    line = re.search(rb"^ *4: +(\d+) .*IO-APIC.*ttyS0", console.run("cat /proc/interrupts"), re.MULTILINE)
    assert line is not None
    assert int(line[1]) > 0
    assert b"noapic" not in console.run("cat /proc/cmdline")


def test_what_is_typed_is_what_the_guest_reads(console: L2Console) -> None:
    word = secrets.token_hex(8)
    console.send(b"read -r line; echo got:$line:\n")
    console.expect(rb"line:\r?\n", timeout=10)
    console.send(f"{word}\n")
    console.expect(f"got:{word}:", timeout=10)


def test_64_kib_of_random_bytes_reach_the_client_unharmed(console: L2Console) -> None:
    size = 65536
    console.run(f"head -c {size} /dev/urandom >/tmp/random")
    digest = re.search(rb"([0-9a-f]{64})", console.run("sha256sum /tmp/random"))
    assert digest is not None
    start = secrets.token_hex(8)
    console.send(f"stty raw -echo; echo {start[:8]}''{start[8:]}; cat /tmp/random; stty sane; echo fi''nis\n")
    begin = console.expect(f"{start}\n", timeout=10).end()
    end = console.expect(rb"finis\r?\n", timeout=60).start()
    received = bytes(console.seen[begin:end])
    assert len(received) == size
    assert hashlib.sha256(received).hexdigest().encode() == digest[1]


def test_16_kib_of_random_bytes_reach_the_guest_unharmed(console: L2Console) -> None:
    data = secrets.token_bytes(16384)
    console.send("stty raw -echo; echo rea''dy; head -c 16384 >/tmp/typed; stty sane; echo ta''ken\n")
    console.expect(rb"ready\r?\n", timeout=10)
    console.send(data)
    console.expect(rb"taken", timeout=60)
    assert hashlib.sha256(data).hexdigest().encode() in console.run("sha256sum /tmp/typed")


def test_two_clients_see_the_same(stack: NestedStack, console: L2Console) -> None:
    with stack.console() as other:
        word = secrets.token_hex(12)
        console.send(f"echo {word[:6]}''{word[6:]}\n")
        console.expect(f"\n{word}", timeout=10)
        other.expect(f"\n{word}", timeout=10)


def test_an_idle_tickless_guest_answers_a_key(console: L2Console) -> None:
    """That it answers at all; how fast is measured in `make bench`."""
    for key in b"abcdefgh":
        console.send(bytes((key,)))
        console.expect(re.escape(bytes((key,))), timeout=5)
    console.send(b"\x03")
    console.expect(PROMPT, timeout=5)


def test_ctrl_c_interrupts_what_runs_in_the_guest(console: L2Console) -> None:
    console.send("echo run''ning; sleep 1000\n")
    console.expect(rb"running", timeout=10)
    for _ in range(10):  # the first may reach the shell before it has started `sleep`, which then goes on
        console.send(b"\x03")
        with contextlib.suppress(ExpectError):
            console.expect(PROMPT, timeout=1)
            return
    console.expect(PROMPT, timeout=1)


def test_l1_has_seen_nothing_of_it(stack: NestedStack, console: L2Console) -> None:
    secret = secrets.token_hex(16)
    console.send(f"echo {secret}\n")
    console.expect(f"\n{secret}", timeout=10)
    lines = telling_lines(console.conversation) | {secret.encode()}
    marker = secrets.token_hex(16).encode()
    stack.l1_run(f"echo {marker.decode()}")
    emulated = stack.l2_files(1)
    carried = stack.l1_console()
    assert leaked({marker}, carried), "the search finds nothing at all"
    assert leaked(lines, carried) == 0
    assert leaked(lines, emulated) == 0


def test_the_server_may_go_away_and_come_back(stack: NestedStack) -> None:
    """The guest prints on meanwhile, and what it printed is delivered, or counted."""
    with stack.console() as before:
        before.send(
            "i=0; while [ $i -lt 300 ]; do echo line $i of a guest that goes on; i=$((i+1)); done; echo fi''nis\n"
        )
        before.expect(rb"line 20 ", timeout=20)
        stack.server.kill()
        before.read_to_end(timeout=20)
    stack.server.start()
    with Expect(stack.server.ssh("-tt", "web1")) as after:
        after.expect(rb"finis\r?\n", timeout=60)
        numbers = [int(n) for n in re.findall(rb"line (\d+) of a guest that goes on\r\n", bytes(after.seen))]
    assert numbers, "nothing was delivered after the restart"
    assert numbers == list(range(numbers[0], 300))
    with stack.console() as again:
        assert b"still" in again.run("echo still here")


def test_the_plugin_refuses_bad_options() -> None:
    for options, says in (
        ("socket=/x,machine=l1,ports=0x60-0x67", "ports="),
        ("socket=/x,machine=l1,irq=99", "irq="),
        ("machine=l1", "socket="),
        ("socket=/x,machine=l1,colour=red", "unknown option"),
    ):
        command = [str(qemu()), "-accel", "tcg", "-display", "none", "-plugin", f"{PLUGIN},{options}"]
        done = subprocess.run(command, capture_output=True, timeout=30, check=False)
        assert done.returncode != 0
        assert says in done.stderr.decode()
