"""`oobconsole doctor`: finds what keeps the server from working as it is configured, and says what mends each fault.

It only looks: nothing is written, and no socket is connected to.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from oobconsole.config.load import load
from oobconsole.config.schema import Config
from oobconsole.errors import ConfigError
from oobconsole.ops import examine_host, examine_settings
from oobconsole.ops.finding import Finding, Level

#: The examinations of a configuration, in the order in which their findings are shown.
EXAMINATIONS: Final[tuple[Callable[[Config], Iterable[Finding]], ...]] = (
    examine_settings.users,
    examine_settings.grants,
    examine_settings.alerts,
    examine_host.files,
    examine_host.addresses,
    examine_host.sockets,
    examine_host.serial_ports,
    examine_host.libvirt,
    examine_host.space,
    examine_host.clock,
    examine_host.qemu,
)


def examine(file: Path) -> Iterator[Finding]:
    """Yield everything that is wrong with the configuration in `file`, with this host, and with what the
    configuration names."""
    yield from examine_host.python()
    try:
        config = load(file)
    except ConfigError as error:
        yield Finding(
            Level.FAULT, error.key or str(file), str(error), f"edit {file}; oobconsole.toml(5) has every key"
        )
        return
    for look in EXAMINATIONS:
        yield from look(config)


def report(file: Path, *, as_json: bool) -> int:
    """Print what is found. Returns the command's exit status: 1 when something keeps the server from working, else
    0."""
    found = list(examine(file))
    for finding in found:
        print(json.dumps(finding.as_dict()) if as_json else "\n".join(finding.lines()))
    if not found and not as_json:
        print("no fault was found")
    return int(any(finding.level is Level.FAULT for finding in found))
