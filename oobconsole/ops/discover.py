"""`oobconsole discover`: what this host runs that could have a console, and a configuration to start from.

It only looks: it connects to nothing but libvirt, read-only, and starts no daemon.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from oobconsole.config.schema import Config
from oobconsole.errors import EnvironmentFault
from oobconsole.ops import discover_ports, discover_qemu
from oobconsole.ops.found import Found, Kind, Standing, printable

_HERE: Final = ("127.", "[::1]", "localhost:")


def discover(config: Config | None) -> tuple[list[Found], list[str]]:
    """Find what could have a console, and what the configuration expects here.

    Args:
        config: the configuration to compare with; None: there is none yet.

    Returns:
        What is there or should be there, in the order in which it is shown; and sentences about what could not be
        looked at.
    """
    notes: list[str] = []
    domains: list[Found] = []
    reached: set[str] = set()
    uris = dict.fromkeys([*discover_ports.local_uris(), *(host.uri for host in (config.libvirts if config else ()))])
    for uri in uris:
        try:
            domains += discover_ports.domains(uri)
            reached.add(uri)
        except EnvironmentFault as error:
            notes.append(str(error))
    known = {domain.uuid for domain in domains}
    qemus = [found for found in discover_qemu.find() if not found.uuid or found.uuid not in known]
    found = _unique([*domains, *qemus, *discover_ports.serial_ports()])
    if config is None:
        return found, notes
    return [*(_compared(one, config) for one in found), *_missing(found, config, reached)], notes


def _unique(found: list[Found]) -> list[Found]:
    """Return the same finds, with a number behind each name that stands before already, so that no name comes
    twice."""
    taken: set[str] = set()
    result = []
    for one in found:
        name, number = one.name, 2
        while name in taken:
            name, number = f"{one.name}-{number}", number + 1
        taken.add(name)
        result.append(replace(one, name=name))
    return result


# -- beside a configuration -------------------------------------------------------------------------


def _compared(found: Found, config: Config) -> Found:
    """Return the same find. If the configuration has it, it gets the name that it has there."""
    name = None
    match found.kind:
        case Kind.LIBVIRT:
            hosts = [host for host in config.libvirts if host.uri == found.uri]
            wanted = any(fnmatchcase(found.domain, pattern) for host in hosts for pattern in host.domains)
            name = found.name if wanted else None
        case Kind.MACHINE:
            name = found.name if config.machine(found.name) else None
        case Kind.QEMU:
            name = next((vm.name for vm in config.vms if vm.chardev and vm.chardev == found.chardev), None)
        case Kind.SERIAL:
            name = next((vm.name for vm in config.vms if vm.serial and _same(vm.serial.device, found.device)), None)
    return found if name is None else replace(found, name=name, standing=Standing.CONFIGURED)


def _same(one: str, other: str) -> bool:
    return os.path.realpath(one) == os.path.realpath(other)


def _missing(found: list[Found], config: Config, reached: set[str]) -> Iterator[Found]:
    """Yield what is configured for this host and was not found.

    Args:
        found: what was found.
        config: the configuration.
        reached: the URIs of the libvirt hosts that have answered.
    """
    there = {one.name for one in found} | {_compared(one, config).name for one in found}
    for machine in config.machines:
        if machine.interceptor == "tcg" and machine.name not in there:
            yield _lost(Kind.MACHINE, machine.name, "no QEMU with our plugin says that it is this machine")
    for vm in config.vms:
        if vm.name in there:
            continue
        if vm.serial is not None and "://" not in vm.serial.device:
            yield _lost(Kind.SERIAL, vm.name, "there is no such port now", device=vm.serial.device)
        elif vm.chardev is not None and (
            vm.chardev.startswith("unix") or vm.chardev.partition(":")[2].startswith(_HERE)
        ):
            yield _lost(Kind.QEMU, vm.name, "no QEMU that runs here has this line", chardev=vm.chardev)
    for host in config.libvirts:
        domains = [one.domain for one in found if one.uri == host.uri]
        if host.uri not in reached:
            yield _lost(Kind.LIBVIRT, host.name, "libvirt is not reached there", uri=host.uri)
            continue
        for pattern in host.domains:
            if not any(fnmatchcase(domain, pattern) for domain in domains):
                yield _lost(Kind.LIBVIRT, pattern, "there is no such domain", uri=host.uri)


def _lost(kind: Kind, name: str, note: str, *, chardev: str = "", device: str = "", uri: str = "") -> Found:
    return Found(kind, name, chardev, "", device, uri, note, standing=Standing.MISSING)


# -- how it is told ---------------------------------------------------------------------------------


def table(found: list[Found]) -> Iterator[str]:
    """The lines of a table for people."""
    rows = [("KIND", "CONSOLE", "STANDING", "WHERE", "ABOUT")]
    rows += [(str(one.kind), one.name, str(one.standing), printable(one.where) or "-", one.note) for one in found]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    for row in rows:
        yield "  ".join([*(f"{cell:<{width}}" for cell, width in zip(row[:4], widths, strict=True)), row[4]]).rstrip()


def toml(found: list[Found]) -> str:
    """The text of a configuration with everything that was found and can have a console."""
    date = time.strftime("%Y-%m-%d")
    parts = [
        f"# Found by `oobconsole discover` on {printable(socket.gethostname())}, {date}.\n"
        "# Every key is in oobconsole.toml(5).\n"
        '\n[server]\nlisten = "127.0.0.1:2222"   # "0.0.0.0:2222" for others, too\n'
        'state_dir = "state"\nauthorized_keys = "authorized_keys"   # a folder: file USER has USER\'s public keys\n'
        '\n#[[grant]]                  # without one, only the local command may do anything\n#users = ["alice"]\n'
        '#rights = "all"\n'
    ]
    uris = dict.fromkeys(
        one.uri for one in found if one.kind is Kind.LIBVIRT and one.standing is not Standing.MISSING
    )
    for number, uri in enumerate(uris):
        name = uri.rpartition("/")[2] if uri in ("qemu:///system", "qemu:///session") else f"libvirt{number + 1}"
        names = ", ".join(one.name for one in found if one.uri == uri)
        parts.append(f"\n[[libvirt]]                 # now: {names}\nname = {_quoted(name)}\nuri = {_quoted(uri)}\n")
    return "".join(parts) + "".join(map(_vm, found))


def _vm(found: Found) -> str:
    if found.standing is Standing.MISSING or not (found.chardev or found.device):
        why = printable(found.note)
        return "" if found.kind is Kind.LIBVIRT else f"\n# {found.name} ({found.kind}): {why}\n"
    if not (found.where + found.qmp).isprintable():  # TOML has no words for every byte of a path
        return f"\n# {found.name} ({found.kind}): its path cannot be written here: {printable(found.where)}\n"
    lines = [
        f"\n[[vm]]{f'                      # {found.note}' if found.note else ''}",
        f"name = {_quoted(found.name)}",
    ]
    if found.chardev:
        lines.append(f"chardev = {_quoted(found.chardev)}")
    else:
        lines.append(f"serial = {{ device = {_quoted(found.device)}, baud = 115200 }}")
    if found.qmp:
        lines.append(f"qmp = {_quoted(found.qmp)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    """The text as a basic string of TOML. For printable text, its escapes are those of JSON."""
    return json.dumps(text, ensure_ascii=False)


def write(file: Path, found: list[Found]) -> list[str]:
    """Write the configuration, and make the folder of keys that it needs. Returns sentences about what was done.

    Raises:
        EnvironmentFault: the file exists already, cannot be written, or would have no console.
    """
    if not any(one.standing is not Standing.MISSING and one.where for one in found):
        raise EnvironmentFault(f"{file} is not written: nothing was found that could have a console")
    keys = file.parent / "authorized_keys"
    try:
        with file.open("x", encoding="utf-8") as new:  # an existing file is never overwritten
            new.write(toml(found))
        keys.mkdir(mode=0o700, exist_ok=True)
    except FileExistsError as error:
        raise EnvironmentFault(f"{file} is there already, and is not overwritten: name another file") from error
    except OSError as error:
        raise EnvironmentFault(f"{file}: cannot be written: {error.strerror}") from error
    return [f"{file} is written", f"public keys go into {keys}: a file for each user, with the user's name"]
