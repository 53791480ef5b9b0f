"""The kinds of values that a configuration has, and what is said about a value that is wrong."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from oobconsole.access import Right
from oobconsole.config.table import one_or_more


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        valid = bool(colon) and 0 <= int(port) <= 65535
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"{value!r} is no address: write it as 127.0.0.1:2222 or [::1]:2222")
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(f"{value!r} is no address or network: write it as 192.0.2.0/24 or 2001:db8::/32") from None
    return value


def _max_startups(value: str) -> str:
    parts = value.split(":")
    if len(parts) == 3 and all(part.isascii() and part.isdigit() and len(part) <= 6 for part in parts):
        start, rate, full = map(int, parts)
        if 1 <= start <= full and 1 <= rate <= 100:
            return value
    raise ValueError(f"{value!r} is not START:RATE:FULL: three numbers, 1 to 100 in the middle, START not over FULL")


def _loopback(value: str) -> str:
    host = _address(value).rpartition(":")[0].removeprefix("[").removesuffix("]")
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError(
            f"{value!r} is not on loopback, and metrics ask for no password: use 127.0.0.1 or [::1], "
            "with a proxy before it if others are to read them"
        )
    return value


def _path(value: Any) -> Any:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("a path, as a string, is wanted")
    if value.startswith("~"):
        raise ValueError(f"'~' is not expanded here: write {value!r} as a path from '/' or from this file's folder")
    return Path(value)


def _chardev(value: str) -> str:
    kind, _, rest = value.partition(":")
    host, _, port = rest.rpartition(":")
    is_tcp = kind in ("tcp", "tcp-listen") and host and port.isdecimal() and 0 < int(port) < 65536
    if not is_tcp and not (kind in ("unix", "unix-listen") and rest):
        raise ValueError(f"{value!r} is no line: unix:PATH, unix-listen:PATH, tcp:HOST:PORT or tcp-listen:HOST:PORT")
    return value


def _uri(value: str) -> str:
    scheme, colon, rest = value.partition("://")
    if not colon or not re.fullmatch(r"[a-z0-9+.-]+", scheme) or not rest or not value.isprintable():
        raise ValueError(f"{value!r} is no libvirt URI: qemu:///system, qemu:///session, qemu+ssh://host/system, …")
    return value


def _right(value: Any) -> Any:
    if not isinstance(value, str) or value not in (*Right, "all"):
        raise ValueError(f"{value!r} is no right: {', '.join(Right)}, or all")
    return value


Address = Annotated[str, AfterValidator(_address)]
Network = Annotated[str, AfterValidator(_network)]
MaxStartups = Annotated[str, AfterValidator(_max_startups)]
Loopback = Annotated[str, AfterValidator(_loopback)]
ChardevAddress = Annotated[str, AfterValidator(_chardev)]
LibvirtUri = Annotated[str, AfterValidator(_uri)]
FilePath = Annotated[Path, BeforeValidator(_path)]
Rights = Annotated[list[Annotated[str, BeforeValidator(_right)]], BeforeValidator(one_or_more)]
