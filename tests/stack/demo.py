"""`make demo`: from power-on to the guest's console, through a real ssh client.

In a terminal it attaches you to the console. Without a terminal it runs a script in L2, and says how much of it L1
has seen.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NoReturn

from tests.stack.nested import NestedStack

SCRIPT = ("uname -a", "cat /proc/interrupts", "echo hello from L2, through L0")
CONTROL = "a line that only L1 prints"
#: How many bytes a line must have. Shorter lines could be in anybody's output by chance.
TELLING = 12


def _progress() -> Callable[[str], None]:
    start = time.monotonic()

    def say(what: str) -> None:
        print(f"[{time.monotonic() - start:5.1f} s] {what}", file=sys.stderr, flush=True)

    return say


def telling_lines(output: bytes) -> set[bytes]:
    """Return the lines of a console's output that are long enough to be recognized elsewhere."""
    return {line.strip() for line in output.replace(b"\r", b"\n").split(b"\n") if len(line.strip()) >= TELLING}


def leaked(lines: set[bytes], carrier: bytes) -> int:
    """Return how many bytes of these lines another console has carried."""
    return sum(len(line) for line in lines if line in carrier)


def _scripted(stack: NestedStack, say: Callable[[str], None]) -> int:
    with stack.console() as console:
        say("L2's shell answers: running a script in it over ssh")
        for command in SCRIPT:
            print(f"--- {command}\n{console.run(command).decode(errors='replace')}", end="", flush=True)
        lines = telling_lines(console.conversation)
    stack.l1_run(f"echo {CONTROL}")
    emulated = stack.l2_files(1)
    if not lines or not leaked({CONTROL.encode()}, stack.l1_console()):
        print("oobconsole: the search in L1's console finds nothing at all, so it shows nothing", file=sys.stderr)
        return 1
    own, other = leaked(lines, stack.l1_console()), leaked(lines, emulated)
    print(f"--- of {sum(map(len, lines))} bytes in lines of L2's console,")
    print(f"{own} were carried by L1's own console (where the search does find what L1 prints),")
    print(f"{other} by the serial port that L1 emulates for L2", flush=True)
    return 0 if own == other == 0 else 1


def _interactive(stack: NestedStack, say: Callable[[str], None]) -> int:
    stack.console().close()
    say("L2's shell answers. You are attached next: Enter ~. leaves, and ends everything.")
    return subprocess.call(stack.server.ssh("web1", options=("-t", "-e", "none")))


def _end(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def main() -> int:
    """Run the demonstration; returns the exit status."""
    say = _progress()
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        with NestedStack(progress=say) as stack:
            stack.wait_for_guest()
            say("L0 sees an L2 use its serial port: console web1. Its shell comes next (about 5 s)")
            status = (_interactive if interactive else _scripted)(stack, say)
            say("ending everything that was started")
    except (AssertionError, OSError, subprocess.SubprocessError) as error:
        notes = "\n".join(getattr(error, "__notes__", ()))
        print(f"{notes}\noobconsole: the demonstration failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    return status


if __name__ == "__main__":
    sys.exit(main())
