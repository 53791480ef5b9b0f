"""tmux as a person's terminal: a real terminal emulator that says what its screen and its modes are."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import select
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from oobconsole.terminal.pen import PLAIN
from tests.support.expect import ExpectError
from tests.support.pace import Deadline

#: What tmux knows of a terminal besides its cells (tmux(1), FORMATS).
_MODES = (
    *("cursor_x", "cursor_y", "cursor_flag", "insert_flag", "origin_flag", "wrap_flag", "keypad_flag"),
    *("keypad_cursor_flag", "alternate_on", "scroll_region_upper", "scroll_region_lower"),
    *("mouse_all_flag", "mouse_button_flag", "mouse_standard_flag", "mouse_sgr_flag"),
)
_SGR = re.compile(r"(\x1b\[[\d;:]*m|[\x0e\x0f])")
#: DEC's special characters, by the letters with which they are written behind SO.
_LINES = str.maketrans("`abcdefghijklmnopqrstuvwxyz{|}~", "◆▒␉␌␍␊°±␤␋┘┐┌└┼⎺⎻─⎼⎽├┤┴┬│≤≥π≠£·")
_numbers = itertools.count()
#: Of one row: characters that have the same attributes, and these attributes.
Runs = list[tuple[str, str]]


def as_runs(parts: Iterable[tuple[str, str]]) -> Runs:
    """A row, of which parts next to each other with the same attributes are one; without blanks at the end."""
    row: Runs = []
    for text, pen in parts:
        if row and row[-1][1] == pen:
            row[-1] = (row[-1][0] + text, pen)
        elif text:
            row.append((text, pen))
    while row and not row[-1][0].rstrip(" "):
        row.pop()
    if row:
        row[-1] = (row[-1][0].rstrip(" "), row[-1][1])
    return row


class Tmux:
    """One terminal, in a tmux server of its own.

    Args:
        command: what runs in the terminal. Behind it `cat` runs, so that what the command has left can be looked at.
        rows, columns: the size of the terminal.
    """

    def __init__(self, command: Sequence[str], *, rows: int = 24, columns: int = 80) -> None:
        self._name = f"oob-{os.getpid()}-{next(_numbers)}"
        self.rows = rows
        self._written = tempfile.NamedTemporaryFile(prefix=self._name)  # noqa: SIM115 - closed with it
        self._written_at = 0
        shell = f"stty raw -echo; {shlex.join(command)}; echo left $?; exec cat"
        size = ("-x", str(columns), "-y", str(rows))
        settings = {"status": "off", "escape-time": "0", "history-limit": "0", "default-terminal": "xterm-256color"}
        words = [word for name, value in settings.items() for word in ("set", "-g", name, value, ";")]
        begin = ("start-server", ";", *words, "new-session", "-d", "-s", "t", *size, shell, ";")
        copy = ("pipe-pane", "-t", "t", f"exec cat >>{shlex.quote(self._written.name)}")
        self._tmux("-f", os.devnull, *begin, *copy)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        with contextlib.suppress(ExpectError):
            self._tmux("kill-server")
        self._written.close()

    def send(self, data: bytes | str) -> None:
        """Type `data`."""
        keys = data.encode() if isinstance(data, str) else data
        for at in range(0, len(keys), 256):
            self._tmux("send-keys", "-t", "t", "-H", *(f"{byte:02x}" for byte in keys[at : at + 256]))

    def mess_up(self, data: bytes) -> None:
        """Write to the terminal as another program than the command would."""
        tty = self._tmux("display-message", "-p", "-t", "t", "#{pane_tty}").strip()
        Path(tty).write_bytes(data)

    def resize(self, rows: int, columns: int) -> None:
        """Change the terminal's size."""
        self.rows = rows
        self._tmux("resize-window", "-t", "t", "-x", str(columns), "-y", str(rows))

    @property
    def lines(self) -> list[str]:
        """What the terminal shows, without colours."""
        shown = self._tmux("capture-pane", "-p", "-t", "t").split("\n")
        return [line.rstrip() for line in shown[: self.rows]]

    @property
    def cells(self) -> list[str]:
        """What the terminal shows, with attributes."""
        return self._tmux("capture-pane", "-p", "-e", "-t", "t").split("\n")[: self.rows]

    @property
    def runs(self) -> list[Runs]:
        """What it shows, row by row: runs of characters with the same attributes; without blanks at the end.

        Lines are the characters that they are shown as, however they were written. Blanks at the ends may have been
        written or erased. Both look the same, but tmux does not show the colour of the latter.
        """
        shown = self._tmux("capture-pane", "-p", "-e", "-N", "-t", "t").split("\n")[: self.rows]
        pen, rows, shifted = PLAIN, [], False
        for line in shown:
            row: Runs = []
            for part in _SGR.split(line):
                if part in ("\x0e", "\x0f"):
                    shifted = part == "\x0e"
                    continue
                part = part.translate(_LINES) if shifted and not part.startswith("\x1b") else part
                if part.startswith("\x1b["):
                    pen = pen.changed(part[2:-1])
                else:
                    row.append((part, pen.sgr))
            rows.append(as_runs(row))
        return rows

    def modes(self) -> dict[str, str]:
        """Return the modes of the terminal, and where its cursor is."""
        said = self._tmux("display-message", "-p", "-t", "t", " ".join(f"#{{{mode}}}" for mode in _MODES))
        return dict(zip(_MODES, said.rstrip("\n").split(" "), strict=True))

    @property
    def title(self) -> str:
        """The title that the terminal was given last."""
        return self._tmux("display-message", "-p", "-t", "t", "#{pane_title}").strip()

    def wait(self, what: Callable[[Self], bool], *, timeout: float = 30) -> None:
        """Wait until `what` returns true.

        Raises:
            ExpectError: the time was up. The message has what the terminal shows.
        """
        deadline = Deadline(timeout)
        while not what(self):
            select.select([], [], [], 0.02)  # tmux has nothing to wait for: it is asked again and again
            if not deadline.left:
                shown = "\n".join(self.lines)
                raise ExpectError(f"it did not come in {deadline}; the terminal shows\n{shown}\n{self.modes()}")

    def expect(self, text: str, *, timeout: float = 30) -> None:
        """Wait until that text is shown."""
        self.wait(lambda terminal: any(text in line for line in terminal.lines), timeout=timeout)

    def expect_written(self, text: str, *, timeout: float = 30) -> None:
        """Wait until the command has written that text to the terminal, behind what was found last in this way.

        A notice is shown for four seconds. On a busy machine it may have come and gone before anybody looks.
        """
        wanted = text.encode()

        def is_written(terminal: Self) -> bool:
            found = Path(self._written.name).read_bytes().find(wanted, self._written_at)
            self._written_at = found + len(wanted) if found >= 0 else self._written_at
            return found >= 0

        self.wait(is_written, timeout=timeout)

    def gone(self, key: str, *, timeout: float = 30) -> None:
        """Type that key until nothing of ours is shown."""

        def is_gone(terminal: Self) -> bool:
            if not any("[oobconsole:" in line for line in terminal.lines):
                return True
            terminal.send(key)
            return False

        self.wait(is_gone, timeout=timeout)

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(["tmux", "-u", "-L", self._name, *words], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ExpectError(f"tmux {words[0]}: {done.stderr.strip()}")
        return done.stdout
