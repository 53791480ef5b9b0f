"""`oobconsole.client` against a real server, through a proxy that cuts connections."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from oobconsole.client import (
    CommandRefused,
    ConnectFailed,
    Connection,
    Console,
    ConsoleEnded,
    ExpectFailed,
    ExpectTimeout,
    Gap,
    connect,
    sync,
)
from tests.loopback.lab import Lab
from tests.support.aio import soon
from tests.support.pace import scaled
from tests.support.ports import free_port
from tests.support.server import Server

pytest_plugins = ["pytester"]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


def client(server: Server, **options: float) -> Connection:
    target = f"alice@127.0.0.1:{server.port}"
    return connect(target, keys=[server.key], known_hosts=None, **options)


class TestExpect:
    async def test_what_comes(self, server: Server) -> None:
        async with client(server) as there:
            console = await there.attach("web1")
            await console.send_line("hello 42 world")
            assert (await console.expect(r"hello (\d+)"))[1] == "42"
            await console.expect("world")
            assert console.state == "live"
            assert "hello 42 world" in console.screen()

    async def test_what_does_not_come_shows_the_screen(self, server: Server) -> None:
        async with client(server) as there:
            console = await there.attach("web1")
            await console.send("something else\r\n")
            with pytest.raises(ExpectTimeout, match=r"(?s)'login: ' did not come in 0.5 s.*\| .*something else"):
                await console.expect("login: ", timeout=0.5)

    async def test_a_failure_pattern_ends_the_wait(self, server: Server) -> None:
        async with client(server) as there:
            console = await there.attach("web1")
            await console.send("Kernel panic - not syncing\r\n")
            with pytest.raises(ExpectFailed, match="'panic' came instead of 'login: '"):
                await console.expect("login: ", fail=["oops", "panic"])

    async def test_typing_at_a_human_rate(self, server: Server) -> None:
        async with client(server) as there:
            console = await there.attach("web1")
            await console.type("slowly", cps=200)
            await console.expect("slowly")


class TestServer:
    async def test_its_verbs(self, server: Server) -> None:
        async with client(server) as there:
            assert [row["console"] for row in await there.ls()] == ["web1", "web2"]
            await there.attach("web1")
            assert [(row["console"], row["user"]) for row in await there.who()] == [("web1", "alice")]
            await there.send("web2", "--some 'text'")
            console = await there.attach("web2", watch=True, offset=0)
            await console.expect("--some 'text'")
            events = there.events()
            waiting = asyncio.ensure_future(anext(events))
            while not waiting.done():
                await there.send("web2", "x")
            assert (await waiting)["kind"] == "sent"
            with pytest.raises(CommandRefused, match="nothing is configured that could switch web1"):
                await there.power("web1", "reset")

    async def test_what_is_refused(self, server: Server) -> None:
        async with client(server) as there:
            with pytest.raises(CommandRefused, match="there is no console 'nope'"):
                await soon(there.attach("nope"))

    async def test_over_the_admin_socket(self, server: Server) -> None:
        async with connect(f"unix:{server.folder / 'state' / 'admin.sock'}") as there:
            console = await there.attach("web1")
            await console.send("through the socket")
            await console.expect("through the socket")

    async def test_what_cannot_be_reached(self, server: Server, tmp_path: Path) -> None:
        for target in ("alice@127.0.0.1:1", f"unix:{tmp_path}/nowhere", "alice@127.0.0.1:x"):
            with pytest.raises(ConnectFailed):
                await connect(target, known_hosts=None).ssh()

    async def test_one_that_does_not_come_back(self) -> None:
        with Server() as short:
            async with client(short, reconnect_s=0.3) as there:
                console = await there.attach("web1")
                short.kill()
                with pytest.raises(ConnectFailed):
                    await console.expect("never")

    async def test_a_console_that_was_closed(self, server: Server) -> None:
        async with client(server) as there:
            console = await there.attach("web1")
            await console.close()
            with pytest.raises(ConsoleEnded):
                await console.expect("never")


class Proxy:
    """Between client and server; `cut` is a cable that is pulled."""

    def __init__(self, port: int) -> None:
        self.to = port
        self.writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        self.cut()
        self._server.close()

    def cut(self) -> None:
        for writer in self.writers:
            writer.transport.abort()
        self.writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        other_reader, other_writer = await asyncio.open_connection("127.0.0.1", self.to)
        self.writers |= {writer, other_writer}
        await asyncio.gather(
            self._copy(reader, other_writer), self._copy(other_reader, writer), return_exceptions=True
        )

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 14):
            writer.write(data)
            await writer.drain()
        writer.close()


class TestLostConnections:
    @pytest.fixture
    async def lab(self, tmp_path: Path) -> AsyncIterator[Lab]:
        async with Lab(tmp_path, "scrollback_kib = 512") as running:
            yield running

    async def test_cost_no_byte_and_double_none(self, lab: Lab) -> None:
        proxy = Proxy(lab.port)
        port = await proxy.start()
        _, guest = lab.appear()
        guest.echo = False
        async with lab.script(port) as there:
            console = await soon(there.attach("web1"))
            lines = 0
            for _ in range(20):
                for _ in range(300):
                    guest.print(f"line {lines} {secrets.token_hex(8)}\r\n".encode())
                    lines += 1
                    if lines % 50 == 0:
                        await asyncio.sleep(0)
                proxy.cut()
            guest.print(b"that is all\r\n")
            await console.expect("that is all", timeout=scaled(30))
            numbers = [int(line.split()[1]) for line in console.transcript.splitlines() if line.startswith("line")]
            assert numbers == list(range(lines))
            assert not console.gaps
            assert console.offset == lab.console.end
        await proxy.stop()

    async def test_leave_a_gap_of_the_right_size_where_too_much_came(self, tmp_path: Path) -> None:
        async with Lab(tmp_path, "scrollback_kib = 4") as lab:
            proxy = Proxy(lab.port)
            port = await proxy.start()
            async with lab.script(port) as there:
                lab.appear()
                console = await soon(there.attach("web1"))
                begun = console.offset
                proxy.cut()
                lab.console.output(b"x" * 10_000 + b"the end")
                await console.expect("the end")
                missing = 10_007 - 4096
                assert list(console.gaps) == [Gap(begun, missing, "not kept any more")]
                assert "bytes are missing here" in console.transcript
                assert console.offset == lab.console.end
            await proxy.stop()

    async def test_to_a_server_that_is_restarted(self) -> None:
        server = Server()
        server.config.write_text(server.config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{free_port()}"))
        with server:
            async with client(server) as there:
                console = await there.attach("web1")
                server.stop()
                server.start()
                while "to the new one" not in console.transcript:  # what is typed meanwhile goes nowhere
                    await console.send_line("to the new one")
                    with contextlib.suppress(ExpectTimeout):
                        await console.expect("to the new one", timeout=0.5)


def test_plainly(server: Server) -> None:
    target = f"alice@127.0.0.1:{server.port}"
    with sync.connect(target, keys=[server.key], known_hosts=None) as there, there.attach("web1") as console:
        console.send_line("plain words")
        console.expect("plain words")
        with pytest.raises(ExpectTimeout):
            console.expect("never", timeout=0.1)
        assert [row["console"] for row in there.ls()] == ["web1", "web2"]


def test_what_is_read_is_read_where_it_changes(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that looked at the transcript while output came could lose a piece of it, for `expect`, too."""
    monkeypatch.setattr(Console, "transcript", property(lambda _: threading.current_thread().name))
    monkeypatch.setattr(Console, "screen", lambda *_: threading.current_thread().name)
    target = f"alice@127.0.0.1:{server.port}"
    with sync.connect(target, keys=[server.key], known_hosts=None) as there, there.attach("web1") as console:
        assert console.transcript == console.screen() == "oobconsole client"


def test_after_the_end_every_error_is_one_of_the_clients(server: Server) -> None:
    """They were errors of the event loop; and to leave a console behind its connection was one."""
    with sync.connect(f"alice@127.0.0.1:{server.port}", keys=[server.key], known_hosts=None) as there:
        console = there.attach("web1")
        console.send_line("last words")
        console.expect("last words")
    console.close()
    assert "last words" in console.transcript
    assert "last words" in console.screen()
    for late in (there.ls, console.send_line, lambda: console.expect("words", timeout=1)):
        with pytest.raises(ConnectFailed, match="was closed here"):
            late()


def test_a_failed_test_shows_its_transcript(server: Server, pytester: pytest.Pytester) -> None:
    pytester.makeini(
        f"[pytest]\noobconsole_target = alice@127.0.0.1:{server.port}\noobconsole_keys = {server.key}\n"
        "oobconsole_known_hosts = none\n"
    )
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.console("web1")
        def test_fails(console):
            console.send_line("last words of the guest")
            console.expect("last words")
            assert False

        @pytest.mark.console("web2")
        def test_passes(console):
            console.send_line("ok")
            console.expect("ok")

        def test_says_what_is_missing(console):
            pass
        """
    )
    result = pytester.runpytest_subprocess("-p", "no:asyncio")
    result.assert_outcomes(failed=1, passed=1, errors=1)
    result.stdout.fnmatch_lines(["*- console web1 -*", "*last words of the guest*"])
    result.stdout.fnmatch_lines(["*needs @pytest.mark.console(NAME)*"])
