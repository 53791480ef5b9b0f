"""The whole nested stack, for tests, demo and benchmarks alike: our server, QEMU (L0) with the plugin, an
unmodified Debian KVM hypervisor (L1), unmodified Linux guests in it (L2)."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.expect import Expect
from tests.support.server import Server

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
PLUGIN = ROOT / "native" / "tcg" / "oob_tcg.so"
PROMPT = rb"l2# (?:\x1b\[6n)?"
BOOT_SECONDS = 180.0


def qemu() -> Path:
    """QEMU 11.1 or newer, as set up by `make`.

    Raises:
        FileNotFoundError: with what to do.
    """
    path = Path(os.environ.get("OOB_QEMU", CACHE / "qemu" / "qemu-system-x86_64"))
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no QEMU yet: 'make test' or 'make demo' set it up")
    return path


class NestedStack:
    """Boots on entry, ends everything on exit.

    Args:
        l2: how many L2s L1 starts.
        l1_append: more for L1's kernel command line (tests/stack/guests/l1-init.sh).
        smp: vCPUs of L1.
        intercept: with the plugin; without it L1's own isa-serial serves L2.
        settings: more lines for `[server]`.
        progress: gets a sentence at each step.
    """

    def __init__(
        self,
        *,
        l2: int = 1,
        l1_append: str = "",
        smp: int = 1,
        intercept: bool = True,
        settings: str = "",
        progress: Callable[[str], object] = lambda _: None,
    ) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="oob-"))
        guests = "".join(f'[[machine.guest]]\nname = "web{i + 1}"\n' for i in range(l2))
        self.server = Server(f'[[machine]]\nname = "l1"\n{guests}', settings=settings, folder=self.folder)
        self.l1_console_file = self.folder / "l1-console.log"
        self._append = f"console=ttyS0 panic=-1 quiet oob.l2={l2} {l1_append}"
        self._smp = smp
        self._intercept = intercept
        self._progress = progress
        self._exit = contextlib.ExitStack()
        self.l1: Expect | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            self._progress("starting the console server")
            stack.enter_context(self.server)
            self._progress("starting L0: QEMU with the plugin, and L1 in it (about 10 s)")
            self.l1 = stack.enter_context(Expect(self._command()))
            self.l1.expect(rb"L1 is up", timeout=BOOT_SECONDS, fail=rb"Kernel panic|cannot load")
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        if kind is not None:
            self._show_logs()
        self._exit.close()

    def _command(self) -> list[str]:
        command = [str(qemu()), "-accel", "tcg,thread=multi", "-cpu", "qemu64,+svm,+npt", "-smp", str(self._smp)]
        command += ["-m", "1024", "-nodefaults", "-no-reboot", "-display", "none", "-serial", "stdio"]
        command += ["-kernel", str(CACHE / "guests" / "vmlinuz"), "-initrd", str(CACHE / "guests" / "l1.cpio.gz")]
        return [*command, "-append", self._append, *(self._plugin_options() if self._intercept else [])]

    def _plugin_options(self) -> list[str]:
        words = [sys.executable, "-m", "oobconsole", "qemu-options", "l1", "--config", str(self.server.config)]
        done = subprocess.run([*words, "--plugin", str(PLUGIN)], check=True, capture_output=True, text=True)
        return shlex.split(done.stdout)

    def _show_logs(self) -> None:
        l1 = bytes(self.l1.seen[-2000:]).decode(errors="replace") if self.l1 else ""
        print(
            f"--- L1's console:\n{l1}\n--- the server's log:\n{self.server.log.read_text()[-3000:]}", file=sys.stderr
        )

    def l1_console(self) -> bytes:
        """Everything that L1's own console has carried."""
        assert self.l1 is not None
        return bytes(self.l1.seen)

    def l1_run(self, command: str, timeout: float = 30) -> bytes:
        """Run a command in L1's shell; returns what it printed."""
        assert self.l1 is not None
        self.l1.send(f"{command}; echo do''ne\n")
        found = self.l1.expect(rb"\n(.*?)done\r?\n", timeout=timeout)
        return found[1]

    def l2_files(self, count: int) -> bytes:
        """What L1's own emulated serial ports of its L2s have carried."""
        return b"".join(self.l1_run(f"cat /com1-{i + 1}") for i in range(count))

    def console(self, name: str = "web1", timeout: float = BOOT_SECONDS) -> L2Console:
        """A script at an L2's console, once there is a shell prompt."""
        self._progress(f"waiting for {name}'s shell (about 15 s)")
        console = L2Console(self.server, name)
        try:
            console.wake(timeout)
        except BaseException:
            console.close()
            raise
        return console


class L2Console(Expect):
    """An `ssh HOST CONSOLE` pipe to a shell in L2."""

    def __init__(self, server: Server, name: str) -> None:
        super().__init__(server.ssh(name))

    def wake(self, timeout: float) -> None:
        """Press Enter until the shell answers: it may have shown its prompt before we came."""
        for _ in range(int(timeout)):
            self.send(b"\n")
            with contextlib.suppress(AssertionError):
                self.expect(PROMPT, timeout=1, fail=rb"Kernel panic")
                return
        self.expect(PROMPT, timeout=1)

    def run(self, command: str, timeout: float = 30) -> bytes:
        """Run a command in the shell; returns what it printed."""
        self.send(f"{command}; echo do''ne:$?\n")
        found = self.expect(rb"\n(.*?)done:(\d+)\r?\n", timeout=timeout)
        if found[2] != b"0":
            raise AssertionError(f"{command!r} in L2 ended with status {found[2]!r}: {found[1]!r}")
        return re.sub(rb"\r\n", b"\n", found[1])
