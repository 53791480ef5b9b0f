"""The process of a front. It takes over what the core gives it, gives up every other right, and then serves."""

from __future__ import annotations

import asyncio
import codecs
import importlib
import importlib.abc
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from typing import Final

import structlog
import uvloop

from oobconsole import supervise
from oobconsole.confine.process import Limits, confine, die_with_parent
from oobconsole.front.link import Link, Server
from oobconsole.log import log
from oobconsole.net.listener import hand_over
from oobconsole.watchdog import Watchdog

logger = structlog.get_logger(__name__)

#: Makes the server that lets people in, from the connection to the core and the listening sockets.
Make = Callable[[Link, Sequence[socket.socket]], Server]
#: Modules that libraries import only when they use them. They are imported early, because later there are no files.
_LATE: Final = ("stringprep", "linecache", "traceback", "concurrent.futures.thread", "encodings.idna")
_TERMINATION: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(make: Make) -> None:
    """Serve as a front. The command line is LINK LISTEN[,LISTEN…] USER MEMORY.

    LINK is the descriptor of the connection to the core, and each LISTEN that of a listening socket. USER is the user
    that this process becomes if it may. MEMORY is how large its address space may be, in bytes. All modules that
    serve must be imported already, because the process cannot read files afterwards.
    """
    link_number, listening, user, memory = sys.argv[1:]
    for number in _TERMINATION:  # a terminal and systemd send these to the front, too, but the core ends it
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()
    sockets = [socket.socket(fileno=int(number)) for number in listening.split(",")]
    _load_what_is_loaded_late()
    about = confine(Limits(user=user, memory=int(memory)))
    log.setup("json")  # the core reads this process's standard error, and logs the lines
    sys.meta_path.insert(0, _Late())
    uvloop.run(_serve(make, socket.socket(fileno=int(link_number)), sockets, about))


def _load_what_is_loaded_late() -> None:
    """Load modules that Python and the C library would load only when they need them. Later this process may not be
    able to read any file."""
    for codec in ("idna", "latin-1", "ascii", "unicode_escape", "raw_unicode_escape"):
        codecs.lookup(codec)
    for module in _LATE:
        importlib.import_module(module)
    socket.getaddrinfo("127.0.0.1", 0, flags=socket.AI_NUMERICHOST)


class _Late(importlib.abc.MetaPathFinder):
    """Logs every module that is imported late, because it may not be found. It finds no module itself."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        logger.warning("a front imports a module late: name it in front/child.py", module=fullname)


async def _serve(make: Make, core: socket.socket, sockets: Sequence[socket.socket], about: Sequence[str]) -> None:
    link = Link(_core_is_gone)
    link.server = make(link, sockets)
    supervise.watch_loop(asyncio.get_running_loop())
    watchdog = Watchdog()  # all clients of this front wait for what holds this loop; the core has a loop of its own
    watchdog.start()
    core.setblocking(False)
    await hand_over(core, lambda: link)
    link.ready(about)
    await link.stopped.wait()
    watchdog.stop()
    link.close()


def _core_is_gone() -> None:
    """End the process at once. Nothing can be done without the core, and the kernel disconnects the clients."""
    os._exit(0)
