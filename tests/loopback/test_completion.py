"""Completion of the local command, in the shells themselves."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.server import Server
from tests.support.terminal import Terminal

SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], 'eval "$(oobconsole --show-completion)"'),
    "zsh": (["zsh", "-f", "-i"], 'autoload -Uz compinit; compinit -D -u; eval "$(oobconsole --show-completion)"'),
    "fish": (["fish", "--no-config", "-i"], "oobconsole --show-completion | source"),
}


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest, server: Server) -> Iterator[Terminal]:
    command, setup = SHELLS[request.param]
    path = f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    env = ["env", f"PATH={path}", f"OOBCONSOLE_CONFIG={server.config}", f"HOME={server.folder}"]
    with Terminal([*env, *command], columns=100) as terminal:
        terminal.send(f"{setup}; echo rea''dy\r")
        terminal.expect(rb"\bready\r\n", timeout=30)
        terminal.expect_screen(r"[#$%>]$", timeout=30)  # its prompt: what is typed before it reads keys may be lost
        yield terminal


def test_verbs_consoles_and_actions(shell: Terminal) -> None:
    shell.send("oobconsole pow\t")
    shell.expect_screen("oobconsole power$", timeout=30)
    shell.send("we\t")  # as far as web1 and web2 are the same
    shell.expect_screen("oobconsole power web$", timeout=30)
    shell.send("1 res\t")
    shell.expect_screen("oobconsole power web1 reset", timeout=30)


def test_consoles_are_listed(shell: Terminal) -> None:
    shell.send("oobconsole attach w\t")
    shell.expect_screen("oobconsole attach web$", timeout=30)
    shell.send("\t\t")
    shell.expect_screen(r"web1 +web2", timeout=30)


def test_without_a_server_there_are_none_and_nobody_complains(shell: Terminal) -> None:
    shell.send("oobconsole --socket /nonexistent attach we\t")
    shell.send("; echo to''ld\r")
    shell.expect(rb"told\r\n", timeout=30, fail=rb"Traceback|no server can be reached.*no server can be reached")
