"""HTTP for `/metrics` and `/healthz`: as much of RFC 9112 as a scraper on this host needs, on the server's loop."""

from __future__ import annotations

import asyncio
import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final

from oobconsole.errors import EnvironmentFault
from oobconsole.supervise import Tasks

#: The most bytes of a request with its header, and the most seconds that a request and its answer may take.
REQUEST_MAX: Final = 8192
SECONDS: Final = 5.0
#: How many connections there may be at the same time; a further one gets status 503.
CONNECTIONS_MAX: Final = 16
#: A host and its port (RFC 3986, 3.2.2).
_HOST: Final = re.compile(r"(?:\[([^\]]+)\]|([^:\[\]]+))(?::[0-9]*)?")


@dataclass(frozen=True)
class Answer:
    """What a page answers: its status, its type of content, and its body."""

    status: HTTPStatus
    kind: str
    body: bytes


Page = Callable[[], Awaitable[Answer]]


class HttpServer:
    """Serves `pages`, by their paths, for GET and HEAD. Each connection has one request."""

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = pages
        self._connections = Tasks()
        self._server: asyncio.Server | None = None

    async def start(self, address: str) -> str:
        """Listen on an address such as `127.0.0.1:9464`. Returns it with the port that was taken, where it says port
        0.

        Raises:
            EnvironmentFault: nobody can listen there.
        """
        host, _, port = address.rpartition(":")
        try:
            self._server = await asyncio.start_server(self._connected, host.strip("[]"), int(port), limit=REQUEST_MAX)
        except OSError as error:
            raise EnvironmentFault(f"metrics.listen: cannot listen on {address}: {error.strerror}") from error
        return f"{host}:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Stop listening, and close every connection."""
        if self._server is not None:
            self._server.close()
        await self._connections.stop()

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.start(self._serve_within(SECONDS, reader, writer), "a connection to the metrics")

    async def _serve_within(self, seconds: float, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._serve(reader, writer)
        except (OSError, TimeoutError):
            writer.transport.abort()  # the client says nothing, or takes nothing
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._connections) > CONNECTIONS_MAX:
            method, answer = "GET", _problem(HTTPStatus.SERVICE_UNAVAILABLE, "too many connections")
        else:
            method, answer = await self._answer(reader)
        writer.write(_head(answer) + (b"" if method == "HEAD" else answer.body))
        await writer.drain()
        writer.write_eof()
        while await reader.read(REQUEST_MAX):  # what is unread at the close would reset it, answer and all
            pass

    async def _answer(self, reader: asyncio.StreamReader) -> tuple[str, Answer]:
        try:
            request = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return "GET", _problem(HTTPStatus.BAD_REQUEST, "no whole request")
        except asyncio.LimitOverrunError:
            return "GET", _problem(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"at most {REQUEST_MAX} bytes")
        words = request.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return "GET", _problem(HTTPStatus.BAD_REQUEST, "this is no HTTP/1.1 request")
        method, target, _ = words
        hosts = _hosts(request)
        if len(hosts) > 1:
            return method, _problem(HTTPStatus.BAD_REQUEST, "more than one Host")
        if not hosts and words[2] != "HTTP/1.0":
            return method, _problem(HTTPStatus.BAD_REQUEST, "no Host, which HTTP/1.1 wants (RFC 9112, 3.2)")
        if hosts and not _is_here(hosts[0]):
            return method, _problem(
                HTTPStatus.MISDIRECTED_REQUEST, f"this is no {hosts[0]!a}: ask by an address or as localhost"
            )
        if method not in ("GET", "HEAD"):
            return method, _problem(HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD")
        page = self._pages.get(target.partition("?")[0])
        if page is None:
            return method, _problem(HTTPStatus.NOT_FOUND, f"there are: {' '.join(self._pages)}")
        return method, await page()


def _hosts(request: bytes) -> list[str]:
    """The values of the header Host: what the client believes that it talks to (RFC 9110, 7.2)."""
    headers = (line.decode("latin-1").partition(":") for line in request.split(b"\r\n")[1:])
    return [value.strip() for name, _, value in headers if name.strip().lower() == "host"]


def _is_here(host: str) -> bool:
    """Does the client mean this host: by an address, or as localhost?

    Why are other names refused? Anybody may register a name, and make it mean this host while a browser shows that
    name's page (DNS rebinding). The page of a stranger could then read the answer.
    """
    found = _HOST.fullmatch(host)
    if found is None:
        return False
    name = found[1] or found[2]
    if name.lower().rstrip(".") == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _problem(status: HTTPStatus, text: str) -> Answer:
    return Answer(status, "text/plain; charset=utf-8", f"{text}\n".encode())


def _head(answer: Answer) -> bytes:
    lines = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if answer.status is HTTPStatus.METHOD_NOT_ALLOWED:
        lines.append("Allow: GET, HEAD")
    return "\r\n".join([*lines, "", ""]).encode()
