"""Which cipher secures a connection: the fast ones where the processor has them, and whatever the client wants."""

from __future__ import annotations

import asyncio
import subprocess

import pytest
from asyncssh.constants import MSG_KEXINIT
from asyncssh.packet import SSHPacket

from oobconsole.ssh import algorithms
from tests.support.aio import soon
from tests.support.pace import scaled
from tests.support.server import Server


def chosen(server: Server, *options: str) -> tuple[str, bytes]:
    """The cipher of OpenSSH's client, as it says with `-v`; and what `who` printed through it."""
    done = subprocess.run(
        server.ssh("who", options=("-v", *options)), capture_output=True, timeout=scaled(30), check=True
    )
    (line,) = [line for line in done.stderr.decode().splitlines() if "server->client cipher:" in line]
    return line.split("cipher: ")[1].split()[0], done.stdout


def test_a_client_that_prefers_a_slow_cipher_gets_a_fast_one_that_it_knows(server: Server) -> None:
    cipher, printed = chosen(server)
    assert printed == server.run("who").stdout
    assert (cipher == "aes128-gcm@openssh.com") == algorithms.has_aes()


@pytest.mark.parametrize("cipher", ["chacha20-poly1305@openssh.com", "aes256-ctr", "aes256-gcm@openssh.com"])
def test_a_client_that_knows_one_cipher_gets_that(server: Server, cipher: str) -> None:
    assert chosen(server, "-c", cipher) == (cipher, server.run("who").stdout)


async def test_a_client_that_waits_for_our_algorithms_is_told_all_of_them(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"SSH-2.0-waits\r\n")
    await soon(reader.readline())
    length = int.from_bytes(await soon(reader.readexactly(4)))
    packet = await soon(reader.readexactly(length))
    writer.close()
    lists = SSHPacket(packet[2:])
    lists.get_bytes(16)  # the cookie
    ciphers = [lists.get_namelist() for _ in range(3)][2]
    assert packet[1] == MSG_KEXINIT
    assert [name.decode() for name in ciphers] == list(algorithms.CIPHERS)
