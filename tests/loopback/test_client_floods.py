"""`oobconsole.client` with guests that print much, and scripts that attach to many consoles."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from oobconsole.client import CommandRefused, ConnectFailed, Console, ExpectFailed, ExpectTimeout, connect
from tests.loopback.lab import Lab
from tests.support.aio import until
from tests.support.pace import Deadline, scaled
from tests.support.server import MEMORY_MACHINE, Server

LINE = b"[    1.234567] a line of a boot log that is as long as such lines are\r\n"


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with Lab(tmp_path, "scrollback_kib = 4096") as running:
        running.appear()
        yield running


async def flood(lab: Lab, size: int, then: bytes = b"") -> None:
    """The guest prints so many bytes; the loop goes on meanwhile."""
    for _ in range(size // len(LINE) // 16):
        lab.console.output(LINE * 16)
        await asyncio.sleep(0)
    lab.console.output(then)


@pytest.mark.parametrize("size", [300_000, 600_000, 2_000_000])
async def test_a_prompt_is_found_behind_much_output(lab: Lab, size: int) -> None:
    """faults.md 4: beyond 512 KiB `expect` stopped the output that it waited for."""
    async with lab.script() as there:
        console = await there.attach("web1")
        printing = asyncio.ensure_future(flood(lab, size, b"web1 login: "))
        await console.expect("login: ", timeout=scaled(60))
        await printing
        assert console.offset == lab.console.end


async def test_what_nobody_expects_makes_the_server_wait_and_is_found_later(lab: Lab) -> None:
    """faults.md 4, the other side: output that no `expect` has looked at is not thrown away."""
    async with lab.script() as there:
        console = await there.attach("web1")
        lab.console.output(b"the very first line\r\n")
        await flood(lab, 2_000_000, b"web1 login: ")
        await until(lambda: len(console.transcript) > 1 << 19, lambda: len(console.transcript))
        await console.expect("the very first line", timeout=scaled(60))
        await console.expect("login: ", timeout=scaled(60))
        assert not console.gaps


async def test_a_time_limit_holds_while_a_guest_floods(lab: Lab) -> None:
    """faults.md 4: `timeout` ended nothing while the pattern was searched again and again."""

    async def for_ever() -> None:
        while True:
            await flood(lab, 1 << 16)

    async with lab.script() as there:
        console = await there.attach("web1")
        printing = asyncio.ensure_future(for_ever())
        deadline = Deadline(30)
        with pytest.raises(ExpectTimeout, match=r"did not come in 2 s"):
            await console.expect(r"(.*?)never:(\d+):", timeout=2)
        assert deadline.left, f"it took more than {deadline}"  # without a limit that holds it takes for ever
        printing.cancel()


async def test_a_pattern_that_takes_for_ever_says_so(lab: Lab) -> None:
    async with lab.script() as there:
        console = await there.attach("web1")
        await console.send("a" * 60 + "\r")
        with pytest.raises(ExpectTimeout, match="takes too long to match"):
            await console.expect(r"(?:a|aa|aaa)+$b", timeout=2)


async def test_of_two_patterns_the_earlier_one_counts(lab: Lab) -> None:
    """faults.md 5: a later failure pattern beat an earlier match when the script came late."""
    async with lab.script() as there:
        console = await there.attach("web1")
        lab.console.output(b"web1 login: \r\n[FAILED] something else\r\nand that is all")
        await until(lambda: "and that is all" in console.transcript, lambda: console.transcript)
        await console.expect("login: ", fail=["FAILED"])
        with pytest.raises(ExpectFailed, match="'FAILED' came instead of 'all'"):
            await console.expect("all", fail=["never", "FAILED"])
        with pytest.raises(ExpectFailed):  # of two that begin together, the failure
            await console.expect("FAIL", fail="FAILED")


PROMPTS = {
    "plain": "# ",
    "debian": "\x1b[01;32mroot@web1\x1b[00m:\x1b[01;34m~\x1b[00m# ",
    "zsh": "web1# \x1b[K\x1b[?2004h",
    "colour closed behind the blank": "\x1b[1;31mweb1# \x1b[0m",
    "osc 133": "\x1b]133;A\x07web1# \x1b]133;B\x07",
    "osc ended by st": "\x1b]133;A\x1b\\$ \x1b]133;B\x1b\\",
    "fish": "root@web1 ~# \x1b[K\r\x1b[13C\x1b[?1h\x1b=",
    "zsh, and the time at the right": "\x1b[1m%\x1b[0m"
    + " " * 79
    + "\r \r\x1b[Jweb1# \x1b[K\x1b[60C12:00:01\x1b[68D",
    "bash, and the time at the right": "\x1b[s\x1b[70C12:00\x1b[uweb1# ",
    "the time at the right, and back by columns": "web1# \x1b[75G\x1b[2m12:00\x1b[0m\x1b[7G\x1b[?2004h",
}


@pytest.mark.parametrize("prompt", PROMPTS.values(), ids=PROMPTS)
async def test_login_finds_prompts_with_sequences_behind_them(lab: Lab, prompt: str) -> None:
    """faults.md 6."""
    async with lab.script() as there:
        console = await there.attach("web1")

        async def getty() -> None:
            lab.console.output(b"web1 login: ")
            await until(lambda: "root\r" in console.transcript, lambda: console.transcript)
            lab.console.output(b"\r\nPassword: ")
            await until(lambda: "x\r" in console.transcript, lambda: console.transcript)
            lab.console.output(b"\r\nLast login: today\r\n" + prompt.encode())

        answering = asyncio.ensure_future(getty())
        await console.login("root", "x", timeout=scaled(30))
        await answering


class Shell:
    """A real bash as a guest behind a socket."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "bash.serial"
        self._process = subprocess.Popen(
            ["socat", f"UNIX-LISTEN:{self.socket}", "EXEC:bash --norc --noprofile -i,pty,stderr,setsid,ctty,rawer"],
            stdin=subprocess.DEVNULL,
        )

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    guest = Shell(tmp_path_factory.mktemp("shell"))
    try:
        with Server(f'[[vm]]\nname = "web1"\nchardev = "unix:{guest.socket}"\n') as running:
            yield running
    finally:
        guest.close()


@contextlib.asynccontextmanager
async def attached(server: Server, name: str = "web1") -> AsyncIterator[Console]:
    async with connect(f"alice@127.0.0.1:{server.port}", keys=[server.key], known_hosts=None) as there:
        yield await there.attach(name)


@pytest.mark.parametrize("lines", [5_000, 20_000])
async def test_run_returns_all_lines_of_a_long_output(shell: Server, lines: int) -> None:
    """faults.md 4: 5,000 lines took 93 s, and 20,000 were not returned at all."""
    text = "a line as long as they are"
    async with attached(shell) as console:
        done = await console.run(f"seq 1 {lines} | sed 's/$/ {text}/'", timeout=scaled(60))
        assert done.status == 0
        assert done.output.splitlines() == [f"{number} {text}" for number in range(1, lines + 1)]
        assert done.missing == 0


@pytest.mark.parametrize(
    ("command", "output"),
    [
        ("printf '[a\tb]'", "[a\tb]"),
        ("printf '%s' 'x\ty\n\\n 100%\x7f' | od -An -tx1", " 78 09 79 0a 5c 6e 20 31 30 30 25 7f\n"),
        ("printf '\x03\x04\x1a\x1c' | od -An -tx1", " 03 04 1a 1c\n"),
        ("for x in 1 2\ndo\n\techo $x\ndone", "1\n2\n"),
        ("echo 'it''s' \"$HOME\" >/dev/null; echo ünï", "ünï\n"),
    ],
)
async def test_run_runs_what_was_given(shell: Server, command: str, output: str) -> None:
    """A Tab in it was a key, with which the shell completed a word or asked a question; Ctrl-C dropped the line."""
    async with attached(shell) as console:
        done = await console.run(command, timeout=scaled(20))
        assert (done.output, done.status) == (output, 0)


async def test_run_says_how_much_of_its_output_was_too_much(shell: Server) -> None:
    async with attached(shell) as console:
        done = await console.run("seq 1 300000; false", timeout=scaled(120))
        assert done.status == 1
        assert done.output.endswith("299999\n300000\n")
        whole = sum(len(f"{number}\n") for number in range(1, 300_001))  # this terminal adds no carriage return
        assert done.missing > 0
        assert len(done.output) + done.missing == whole


def machines(consoles: int) -> str:
    guests = "".join(f'[[machine.guest]]\nname = "vm{number}"\n' for number in range(consoles))
    return MEMORY_MACHINE.split("[[machine.guest]]")[0] + guests


def logins(server: Server) -> int:
    return server.log.read_text().count("logged in")


class TestManyConsoles:
    async def test_twelve_over_as_many_connections_as_it_takes(self) -> None:
        """faults.md 28: the eleventh began to attach all of them again and again."""
        with Server(machines(12)) as server:
            target = f"alice@127.0.0.1:{server.port}"
            async with connect(target, keys=[server.key], known_hosts=None) as there:
                consoles = [await there.attach(f"vm{number}") for number in range(12)]
                for number, console in enumerate(consoles):
                    await console.send_line(f"hello {number}")
                    await console.expect(f"hello {number}", timeout=scaled(30))
                assert len(await there.ls()) == 12
                assert sorted(row["console"] for row in await there.who()) == sorted(c.name for c in consoles)
                assert logins(server) == 2

    async def test_all_at_the_same_time(self) -> None:
        with Server(machines(25)) as server:
            target = f"alice@127.0.0.1:{server.port}"
            async with connect(target, keys=[server.key], known_hosts=None) as there:
                await asyncio.gather(*(there.attach(f"vm{number}") for number in range(25)))
                rows = await asyncio.gather(*(there.who() for _ in range(5)))
                assert [len(row) for row in rows] == [25] * 5
                assert logins(server) <= 4

    async def test_a_lost_server_is_an_error_of_the_client_s(self) -> None:
        """faults.md 28: errors of asyncssh's came out of verbs."""
        with Server(machines(1)) as server:
            target = f"alice@127.0.0.1:{server.port}"
            async with connect(target, keys=[server.key], known_hosts=None, reconnect_s=0) as there:
                waiting = asyncio.ensure_future(there.command("wait", "vm0", "never"))
                await until(lambda: "session begins" in server.log.read_text(), server.log.read_text)
                server.kill()
                with pytest.raises(ConnectFailed, match="was lost before 'wait' had an answer"):
                    await waiting
                with pytest.raises(ConnectFailed):
                    await there.ls()


async def test_a_text_that_is_none_is_refused_in_one_sentence(shell: Server) -> None:
    """faults.md 34: a Latin-1 letter from the command line of a script."""
    async with connect(f"alice@127.0.0.1:{shell.port}", keys=[shell.key], known_hosts=None) as there:
        with pytest.raises(CommandRefused, match="is no text that UTF-8 can carry"):
            await there.send("web1", "caf\udce9")


async def test_nor_is_it_typed_or_looked_for(shell: Server) -> None:
    """faults.md 28, 34, their kind: errors of other packages came out of `send`, `run` and `expect`."""
    async with attached(shell) as console:
        for call in (console.send("caf\udce9"), console.send_line("\udce9"), console.run("echo \udce9")):
            with pytest.raises(CommandRefused, match="is no text that UTF-8 can carry"):
                await call
        for patterns in (("(", ()), ("x", "[")):
            with pytest.raises(CommandRefused, match="is no regular expression"):
                await console.expect(patterns[0], fail=patterns[1])
        assert (await console.run("echo $((6 * 7))")).output == "42\n"


async def test_what_is_there_already_takes_no_time(lab: Lab) -> None:
    """faults.md 4, 5, their kind: with no time left, what had come was not looked at."""
    async with lab.script() as there:
        console = await there.attach("web1")
        lab.console.output(b"it came; and this, too\r\n")
        await until(lambda: "this, too" in console.transcript, lambda: console.transcript)
        assert (await console.expect("it (came)", timeout=0))[1] == "came"
        with pytest.raises(ExpectFailed):
            await console.expect("too", timeout=0, fail="this")
        with pytest.raises(ExpectTimeout):
            await console.expect("never", timeout=0)


def test_a_script_that_is_interrupted_leaves_no_search_behind(shell: Server) -> None:
    """The plain API: what nobody waits for any more is cancelled."""
    from oobconsole.client import sync

    with (
        sync.connect(f"alice@127.0.0.1:{shell.port}", keys=[shell.key], known_hosts=None) as there,
        there.attach("web1") as console,
    ):
        with pytest.raises(ExpectTimeout):
            console.expect("never", timeout=0.2)
        assert console.run("echo $((6 * 7))").output == "42\n"
    assert not [thread for thread in threading.enumerate() if thread.name == "oobconsole client"]
