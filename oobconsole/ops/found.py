"""What `oobconsole discover` finds."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from oobconsole.words import harmless


class Kind(StrEnum):
    """What it is."""

    QEMU = "qemu"
    LIBVIRT = "libvirt"
    SERIAL = "serial"
    MACHINE = "machine"  # an L1 whose guests we intercept


class Standing(StrEnum):
    """How it stands in the configuration."""

    NEW = "new"
    CONFIGURED = "configured"
    MISSING = "missing"  # configured, but not there


@dataclass(frozen=True)
class Found:
    """A guest, a port, or what should be one.

    Attributes:
        name: what its console is, or could be, called.
        chardev: as `[[vm]]` takes it; empty: there is none that could be.
        qmp: path of QEMU's monitor socket, where there is one.
        device: of a serial port.
        uri: of the libvirt host.
        note: what else there is to know, for people.
        domain, uuid: of libvirt, or as QEMU's command line has it.
    """

    kind: Kind
    name: str
    chardev: str = ""
    qmp: str = ""
    device: str = ""
    uri: str = ""
    note: str = ""
    domain: str = ""
    uuid: str = ""
    standing: Standing = Standing.NEW

    @property
    def where(self) -> str:
        """Where it is, in a word."""
        return self.chardev or self.device or self.uri

    def as_dict(self) -> dict[str, str]:
        """For JSON: empty fields are left out."""
        return {key: str(value) for key, value in asdict(self).items() if value}


def printable(text: str) -> str:
    """What other processes and USB devices say, so that it acts on no terminal."""
    return harmless(text)
