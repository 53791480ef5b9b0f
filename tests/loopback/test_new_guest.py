"""real-guests.md F5: somebody is at a console whose guest is started again."""

from __future__ import annotations

from pathlib import Path

from oobconsole.terminal.model import Terminal
from tests.loopback.lab import Lab
from tests.support.aio import soon, until


async def test_the_screen_begins_anew(tmp_path: Path) -> None:
    """The new guest's screen is empty at first, with the margins and colours that a terminal has at first; and what
    the old one showed is in the terminal's scrollback, with a line behind it."""
    async with Lab(tmp_path) as lab, await soon(lab.connect()) as client:
        _, guest = lab.appear(1)
        process = await soon(client.create_process("web1", encoding=None, term_type="xterm", term_size=(80, 24)))
        terminal, got = Terminal(24, 80), bytearray()

        async def shows(text: str) -> None:
            while not any(text in row for row in terminal.text):
                data = await soon(process.stdout.read(65536))
                assert isinstance(data, bytes)
                assert data, "the session has ended"
                got.extend(data)
                terminal.feed(data)

        guest.print(b"\x1b[5;20r\x1b[?6h\x1b[31m\x1b[2;1Hold text")
        await shows("old text")
        lab.interceptor.vanish(1, "it ended")
        lab.appear(2)
        await shows("a new guest appeared]")
        await shows("login:")
        assert terminal.text[0] == "login:"
        assert not any("old text" in row for row in terminal.text)
        assert b"-- a new guest appeared at " in got
        assert (terminal.top, terminal.bottom) == (0, 23)
        assert "?6" not in terminal.modes
        await until(lambda: lab.console.attached == 1, lambda: lab.console.attached)
