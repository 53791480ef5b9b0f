"""Tells systemd how the service does: datagrams of sd_notify(3) to $NOTIFY_SOCKET. Without that, nothing is sent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator


def notify(*lines: str) -> bool:
    """Send assignments that sd_notify(3) lists, such as `READY=1`. False: there is no systemd, or it took nothing."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        try:
            sock.sendto("\n".join(lines).encode(), address.replace("@", "\0", 1) if address[0] == "@" else address)
        except OSError:
            return False
    return True


@contextlib.contextmanager
def reloading() -> Iterator[None]:
    """Tell systemd that the configuration is read again, and at the end of the context that the server is ready."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        yield
    finally:
        notify("READY=1")


def watchdog_seconds() -> float | None:
    """How often, in seconds, systemd wants to hear that the server lives (sd_watchdog_enabled(3)). None: it does
    not."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    if not usec.isdecimal() or int(usec) == 0 or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(usec) / 1e6


async def watchdog() -> None:
    """Tell systemd that the event loop lives, twice as often as it must be. Returns when systemd does not want
    that."""
    seconds = watchdog_seconds()
    while seconds is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds / 2)
