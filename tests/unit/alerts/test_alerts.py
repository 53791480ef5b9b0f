"""Alerts of consoles in this process: limits, floods, what is slow, what changes while the server runs."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from oobconsole.alerts import limits, unlooked
from oobconsole.alerts.alerts import Alerts
from oobconsole.alerts.limits import PERIOD, Limits
from oobconsole.alerts.outbox import RUNNING_MAX, Outbox
from oobconsole.alerts.post import PostFault, post
from oobconsole.alerts.rules import Alert, Hit, Rule
from oobconsole.alerts.waiting import Late, Waiting
from oobconsole.config.alerts import AlertConfig
from oobconsole.config.load import load
from oobconsole.config.schema import Config
from oobconsole.console.console import Console
from oobconsole.events import Event, Events, Kind
from tests.support.aio import soon, until


def test_limits() -> None:
    now = 0.0
    limits = Limits(3, lambda: now)
    assert limits.allows("a", "web1", 60)
    assert not limits.allows("a", "web1", 60)
    assert limits.allows("a", "web2", 60)
    assert limits.allows("b", "web1", 60)
    assert not limits.allows("b", "web2", 0)  # three in this minute already
    limits.suppress("a", "web1", 1233)
    now = PERIOD
    assert limits.allows("a", "web1", 60)
    assert limits.take("a", "web1") == 1234
    assert limits.take("a", "web1") == 0
    assert limits.take("b", "web2") == 1
    now = 1.5 * PERIOD
    assert not limits.allows("a", "web1", 60)
    limits.keep({"b"})
    assert limits.allows("a", "web1", 60)
    assert limits.take("a", "web1") == 0


def configured(folder: Path, alerts: str, server: str = "") -> Config:
    (folder / "keys").mkdir(exist_ok=True)
    (folder / "c.toml").write_text(
        f'[server]\nstate_dir = "s"\nauthorized_keys = "keys"\n{server}\n'
        f'[[machine]]\nname = "rack7"\n[[machine.guest]]\nname = "web1"\n{alerts}'
    )
    return load(folder / "c.toml")


def rule(more: str = "", *, pattern: str = "panic", command: str = '["true"]') -> str:
    return f"[[alert]]\nname = 'a'\nconsoles = 'web*'\npattern = '{pattern}'\ncommand = {command}\n{more}\n"


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Setup:
    """Alerts, consoles, and what happened."""

    def __init__(self, config: Config, *names: str, clock: Callable[[], float] | None = None) -> None:
        self.clock = Clock()
        self.events: list[Event] = []
        events = Events()
        events.add_sink(self.events.append)
        self.alerts = Alerts(config, events, clock or self.clock)
        self.consoles = [Console(name, scrollback=1 << 20) for name in names]
        for console in self.consoles:
            self.alerts.watch(console)

    def of(self, kind: Kind = Kind.ALERT) -> list[Event]:
        return [event for event in self.events if event.kind is kind]

    async def until(self, true: Callable[[], bool]) -> None:
        await until(true, lambda: self.events)

    async def read(self, console: Console) -> None:
        """Wait until all that it printed was looked at; then long after that, it prints one line more."""
        reader = self.alerts._watches[console].reader

        def waits() -> bool:
            return not reader.behind and reader.waits

        while not waits():
            at = reader.position
            await self.until(lambda at=at: waits() or reader.position > at)  # type: ignore[misc]
        seen = len(self.of())
        self.clock.now += 1e6
        console.output(b"\npanic: the end\n")
        await self.until(lambda: len(self.of()) > seen and "the end" in str(self.of()[-1].detail["line"]))


@asynccontextmanager
async def running(config: Config, *names: str, clock: Callable[[], float] | None = None) -> AsyncIterator[Setup]:
    setup = Setup(config, *(names or ("web1",)), clock=clock)
    try:
        yield setup
    finally:
        await soon(setup.alerts.stop())


async def test_a_flood_of_matches(tmp_path: Path) -> None:
    """100,000 matching lines: one alert in its time, and the next one says how many were left out; the guest prints
    all of it at once, and nobody is attached."""
    async with running(configured(tmp_path, rule())) as setup:
        (web1,) = setup.consoles
        for _ in range(100):
            web1.output(b"panic: no\n" * 1000)
            if web1.end % 50000 == 0:
                await asyncio.sleep(0)
        assert web1.attached == 0
        await setup.read(web1)
        first, last = setup.of()
        assert (first.detail["line"], first.detail["offset"], first.detail["suppressed"]) == ("panic: no", 0, 0)
        skipped = last.detail["skipped"]
        assert last.detail["suppressed"] == 99999
        assert skipped == 0
        assert len(setup.alerts._outbox._tasks) <= 2


async def test_as_many_as_are_allowed(tmp_path: Path) -> None:
    """Without a time between two of a rule, the server's limit counts."""
    async with running(configured(tmp_path, rule("min_seconds = 0"), "max_alerts = 5")) as setup:
        (web1,) = setup.consoles
        web1.output(b"panic: no\n" * 20000)
        await setup.read(web1)
        told = setup.of()
        assert len(told) == 6
        assert sum(int(str(event.detail["suppressed"])) for event in told) == 20001 - 6


async def test_consoles_that_match_all_the_time_mute_no_other_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """security.md 9, variation: one bound for all alerts was used up by guests that print matching lines, and the one
    that panicked was not told. It is told as soon as there is room, before those that were told lately."""
    monkeypatch.setattr(limits, "PERIOD", 0.5)
    hostile, clock = [f"web{number}" for number in range(60)], time.monotonic
    config = configured(tmp_path, rule("min_seconds = 0"), "max_alerts = 20")
    async with running(config, *hostile, "webdb", clock=clock) as setup:
        *guests, db = setup.consoles
        ended = asyncio.Event()

        async def go_on() -> None:
            while not ended.is_set():
                for guest in guests:
                    guest.output(b"panic: no\n")
                await asyncio.sleep(0.01)

        task = asyncio.ensure_future(go_on())
        await setup.until(lambda: len(setup.of()) >= 60)
        before = len(setup.of())
        db.output(b"panic: the disk is gone\n")
        await setup.until(lambda: any(event.console == "webdb" for event in setup.of()))
        ended.set()
        await task
        told = [event.console for event in setup.of()]
        assert told.index("webdb") - before <= 20, "it waited for one minute at most"
        (one,) = (event for event in setup.of() if event.console == "webdb")
        assert (one.detail["line"], one.detail["suppressed"]) == ("panic: the disk is gone", 0)


@pytest.mark.parametrize(("consoles", "told"), [("*", ["new"]), ("db*", [])])
async def test_a_reload_changes_what_becomes_of_an_alert_that_waits(consoles: str, told: list[str]) -> None:
    """security.md 9, variation: it went to the program of before the reload, whatever the rule says now."""
    now, words = 0.0, list[str]()
    bound = Limits(1, lambda: now)

    def of(command: str, names: str) -> Rule:
        return Rule.of(
            AlertConfig.model_validate({"name": "a", "consoles": [names], "pattern": "x", "command": [command]})
        )

    waiting = Waiting(bound, lambda late: words.extend(late.rule.config.command or ()))
    assert bound.allows("a", "h1", 0)
    assert waiting.put(Late("h2", of("old", "*"), Hit("x", 0), 0.0, {}))
    waiting.keep({"a": of("new", consoles)})
    now = PERIOD
    bound.total = 100
    waiting.tell()
    assert words == told
    waiting.stop()


def test_there_are_never_more_than_are_allowed_and_each_console_has_its_turn() -> None:
    """security.md 9, variation: whoever was told longest ago is first, and one alert of a console waits."""
    now, told = 0.0, list[tuple[str, float]]()
    bound = Limits(2, lambda: now)
    a_rule = Rule.of(
        AlertConfig.model_validate({"name": "a", "consoles": ["*"], "pattern": "x", "command": ["true"]})
    )

    def tell(found: Late) -> None:
        assert bound.allows("a", found.console, 0)
        told.append((found.console, now))

    def found(console: str) -> Late:
        return Late(console, a_rule, Hit("x", 0), 0.0, {})

    async def hit() -> None:
        nonlocal now
        waiting = Waiting(bound, tell)
        for console in ("h1", "h2"):
            assert not waiting.put(found(console))
            tell(found(console))
        assert not waiting.put(found("h1")), "it was told in this minute"
        now = PERIOD - 1
        assert waiting.put(found("db1"))
        assert not waiting.put(found("db1")), "one waits"
        assert waiting.put(found("db2"))
        assert waiting.put(found("db3"))
        waiting.tell()
        assert len(told) == 2
        now = PERIOD
        assert not waiting.put(found("h1")), "there is room"
        waiting.tell()
        waiting.keep({})
        now = 2 * PERIOD
        waiting.tell()
        waiting.stop()

    asyncio.run(hit())
    assert told == [("h1", 0.0), ("h2", 0.0), ("db1", PERIOD), ("db2", PERIOD)]


async def test_what_a_reader_is_too_slow_for_is_counted(tmp_path: Path) -> None:
    async with running(configured(tmp_path, rule())) as setup:
        (web1,) = setup.consoles
        web1.output(b"panic: no\n" + b"x" * (3 << 20))
        await setup.read(web1)
        assert int(str(setup.of()[-1].detail["skipped"])) == (3 << 20) + 10 - (1 << 20)


async def test_a_line_that_is_passed_over_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that a flood follows at once, so that it is not kept until it can be looked at: no alert may ever come,
    and those who wait for one are told that something was passed over. A flood is not told of for each part of it."""
    monkeypatch.setattr(unlooked, "FIRST_SECONDS", 0.0)
    async with running(configured(tmp_path, rule())) as setup:
        (web1,) = setup.consoles
        web1.output(b"panic: now\n" + b"all is well\n" * (2 << 20))
        await setup.until(lambda: bool(setup.of(Kind.ALERT_FAILED)))
        (told,) = setup.of(Kind.ALERT_FAILED)
        assert told.console == "web1"
        assert told.detail["alert"] == "a"
        assert str(told.detail["reason"]).startswith(f"{web1.end - (1 << 20)} bytes of output were not looked at")
        web1.output(b"\n" * (3 << 20))
        await setup.read(web1)
        assert setup.of(Kind.ALERT_FAILED) == [told]
    assert [event.detail["alert"] for event in setup.of(Kind.ALERT_FAILED)] == ["a", "a"]  # the rest, at the end


async def test_nobody_waits_for_it(tmp_path: Path) -> None:
    """The guest is not held, nobody counts as attached, and nothing is left behind when the console ends."""
    async with running(configured(tmp_path, rule())) as setup:
        (web1,) = setup.consoles
        held: list[bool] = []
        attended: list[bool] = []
        web1.on_attended(attended.append)
        web1.bind(None, hold=held.append)
        held.clear()
        web1.output(b"x" * (1 << 20))
        await setup.read(web1)
        assert True not in held
        assert attended == []
        web1.close("no more")
        await setup.until(lambda: not setup.alerts._watches)
        assert not web1._aside


async def test_a_prompt_is_found_though_it_never_ends(tmp_path: Path) -> None:
    async with running(configured(tmp_path, rule(pattern="^login: $"))) as setup:
        setup.consoles[0].output(b"boot\r\nlog")
        setup.consoles[0].output(b"in: ")
        await setup.until(lambda: len(setup.of()) == 1)
        assert setup.of()[0].detail["offset"] == 6


async def test_a_command_gets_it_and_no_shell_does(tmp_path: Path) -> None:
    script = tmp_path / "hook"
    script.write_text(
        f"#!/bin/sh\nenv > {tmp_path}/env\ncat > {tmp_path}/json.new\nmv {tmp_path}/json.new {tmp_path}/json\n"
    )
    script.chmod(0o700)
    async with running(configured(tmp_path, rule(command=f"['{script}', 'word']"))) as setup:
        setup.consoles[0].output("panic `$(touch /tmp/x)` \x1b[31m漢\x07\r\n".encode())
        await setup.until((tmp_path / "json").exists)
        told = json.loads((tmp_path / "json").read_text())
        assert told["line"] == "panic `$(touch /tmp/x)` 漢"
        assert (told["alert"], told["console"], told["suppressed"]) == ("a", "web1", 0)
        env = (tmp_path / "env").read_text()
        assert f"OOB_ALERT_LINE={told['line']}\n" in env
        assert "OOB_ALERT_OFFSET=0\n" in env


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ('["sh", "-c", "echo no good; exit 3"]', "sh failed with status 3: no good"),
        ('["no-such-program"]', "no-such-program cannot be run: No such file or directory"),
        ('["sleep", "1000"]\ntimeout_s = 1', "sleep did not end in 1 s, and was ended"),
    ],
)
async def test_a_command_that_fails(tmp_path: Path, command: str, reason: str) -> None:
    async with running(configured(tmp_path, rule(command=command))) as setup:
        setup.consoles[0].output(b"panic\n")
        await setup.until(lambda: len(setup.of(Kind.ALERT_FAILED)) == 1)
        assert setup.of(Kind.ALERT_FAILED)[0].detail == {"alert": "a", "reason": reason}


async def test_a_program_that_prints_without_end_and_reads_nothing(tmp_path: Path) -> None:
    async with running(configured(tmp_path, rule("timeout_s = 1", command='["yes"]'))) as setup:
        setup.consoles[0].output(b"panic\n")
        await setup.until(lambda: len(setup.of(Kind.ALERT_FAILED)) == 1)


async def test_a_rule_that_hangs_delays_no_other(tmp_path: Path) -> None:
    """Of the same rule so many run at the same time; another rule's go at once."""
    slow = rule("min_seconds = 0", command='["sleep", "1000"]')
    quick = f"[[alert]]\nname = 'b'\npattern = 'quick'\ncommand = ['touch', '{tmp_path}/done']\n"
    async with running(configured(tmp_path, slow + quick)) as setup:
        setup.consoles[0].output(b"panic\n" * (RUNNING_MAX + 3) + b"quick\n")
        await setup.until((tmp_path / "done").exists)


async def test_a_pattern_that_is_too_slow_is_told(tmp_path: Path) -> None:
    bad = rule(pattern="(x+x+)+y")
    good = "[[alert]]\nname = 'b'\npattern = 'xyz'\ncommand = ['true']\n"
    async with running(configured(tmp_path, bad + good), "web1", "web2") as setup:
        web1, web2 = setup.consoles
        web1.output(b"x" * 5000 + b"\n")
        web2.output(b"xyz\n")
        await setup.until(lambda: len(setup.of()) == 1 and len(setup.of(Kind.ALERT_FAILED)) == 1)
        assert "takes too long" in str(setup.of(Kind.ALERT_FAILED)[0].detail["reason"])


async def test_it_is_configured_anew(tmp_path: Path) -> None:
    async with running(configured(tmp_path, rule()), "web1", "db1") as setup:
        web1, db1 = setup.consoles
        db1.output(b"panic\n")
        await setup.read(web1)
        assert [event.console for event in setup.of()] == ["web1"]
        setup.alerts.configure(configured(tmp_path, rule("min_seconds = 0", pattern="oops").replace("web*", "*")))
        db1.output(b"panic\noops\n")
        web1.output(b"panic\noops\n")
        await setup.until(lambda: len(setup.of()) == 3)
        assert sorted(event.console for event in setup.of()[1:]) == ["db1", "web1"]
        setup.alerts.configure(configured(tmp_path, ""))
        assert not setup.alerts._watches
        assert not web1._aside
        assert not db1._aside


def self_signed(folder: Path) -> ssl.SSLContext:
    """What a TLS server needs whose certificate nobody has reason to trust."""
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    began = datetime.now(UTC) - timedelta(days=1)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(began)
        .not_valid_after(began + timedelta(days=3))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    (folder / "both.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "both.pem")
    return context


async def test_a_certificate_that_is_not_valid_is_named_as_the_reason(tmp_path: Path) -> None:
    """The reason was 'no answer of HTTP', because this error of TLS is a `ValueError`, too."""

    async def handle(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 204 No Content\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0, ssl=self_signed(tmp_path)) as server:
        url = f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?key=secret"
        with pytest.raises(PostFault, match="no certificate that is valid for it: self-signed certificate") as caught:
            await soon(post(url, b"{}", 30))
        assert "secret" not in str(caught.value)


async def test_a_name_that_is_none_is_named_as_the_reason() -> None:
    with pytest.raises(PostFault, match=r"^a\.\.b cannot be reached: that is no host's name$"):
        await soon(post("http://a..b/secret", b"{}", 30))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", ""),
        (b"HTTP/1.1 500 No\r\n\r\n", "answered 500"),
        (b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\n\r\n", "redirects are not followed"),
        (b"SSH-2.0-x\r\n", "no answer of HTTP"),
        (b"x" * 100000, "no answer of HTTP"),
        (b"", "no answer of HTTP"),
        (b"HTTP/1.1 2", "did not answer in"),
    ],
)
async def test_what_a_server_answers(answer: bytes, reason: str) -> None:
    """One that does not end its first line keeps us for the time limit, and no longer."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if answer.endswith(b"2"):
            await reader.read()
        writer.close()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook?key=secret"
        seconds = 1 if answer.endswith(b"2") else 30
        if not reason:
            await soon(post(url, b"{}", seconds))
            return
        with pytest.raises(PostFault, match=reason) as caught:
            await soon(post(url, b"{}", seconds))
        assert "secret" not in str(caught.value)


async def test_a_stop_ends_programs_that_ignore_it(tmp_path: Path) -> None:
    """faults.md 18, variation: with a URL that does not answer beside it, the program of an alert lived on when the
    server had ended."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as listening:
        port, pid = listening.sockets[0].getsockname()[1], tmp_path / "pid"
        script = f"trap '' TERM; echo $$ > {pid}.new; mv {pid}.new {pid}; while :; do sleep 0.1; done"
        does = f'url = "http://127.0.0.1:{port}/"\ncommand = {["sh", "-c", script]}'
        config = configured(tmp_path, f'[[alert]]\nname = "a"\npattern = "x"\n{does}\n')
        rule = Rule.of(config.alerts[0])
        outbox = Outbox(lambda alert, reason: None)
        outbox.put(rule, Alert("a", "web1", "x", 0, 0.0, 0, 0))
        await until(pid.exists, lambda: list(tmp_path.iterdir()))
        await soon(outbox.stop())
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
