"""Finds the serial ports and the libvirt domains of this host."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from serial.tools import list_ports

from oobconsole.config.schema import console_name
from oobconsole.errors import EnvironmentFault
from oobconsole.libvirt import library as virt
from oobconsole.ops.found import Found, Kind, printable

#: How many seconds a libvirt daemon has for its answer.
LIBVIRT_SECONDS: Final = 10.0
_SOCKETS: Final = ("libvirt/libvirt-sock", "libvirt/virtqemud-sock")


def serial_ports(tty: Path = Path("/sys/class/tty")) -> Iterator[Found]:
    """The serial ports that really exist: of the kernel's `ttyS…`, only those with a UART behind them.

    Args:
        tty: the kernel's folder that says so.
    """
    own = _text(tty / "console" / "active").split()
    for port in sorted(list_ports.comports(), key=lambda port: port.device):
        if port.name.startswith("ttyS") and _text(tty / port.name / "type") == "0":
            continue  # PORT_UNKNOWN of serial_core.h: the name has no hardware
        name = console_name(port.name, "serial00")
        if port.name in own:
            yield Found(Kind.SERIAL, name, note=f"{port.device} is this host's own console")
            continue
        about = "" if port.description in (None, "n/a") else printable(port.description)
        yield Found(Kind.SERIAL, name, device=port.device, note=about)


def _text(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""  # this kernel or driver does not say it


def local_uris() -> list[str]:
    """The URIs of the libvirt daemons that run, or that systemd starts when somebody connects. None is started
    here."""
    places = {"qemu:///system": Path("/run")}
    if os.geteuid() != 0:  # for root, libvirt's session is the system
        places["qemu:///session"] = Path(os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}"))
    return [uri for uri, folder in places.items() if any((folder / name).exists() for name in _SOCKETS)]


def domains(uri: str) -> list[Found]:
    """Every domain of the libvirt at `uri`.

    Raises:
        EnvironmentFault: libvirt or its library is missing, or libvirt does not answer in LIBVIRT_SECONDS.
    """
    found: list[Found] = []
    trouble: list[str] = []

    def look() -> None:
        try:
            found.extend(virt.attempt(lambda: _domains(uri)))
        except (virt.LibvirtFault, EnvironmentFault) as error:
            trouble.append(str(error))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(LIBVIRT_SECONDS)
    if thread.is_alive():
        raise EnvironmentFault(f"libvirt at {uri} has not answered in {LIBVIRT_SECONDS:g} s")
    if trouble:
        raise EnvironmentFault(f"libvirt at {uri}: {trouble[0]}")
    return found


def _domains(uri: str) -> list[Found]:
    library = virt.load()
    # anybody may read from the system's daemon; a session's has no socket for that
    connection = library.open(uri) if uri.endswith("/session") else library.openReadOnly(uri)
    try:
        return sorted(
            (
                Found(
                    Kind.LIBVIRT,
                    console_name(domain.name(), domain.UUIDString()),
                    uri=uri,
                    note="it runs" if domain.isActive() else "it is off",
                    domain=domain.name(),
                    uuid=domain.UUIDString(),
                )
                for domain in connection.listAllDomains()
            ),
            key=lambda domain: domain.name,
        )
    finally:
        connection.close()
