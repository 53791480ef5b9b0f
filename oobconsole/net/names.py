"""Looks up the addresses of a host, in a thread of the host's own, and connects to them.

Why not by the event loop? Its look-ups share a few threads with everything else that takes a thread. While the DNS
server does not answer, a few lines to hosts with names would have all of these threads, and everybody else's
look-ups and files would wait: those of logins, for example. So each name has one thread at most, and whoever wants
the same name meanwhile waits for the same answer.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from oobconsole.net.dialer import why
from oobconsole.supervise import Tasks
from oobconsole.threads import in_thread

T = TypeVar("T")

_Key = tuple[asyncio.AbstractEventLoop, str]
_running: Final[dict[_Key, asyncio.Task[list[str]]]] = {}
_lookups: Final = Tasks(expected=(OSError, UnicodeError))  # whoever asked is told


async def addresses(host: str) -> list[str]:
    """Return the addresses of a host, in the order in which they should be tried. An address is its own address.

    This waits as long as the name service does, so whoever calls has a time limit. A look-up whose callers have all
    given up goes on, and the next caller waits for its answer, too: a name never has a second thread.

    Raises:
        OSError: the name has no address, or the name service cannot be asked.
        UnicodeError: that is no host's name.
    """
    if _is_address(host):
        return [host]
    key = asyncio.get_running_loop(), host
    if (running := _running.get(key)) is None:
        running = _running[key] = _lookups.start(_look_up(key), f"look up {host}")
    return await asyncio.shield(running)


async def reach(host: str, dial: Callable[[str], Awaitable[T]]) -> T:
    """Connect to a host, at the first of its addresses that answers.

    Args:
        dial: connects to an address.

    Returns:
        What `dial` returned.

    Raises:
        OSError: no address could be connected to. Several reasons stand in one message.
        ssl.SSLError: an address answered, and is not whom it should be. No further address is tried.
        UnicodeError: that is no host's name.
    """
    errors: list[OSError] = []
    for address in await addresses(host):
        try:
            return await dial(address)
        except ssl.SSLError:
            raise
        except OSError as error:
            errors.append(error)
    if len(errors) == 1:
        raise errors[0]
    raise OSError("; ".join(dict.fromkeys(map(why, errors))))


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


async def _look_up(key: _Key) -> list[str]:
    host = key[1]
    try:
        found = await in_thread(lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM), f"look up {host}")
    finally:
        del _running[key]
    return list(dict.fromkeys(str(address[0]) for *_, address in found))
