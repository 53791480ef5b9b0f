"""Tells systemd how the service does: the datagrams of sd_notify(3), to $NOTIFY_SOCKET. Without one: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import Iterator


def notify(*lines: str) -> bool:
    """Send assignments as sd_notify(3) lists them; False when nobody wants, or takes, them."""
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
    """While the configuration is read again."""
    notify("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")
    try:
        yield
    finally:
        notify("READY=1")


def watchdog_seconds() -> float | None:
    """How often systemd wants to hear that we live (WatchdogSec=, sd_watchdog_enabled(3)); None: it does not."""
    usec = os.environ.get("WATCHDOG_USEC", "")
    if not usec.isdecimal() or int(usec) == 0 or os.environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    return int(usec) / 1e6


async def watchdog() -> None:
    """Say so, twice as often as it must be, from the loop that is to live; returns when nobody wants it."""
    seconds = watchdog_seconds()
    while seconds is not None:
        notify("WATCHDOG=1")
        await asyncio.sleep(seconds / 2)
