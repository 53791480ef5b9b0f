"""Finds the QEMU processes of this host, and reads their command lines (qemu(1): -serial, -chardev, -device, -qmp,
…)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from oobconsole.config.schema import console_name
from oobconsole.ops.found import Found, Kind, printable

_QEMU: Final = re.compile(r"(?:qemu-(?:system-\w+|kvm)|kvm)(?:\.real)?")
_LOADER: Final = re.compile(r"ld-linux[\w.-]*|ld\.so")
#: A part of an option's value. Parts are separated by commas; a doubled comma is one comma within a part.
_PART: Final = re.compile(r"((?:[^,]|,,)*)(?:,|$)")
_PORT_DEVICES: Final = frozenset({"isa-serial", "pci-serial", "virtconsole", "virtserialport", "usb-serial"})


def options_of(argv: Sequence[str]) -> list[tuple[str, str]] | None:
    """QEMU's options with their values, in order. None: this command line is not QEMU's."""
    names = [os.path.basename(word) for word in argv]  # noqa: PTH119 - words of another process, of any form
    if not names:
        return None
    at = 0
    if _LOADER.fullmatch(names[0]):
        at = next((i for i, name in enumerate(names) if _QEMU.fullmatch(name)), 0)
    if not _QEMU.fullmatch(names[at]):
        return None
    options: list[tuple[str, str]] = []
    for word in argv[at + 1 :]:
        if word.startswith("-") and len(word) > 1:
            options.append((word.lstrip("-"), ""))
        elif options and not options[-1][1]:
            options[-1] = options[-1][0], word
    return options


def parts_of(value: str) -> tuple[str, dict[str, str]]:
    """Take an option's value apart: what it begins with, and its `key=value` pairs. A key without a value is `on`."""
    words = [word.replace(",,", ",") for word in _PART.findall(value) if word]
    first = words.pop(0) if words and "=" not in words[0].partition(":")[0] else ""
    pairs = (word.partition("=") for word in words)
    return first, {key: text if sign else "on" for key, sign, text in pairs}


@dataclass
class _Reader:
    """Collects what one QEMU's command line says.

    Attributes:
        folder: the working directory of that QEMU; None: it is not known.
        lines: the other ends of its serial ports, as `[[vm]]` takes them.
        others: in words, serial ports that nobody can connect to.
    """

    folder: Path | None
    name: str = ""
    uuid: str = ""
    machine: str = ""
    qmp: str = ""
    chardevs: dict[str, str] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    others: list[str] = field(default_factory=list)

    def read(self, options: Iterable[tuple[str, str]]) -> None:
        """Read every option of the command line."""
        later: list[tuple[str, str]] = []
        for option, value in options:
            first, keys = parts_of(value)
            match option:
                case "name":
                    self.name = keys.get("guest", first)
                case "uuid":
                    self.uuid = value
                case "plugin":
                    self.machine = keys.get("machine", self.machine)
                case "chardev" if first == "socket" and "id" in keys:
                    self.chardevs[keys["id"]] = self._socket(
                        keys.get("path"), keys.get("host"), keys.get("port"), keys
                    )
                case "serial" | "qmp" | "device" | "mon":
                    later.append((option, value))
        for option, value in later:  # these may name a -chardev that stands behind them
            self._take(option, *parts_of(value))

    def _take(self, option: str, first: str, keys: dict[str, str]) -> None:
        if option == "mon":
            if keys.get("mode") == "control":
                self._monitor(self.chardevs.get(keys.get("chardev", first), ""))
        elif option == "device":
            if first in _PORT_DEVICES and "chardev" in keys:
                self._line(self.chardevs.get(keys["chardev"], ""), f"{first} at chardev {keys['chardev']}")
        elif option == "qmp":
            self._monitor(self._backend(first, keys))
        elif first != "none":
            self._line(self._backend(first, keys), first)

    def _monitor(self, address: str) -> None:
        if address.startswith("unix:") and not self.qmp:
            self.qmp = address.removeprefix("unix:")

    def _line(self, address: str, said: str) -> None:
        (self.lines if address else self.others).append(address or said)

    def _backend(self, first: str, keys: dict[str, str]) -> str:
        """The other end that a value of `-serial` or `-qmp` names, as `[[vm]]` takes it; empty: there is none."""
        kind, _, rest = first.partition(":")
        if kind == "chardev":
            return self.chardevs.get(rest, "")
        if kind == "unix":
            return self._socket(rest, None, None, keys)
        if kind == "tcp":
            host, _, port = rest.rpartition(":")
            return self._socket(None, host, port, keys)
        return ""

    def _socket(self, path: str | None, host: str | None, port: str | None, keys: dict[str, str]) -> str:
        """A socket of QEMU's as `[[vm]]` takes it; empty: nobody can connect to it."""
        listens = "" if keys.get("server", "off") == "on" else "-listen"  # we listen when QEMU does not
        if keys.get("telnet") == "on" or keys.get("websocket") == "on" or "tls-creds" in keys:
            return ""
        if path is not None:
            if not path.startswith("/") and self.folder is None:
                return ""
            return f"unix{listens}:{path if self.folder is None else self.folder / path}"
        if port is None or not (port.isascii() and port.isdecimal() and 0 < int(port) < 65536):
            return ""
        host = "127.0.0.1" if host in (None, "", "0.0.0.0", "::", "localhost") else host
        return f"tcp{listens}:[{host.strip('[]')}]:{port}" if ":" in host else f"tcp{listens}:{host}:{port}"


def guest_of(pid: int, argv: Sequence[str], folder: Path | None) -> list[Found]:
    """Return what a process offers that could be a console; empty: the process is not QEMU.

    Args:
        pid: the number of the process.
        argv: its command line.
        folder: its working directory; None: it is not known.
    """
    options = options_of(argv)
    if options is None:
        return []
    said = _Reader(folder)
    said.read(options)
    qemu = Found(Kind.QEMU, "", qmp=said.qmp, domain=said.name, uuid=said.uuid, note=f"process {pid}")
    if said.machine:
        return [replace(qemu, kind=Kind.MACHINE, name=printable(said.machine), note=f"{qemu.note}, with our plugin")]
    name = console_name(said.name or f"qemu-{pid}", f"{pid:08x}")
    found = [
        replace(qemu, name=name if i == 0 else f"{name}.{i + 1}", chardev=line) for i, line in enumerate(said.lines)
    ]
    if not found:
        has = ", ".join(printable(other) for other in said.others) or "none"
        hint = f"its serial port is no socket ({has}): start it with -serial unix:PATH,server=on,wait=off"
        found = [replace(qemu, name=name, note=f"{qemu.note}: {hint}")]
    return found


def find(proc: Path = Path("/proc")) -> Iterator[Found]:
    """Yield what each QEMU offers that runs on this host and that this user may see."""
    for process in sorted((p for p in proc.iterdir() if p.name.isdecimal()), key=lambda p: int(p.name)):
        try:
            argv = [os.fsdecode(word) for word in (process / "cmdline").read_bytes().split(b"\0")[:-1]]
        except OSError:
            continue  # the process has ended, or is another user's
        if options_of(argv) is not None:
            yield from guest_of(int(process.name), argv, _folder(process))


def _folder(process: Path) -> Path | None:
    try:
        return (process / "cwd").readlink()
    except OSError:
        return None  # the process is another user's
