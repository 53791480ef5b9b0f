"""Real full-screen programs in a stock QEMU, and persons at terminals of any size who come to them."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.stack.nested import CACHE
from tests.stack.plain import PlainGuest
from tests.support.expect import Expect
from tests.support.pair import Pair, Visitor
from tests.support.server import Server
from tests.support.tmux import Tmux

_CONSOLES = """
[console]
share = true
[[vm]]
name = "web1"
chardev = "unix:serial"
"""


class RealGuest(PlainGuest):
    """It begins when the server has connected, so that everybody has seen everything.

    What it prints is written down on the way by socat: QEMU's own `logfile` has bytes twice when the server was slow
    (`qemu_chr_write_buffer` in chardev/char.c logs what it could not write, and again when it is written).

    Args:
        folder: where its sockets lie, and `serial.log`: each byte of its output.
        boot: what it boots, as options of QEMU.
    """

    def __init__(self, folder: Path, boot: Sequence[str]) -> None:
        self._log = folder / "serial.log"
        self._between = ["socat", "-R", str(self._log), f"unix-listen:{folder}/serial"]
        self._between.append(f"unix-connect:{folder}/qemu,retry=600,interval=0.1")
        self._carrier: Expect | None = None
        super().__init__(folder, f"unix:{folder}/qemu,server=on,wait=on", boot=boot)

    def start(self) -> None:
        """Power on, once somebody connects."""
        self._carrier = Expect(["setpriv", "--pdeathsig", "TERM", *self._between])
        super().start()

    def stop(self) -> None:
        """Pull the plug. Idempotent."""
        super().stop()
        if self._carrier is not None:
            self._carrier.close()
            self._carrier = None

    @property
    def printed(self) -> bytes:
        """Every byte of its output so far."""
        return self._log.read_bytes() if self._log.exists() else b""

    @contextlib.contextmanager
    def standing(self) -> Iterator[None]:
        """QEMU does nothing meanwhile: what prints all the time can be compared then."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._process.pid, signal.SIGCONT)


class RealProgram:
    """A guest, and the server before it."""

    def __init__(self, server: Server, guest: RealGuest) -> None:
        self.server, self.guest = server, guest

    @contextlib.contextmanager
    def attached(self, rows: int) -> Iterator[Pair[RealGuest]]:
        """Somebody comes: the screen is drawn as it is, and the welcome stands over it."""
        fifo = self.server.folder / "fifo"
        fifo.unlink(missing_ok=True)
        os.mkfifo(fifo)
        with (
            Tmux(self.server.ssh("web1", options=("-tt", "-e", "none")), rows=rows) as terminal,
            Tmux(["cat", str(fifo)], rows=rows) as plain,
            fifo.open("wb") as feed,
        ):
            terminal.expect("helps]")
            yield Pair(self.server, self.guest, terminal, plain, feed)


@contextlib.contextmanager
def real_program(*boot: str) -> Iterator[RealProgram]:
    """A stock QEMU that boots this, behind a server of its own."""
    with Server(_CONSOLES) as server, RealGuest(server.folder, boot) as guest:
        yield RealProgram(server, guest)


def image(name: str) -> str:
    """Something that tests/stack/real.sh has fetched."""
    path = CACHE / "real" / name
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there yet: 'make real' fetches it")
    return str(path)


def disturb(both: Pair[RealGuest], *keys: str) -> None:
    """Everything that makes us say something, at the beginning of a line; then others come and go."""
    both.terminal.send("~h")
    both.terminal.expect("draw anew")
    both.terminal.send("~w")
    both.terminal.expect(" types ")
    come_and_go(both, *keys)


def come_and_go(both: Pair[RealGuest], *keys: str) -> None:
    """With each of these keys for the guest somebody comes, and goes again."""
    for key in keys:
        with Visitor(both.server):
            both.terminal.expect_written("alice is attached]")
            both.terminal.send(key)
        both.terminal.expect_written("alice has left]")


def undisturbed(both: Pair[RealGuest], key: str) -> None:
    """What we have said goes, and the terminal is as if we had said nothing.

    Args:
        key: one that changes nothing in the guest.
    """
    both.terminal.gone(key)
    both.equal()


def marked(terminal: Tmux, how: str, entries: Sequence[str]) -> int:
    """Which entry of a menu it shows as the one that Enter chooses, once it shows one so.

    Args:
        how: the parameter of SGR that only the marked one has, such as `7` for reversed.
        entries: all of them, in their order.
    """
    found = [""]

    def is_one(shown: Tmux) -> bool:
        found[0] = _marked(shown, how)  # looked at once: it may be half drawn the next time
        return found[0] in entries

    terminal.wait(is_one)
    return entries.index(found[0])


def _marked(terminal: Tmux, how: str) -> str:
    runs = [run for row in terminal.runs for run in row]
    found = [text.strip(" >") for text, pen in runs if text.strip() and how in pen.strip("\x1b[m").split(";")]
    return found[0] if len(found) == 1 else ""
