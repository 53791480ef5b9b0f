"""Hosts' names, while the name service does not answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Final

import pytest

from oobconsole.alerts.post import PostFault, post
from oobconsole.lines.chardev import ChardevStream, parse
from oobconsole.net.names import reach
from tests.support.aio import soon, until
from tests.unit.lines.test_uucp import Events

#: More names than the event loop has threads of its own.
NAMES: Final = 48


class Service:
    """The name service. It answers for `two.example` at once, and for other names not before `answers` is set.

    Attributes:
        asked: the names that were asked for, in order.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answers = threading.Event()
        self._real = socket.getaddrinfo

    def getaddrinfo(self, host: str, port: object, *args: object, **options: object) -> object:
        """Look a name up, in place of `socket.getaddrinfo`."""
        if "example" not in host:
            return self._real(host, port, *args, **options)  # type: ignore[arg-type]
        self.asked.append(host)
        if host == "two.example":
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"127.0.0.{last}", 0)) for last in (2, 3)]
        self.answers.wait()
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    """The name service does not answer until the end of the test."""
    made = Service()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.answers.set()


async def test_lines_whose_names_are_not_answered_keep_nobody_else_waiting(service: Service) -> None:
    """They took the few threads of the event loop, and a login that had to look something up waited for them."""
    lines = [ChardevStream(f"web{number}", parse(f"tcp:rack{number}.example:23")) for number in range(NAMES)]
    for line in lines:
        await line.start(Events())
    await until(lambda: len(service.asked) == NAMES, lambda: service.asked)
    assert await soon(asyncio.to_thread(lambda: "read")) == "read"
    for line in lines:
        await line.stop()


async def test_alerts_whose_names_are_not_answered_keep_nobody_else_waiting(service: Service) -> None:
    posts = [asyncio.ensure_future(post(f"http://hook{number}.example/", b"{}", 60)) for number in range(NAMES)]
    await until(lambda: len(service.asked) == NAMES, lambda: service.asked)
    assert await soon(asyncio.to_thread(lambda: "read")) == "read"
    for one in posts:
        one.cancel()
    await asyncio.gather(*posts, return_exceptions=True)


async def test_a_name_is_asked_for_once_however_often_the_time_is_over(service: Service) -> None:
    """A line tries again and again. Each time a thread more would wait."""
    for _ in range(3):
        with pytest.raises(PostFault, match="did not answer in"):
            await soon(post("http://hook.example/", b"{}", 0.02))
    assert service.asked == ["hook.example"]
    late = asyncio.ensure_future(post("http://hook.example/", b"{}", 60))
    await asyncio.sleep(0)
    service.answers.set()
    with pytest.raises(PostFault, match="cannot be reached: Temporary failure in name resolution"):
        await soon(late)
    with pytest.raises(PostFault, match="Temporary failure"):
        await soon(post("http://hook.example/", b"{}", 60))
    assert service.asked == ["hook.example"] * 2, "an answer is not kept"


async def test_a_line_says_why_its_name_has_no_address(service: Service) -> None:
    told = Events()
    line = ChardevStream("web1", parse("tcp:rack1.example:23"))
    service.answers.set()
    await line.start(told)
    expected = "rack1.example:23 cannot be reached: Temporary failure in name resolution"
    await until(lambda: told.told[-1:] == [expected], lambda: told.told)
    await line.stop()


async def test_all_addresses_of_a_name_are_tried_in_order(service: Service) -> None:
    tried: list[str] = []

    async def dial(address: str) -> str:
        tried.append(address)
        if address != wanted:
            raise OSError(f"{address} is switched off")
        return "connected"

    wanted = "127.0.0.3"
    assert await soon(reach("two.example", dial)) == "connected"
    wanted = "nobody"
    with pytest.raises(OSError, match=r"^127\.0\.0\.2 is switched off; 127\.0\.0\.3 is switched off$"):
        await soon(reach("two.example", dial))
    assert tried == ["127.0.0.2", "127.0.0.3"] * 2
    assert service.asked == ["two.example"] * 2


async def test_an_address_is_no_name(service: Service) -> None:
    async def dial(address: str) -> str:
        return address

    assert await soon(reach("192.0.2.1", dial)) == "192.0.2.1"
    assert await soon(reach("2001:db8::1", dial)) == "2001:db8::1"
    assert service.asked == []
