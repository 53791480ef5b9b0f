"""The process of a front, from its first line to its last: take what the core has given it, give up every other
right, and serve."""

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

logger = structlog.get_logger(__name__)

#: Makes what lets people in: for its connection to the core, and the sockets that it listens on.
Make = Callable[[Link, Sequence[socket.socket]], Server]
#: Modules of libraries that are imported where they are used.
_LATE: Final = ("stringprep", "linecache", "traceback", "concurrent.futures.thread", "encodings.idna")
_TERMINATION: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(make: Make) -> None:
    """Serve as the front that the command line names: LINK LISTEN[,LISTEN…] USER MEMORY.

    LINK is the descriptor of the connection to the core, each LISTEN that of a listening socket. USER is who this
    process becomes if it may; MEMORY is how much it may have, in bytes of its address space. Everything that serves
    is imported already: there are no files afterwards.
    """
    link_number, listening, user, memory = sys.argv[1:]
    for number in _TERMINATION:  # a terminal and systemd send these to us, too; when we end is the core's decision
        signal.signal(number, signal.SIG_IGN)
    die_with_parent()
    sockets = [socket.socket(fileno=int(number)) for number in listening.split(",")]
    _load_what_is_loaded_late()
    about = confine(Limits(user=user, memory=int(memory)))
    log.setup("json")  # the core reads our standard error, and logs what it finds there
    sys.meta_path.insert(0, _Late())
    uvloop.run(_serve(make, socket.socket(fileno=int(link_number)), sockets, about))


def _load_what_is_loaded_late() -> None:
    """Python loads some of its modules when they are needed first, and the C library its own. Afterwards there may be
    no file that can be read."""
    for codec in ("idna", "latin-1", "ascii", "unicode_escape", "raw_unicode_escape"):
        codecs.lookup(codec)
    for module in _LATE:
        importlib.import_module(module)
    socket.getaddrinfo("127.0.0.1", 0, flags=socket.AI_NUMERICHOST)


class _Late(importlib.abc.MetaPathFinder):
    """Is asked for every module that is not there, finds none, and says so: what is imported now may not be found."""

    def find_spec(self, fullname: str, path: object, target: object = None) -> None:
        logger.warning("a front imports a module late: name it in front/child.py", module=fullname)


async def _serve(make: Make, core: socket.socket, sockets: Sequence[socket.socket], about: Sequence[str]) -> None:
    link = Link(_core_is_gone)
    link.server = make(link, sockets)
    supervise.watch_loop(asyncio.get_running_loop())
    core.setblocking(False)
    await hand_over(core, lambda: link)
    link.ready(about)
    await link.stopped.wait()
    link.close()


def _core_is_gone() -> None:
    """There is nothing left to do, and nobody to tell: clients are disconnected by the kernel."""
    os._exit(0)
