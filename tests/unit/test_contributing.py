"""The worked examples of CONTRIBUTING.md: each is taken from the page, wired as the page says, and run."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from textwrap import indent
from types import ModuleType
from typing import TypeVar

import pytest

from oobconsole import verbs
from oobconsole.app import fronts as app_fronts
from oobconsole.app import registry
from oobconsole.config import places
from oobconsole.config.guests import MachineConfig, VmConfig
from oobconsole.config.schema import Config
from oobconsole.config.table import Table
from oobconsole.console.console import ConsoleState
from oobconsole.console.reader import Notice
from oobconsole.front.fronts import Fronts, prepare
from oobconsole.guests import fittings
from oobconsole.guests.line import Line
from oobconsole.guests.nested import Machine
from oobconsole.interceptors.memory import MemoryInterceptor
from oobconsole.session import commands
from oobconsole.session import verbs as implementations
from oobconsole.session.request import ExitStatus
from tests.loopback.lab import Lab
from tests.support.aio import soon, until
from tests.unit.session.fakes import ALICE, FakePeer, consoles

T = TypeVar("T", bound=Table)
ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "CONTRIBUTING.md").read_text()
#: Blocks of code, by what their first line says: a file, or `in FILE` for a line of it.
EXAMPLES = dict(re.findall(r"```python\n# ([^\n]+)\n(.*?)```", PAGE, re.DOTALL))


def load(file: str, folder: Path) -> ModuleType:
    """The module that the page has under that name."""
    path = folder / Path(file).name
    path.write_text(EXAMPLES[file])
    spec = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def with_key(table: type[T], file: str) -> type[T]:
    """The table of the configuration, with the key that the page adds to it."""
    names = dict(vars(sys.modules[table.__module__]))
    exec(f"class Wired({table.__name__}):\n{indent(EXAMPLES[f'in {table.__name__} of {file}'], '    ')}", names)
    wired: type[T] = names["Wired"]
    return wired


def test_the_page_has_an_example_of_each() -> None:
    assert set(EXAMPLES) == {
        "devices/debugport.py",
        "in oobconsole/config/places.py",
        "in oobconsole/guests/fittings.py",
        "oobconsole/interceptors/playback.py",
        "in MachineConfig of oobconsole/config/guests.py",
        "in INTERCEPTORS of oobconsole/app/registry.py",
        "in VmConfig of oobconsole/config/guests.py",
        "in make_lines of oobconsole/app/registry.py",
        "oobconsole/lines/program.py",
        "oobconsole/session/verbs/idle.py",
        "in oobconsole/verbs.py",
        "oobconsole/oneline/server.py",
        "oobconsole/oneline/kind.py",
        "in oobconsole/app/fronts.py",
    }


@pytest.mark.parametrize("file", [name for name in EXAMPLES if not name.startswith("in ")])
def test_an_example_is_in_the_style_of_everything_else(file: str, tmp_path: Path) -> None:
    path = tmp_path / Path(file).name
    path.write_text(EXAMPLES[file])
    config = ["--config", str(ROOT / "pyproject.toml"), "--no-cache"]
    for words in (["check", *config], ["format", "--check", *config]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *words, str(path)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def whole(folder: Path) -> Config:
    """The rest of the configuration; its folder is `folder`."""
    return Config.model_validate({"server": {"state_dir": str(folder), "authorized_keys": str(folder)}})


async def test_a_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    device = load("devices/debugport.py", tmp_path).DebugPort
    monkeypatch.setattr(places, "FITTED", {})
    monkeypatch.setattr(fittings, "MAKERS", {})
    exec(EXAMPLES["in oobconsole/config/places.py"], {**vars(places), "DebugPort": device})
    exec(EXAMPLES["in oobconsole/guests/fittings.py"], {**vars(fittings), "DebugPort": device})
    interceptor = MemoryInterceptor("rack7")
    config = MachineConfig.model_validate({"name": "rack7", "guest": [{"name": "web1"}]})
    machine = Machine(config, interceptor, scrollback=4096)
    await machine.start()
    handler = interceptor.appear(1)
    assert handler is not None
    (console,) = [console for guest in machine.guests for console in guest.consoles]
    reader = console.attach()
    assert handler.read(0xE9, 1) == 0xE9
    handler.write_block(0xE9, b"hello\x1b")
    handler.write(0xE9, 1, 0x21)
    handler.write_block(0xE9, b"\n\n" + b"x" * 81)
    told = [await soon(reader.next()) for _ in range(2)]
    assert [notice.text for notice in told if isinstance(notice, Notice)] == [
        "web1: debug port: hello?!",
        f"web1: debug port: {'x' * 80}",
    ]
    assert console.end == 0, "what is no UART's is no output"
    assert range(0xE9, 0xEA) in [ports for one in places.places_of(config) for ports in one.place.ranges]
    await machine.stop("the test ends")


async def test_an_interceptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = load("oobconsole/interceptors/playback.py", tmp_path)
    table = with_key(MachineConfig, "oobconsole/config/guests.py")
    config = table.model_validate({"name": "rack7", "interceptor": "playback", "guest": [{"name": "web1"}]})
    monkeypatch.setattr(registry, "INTERCEPTORS", dict(registry.INTERCEPTORS))
    names = {**vars(registry), "PlaybackInterceptor": module.PlaybackInterceptor}
    exec(EXAMPLES["in INTERCEPTORS of oobconsole/app/registry.py"], names)
    (tmp_path / "rack7.output").write_bytes(b"Linux version 6.12\r\n")
    machine = Machine(config, registry.make(whole(tmp_path), config), scrollback=4096)
    await machine.start()
    (console,) = [console for guest in machine.guests for console in guest.consoles]
    await until(lambda: console.end == len(b"Linux version 6.12\r\n"), lambda: console.end)
    await machine.stop("the test ends")


async def test_a_line(tmp_path: Path) -> None:
    table = with_key(VmConfig, "oobconsole/config/guests.py")
    vm = table.model_validate({"name": "web1", "chardev": "unix:web1.line", "program": ["cat"]})
    names = {**vars(registry), "ProgramStream": load("oobconsole/lines/program.py", tmp_path).ProgramStream}
    example = indent(EXAMPLES["in make_lines of oobconsole/app/registry.py"], "    ")
    exec(f"def make_lines(config, vm):\n{example}    return []\n", names)
    (stream,) = names["make_lines"](whole(tmp_path), vm)
    assert names["make_lines"](whole(tmp_path), vm.model_copy(update={"program": None})) == []
    line = Line("web1", stream, scrollback=4096)
    await line.start()
    await until(lambda: line.console.state is ConsoleState.LIVE, lambda: line.console.state)
    await line.console.write(b"to the guest and back", ALICE)
    await until(lambda: line.console.end == len(b"to the guest and back"), lambda: line.console.end)
    await line.stop()
    assert line.console.state is ConsoleState.LIVE, "a line that is stopped says nothing"


async def test_a_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "idle.py").write_text(EXAMPLES["oobconsole/session/verbs/idle.py"])
    monkeypatch.setattr(implementations, "__path__", [*implementations.__path__, str(tmp_path)])
    verb = eval(EXAMPLES["in oobconsole/verbs.py"], vars(verbs))
    monkeypatch.setitem(verbs.VERBS, verb.name, verb)
    monkeypatch.setitem(commands._IMPLEMENTATIONS, verb.name, implementations.load(verb))
    monkeypatch.delitem(sys.modules, f"{implementations.__name__}.idle", raising=False)
    peer, known = FakePeer(), consoles("web1")
    assert await soon(commands.run("idle web1", peer, None, known, ALICE)) is ExitStatus.OK
    assert peer.got == b"never\n"
    assert await soon(commands.run("help", peer, None, known, ALICE)) is ExitStatus.OK
    assert b"idle    for how long a guest has printed nothing" in peer.got


async def test_a_front(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a process of its own, with the rights of one, and with the core's side as it is in the server."""
    package = tmp_path / "more" / "oneline"
    package.mkdir(parents=True)
    for file in ("server.py", "kind.py"):
        (package / file).write_text(EXAMPLES[f"oobconsole/oneline/{file}"])
    (tmp_path / "more" / "sitecustomize.py").write_text(
        f"import oobconsole\noobconsole.__path__.append({str(tmp_path / 'more')!r})\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "more"))
    one_line = load("oobconsole/oneline/kind.py", tmp_path).KIND
    names = {**vars(app_fronts), "ONELINE": one_line}
    exec(EXAMPLES["in oobconsole/app/fronts.py"], names)
    assert names["KINDS"] == (*app_fronts.KINDS, one_line)
    async with Lab(tmp_path) as lab:
        state = lab.config.server.state_dir
        state.mkdir(exist_ok=True)
        (state / "passwords.json").write_text('{"alice": "sesame"}')
        prepared = prepare([one_line], lab.config)
        running = Fronts([one_line], prepared, lab.reception, lab.services.events)
        (address,) = (await soon(running.start()))["oneline"]
        try:
            said = await ask(address, b"alice sesame ls\n")
            assert b"web1" in said
            assert said.endswith(b"exit 0\n")
            assert await ask(address, b"alice sesame status\n") == (
                b"oobconsole: 'status' is for the server's own user: 'oobconsole status' on its host\nexit 3\n"
            )
            for wrong in (b"alice open ls\n", b"mallory sesame ls\n", b"alice\n", b"\n", b"x" * 5000):
                assert await ask(address, wrong) == b"refused: no such user, or another password\n"
        finally:
            await running.stop()


async def ask(address: str, line: bytes) -> bytes:
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(line)
    said = await soon(reader.read())
    writer.close()
    return said


def test_the_list_of_targets_is_what_make_prints() -> None:
    printed = subprocess.run(["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True)
    assert printed.stdout.rstrip() in PAGE


def targets(makefile: Path) -> set[str]:
    return set(re.findall(r"^([\w-]+):", makefile.read_text(), re.MULTILINE))


def test_files_that_the_makefile_names_are_there() -> None:
    named = set(re.findall(r"\b(?:docs|native|tests|oobconsole)/[\w./-]+\.\w+", (ROOT / "Makefile").read_text()))
    assert named
    assert [file for file in sorted(named) if not (ROOT / file).exists()] == []


PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_target_of_make_that_a_page_names_is_there(page: Path) -> None:
    named = set(re.findall(r"`make ([a-z][\w-]*)", page.read_text()))
    assert not named - targets(ROOT / "Makefile")
