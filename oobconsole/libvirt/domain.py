"""Reads what we need of a libvirt domain from its XML (https://libvirt.org/formatdomain.html, "Consoles, serial,
parallel & channel devices")."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

#: How many ports of one domain get a console. QEMU's PC has four serial ports, and virtio consoles besides.
PORTS_MAX: Final = 16
_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@dataclass(frozen=True, slots=True)
class Port:
    """A `<serial>` or `<console>` of a domain.

    Attributes:
        name: its name by its place, as libvirt numbers aliases: `serial0`, `console1`.
        device: what `virDomainOpenConsole` has to open; empty: libvirt cannot open it.
        address: QEMU's socket, as `unix:PATH` or `tcp:HOST:PORT`; empty: there is no socket that we can connect to.
        trouble: why nobody can attach to it, and what to do about that; empty: nothing is wrong.
    """

    name: str
    device: str = ""
    address: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain, as it was when somebody looked at it.

    Attributes:
        uuid, name: as libvirt has them.
        run: a number that tells one run of the domain from the next, while the domain is active.
        active: whether the domain has a process: it runs, is paused, or sleeps.
        running: whether its vCPUs run.
        state: its state in words.
        ports: its ports, of which there is at least one. The first port gets the console with the domain's name.
    """

    uuid: str
    name: str
    run: int
    active: bool
    running: bool
    state: str
    ports: tuple[Port, ...]


def host_of(uri: str) -> str:
    """Return the other host that a libvirt URI names (https://libvirt.org/uri.html); empty: it is this host."""
    host = urlsplit(uri).hostname or ""
    return "" if host in ("localhost", "127.0.0.1", "::1") else host


def ports_of(xml: str, host: str) -> tuple[Port, ...]:
    """Return the ports of a domain that runs, or would run, on `host` (`host_of`).

    Raises:
        ValueError: the text is not the XML of a domain.
    """
    try:
        devices = ET.fromstring(xml).find("devices")
    except ET.ParseError as error:
        raise ValueError(f"libvirt's XML of the domain cannot be read: {error}") from error
    if devices is None:
        return (_NONE,)
    serial = [_port(f"serial{i}", element, host) for i, element in enumerate(devices.findall("serial"))]
    consoles = [
        _port(f"console{i}", element, host)
        for i, element in enumerate(devices.findall("console"))
        if not (serial and _is_serial(element))  # libvirt repeats the first serial port as the first console
    ]
    return tuple((serial + consoles)[:PORTS_MAX]) or (_NONE,)


_NONE: Final = Port(
    "serial0", trouble="the domain has no serial port and no console: add <serial type='pty'/> to its devices"
)
_NO_PATH: Final = "libvirt has not said yet which UNIX socket it is"


def _is_serial(console: ET.Element) -> bool:
    target = console.find("target")
    return target is None or target.get("type", "serial") == "serial"


def _port(name: str, element: ET.Element, host: str) -> Port:
    kind = element.get("type", "")
    alias = element.find("alias")
    device = alias.get("name", name) if alias is not None else name
    if kind == "pty":
        return Port(name, device=device)
    source = element.find("source")
    if kind not in ("unix", "tcp") or source is None:
        return Port(
            name, trouble=f"{device} is of type {kind!r}, which nobody can attach to: make it pty, unix or tcp"
        )
    if source.get("mode", "bind") != "bind":
        where = f"{kind}-listen:{source.get('path') or _socket(source, '')}"
        return Port(name, trouble=f'{device} connects by itself: give it a [[vm]] with chardev = "{where}"')
    if kind == "unix":
        if host:
            return Port(name, trouble=f"{device} is a UNIX socket on {host}: make it pty, which libvirt brings here")
        path = source.get("path", "")
        return Port(name, address=f"unix:{path}") if path.startswith("/") else Port(name, trouble=_NO_PATH)
    return _tcp(name, device, element, source, host)


def _tcp(name: str, device: str, element: ET.Element, source: ET.Element, host: str) -> Port:
    protocol = element.find("protocol")
    kind = protocol.get("type", "raw") if protocol is not None else "raw"
    if kind != "raw" or source.get("tls") == "yes":
        spoken = "TLS" if kind == "raw" else kind
        return Port(name, trouble=f"{device} speaks {spoken} over TCP, which is not supported: make it raw, or pty")
    address = _socket(source, host)
    number = source.get("service", "")
    if not (number.isascii() and number.isdecimal() and 0 < int(number) < 65536):
        return Port(name, trouble=f"{device} has no port number that can be used: service={number[:20]!r}")
    if host and address.startswith(("127.", "[::1]", "localhost:")):
        return Port(name, trouble=f"{device} listens at {address} of {host}, out of reach: make it pty")
    return Port(name, address=f"tcp:{address}")


def _socket(source: ET.Element, host: str) -> str:
    """The host and the number of a TCP port, as they are reached from this host."""
    at = source.get("host", "")
    at = (host or _ANY[at]) if at in _ANY else at
    return f"[{at}]:{source.get('service', '')}" if ":" in at else f"{at}:{source.get('service', '')}"
