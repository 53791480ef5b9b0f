"""The whole stack: stock QEMU, an unmodified L1 and L2, our UART in between, and a real ssh client on top."""

from __future__ import annotations

import contextlib
import hashlib
import random
import re
import secrets
import subprocess
import threading

import pytest

from tests.stack.demo import telling_lines
from tests.stack.nested import PLUGIN, PROMPT, L2Console, NestedStack, qemu
from tests.support.expect import Expect, ExpectError
from tests.support.pace import scaled
from tests.vm.secrecy import assert_l1_has_nothing

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
    received = b""
    for part in range(4):  # in parts, because a native half keeps no more than 64 KiB for a server that is late
        start = secrets.token_hex(8)
        piece = f"dd if=/tmp/random bs={size // 4} skip={part} count=1 2>/dev/null"
        console.send(f"stty raw -echo; echo {start[:8]}''{start[8:]}; {piece}; stty sane; echo fi''nis\n")
        begin = console.expect(f"{start}\n", timeout=10).end()
        end = console.expect(rb"finis\r?\n", timeout=60).start()
        received += console.seen[begin:end]
    assert len(received) == size, console.told
    assert hashlib.sha256(received).hexdigest().encode() == digest[1]


def test_16_kib_of_random_bytes_reach_the_guest_unharmed(console: L2Console) -> None:
    data = secrets.token_bytes(16384)
    console.send("stty raw -echo; echo rea''dy; head -c 16384 >/tmp/typed; stty sane; echo ta''ken\n")
    console.expect(rb"ready\r?\n", timeout=10)
    console.send(data)
    console.expect(rb"taken", timeout=60)
    assert hashlib.sha256(data).hexdigest().encode() in console.run("sha256sum /tmp/typed")


def test_a_server_that_is_late_again_and_again_loses_nothing(stack: NestedStack, console: L2Console) -> None:
    """The same as in `tests/contract/test_late_server.py`, with a real guest. 4 KiB go each way, while the server
    does nothing for up to 0.5 s, 8 times."""
    size, times = 4096, 8
    chance = random.Random(seed := secrets.randbits(32))
    print(f"seed {seed}")
    data = chance.randbytes(size)
    start = secrets.token_hex(8)
    console.send(
        f"stty raw -echo; echo {start[:8]}''{start[8:]}; head -c {size} | tee /tmp/typed; stty sane; echo fi''nis\n"
    )
    begin = console.expect(f"{start}\n", timeout=20).end()
    piece = size // times + 1
    for at in range(0, size, piece):
        console.send(data[at : at + piece])
        threading.Event().wait(chance.uniform(0, 0.05))
        with stack.server.stopped():
            threading.Event().wait(chance.uniform(0, 0.5))
    end = console.expect(rb"finis\r?\n", timeout=60).start()
    assert bytes(console.seen[begin:end]) == data
    assert hashlib.sha256(data).hexdigest().encode() in console.run("sha256sum /tmp/typed")
    assert not re.search(rb"not connected|lost", console.told), console.told


def test_two_clients_see_the_same(stack: NestedStack, console: L2Console) -> None:
    with stack.console() as other:
        word = secrets.token_hex(12)
        console.send(f"echo {word[:6]}''{word[6:]}\n")
        console.expect(f"\n{word}", timeout=10)
        other.expect(f"\n{word}", timeout=10)


def test_an_idle_tickless_guest_answers_a_key(console: L2Console) -> None:
    """The guest must answer. How soon it answers is measured by `make bench`."""
    for key in b"abcdefgh":
        console.send(bytes((key,)))
        console.expect(re.escape(bytes((key,))), timeout=5)
    console.send(b"\x03")
    console.expect(PROMPT, timeout=5)


def test_ctrl_c_interrupts_what_runs_in_the_guest(console: L2Console) -> None:
    console.send("echo run''ning; sleep 1000\n")
    console.expect(rb"running", timeout=10)
    for _ in range(10):  # the first key may reach the shell before it has started `sleep`, which then goes on
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
    assert_l1_has_nothing(stack, lines)


def test_a_server_killed_twenty_times_loses_nothing(stack: NestedStack) -> None:
    """The server is killed in the middle of output. What is shown afterwards follows what was shown before, byte for
    byte."""
    line = rb"line (\d+) of a guest that goes on\r\n"
    numbers: list[int] = []
    with stack.console() as console:
        console.run("touch /tmp/go")
        loop = "i=0; while [ -e /tmp/go ]; do echo line $i of a guest that goes on; i=$((i+1)); usleep 8000; done"
        console.send(f"({loop}) &\n")
        console.expect(line, timeout=20)
        stack.server.kill()
        console.read_to_end(timeout=20)
        numbers += [int(n) for n in re.findall(line, bytes(console.seen))]
    for _ in range(20):
        stack.server.start()
        # Until the server is back, the guest may print more than a screen shows.
        with Expect(stack.server.ssh("-tt", "web1", "--lines", "2000")) as client:
            client.expect(rf"line {numbers[-1] + 20} of", timeout=60)
            stack.server.kill()
            client.read_to_end(timeout=20)
            shown = [int(n) for n in re.findall(line, bytes(client.seen))]
        assert shown[0] <= numbers[-1] + 1, f"lines {numbers[-1] + 1} to {shown[0] - 1} were never shown"
        numbers += [n for n in shown if n > numbers[-1]]
    assert numbers == list(range(numbers[-1] + 1))
    stack.server.start()
    with stack.console() as again:
        again.run("rm /tmp/go; wait")


def test_what_does_not_fit_while_the_server_is_away_is_a_gap_of_its_size(stack: NestedStack) -> None:
    """The guest is told to print over its other port, which L1 serves, and says there when it has printed. The server
    is killed only when the guest's last output before that is recorded. No echo or prompt of its shell may follow."""
    size = 200_000
    with stack.console() as console:
        console.run(f"head -c {size} /dev/zero | tr '\\0' x >/tmp/much")
        waits = "head -n 1 /dev/ttyS1 >/dev/null"
        say = f"echo si''lent; {waits}; cat /tmp/much; echo; echo all printed >/dev/ttyS1; echo finis"
        console.run(f"echo '{say}' >/tmp/say")
        console.send(". /tmp/say\n")
        console.expect(rb"silent\r?\n", timeout=10)
        (*_, recorded) = sorted((stack.folder / "state" / "recordings" / "web1").glob("*.raw"))
        with Expect(["tail", "-n", "+1", "-f", str(recorded)]) as recording:
            recording.expect(rb"silent\r?\n", timeout=10)  # what is not yet recorded would be lost as well
        stack.server.kill()
        assert b"xxx" not in console.read_to_end(timeout=20)
    stack.l1_run("until grep -q 'all printed' /com2-1; do echo print >/com2-in-1; sleep 1; done", timeout=60)
    stack.server.start()
    # The native half may be connected again before this client is. So the gap is looked for together with the lines
    # around it.
    with Expect(stack.server.ssh("-tt", "web1", "--lines", "3")) as client:
        told = client.expect(rb"web1: (\d+) bytes of output were lost", timeout=20)
        client.expect(rb"finis\r?\n", timeout=20)
        assert int(told[1]) > 0
        assert int(told[1]) + bytes(client.seen[told.end() :]).count(b"x") == size


def test_the_plugin_refuses_bad_options() -> None:
    for options, says in (
        ("socket=/x,machine=l1,ports=0x60-0x68", "ports="),
        ("socket=/x,machine=l1,irq=99", "irq="),
        ("machine=l1", "socket="),
        ("socket=/x,machine=l1,colour=red", "unknown option"),
    ):
        command = [str(qemu()), "-accel", "tcg", "-display", "none", "-plugin", f"{PLUGIN},{options}"]
        done = subprocess.run(command, capture_output=True, timeout=scaled(30), check=False)
        assert done.returncode != 0
        assert says in done.stderr.decode()
