"""`make sanitize`: runs the nested stack with the plugin under AddressSanitizer, and then under ThreadSanitizer.

QEMU itself is not instrumented, so whatever is found is a fault of the plugin. The exit status is 1 if a sanitizer
has reported something.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from tests.stack.nested import L2Console, NestedStack
from tests.support.expect import ExpectError

NATIVE = Path(__file__).resolve().parents[2] / "native" / "tcg"
#: A command for L2 that prints until it is killed, so that there is output at any time.
TICKER = "{ while :; do echo tick; usleep 20000; done & }"
#: How long a boot may take, in seconds. ThreadSanitizer makes it three times as long, and a busy machine even longer.
SECONDS = 120.0


class Sanitizer(NamedTuple):
    """One way to build and run the plugin.

    Attributes:
        name: the sanitizer's name for gcc.
        runtimes: gcc's libraries that are preloaded into QEMU.
        variables: the variables of the environment that have the sanitizer's options.
        options: the sanitizer's options, besides the one that says where the report goes.
        started: what the sanitizer logs when it has started.
        findings: how a report begins.
    """

    name: str
    runtimes: tuple[str, ...]
    variables: tuple[str, ...]
    options: str
    started: str
    findings: tuple[str, ...]


SANITIZERS = (
    Sanitizer(
        "address",
        ("libasan.so", "libubsan.so"),
        ("ASAN_OPTIONS", "UBSAN_OPTIONS"),
        "detect_leaks=1:detect_stack_use_after_return=1:print_stacktrace=1",
        "AddressSanitizer Init done",
        ("ERROR: ", "runtime error: "),
    ),
    # QEMU's own code is not instrumented, so what it does to its memory would be misunderstood.
    Sanitizer(
        "thread",
        ("libtsan.so",),
        ("TSAN_OPTIONS",),
        "ignore_noninstrumented_modules=1:second_deadlock_stack=1:history_size=4",
        "Running under ThreadSanitizer",
        ("WARNING: ThreadSanitizer", "ThreadSanitizer: CHECK failed"),
    ),
)


def _build(sanitizer: Sanitizer, folder: Path) -> list[str]:
    """Build the plugin. Returns its path, and the libraries that are to be preloaded for it."""
    subprocess.run(["make", "-s", "-C", str(NATIVE), f"SANITIZE={sanitizer.name}"], check=True)
    found = [
        subprocess.run(["gcc", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()
        for name in sanitizer.runtimes
    ]
    libraries = [str(Path(name).resolve(strict=True)) for name in found]
    if sanitizer.name != "thread":
        return libraries
    jumps = folder / "jumps.so"
    source = Path(__file__).with_name("jumps.c")
    flags = ["-std=c11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"]
    subprocess.run(["gcc", *flags, "-o", str(jumps), str(source)], check=True)
    return [str(jumps), *libraries]


def _launch(sanitizer: Sanitizer, folder: Path) -> list[str]:
    # The runtimes of older compilers find no room for their shadow memory if addresses are random.
    options = f"{sanitizer.options}:verbosity=1:log_path={folder / 'report'}"
    preload = " ".join(_build(sanitizer, folder))
    return ["setarch", "-R", "env", f"LD_PRELOAD={preload}", *(f"{name}={options}" for name in sanitizer.variables)]


def _type_and_print(console: L2Console) -> None:
    """Type and print, more than fits into a FIFO."""
    console.run("uname -a; head -c 8192 /dev/urandom | od -x", timeout=SECONDS)
    console.send("stty raw -echo; echo rea''dy; head -c 4096 >/tmp/typed; stty sane; echo ta''ken\n")
    console.expect(rb"ready\r?\n", timeout=SECONDS)
    console.send(bytes(range(256)) * 16)
    console.expect(rb"taken", timeout=SECONDS)


def _lose_the_server(stack: NestedStack) -> None:
    """Kill the server and start it again, and then let it hang for longer than a vCPU waits."""
    assert stack.l1 is not None
    stack.server.kill()
    stack.l1.expect(rb"oob_tcg: [^\n]*went away", timeout=SECONDS)
    stack.server.start()
    with stack.console(timeout=SECONDS) as console:
        console.run(TICKER, timeout=SECONDS)
        os.kill(stack.server.pid, signal.SIGSTOP)
        try:
            stack.l1.expect(rb"oob_tcg: [^\n]*the server does not (answer|read)", timeout=SECONDS)
        finally:
            os.kill(stack.server.pid, signal.SIGCONT)
        console.expect(rb"tick", timeout=SECONDS)
        console.run("kill $!", timeout=SECONDS)


def _exercise(stack: NestedStack) -> int:
    """Use everything that the plugin does. At last L1 switches itself off. Returns QEMU's exit status."""
    assert stack.l1 is not None
    with stack.console("web1", timeout=SECONDS) as first, stack.console("web2", timeout=SECONDS) as second:
        second.run(TICKER, timeout=SECONDS)
        _type_and_print(first)
        for vcpu in (0, 1):
            first.run(f"echo {vcpu} >/proc/irq/4/smp_affinity_list; taskset -c {1 - vcpu} seq 1 500", timeout=SECONDS)
        second.run("kill $!", timeout=SECONDS)
    _lose_the_server(stack)
    stack.l1.send("poweroff -f\n")
    stack.l1.read_to_end(timeout=SECONDS)
    return stack.l1.wait(30)


def _boot(launch: list[str], plugin: Path) -> str | None:
    """Boot once, and use everything. Returns what went wrong; empty: nothing did. A report may say why, or be the
    reason."""
    try:
        with NestedStack(l2=2, smp=2, l1_append="oob.l2smp=2", plugin=plugin, launch=launch) as stack:
            status = _exercise(stack)
    except ExpectError as error:
        return "\n".join([str(error), *getattr(error, "__notes__", ())])
    return f"QEMU ended with status {status}" if status else None


def run(sanitizer: Sanitizer) -> bool:
    """Run one sanitizer, and print what it reports. Returns whether it reports nothing."""
    with tempfile.TemporaryDirectory(prefix="oob-") as name:
        folder, start = Path(name), time.monotonic()
        wrong = _boot(_launch(sanitizer, folder), NATIVE / f"oob_tcg.{sanitizer.name}.so")
        seconds = time.monotonic() - start
        log = "".join(path.read_text(errors="replace") for path in sorted(folder.glob("report.*")))
    found = sum(log.count(finding) for finding in sanitizer.findings)
    if sanitizer.started not in log:
        wrong = wrong or "the sanitizer never ran"
    if found or wrong:
        print(f"{wrong or ''}\n{log}", flush=True)
    print(f"{sanitizer.name}: {seconds:.0f} s, {found} reports, {'failed' if wrong else 'all went well'}", flush=True)
    return not found and not wrong


def main() -> int:
    """Run every sanitizer. Returns the exit status."""
    clean = {sanitizer.name: run(sanitizer) for sanitizer in SANITIZERS}
    return 0 if all(clean.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
