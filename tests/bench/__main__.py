"""`make bench [ONLY=group]`: measures the groups of figures, prints them as a table, and writes `.cache/bench.json`.

Both sides of each ratio are measured in one run, because machines and their load differ.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
import time
from collections.abc import Callable

from tests.bench.goals import told
from tests.bench.libvirt import libvirt
from tests.bench.server import server
from tests.bench.terminal import terminal
from tests.bench.trust import Results, echo_ms, guests, kills, quantiles
from tests.bench.vms import vms
from tests.stack.nested import CACHE, PROMPT, L2Console, NestedStack
from tests.support.expect import Expect

KIB = 20
RUNS = 7
BOOTS = 3


def _boot_seconds(intercept: bool, kernel_log: bool) -> float:
    """Boot an L2. Returns the seconds from the start of its kernel to its shell. L2 prints them before its first
    prompt."""
    ready = rb"L2 is ready after ([\d.]+) s"
    with NestedStack(intercept=intercept, l1_append="oob.l2append=loglevel=7" if kernel_log else "") as stack:
        if intercept:
            # A terminal also shows what was printed before the client came.
            with Expect(stack.server.ssh("web1", options=("-tt",))) as client:
                return float(client.expect(ready, timeout=180)[1])
        printed = stack.l1_run("until grep -q ready /com1-1; do sleep 0.5; done; cat /com1-1", timeout=180)
        found = re.search(ready, printed)
        assert found is not None
        return float(found[1])


#: Makes L2 print the data to the port that we serve.
COM1 = "cat /tmp/data"
#: Makes L2 print the data to the port that L1 serves. `cat` returns when the driver has all bytes, and `stty` then
#: waits until the port has them.
COM2 = "cat /tmp/data >/dev/ttyS1; stty -F /dev/ttyS1 raw -echo"
#: How much is pasted into a guest at once.
INPUT_BYTES = 16 << 10
#: Consoles mostly carry lines of a few bytes. The terminal driver adds a CR LF to each of these lines.
SHORT_LINES = 4000
SHORT_COM1 = f"seq 1 {SHORT_LINES}"
COOKED_COM2 = "stty -F /dev/ttyS1 raw -echo opost onlcr"
SHORT_COM2 = f"seq 1 {SHORT_LINES} >/dev/ttyS1; {COOKED_COM2}"


def _seconds(console: L2Console, command: str, timeout: float = 120) -> float:
    start = time.monotonic()
    console.send(f"{command}; echo fi''nis\n")
    console.expect(rb"finis\r?\n", timeout=timeout)
    return time.monotonic() - start


def _waits(stack: NestedStack) -> tuple[int, float]:
    """End QEMU and the server. Returns how many accesses the guests have waited for since they booted, and for how
    many milliseconds in all, as the server logs it when QEMU ends."""
    assert stack.l1 is not None
    stack.l1.close()
    stack.server.stop()
    log = stack.server.log.read_text()
    found = re.findall(r"native half away.*? reads=(\d+).*? read_ns=(\d+)", log)
    if not found:
        raise AssertionError(f"the server's log does not say for how long accesses took:\n{log[-1000:]}")
    return int(found[-1][0]), int(found[-1][1]) / 1e6


def nested() -> Results:
    """Compare our port of an L2 with the port that L1 itself emulates."""
    out: Results = {}
    with NestedStack(l1_append="oob.com2=1") as stack:
        with stack.console() as console:
            console.run(f"head -c {KIB * 1024 * 3 // 4} /dev/urandom | base64 -w 64 >/tmp/data")
            console.run("stty -F /dev/ttyS1 raw -echo; stty -F /dev/ttyS0 -opost")  # neither port adds bytes
            ours = [_seconds(console, COM1) for _ in range(RUNS)]
            theirs = [_seconds(console, COM2) for _ in range(3)]
            out["nested.com1_20kib_s"] = statistics.median(ours)
            out["nested.com2_20kib_s"] = statistics.median(theirs)
            out["nested.throughput_ratio"] = out["nested.com2_20kib_s"] / out["nested.com1_20kib_s"]
            out |= _short_lines(console)
            out["nested.input_16kib_s"] = statistics.median(_input_seconds(console) for _ in range(RUNS))
        out["nested.waits"], out["nested.waits_ms"] = _waits(stack)
    return out | _echo() | _boots("boot", kernel_log=True) | _boots("quiet_boot", kernel_log=False)


def _input_seconds(console: L2Console) -> float:
    """Return for how many seconds the guest reads input that is pasted at once."""
    console.send(f"stty raw -echo; echo rea''dy; head -c {INPUT_BYTES} >/dev/null; stty sane; echo ta''ken\n")
    console.expect(rb"ready\r?\n", timeout=20)
    start = time.monotonic()
    console.send(b"x" * INPUT_BYTES)
    console.expect(rb"taken", timeout=120)
    return time.monotonic() - start


def _short_lines(console: L2Console) -> Results:
    """Print lines of a few bytes to both ports. L1's port takes a minute and a half, so it is measured only once."""
    console.run("stty -F /dev/ttyS0 opost; " + COOKED_COM2)
    ours = statistics.median(_seconds(console, SHORT_COM1) for _ in range(RUNS))
    theirs = _seconds(console, SHORT_COM2, timeout=600)
    console.run("stty -F /dev/ttyS0 -opost")
    return {
        "nested.short_lines_com1_s": ours,
        "nested.short_lines_com2_s": theirs,
        "nested.short_lines_ratio": theirs / ours,
    }


#: How an administrator of L1 starts a guest by hand. The guest's serial port is on the terminal of L1's shell.
L1S_OWN_GUEST = (
    "qemu-system-x86_64 -accel kvm -cpu host -m 128 -nodefaults -display none -serial stdio"
    " -kernel /vmlinuz -initrd /l2.cpio -append 'console=ttyS0 panic=1 quiet'"
)


def _echo() -> Results:
    """Measure how long the echo of a key takes at an idle guest's shell, in milliseconds: first through us, and then
    as one would do it without us, in L1's terminal, where its QEMU runs. That second way has no ssh in it."""
    out: Results = {}
    with NestedStack() as stack, stack.console() as console:
        ours = quantiles(echo_ms(console))
    with NestedStack(intercept=False) as stack:
        assert stack.l1 is not None
        stack.l1_run("kill $(cat /tmp/l2-1.pid)")
        stack.l1.send(f"stty raw -echo; {L1S_OWN_GUEST}\n")
        stack.l1.expect(PROMPT, timeout=180)
        theirs = quantiles(echo_ms(stack.l1))
    out["nested.echo_ms.median"], out["nested.echo_ms.p99"] = ours
    out["nested.echo_by_l1_ms.median"], out["nested.echo_by_l1_ms.p99"] = theirs
    out["nested.echo_ratio"] = ours[0] / theirs[0]
    return out


def _boots(name: str, kernel_log: bool) -> Results:
    """Compare the boot of a guest with us and without us. `kernel_log`: its kernel logs to its console, as a kernel
    with `console=ttyS0` does; otherwise it is told to be quiet."""
    boots = [[_boot_seconds(intercept, kernel_log) for intercept in (True, False)] for _ in range(BOOTS)]
    with_us, without = map(min, zip(*boots, strict=True))
    return {
        f"nested.{name}_with_s": with_us,
        f"nested.{name}_without_s": without,
        f"nested.{name}_ratio": with_us / without,
    }


GROUPS: dict[str, Callable[[], Results]] = {
    "nested": nested,
    "kills": kills,
    "guests": lambda: guests(_waits),
    "server": server,
    "libvirt": libvirt,
    "vms": vms,
    "terminal": terminal,
}


def main(only: list[str]) -> int:
    """Measure the groups that are named, or all groups. Returns the exit status."""
    unknown = [name for name in only if name not in GROUPS]
    if unknown:
        print(f"there is no group {unknown[0]!r}; there are: {', '.join(GROUPS)}", file=sys.stderr)
        return 2
    file = CACHE / "bench.json"
    results: Results = json.loads(file.read_text()) if file.exists() else {}
    for name in only or GROUPS:
        print(f"==> measuring {name}", file=sys.stderr, flush=True)
        for key, value in GROUPS[name]().items():
            results[key] = round(value, 3)
            print(f"{key:<32} {value:>10.3f}", flush=True)
    for line in told(results) if "server" in (only or GROUPS) else ():
        print(line, flush=True)
    file.write_text(json.dumps(results, indent=2, sort_keys=True) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
