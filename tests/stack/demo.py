"""`make demo`: from power-on to the guest's console, through a real ssh client.

In a terminal it attaches you; without one it runs a script in L2 and says what L1 saw of it.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

from tests.stack.nested import NestedStack

SCRIPT = ("uname -a", "cat /proc/interrupts", "echo hello from L2, through L0")
#: Shorter lines could be in anybody's output by chance.
TELLING = 12
#: What every BusyBox shell prints when it starts, L1's too.
BANNER = (b"BusyBox v", b"Enter 'help'")


def _progress() -> Callable[[str], None]:
    start = time.monotonic()

    def say(what: str) -> None:
        print(f"[{time.monotonic() - start:5.1f} s] {what}", file=sys.stderr, flush=True)

    return say


def telling_lines(output: bytes) -> set[bytes]:
    """The lines of a console's output that are long enough to be recognized elsewhere."""
    lines = {line.strip() for line in output.replace(b"\r", b"\n").split(b"\n")}
    return {line for line in lines if len(line) >= TELLING and not line.startswith(BANNER)}


def leaked(lines: set[bytes], carrier: bytes) -> int:
    """How many bytes of those lines stand in what somebody else's console carried."""
    return sum(len(line) for line in lines if line in carrier)


def _scripted(stack: NestedStack, say: Callable[[str], None]) -> int:
    with stack.console() as console:
        say("L2's shell answers: running a script in it over ssh")
        for command in SCRIPT:
            print(f"--- {command}\n{console.run(command).decode(errors='replace')}", flush=True)
        lines = telling_lines(bytes(console.seen))
    control = stack.l1_run("echo a line that only L1 prints")
    if not lines or not leaked({b"a line that only L1 prints"}, control):
        print("the search for L2's lines in L1's consoles finds nothing at all: it measures nothing", file=sys.stderr)
        return 1
    own, emulated = leaked(lines, stack.l1_console()), leaked(lines, stack.l2_files(1))
    print(f"bytes of L2's console that L1's own console carried: {own}")
    print(f"bytes of L2's console that L1's emulated serial port carried: {emulated}")
    return 0 if own == emulated == 0 else 1


def _interactive(stack: NestedStack, say: Callable[[str], None]) -> int:
    stack.console().close()
    say("L2's shell answers. You are attached next; Enter ~. leaves.")
    return subprocess.call(stack.server.ssh("web1", options=("-t", "-e", "none")))


def main() -> int:
    """Run the demonstration; returns the exit status."""
    say = _progress()
    interactive = sys.stdin.isatty() and sys.stdout.isatty()
    try:
        with NestedStack(progress=say) as stack:
            status = _interactive(stack, say) if interactive else _scripted(stack, say)
            say("ending everything that was started")
    except (AssertionError, OSError) as error:
        print(f"oobconsole: the demonstration failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
