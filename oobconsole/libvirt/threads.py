"""The threads in which calls of libvirt's wait, of one host.

Why a bound? A libvirtd that hangs, or a guest that reads nothing, may keep a thread waiting for ever. At most so many
threads wait at one host. Further calls to that host wait for one of these threads, and no other host is concerned.
"""

from __future__ import annotations

from typing import Final

from oobconsole.threads import Threads

#: How many consoles of one host are opened or closed at the same time.
OPENING_MAX: Final = 16
#: How many consoles of one host are typed at, at the same time, while their guests have not read everything yet.
TYPING_MAX: Final = 64


class HostThreads:
    """All threads that the consoles of one libvirt host may keep waiting.

    Attributes:
        opening: threads that open and close consoles.
        typing: threads that type at consoles. They are others, so that a guest that reads nothing keeps no other
            console from being opened.
    """

    def __init__(self) -> None:
        self.opening = Threads(OPENING_MAX)
        self.typing = Threads(TYPING_MAX)
