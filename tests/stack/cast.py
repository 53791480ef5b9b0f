"""`make cast`: records `make demo` as `docs/demo.cast` (asciicast v2), while a script types as a person would."""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path
from typing import Final

from tests.support.terminal import Terminal

CAST: Final = Path(__file__).parents[2] / "docs" / "demo.cast"
ROWS, COLUMNS = 32, 100
BOOT_SECONDS: Final = 300
#: Pauses between two keys and before each step, in seconds, so that whoever watches can follow.
KEY_SECONDS, READ_SECONDS = 0.06, 1.5
#: What is typed, and which part of the answer is waited for. A guest echoes each key, and an escape key shows
#: nothing.
STEPS: Final = (
    ("uname -sr", rb"Linux \S+\r\n"),
    ("grep ttyS0 /proc/interrupts", rb"IO-APIC.*ttyS0\r\n"),
    ("\r~h", rb"into the guest\]"),
    ("\r~w", rb"alice +types"),
    ("\r~.", rb"detached from web1\]"),
)


def _type(terminal: Terminal, line: str) -> None:
    for key in line:
        terminal.send(key)
        terminal.expect(re.escape(key), timeout=20)
        time.sleep(KEY_SECONDS)
    terminal.send("\r")


def main() -> int:
    """Record the demonstration. Returns the exit status of what was recorded."""
    command = f"echo '$ make demo'; exec {sys.executable} -m tests.stack.demo"
    record = [sys.executable, "-m", "asciinema", "rec", "--quiet", "--overwrite", "--idle-time-limit", "2"]
    with Terminal(
        [*record, "--title", "oobconsole: make demo", "--command", command, str(CAST)], rows=ROWS, columns=COLUMNS
    ) as terminal:
        terminal.expect(rb"helps\]", timeout=BOOT_SECONDS, fail=rb"demonstration failed")
        for typed, answer in STEPS:
            time.sleep(READ_SECONDS)
            if "~" in typed:
                terminal.send(typed)
            else:
                _type(terminal, typed)
            terminal.expect(answer, timeout=60)
        status = terminal.wait(60)
    print(f"{CAST}: {CAST.stat().st_size} bytes")
    return status


if __name__ == "__main__":
    sys.exit(main())
