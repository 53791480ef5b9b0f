"""The whole nested stack, which tests, the demonstration and benchmarks use. It is our server, QEMU (L0) with the
plugin, an unmodified Debian with KVM as the hypervisor (L1), and unmodified Linux guests in it (L2)."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.expect import Expect, ExpectError
from tests.support.pace import scaled
from tests.support.server import Server

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
PLUGIN = ROOT / "native" / "tcg" / "oob_tcg.so"
PROMPT = rb"l2# (?:\x1b\[6n)?"
PANIC = rb"Kernel panic - not syncing"
#: A command. After it Linux prints no message of its own, except a panic, in the middle of what a program prints.
NO_MESSAGES = "dmesg -n 1"
#: The command line of a tiny guest's kernel. A kernel that gets too little time from a busy host reports a "soft
#: lockup" as an emergency, which no log level keeps from the console. `nowatchdog` keeps it out of output that a test
#: compares. A kernel that gets no processor while it counts its first timer interrupts panics ("IO-APIC + timer
#: doesn't work"). `no_timer_check` switches that count off, as KVM's guests do by themselves.
KERNEL_WORDS = "console=ttyS0 panic=-1 quiet nowatchdog no_timer_check"
BOOT_SECONDS = 180.0
#: How many bytes of each console and log a failure shows.
SHOWN = 2000


def qemu() -> Path:
    """Return the path of QEMU 11.1 or newer, which `make` sets up.

    Raises:
        FileNotFoundError: there is none yet. The message says what to do.
    """
    path = Path(os.environ.get("OOB_QEMU", CACHE / "qemu" / "qemu-system-x86_64"))
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no QEMU yet: 'make test' or 'make demo' set it up")
    return path


class NestedStack:
    """The stack boots when the block begins, and ends with the block. An exception that leaves the block gets a note
    with what the consoles and the log have shown last.

    Args:
        l2: how many L2s L1 starts. Their consoles are `web1`, `web2`, …
        uarts: which UARTs of each L2 we serve.
        l1_append: further words of L1's kernel command line (`tests/stack/guests/l1-init.sh`).
        l1_more: further archives of `.cache/guests` that L1's initramfs has.
        smp: on how many vCPUs of L1 its guests run. If there are several, L1 has one more, on which no guest runs:
            if L1 has several vCPUs, a fault of QEMU's strikes a guest that runs on vCPU 0 (`docs/decisions.md`).
        intercept: whether QEMU has the plugin. Without it, L1's own isa-serial serves L2.
        reboot: whether L1 may reset itself. If not, QEMU ends when L1 does so.
        settings: further lines for `[server]`.
        l0_options: further words of the command line of QEMU (L0).
        plugin: which build of the plugin is used.
        launch: words before QEMU's command line, by which another program starts QEMU.
        progress: called with a sentence at each step.
    """

    def __init__(
        self,
        *,
        l2: int = 1,
        uarts: Sequence[str] = ("com1",),
        l1_append: str = "",
        l1_more: Sequence[str] = (),
        smp: int = 1,
        intercept: bool = True,
        reboot: bool = False,
        settings: str = "",
        l0_options: Sequence[str] = (),
        plugin: Path = PLUGIN,
        launch: Sequence[str] = (),
        progress: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="oob-"))
        guests = "".join(f'[[machine.guest]]\nname = "web{i + 1}"\nuarts = {list(uarts)}\n' for i in range(l2))
        # The console is shared, because several scripts type at one console here. tests/loopback/test_roles.py tests
        # who may type.
        machine = f'[console]\nshare = true\n[[machine]]\nname = "l1"\n{guests}'
        self.server = Server(machine, settings=settings, folder=self.folder)
        self._l1_log = self.folder / "l1-console.log"
        spared = int(smp > 1)
        self._append = f"{KERNEL_WORDS}{' isolcpus=0' * spared} oob.l2={l2} {l1_append}"
        self._vcpus = smp + spared
        self._megabytes = 768 + 256 * l2
        self._initramfs = [CACHE / "guests" / name for name in ("l1.cpio", *l1_more)]
        self._intercept = intercept
        self._reboot = reboot
        self._l0_options = l0_options
        self._plugin = plugin
        self._launch = launch
        self._progress = progress
        self._exit = contextlib.ExitStack()
        self._latest: L2Console | None = None
        self.l1: Expect | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            stack.push(self._explain)
            self._progress("starting the console server")
            stack.enter_context(self.server)
            self._join_initramfs()
            self._progress("starting L0: QEMU, with our plugin" if self._intercept else "starting L0: QEMU")
            self.l1 = stack.enter_context(Expect(self._command()))
            self._progress("L0 is up; L1 boots in it (about 10 s)")
            self.l1.expect(rb"L1 is up", timeout=BOOT_SECONDS, fail=PANIC + rb"|cannot load")
            self.l1_run(NO_MESSAGES)
            self._progress("L1 is up, and has started its guests")
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._exit.__exit__(kind, error, tb)

    def _explain(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            error.add_note(self.report())

    def report(self) -> str:
        """Return what was seen last on L1's console, on L2's, and in the server's log."""
        log = self.server.log.read_bytes() if self.server.log.exists() else b""
        parts = {"L1's console": self.l1_console(), "the server's log": log}
        if self._latest is not None:
            parts[f"{self._latest.name}'s console"] = bytes(self._latest.seen)
            parts["what its client was told"] = bytes(self._latest.told)
        return "\n".join(
            f"--- the last of {what}:\n{data[-SHOWN:].decode(errors='replace')}" for what, data in parts.items()
        )

    def _join_initramfs(self) -> None:
        """Join the archives in one file. Linux takes several archives one behind the other, and QEMU takes one
        file."""
        if len(self._initramfs) == 1:
            return
        joined = self.folder / "initramfs.cpio"
        with joined.open("wb") as whole:
            for part in self._initramfs:
                with part.open("rb") as file:
                    shutil.copyfileobj(file, whole)
        self._initramfs = [joined]

    def _command(self) -> list[str]:
        # However this process ends, QEMU ends with it.
        command = ["setpriv", "--pdeathsig", "TERM", *self._launch, str(qemu())]
        command += ["-accel", "tcg,thread=multi", "-cpu", "qemu64,+svm,+npt"]
        command += ["-smp", str(self._vcpus), "-m", str(self._megabytes)]
        command += ["-nodefaults", "-display", "none", *([] if self._reboot else ["-no-reboot"])]
        command += ["-chardev", f"stdio,id=console,logfile={self._l1_log}", "-serial", "chardev:console"]
        command += [*self._boot(), *self._l0_options]
        return [*command, *(self._plugin_options() if self._intercept else [])]

    def _boot(self) -> list[str]:
        kernel = ["-kernel", str(CACHE / "guests" / "vmlinuz"), "-initrd", str(self._initramfs[0])]
        return [*kernel, "-append", self._append]

    def _plugin_options(self) -> list[str]:
        words = [sys.executable, "-m", "oobconsole", "qemu-options", "l1", "--config", str(self.server.config)]
        done = subprocess.run([*words, "--plugin", str(self._plugin)], check=True, capture_output=True, text=True)
        return shlex.split(done.stdout)

    def l1_console(self) -> bytes:
        """Return everything that L1's own console has carried."""
        return self._l1_log.read_bytes() if self._l1_log.exists() else b""

    def l1_run(self, command: str, timeout: float = 30) -> bytes:
        """Run a command in L1's shell. Returns what it printed."""
        assert self.l1 is not None
        return run_in_shell(self.l1, command, timeout)

    def l2_files(self, count: int) -> bytes:
        """Return what the serial ports that L1 emulates for its L2s have carried."""
        return b"".join(self.l1_run(f"cat /com1-{i + 1}") for i in range(count))

    def wait_for_guest(self, name: str = "web1", timeout: float = BOOT_SECONDS) -> None:
        """Wait until an L2 has used its serial port. It then has the console `name`."""
        with Expect(["tail", "-n", "+1", "-f", str(self.server.log)]) as log:
            log.expect(rf"guest bound [^\n]*guest='?{name}\b", timeout=timeout)

    def console(self, name: str = "web1", timeout: float = BOOT_SECONDS) -> L2Console:
        """Wait for a shell prompt at an L2's console. Returns a script that is attached there."""
        self._latest = console = L2Console(self.server, name)
        try:
            console.wake(timeout)
        except BaseException:
            console.close()
            raise
        return console


class L2Console(Expect):
    """A shell in L2, through the pipes of `ssh HOST CONSOLE`. What the server says is kept apart from what the guest
    prints."""

    def __init__(self, server: Server, name: str) -> None:
        super().__init__(server.ssh(name), merge_stderr=False)
        self.name = name
        self._first_prompt = 0

    @property
    def conversation(self) -> bytes:
        """What the console has carried since the first prompt. Before it, L2's shell prints the same greeting as
        L1's."""
        return bytes(self.seen[self._first_prompt :])

    def wake(self, timeout: float) -> None:
        """Ask the shell until it answers. When this returns, the shell has also answered whatever was typed before.

        Why not wait for a prompt? It may be an older one. So the shell is to answer with a number that does not occur
        in what is typed. A shell that gets only a part of what is typed finds no command in it.
        """
        begin, number = self._at, 10**8 + secrets.randbelow(9 * 10**8)
        question = f"{NO_MESSAGES}; printf %d {number:#x}\n"
        self.insist(
            question, rf"(?<!\d){number}(?!\d)", timeout=timeout, every=scaled(timeout / BOOT_SECONDS), fail=PANIC
        )
        self.run("true", timeout)
        self.expect(PROMPT, timeout=20)
        first = re.compile(PROMPT).search(self.seen, begin)
        self._first_prompt = first.start() if first else begin

    def run(self, command: str, timeout: float = 30) -> bytes:
        """Run a command in the shell. Returns what it printed."""
        return run_in_shell(self, command, timeout)


def run_in_shell(shell: Expect, command: str, timeout: float) -> bytes:
    """Run a command in a shell at a serial console. Returns what it printed.

    How is that told from the shell's echo, which is wrapped at some width, and from its prompt? It lies between two
    lines that occur neither in what was typed nor in what the console has carried before.

    Raises:
        ExpectError: the command ended with a status other than 0, or did not end in time.
    """
    mark = secrets.token_hex(4)
    shell.send(f"echo be''gin-{mark}; {command}; echo e''nd-{mark}:$?\n")
    found = shell.expect(rf"begin-{mark}\r?\n(.*?)end-{mark}:(\d+)\r?\n", timeout=timeout, fail=PANIC)
    if found[2] != b"0":
        raise ExpectError(f"{command!r} ended with status {found[2].decode()} and printed {found[1]!r}")
    return found[1].replace(b"\r\n", b"\n")
