"""A person at a console: the real OpenSSH client on a real pseudo-terminal."""

from __future__ import annotations

import secrets

from tests.support.expect import Expect
from tests.support.server import Server
from tests.support.terminal import Terminal


def person(
    server: Server, *words: str, user: str = "alice", escape: str = "none", rows: int = 24, term: str = "dumb"
) -> Terminal:
    """Somebody who has just attached, and whom the server has told so.

    Args:
        words: the verb and the console, or the console alone.
        escape: the escape character of ssh's own; `none`: it has no escapes.
        term: TERM; on `dumb` what we say stands between the guest's lines, so that bytes can be compared.
    """
    command = server.ssh(*words, user=user, key=server.make_key(user), options=("-t", "-e", escape))
    terminal = Terminal(command, rows=rows, term=term)
    terminal.expect(rb"(helps|you have the keyboard)\]", timeout=20)  # no key helps where there is no prefix
    return terminal


def role(terminal: Expect, key: str, answer: bytes, *, begin: str = "") -> None:
    """Answer the question of `~r` with a key, and wait for what is said then.

    Args:
        begin: is typed before, such as Enter where the last character was none.
    """
    terminal.send(f"{begin}~r")
    while not terminal.expect(rb"(take it by force)|came at once with other text", timeout=20)[1]:
        terminal.send("\r~r")  # the last of what was typed before came as late as this
    terminal.send(key)
    terminal.expect(answer, timeout=20)


def typed(by: Expect, *seen_by: Expect) -> None:
    """Have somebody type a new word, and wait until its echo is seen: by all who are named, else by themselves."""
    word = secrets.token_hex(8)
    by.send(word)
    for terminal in seen_by or (by,):
        terminal.expect(word, timeout=20)
