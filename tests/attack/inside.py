"""Attacks from the host's side: by guests, by monitors, and at the local socket."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Final

from tests.attack.target import FAULTS, Attack, Target
from tests.support.hostile_monitor import FLOODS

#: What a hostile guest prints, over and over: invalid UTF-8, wide and combining characters, strings that do not end,
#: sequences with thousands of parameters, scrolling and clearing.
HOSTILE: Final = (
    b"\xff\xfe\x80\x9b" * 2000
    + "日本語\u0301\U0001f468\u200d\U0001f4bb".encode() * 400
    + b"\x1b]52;c;" + b"x" * 3000
    + b"\x1b[" + b"1;" * 2000 + b"m"
    + b"\x1b[2J\x1b[H\x1bM\x1b[5;2r\x1b[999L\x1b[?1049h\x1b[?1049l\x1bc" * 100
    + b"\x1b\\\x9b\x1b\x1b\x1b[" * 300
    + b"\r\n" * 2000
)  # fmt: skip
UNPRIVILEGED: Final = 65534

MACHINES: Final = {
    "hostile_guest": '[[vm]]\nname = "hostile"\nchardev = "unix:hostile.line"\n',
    "alerts": '[[vm]]\nname = "hostile"\nchardev = "unix:hostile.line"\n'
    + "".join(
        f'[[alert]]\nname = "a{number}"\npattern = "match|m.*h|{number}"\ncommand = ["/bin/true"]\nmin_seconds = 0\n'
        for number in range(8)
    ),
    "monitors": "".join(
        f'[[vm]]\nname = "{name}"\nchardev = "unix:{name}.line"\nqmp = "{name}.qmp"\n' for name in FLOODS
    ),
}


async def hostile_guest(target: Target) -> None:
    """security.md 10: ten terminals at a guest that prints invalid UTF-8, wide characters and sequences without end,
    one of them slow and one stopped."""
    with contextlib.ExitStack() as stack:
        printing = asyncio.create_task(_print(target, HOSTILE))
        slow, stopped, *_ = [
            stack.enter_context(_watcher(target, number, subprocess.DEVNULL if number else subprocess.PIPE))
            for number in range(10)
        ]
        assert slow.stdout is not None
        os.set_blocking(slow.stdout.fileno(), False)
        try:
            while target.goes_on:
                await asyncio.sleep(0.1)
                stopped.send_signal(signal.SIGSTOP)
                with contextlib.suppress(BlockingIOError):
                    os.read(slow.stdout.fileno(), 1024)
        finally:
            printing.cancel()


@contextlib.contextmanager
def _watcher(target: Target, number: int, output: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start OpenSSH's client at the console. Every second one has a terminal that cannot move its cursor."""
    environment = {**os.environ, "TERM": "xterm" if number % 2 else "dumb"}
    settings = ["StrictHostKeyChecking=no", f"UserKnownHostsFile={os.devnull}", "LogLevel=ERROR", "ControlPath=none"]
    options = [word for setting in settings for word in ("-o", setting)]
    words = ["ssh", "-F", "none", "-tt", "-e", "none", "-i", target.key, *options, "-p", str(target.port)]
    with subprocess.Popen(
        [*words, f"{target.user}@127.0.0.1", "watch", "hostile"],
        stdin=subprocess.PIPE,
        stdout=output,
        env=environment,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


async def _print(target: Target, data: bytes) -> None:
    """Print as fast as the server reads."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            while target.goes_on:
                writer.write(data)
                await writer.drain()
        writer.transport.abort()

    async with await asyncio.start_unix_server(serve, str(target.folder / "hostile.line")):
        await asyncio.Event().wait()


async def alerts(target: Target) -> None:
    """A guest that prints nothing but lines that eight alerts match, each of which runs a program."""
    await _print(target, b"match\n" * 10_000)


async def monitors(target: Target) -> None:
    """security.md 18: monitors that send events, dear messages, and answers that nobody asked for, without end."""
    words = [sys.executable, "-m", "tests.support.hostile_monitor", str(target.folder), *FLOODS]
    process = await asyncio.create_subprocess_exec(*words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    await asyncio.sleep(max(0, target.ends - time.monotonic()) - 0.1)
    process.kill()
    await process.wait()


def _admin(target: Target) -> Path:
    return target.folder / "state" / "admin.sock"


async def local_strangers(target: Target) -> None:
    """The local socket, by another user of the host: 10,000 connects, over and over."""
    words = [sys.executable, "-m", "tests.attack.knock", str(_admin(target)), str(target.ends)]
    await (await asyncio.create_subprocess_exec(*words, user=UNPRIVILEGED, cwd="/")).wait()


async def local_silent(target: Target) -> None:
    """The local socket, by the server's own user: connections that never speak, as many as there is room for."""
    held: list[socket.socket] = []
    try:
        while target.goes_on:
            with contextlib.suppress(OSError):
                held.append(await _connect(target))
            await asyncio.sleep(0.001)
            for sock in held[:-500]:
                sock.close()
            del held[:-500]
    finally:
        for sock in held:
            sock.close()


async def local_connects(target: Target) -> None:
    """The local socket, by the server's own user: 10,000 connects, each closed at once."""

    async def once() -> None:
        (await _connect(target)).close()

    await asyncio.gather(*(_until_the_end(target, once) for _ in range(30)))


async def local_lines(target: Target) -> None:
    """The local socket, by the server's own user: first lines without an end, 30 at a time."""
    loop = asyncio.get_running_loop()

    async def once() -> None:
        with await _connect(target) as sock:
            for _ in range(16):
                await loop.sock_sendall(sock, b"SSH-2.0-" + b"x" * 65536)

    await asyncio.gather(*(_until_the_end(target, once) for _ in range(30)))


async def _connect(target: Target) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.setblocking(False)
    try:
        await asyncio.get_running_loop().sock_connect(sock, str(_admin(target)))
    except BaseException:
        sock.close()
        raise
    return sock


async def _until_the_end(target: Target, once: Callable[[], Awaitable[object]]) -> None:
    while target.goes_on:
        with contextlib.suppress(*FAULTS):
            await once()
        await asyncio.sleep(0)


ATTACKS: Final[tuple[Attack, ...]] = (
    *(hostile_guest, alerts, monitors),
    *(local_strangers, local_silent, local_connects, local_lines),
)
