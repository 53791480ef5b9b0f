"""Debian's own libvirtd, with a folder of its own. It is a session daemon, so it never meets the system's
libvirtd."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from tests.stack.nested import CACHE, KERNEL_WORDS, qemu
from tests.support.expect import ExpectError, wait_for
from tests.support.pace import Deadline

START_SECONDS: Final = 20
#: A libvirtd that root starts is the system's. So if root runs the tests, ours runs as this user ("nobody").
NOBODY: Final = 65534
LINUX: Final = f"""
<kernel>{CACHE}/guests/vmlinuz</kernel><initrd>{CACHE}/guests/l2.cpio</initrd>
<cmdline>{KERNEL_WORDS}</cmdline>"""


def emulator() -> Path:
    """Return the system's QEMU, or ours where the system has none. Why not always ours? When libvirt asks our QEMU
    what it can do, it loads the modules of the system's QEMU as its own, and ends."""
    system = shutil.which("qemu-system-x86_64")
    return Path(system) if system else qemu()


def bridge(folder: Path) -> str:
    """Return the XML elements that boot a guest which joins COM1 and COM2 (`bridge.S`)."""
    built = folder / "bridge"
    if not built.exists():
        fixed = ["-m32", "-nostdlib", "-static", "-no-pie", "-Wl,-Ttext=0x100000,--build-id=none,-z,noexecstack"]
        subprocess.run(["gcc", *fixed, "-o", str(built), str(Path(__file__).with_name("bridge.S"))], check=True)
    return f"<kernel>{built}</kernel>"


class Libvirtd:
    """A libvirtd that runs from `start` to `stop`. As a context manager it also ends its domains.

    Attributes:
        folder: its own folder. Sockets of domains may lie in it.
        uri: the URI by which clients connect to it.
    """

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="oob-lv-"))
        self.uri = f"qemu+unix:///session?socket={self.folder}/libvirt/libvirt-sock"
        self._process: subprocess.Popen[bytes] | None = None
        self._log = self.folder / "libvirtd.log"
        self._config = self.folder / "libvirtd.conf"
        # Two libvirtds on one host, between which domains migrate, must not believe that they are the same host.
        self._config.write_text(f'host_uuid = "{uuid.uuid4()}"\n')
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the daemon and its domains. They may have ended already."""
        self.stop()
        self._end_guests()
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- the daemon ---------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the daemon, and wait until it answers."""
        user = ["--reuid", str(NOBODY), "--regid", str(NOBODY), "--clear-groups"] if os.geteuid() == 0 else []
        names = ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME")
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", *user, "--pdeathsig", "TERM", "libvirtd", "-f", str(self._config)],
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", **dict.fromkeys(names, str(self.folder))},
                stdout=log,
                stderr=log,
            )
        deadline = Deadline(START_SECONDS)
        while self.virsh("uri", check=False).returncode:
            if self._process.poll() is not None or not deadline.left:
                raise ExpectError(f"libvirtd did not start:\n{self._log.read_text()[-2000:]}")

    def stop(self) -> None:
        """End the daemon, which may have ended already. Its domains go on."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            try:
                wait_for(process, 10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @property
    def running(self) -> bool:
        """Return whether the daemon was started."""
        return self._process is not None

    def hang(self) -> None:
        """Stop the daemon's process, so that it does not answer until `go_on`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let the daemon answer again."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def _end_guests(self) -> None:
        for file in (self.folder / "libvirt" / "qemu" / "run").glob("*.pid"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(file.read_text()), signal.SIGKILL)

    # -- its domains --------------------------------------------------------------------------------

    def virsh(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run virsh to its end, and return what it printed."""
        done = subprocess.run(["virsh", "-q", "-c", self.uri, *words], capture_output=True, text=True, check=False)
        if check and done.returncode:
            log = self._log.read_text(errors="replace")[-2000:]
            raise ExpectError(f"virsh {' '.join(words)}: {done.stderr}; libvirtd said last:\n{log}")
        return done

    def xml(
        self,
        name: str,
        *,
        boot: str = LINUX,
        devices: Sequence[str] = ("<serial type='pty'/>",),
        memory: int = 256,
        ident: str = "",
    ) -> Path:
        """Write the XML of a TCG domain into a file, and return its path."""
        file = self.folder / f"{name}-{secrets.token_hex(4)}.xml"
        file.write_text(
            f"<domain type='qemu'><name>{name}</name>{f'<uuid>{ident}</uuid>' if ident else ''}"
            f"<memory unit='MiB'>{memory}</memory><vcpu>1</vcpu>"
            f"<os><type arch='x86_64'>hvm</type>{boot}</os><features><acpi/></features>"
            f"<devices><emulator>{emulator()}</emulator>{''.join(devices)}"
            f"<controller type='usb' model='none'/><memballoon model='none'/></devices></domain>"
        )
        return file

    def bridge(self, name: str, line: Path, ident: str = "") -> Path:
        """Write the XML of a domain whose console is joined to the UNIX socket `line`. Returns the file's path."""
        other = f"<serial type='unix'><source mode='bind' path='{line}'/></serial>"
        return self.xml(
            name, boot=bridge(self.folder), devices=("<serial type='pty'/>", other), memory=32, ident=ident
        )

    def define(self, xml: Path) -> None:
        """Tell the daemon of a domain, without starting it."""
        self.virsh("define", str(xml))
