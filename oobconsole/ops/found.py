"""What `oobconsole discover` finds: a guest, a port, or what the configuration expects."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum

from oobconsole.words import harmless


class Kind(StrEnum):
    """What kind of thing was found."""

    QEMU = "qemu"
    LIBVIRT = "libvirt"
    SERIAL = "serial"
    MACHINE = "machine"  # an L1 whose guests we intercept


class Standing(StrEnum):
    """Whether the configuration has the thing that was found."""

    NEW = "new"
    CONFIGURED = "configured"
    MISSING = "missing"  # configured, but not there


@dataclass(frozen=True)
class Found:
    """A guest or a port that was found, or one that the configuration expects. Texts are empty where nothing is
    known.

    Attributes:
        name: the name that its console has, or could have.
        chardev: the other end of QEMU's serial port, as `[[vm]]` takes it.
        qmp: the path of QEMU's monitor socket.
        device: the path of a serial port.
        uri: the libvirt host's.
        note: what else there is to know, for people.
        domain, uuid: the domain's name and UUID, from libvirt or from QEMU's command line.
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
        """Where it is, in one word: its socket, its device or its libvirt host."""
        return self.chardev or self.device or self.uri

    def as_dict(self) -> dict[str, str]:
        """Return the find as an object of JSON, without empty fields."""
        return {key: str(value) for key, value in asdict(self).items() if value}


def printable(text: str) -> str:
    """A text of another process or a USB device, made harmless for terminals."""
    return harmless(text)
