"""What strangers and users do to the server's SSH port."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable
from typing import Final

import asyncssh
from asyncssh.constants import MSG_CHANNEL_OPEN, MSG_CHANNEL_REQUEST, MSG_GLOBAL_REQUEST, MSG_IGNORE
from asyncssh.packet import Boolean, String, UInt32

from tests.attack.target import Attack, Target
from tests.support.stranger import IGNORE, Stranger, stranger


async def clear_ignore(target: Target) -> None:
    """security.md 1: IGNORE in clear, 3 connections."""

    async def once() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        try:
            writer.write(b"SSH-2.0-x\r\n")
            while not reader.at_eof():
                writer.write(IGNORE * 4096)
                await writer.drain()
                await asyncio.sleep(0)
        finally:
            writer.close()

    await target.again(3, once)


async def encrypted_ignore(target: Target) -> None:
    """security.md 1: IGNORE after the key exchange, not logged in, 3 connections."""

    async def once() -> None:
        client = await stranger(target.port)
        await client.encrypted.wait()
        await _pour(client, lambda: client.send_packet(MSG_IGNORE, String(b"")))

    await target.again(3, once)


async def exchanges(target: Target) -> None:
    """security.md 2: key exchange after key exchange, 8 connections, never logged in."""

    async def once() -> None:
        client: Stranger = await stranger(target.port)
        await client.encrypted.wait()
        client._send_kexinit()
        await client.ended

    await target.again(8, once)


async def options(target: Target) -> None:
    """security.md 4: 60 kB of options, 10 at a time."""
    client = await target.connect()
    line = "ls" + " --json" * 8500
    await target.again(10, lambda: client.run(line))
    client.abort()


async def one_byte(target: Target) -> None:
    """security.md 5: channels of one-byte packets."""
    client = await target.connect()
    await target.again(3, lambda: client.create_session(asyncssh.SSHClientSession, "help", max_pktsize=1))
    client.abort()


async def half_exchange(target: Target) -> None:
    """security.md 6: a window of 4 GiB, and a key exchange that is begun and not ended."""
    client = await target.connect()
    await client.create_session(asyncssh.SSHClientSession, "watch web2", encoding=None, window=(1 << 32) - 1)
    client._send_kexinit()
    client._kex_complete = True  # asyncssh then sends what follows
    while target.goes_on and not client.is_closed():
        client.send_packet(MSG_IGNORE, String(b""))
        await asyncio.sleep(0.1)
    client.abort()


async def refused_opens(target: Target) -> None:
    """security.md 9: sessions beyond the limit, and commands that are denied."""
    client = await target.connect()
    await target.again(20, lambda: client.run("send web1 x"))
    client.abort()


async def menus(target: Target) -> None:
    """security.md 11: ten menus of 1000 x 1000, with keys and changes of size."""
    client = await target.connect()
    made = []
    for _ in range(10):
        session, _ = await client.create_session(
            asyncssh.SSHClientSession, None, term_type="xterm", term_size=(1000, 1000), encoding=None
        )
        made.append(session)
    number = 0
    while target.goes_on and not client.is_closed():
        number += 1
        for session in made:
            session.write(b"\x1b[B")
            session.change_terminal_size(1000 - number % 5, 1000)
        await asyncio.sleep(0.005)
    client.abort()


async def unread_answers(target: Target) -> None:
    """A sibling: requests whose answers are not read, logged in."""
    client = await target.connect()
    assert client._transport is not None
    client._transport.pause_reading()
    await _pour(client, lambda: client.send_packet(MSG_GLOBAL_REQUEST, String(b"nobody-knows"), Boolean(True)))


async def requests(target: Target) -> None:
    """A sibling: channel requests of all kinds, logged in, 3 connections."""
    kinds = [b"env", b"signal", b"break", b"window-change", b"x11-req", b"auth-agent-req@openssh.com", b"?"]

    async def once() -> None:
        client = await target.connect()
        session, _ = await client.create_session(asyncssh.SSHClientSession, "watch web2", encoding=None)
        number = 0

        def send() -> None:
            nonlocal number
            number += 1
            kind = kinds[number % len(kinds)]
            session.send_packet(MSG_CHANNEL_REQUEST, String(kind), Boolean(False), UInt32(80) * 4)

        await _pour(client, send)

    await target.again(3, once)


async def queries(target: Target) -> None:
    """A sibling: questions about keys, each of which reads files, 8 connections."""
    keys = [asyncssh.generate_private_key("ssh-ed25519").public_data for _ in range(8)]

    async def once() -> None:
        client = await stranger(target.port)
        await client.encrypted.wait()
        for _ in range(40):
            for key in keys:
                client.query(key, user=target.user.encode())
        await client.ended

    await target.again(8, once)


async def opens(target: Target) -> None:
    """A sibling: connections that are opened and closed, or are random bytes, 30 at a time."""

    async def once() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
        writer.write(b"SSH-2.0-x\r\n" + os.urandom(200))
        await reader.read()
        writer.close()

    await target.again(30, once)


async def channel_opens(target: Target) -> None:
    """A sibling: channels of all types, thousands of them, most of which are refused; logged in, 3 connections."""
    kinds = [b"direct-tcpip", b"session", b"x11", b"auth-agent@openssh.com", b"tun@openssh.com", b"?" * 60_000]

    async def once() -> None:
        client = await target.connect()
        number = 0

        def send() -> None:
            nonlocal number
            number += 1
            where = String(b"127.0.0.1") + UInt32(22)
            about = [UInt32(number), UInt32(1), UInt32(1024), where, where]
            client.send_packet(MSG_CHANNEL_OPEN, String(kinds[number % 200 and number % 5]), *about)

        await _pour(client, send)

    await target.again(3, once)


async def sessions(target: Target) -> None:
    """A sibling: sessions that are opened, used, ended and closed in every order, 20 at a time."""
    client = await target.connect()
    commands = ["ls", "help", "watch web2", "search web2 x", "log web2", "status", None, "wait web2 x --timeout 1"]

    async def once() -> None:
        session, _ = await client.create_session(
            asyncssh.SSHClientSession, random.choice(commands), encoding=None, window=random.choice([1024, 1 << 20])
        )
        if random.random() < 0.5:
            session.write_eof()
        await asyncio.sleep(random.random() / 20)
        random.choice([session.close, session.abort])()

    await target.again(20, once)
    client.abort()


async def rekeys(target: Target) -> None:
    """A sibling: a key exchange with every few packets while ten consoles are watched, 3 connections."""

    async def once() -> None:
        client = await target.connect(rekey_bytes=100)
        for _ in range(10):
            await client.create_session(asyncssh.SSHClientSession, "watch web2", encoding=None)
        while target.goes_on and not client.is_closed():
            client.send_packet(MSG_IGNORE, String(b""))
            await asyncio.sleep(0.001)
        client.abort()

    await target.again(3, once)


async def certificates(target: Target) -> None:
    """A sibling: certificates of 45 KB, most of it names of principals, not logged in, 8 at a time."""
    made = asyncssh.generate_private_key("ssh-ed25519").generate_user_certificate(
        asyncssh.generate_private_key("ssh-ed25519"), "x", principals=[f"p{i}" for i in range(5000)]
    )
    data = made.public_data

    async def once() -> None:
        client = await stranger(target.port)
        await client.encrypted.wait()
        for _ in range(20):
            client.query(data, user=target.user.encode())
        await client.ended

    await target.again(8, once)


async def typing(target: Target) -> None:
    """A sibling: input of 80 KB at a time to ten menus."""
    client = await target.connect()
    made = [
        (await client.create_session(asyncssh.SSHClientSession, None, term_type="xterm", encoding=None))[0]
        for _ in range(10)
    ]
    keys = b"\x1b[B\x1b[A/web\x1b\r~.n" * 4000
    while target.goes_on and not client.is_closed():
        for session in made:
            if session.get_write_buffer_size() < len(keys):
                session.write(keys)
        await asyncio.sleep(0.01)
    client.abort()


async def _pour(client: asyncssh.SSHClientConnection, send: Callable[[], None]) -> None:
    """Send these bytes again and again, as fast as the socket takes them. At most 1 MiB waits to be sent."""
    try:
        while not client.is_closed():
            for _ in range(200):
                send()
            waits = client._transport is not None and client._transport.get_write_buffer_size() > 1 << 20
            await asyncio.sleep(0.02 if waits else 0)
    finally:
        client.abort()


async def nothing_but_computing(target: Target) -> None:
    """For comparison, no attack: a process that computes, as an attacker on this machine does, and sends nothing."""
    while target.goes_on:
        sum(range(100_000))
        await asyncio.sleep(0)


ATTACKS: Final[tuple[Attack, ...]] = (
    nothing_but_computing,
    *(clear_ignore, encrypted_ignore, exchanges, options, one_byte, half_exchange, refused_opens, menus),
    *(unread_answers, requests, queries, opens, channel_opens, sessions, rekeys, certificates, typing),
)
