"""What this host must have for a configuration: programs, files with their modes, addresses, room, time."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from oobconsole.config.schema import Config
from oobconsole.libvirt import library as virt
from oobconsole.ops.finding import Finding, Level

PYTHON: Final = (3, 11)
#: The first QEMU with the plugin interface that native/tcg needs.
QEMU: Final = (11, 1)
QEMU_SECONDS: Final = 10
#: A path of a UNIX socket, in bytes (unix(7)).
SOCKET_PATH_MAX: Final = 107
_SYSTEM_SOCKETS: Final = (Path("/run/libvirt/libvirt-sock"), Path("/run/libvirt/virtqemud-sock"))
#: Seconds since 1970 that this code is younger than: a clock before it has not been set.
_NOT_BEFORE: Final = 1_750_000_000


def python() -> Iterator[Finding]:
    """The interpreter, and what is installed in it."""
    if sys.version_info < PYTHON:
        wanted = ".".join(map(str, PYTHON))
        yield Finding(Level.FAULT, sys.executable, f"is Python {sys.version.split()[0]}", f"install Python {wanted}")
    for line in requires("oobconsole") or ():
        name = re.split(r"[^A-Za-z0-9_.-]", line, maxsplit=1)[0]
        if "extra ==" in line:
            continue
        try:
            version(name)
        except PackageNotFoundError:
            yield Finding(Level.FAULT, name, "is not installed", f"{sys.executable} -m pip install '{line}'")


def files(config: Config) -> Iterator[Finding]:
    """Owners and modes of what is secret, and of what says who may log in."""
    server = config.server
    for secret in (server.host_key_file, config.audit_key):
        yield from _private(secret)
    yield from _unwritable_by_others(server.authorized_keys)
    for file in server.authorized_keys.iterdir():
        yield from _unwritable_by_others(file)
        if file.exists() and not os.access(file, os.R_OK):
            yield Finding(Level.FAULT, str(file), "cannot be read", f"chown {os.geteuid()} {file}")
    for named in filter(None, (server.user_ca, server.host_certificate)):
        if not os.access(named, os.R_OK):
            yield Finding(Level.FAULT, str(named), "cannot be read", f"make it, or chown {os.geteuid()} {named}")
    for folder in (server.state_dir, config.recordings, config.audit_file.parent):
        yield from _writable(folder)
    if server.state_dir.is_dir():
        yield from _unwritable_by_others(server.state_dir)


def _private(file: Path) -> Iterator[Finding]:
    try:
        found = file.stat()
    except FileNotFoundError:
        return  # made on first start
    except OSError as error:
        yield Finding(Level.FAULT, str(file), f"cannot be looked at: {error.strerror}", f"namei -l {file}")
        return
    if stat.S_IMODE(found.st_mode) & 0o077:
        yield Finding(Level.FAULT, str(file), "others may read this private key", f"chmod 600 {file}")
    if found.st_uid != os.geteuid():
        yield Finding(
            Level.FAULT,
            str(file),
            f"belongs to user {found.st_uid}, and this is user {os.geteuid()}",
            f"chown {os.geteuid()} {file}, or run doctor as the server's own user",
        )


def _unwritable_by_others(path: Path) -> Iterator[Finding]:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return  # a link to nowhere, which lets nobody in: `examine_settings.users` says so
    if mode & 0o022:
        text = f"others may write it (mode {mode:o}), and so say who logs in"
        yield Finding(Level.FAULT, str(path), text, f"chmod go-w {path}")


def _writable(folder: Path) -> Iterator[Finding]:
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    if not existing.is_dir():
        yield Finding(Level.FAULT, str(existing), "is no folder", f"mv {existing} {existing}.old")
    elif not os.access(existing, os.W_OK | os.X_OK):
        text = f"nothing can be written here by user {os.geteuid()}"
        yield Finding(Level.FAULT, str(existing), text, f"install -d -m 700 -o {os.geteuid()} {folder}")


def addresses(config: Config) -> Iterator[Finding]:
    """Whether they can be had; a server that runs has them itself."""
    metrics = [config.metrics.listen] if config.metrics.listen else []
    for address in (*config.server.listen, *metrics):
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((host, int(port)))
            except OSError as error:
                if not _serving(config.server.admin_socket):
                    mend = f"ss -Hltnp 'sport = :{port}' shows who has it; ip addr shows this host's addresses"
                    yield Finding(Level.FAULT, address, f"cannot be had: {error.strerror}", mend)


def _serving(path: Path) -> bool:
    """Return whether somebody listens on this UNIX socket. The kernel's list says it, so nobody has to be connected
    to."""
    try:
        listed = Path("/proc/net/unix").read_text(errors="replace")
    except OSError:
        return False
    return any(line.split(maxsplit=7)[-1] == str(path) for line in listed.splitlines()[1:])


def sockets(config: Config) -> Iterator[Finding]:
    """Yield what is wrong with the paths of UNIX sockets."""
    cards = [vm for vm in config.vms if vm.vfio_user]
    keepers = [find(vm) for vm in cards for find in (config.vfio_socket_of, config.keeper_socket_of)]
    for path in (config.server.admin_socket, *(config.socket_of(m) for m in config.machines), *keepers):
        if len(os.fsencode(path)) > SOCKET_PATH_MAX:
            text = f"is longer than the {SOCKET_PATH_MAX} bytes that the kernel allows for a socket"
            yield Finding(Level.FAULT, str(path), text, "choose a shorter state_dir, or socket")
        elif path.exists() and not path.is_socket():
            yield Finding(Level.FAULT, str(path), "is there, and is no socket", f"mv {path} {path}.old")
        elif path.is_socket() and stat.S_IMODE(path.stat().st_mode) & 0o077:
            yield Finding(Level.FAULT, str(path), "others may connect to it", f"chmod 600 {path}")


def serial_ports(config: Config) -> Iterator[Finding]:
    """Yield consoles whose serial port another console has under another name, a link for example. The configuration
    compares names as text, because a link may lead to another port after the next start of the machine."""
    first: dict[int, tuple[str, str]] = {}  # by the number of the device: a console, and its name of the port
    for number, vm in enumerate(config.vms):
        device = vm.serial.device if vm.serial else ""
        port = _port_number(device)
        if port is None:
            continue
        console, name = first.setdefault(port, (vm.name, device))
        if console != vm.name:
            text = f"{device} is the port that console {console} has as {name}: only one of both can have it"
            mend = f"ls -l {device} {name}; name another port, or remove a [[vm]]"
            yield Finding(Level.WARNING, f"vm.{number}.serial.device", text, mend)


def _port_number(device: str) -> int | None:
    """Return the number of a serial port of this host (`st_rdev`, stat(2)); None: it is not there now, or it is a
    terminal server's."""
    try:
        found = Path(device).stat()
    except OSError:
        return None
    return found.st_rdev if stat.S_ISCHR(found.st_mode) else None


def libvirt(config: Config) -> Iterator[Finding]:
    """Yield what is wrong with libvirt's library, and with the sockets of its daemons on this host."""
    if config.libvirts and find_spec("libvirt") is None:
        yield Finding(Level.FAULT, "libvirt-python", "is not installed, and [[libvirt]] needs it", virt.INSTALL)
    for host in config.libvirts:
        if host.uri == "qemu:///system":
            there = [path for path in _SYSTEM_SOCKETS if path.exists()]
            if not there:
                mend = "apt install libvirt-daemon-system, or systemctl start libvirtd.socket"
                yield Finding(Level.WARNING, host.uri, "no libvirt daemon of the system is there", mend)
            elif not any(os.access(path, os.W_OK) for path in there):
                text = f"user {os.geteuid()} may not use {there[0]}"
                yield Finding(Level.FAULT, host.uri, text, "usermod -aG libvirt the server's user, and restart it")


def space(config: Config) -> Iterator[Finding]:
    """Room for what recordings may take."""
    if not config.recording.enabled:
        return
    folder = next(parent for parent in (config.recordings, *config.recordings.parents) if parent.exists())
    count = sum(1 for _ in config.consoles())
    free, wanted = shutil.disk_usage(folder).free >> 20, count * config.recording.keep_mib
    if free < config.recording.rotate_mib:
        text = f"{free} MiB are free, less than one file of a recording ({config.recording.rotate_mib} MiB)"
        yield Finding(Level.FAULT, str(folder), text, "make room, or name another recording.folder")
    elif free < wanted:
        text = f"{free} MiB are free; {count} consoles may keep {wanted} MiB"
        yield Finding(Level.WARNING, str(folder), text, f"set recording.keep_mib to {max(1, free // count // 2)}")


def clock(config: Config) -> Iterator[Finding]:
    """Whether it was ever set: certificates, recordings and the audit log go by it."""
    if time.time() < _NOT_BEFORE:
        text = f"says {time.strftime('%Y-%m-%d', time.gmtime())}, which is past"
        yield Finding(Level.FAULT, "the clock", text, "timedatectl set-ntp true")


def qemu(config: Config) -> Iterator[Finding]:
    """QEMU and the plugin, where a machine is run by it on this host."""
    if not any(machine.interceptor == "tcg" for machine in config.machines):
        return
    program = shutil.which("qemu-system-x86_64")
    if program is None:
        yield Finding(Level.WARNING, "qemu-system-x86_64", "is not in PATH", "apt install qemu-system-x86")
        return
    try:
        done = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=QEMU_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding(Level.FAULT, program, f"does not run: {error}", f"{program} --version")
        return
    found = re.search(r"version (\d+)\.(\d+)", done.stdout)
    if found is None or (int(found[1]), int(found[2])) < QEMU:
        text = f"is {found[0] if found else 'of no known version'}; the plugin needs 11.1"
        yield Finding(Level.FAULT, program, text, "install QEMU 11.1 or newer")
