"""The HTTP of /metrics and /healthz, byte by byte."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from http import HTTPStatus

import pytest

from oobconsole.errors import EnvironmentFault
from oobconsole.ops import http
from oobconsole.ops.http import Answer, HttpServer
from tests.support.aio import soon


async def _page() -> Answer:
    return Answer(HTTPStatus.OK, "text/plain", b"hello\n")


@pytest.fixture
async def address() -> AsyncIterator[tuple[str, int]]:
    server = HttpServer({"/page": _page})
    host, _, port = (await server.start("127.0.0.1:0")).rpartition(":")
    yield host, int(port)
    await server.stop()


async def _ask(address: tuple[str, int], request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection(*address)
    writer.write(request)
    answer = await soon(reader.read())
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /page HTTP/1.1", 200),
        (b"GET /page?x=1 HTTP/1.0", 200),
        (b"HEAD /page HTTP/1.1", 200),
        (b"GET /other HTTP/1.1", 404),
        (b"POST /page HTTP/1.1", 405),
        (b"GET /page", 400),
        (b"\xff\x00\xfe", 400),
        (b"GET /page HTTP/2.0", 400),
    ],
)
async def test_a_request_gets_its_status(address: tuple[str, int], request_line: bytes, status: int) -> None:
    answer = await _ask(address, request_line + b"\r\nHost: localhost:9464\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:9464", 200), ("[::1]:9464", 200), ("localhost", 200), ("LOCALHOST.:1", 200), ("192.0.2.1", 200),
        ("evil.example", 421), ("evil.example:9464", 421), ("127.0.0.1.evil.example", 421), ("", 421), ("[x]", 421),
        ("[::1].evil.example", 421), ("localhost:evil.example", 421), ("localhost@evil.example", 421),
        ("localhost, evil.example", 421), ("localhost\r\nHost: evil.example", 400),
        ("evil.example\r\nHost: localhost", 400), ("[::1]", 200), ("localhost:", 200),
    ],
)  # fmt: skip
async def test_only_a_host_that_nobody_can_register_is_answered(
    address: tuple[str, int], host: str, status: int
) -> None:
    """security.md 26: a browser on this host, shown a page of evil.example, gets no console's name."""
    answer = await _ask(address, f"GET /page HTTP/1.1\r\nX: y\r\nhOst: {host}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert (b"hello" in answer) is (status == 200)


async def test_a_host_is_wanted_since_http_1_1(address: tuple[str, int]) -> None:
    """RFC 9112, 3.2: "with a 400 … to any HTTP/1.1 request message that lacks a Host header field"."""
    assert (await _ask(address, b"GET /page HTTP/1.1\r\nX: y\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_get_has_a_body_and_head_has_none(address: tuple[str, int]) -> None:
    assert (await _ask(address, b"GET /page HTTP/1.0\r\n\r\n")).endswith(b"\r\n\r\nhello\n")
    head = await _ask(address, b"HEAD /page HTTP/1.0\r\n\r\n")
    assert b"Content-Length: 6\r\n" in head
    assert head.endswith(b"\r\n\r\n")


async def test_a_request_too_long_is_refused(address: tuple[str, int]) -> None:
    answer = await _ask(address, b"GET /page HTTP/1.1\r\nX: " + b"x" * http.REQUEST_MAX * 4)
    assert answer.startswith(b"HTTP/1.1 431 ")


async def test_who_says_nothing_is_disconnected(address: tuple[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "SECONDS", 0.05)
    reader, writer = await asyncio.open_connection(*address)
    writer.write(b"GET /page HT")
    with contextlib.suppress(ConnectionResetError):
        assert await soon(reader.read()) == b""
    writer.close()


async def test_one_connection_too_many_is_told(address: tuple[str, int]) -> None:
    idle = [await asyncio.open_connection(*address) for _ in range(http.CONNECTIONS_MAX)]
    assert (await _ask(address, b"GET /page HTTP/1.0\r\n\r\n")).startswith(b"HTTP/1.1 503 ")
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()


async def test_a_port_that_is_taken_is_said(address: tuple[str, int]) -> None:
    with pytest.raises(EnvironmentFault, match=r"metrics\.listen: cannot listen on 127"):
        await HttpServer({}).start(f"127.0.0.1:{address[1]}")
