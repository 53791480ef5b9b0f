"""What a VM needs for our card: QEMU's option, the same for libvirt, and the guest kernel's arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final
from xml.sax.saxutils import quoteattr

#: How many ms QEMU waits for an answer. QEMU loses its place in the stream for good when an answer takes longer, as
#: it may on a host that swaps.
MESSAGE_TIMEOUT_MS: Final = 60_000
#: The XML namespace in which libvirt takes words for QEMU's command line.
QEMU_NAMESPACE: Final = "http://libvirt.org/schemas/domain/qemu/1.0"


def qemu_words(socket: Path) -> list[str]:
    """Return the words for QEMU's command line."""
    device = {
        "driver": "vfio-user-pci",
        "socket": {"type": "unix", "path": str(socket)},
        "rombar": 0,
        "x-msg-timeout": MESSAGE_TIMEOUT_MS,
    }
    return ["-device", json.dumps(device, separators=(",", ":"))]


def libvirt_xml(socket: Path) -> str:
    """Return an element for libvirt's domain, to be put beside `<devices>`, with the namespace that it needs."""
    arguments = "".join(f"  <qemu:arg value={quoteattr(word)}/>\n" for word in qemu_words(socket))
    return f'<qemu:commandline xmlns:qemu="{QEMU_NAMESPACE}">\n{arguments}</qemu:commandline>'


#: The kernel's arguments for a Linux guest without another serial port. Its log and `/dev/console` are on the card's
#: first port from the moment at which the card is found; what was logged before is printed then.
KERNEL_ARGUMENTS: Final = "console=ttyS0,115200n8"
