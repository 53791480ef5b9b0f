"""A person at a console: the real OpenSSH client on a real pseudo-terminal."""

from __future__ import annotations

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
