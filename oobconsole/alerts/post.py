"""Posts JSON to a URL, within one time limit for all of it, and without a thread. Only the answer's status counts.

Why not a client of the standard library? Its time limit holds for each read alone, so a server that answers a byte
at a time would keep it for ever.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from importlib.metadata import version
from typing import Final
from urllib.parse import SplitResult, urlsplit

from oobconsole.errors import EnvironmentFault
from oobconsole.net.dialer import why
from oobconsole.net.names import reach

#: The first line of an answer, in bytes; the rest is not read.
_STATUS_MAX: Final = 4096
_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([0-9]{3})\b")


class PostFault(EnvironmentFault):
    """The server did not take what was posted. The message leaves out the URL's path, which may be a secret."""


async def post(url: str, body: bytes, timeout_s: float) -> None:
    """Post `body`; returns when the server has answered with a status of 2xx.

    Args:
        timeout_s: for connecting, sending and the answer together, in seconds.

    Raises:
        PostFault: the server cannot be reached, did not answer in time, or answered with another status.
    """
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(timeout_s):
            status = await _status(parts, body)
    except TimeoutError as error:
        raise PostFault(f"{parts.netloc} did not answer in {timeout_s:g} s") from error
    except ssl.SSLCertVerificationError as error:  # it is a ValueError, too
        raise PostFault(f"{parts.netloc} has no certificate that is valid for it: {error.verify_message}") from error
    except UnicodeError as error:
        raise PostFault(f"{parts.netloc} cannot be reached: that is no host's name") from error
    except ValueError as error:  # an answer without a line feed
        raise PostFault(f"{parts.netloc} gave no answer of HTTP: {error}") from error
    except OSError as error:
        raise PostFault(f"{parts.netloc} cannot be reached: {why(error)}") from error
    if 300 <= status < 400:
        raise PostFault(f"{parts.netloc} answered {status}: redirects are not followed")
    if not 200 <= status < 300:
        raise PostFault(f"{parts.netloc} answered {status}")


async def _status(parts: SplitResult, body: bytes) -> int:
    secure = parts.scheme == "https"
    context = await asyncio.to_thread(ssl.create_default_context) if secure else None
    port = parts.port or (443 if secure else 80)
    host = parts.hostname or ""
    reader, writer = await reach(
        host,
        lambda address: asyncio.open_connection(
            address, port, ssl=context, server_hostname=host if secure else None, limit=_STATUS_MAX
        ),
    )
    try:
        writer.write(_request(parts, body))
        await writer.drain()
        line = await reader.readline()
    finally:
        writer.transport.abort()
    found = _STATUS.match(line)
    if found is None:
        raise ValueError("another protocol, or none")
    return int(found[1])


def _request(parts: SplitResult, body: bytes) -> bytes:
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    head = (
        f"POST {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: oobconsole/{version('oobconsole')}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body
