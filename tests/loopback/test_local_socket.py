"""The local socket: who leaves at once costs nobody anything, and who comes while the server is late waits."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from pathlib import Path

from oobconsole import adminsocket
from oobconsole.client import connect
from tests.support.aio import soon, stays
from tests.support.pace import Deadline, scaled
from tests.support.server import Server


def test_who_leaves_at_once_closes_nobody_elses_socket() -> None:
    """uvloop closed the number of such a connection twice, and the second time it was perhaps another's."""
    with Server() as server, server.attach("web1") as person:
        for number in range(40):
            for _ in range(10):
                with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
                    sock.connect(str(server.folder / "state" / "admin.sock"))
            person.send(f"<{number}>")
            person.expect(f"<{number}>", timeout=20)
        words = [sys.executable, "-m", "oobconsole", "--config", str(server.config), "ls"]
        done = subprocess.run(words, capture_output=True, text=True, timeout=scaled(20), check=False)
        assert (done.returncode, "web1" in done.stdout) == (0, True), done.stderr
        assert "Bad file descriptor" not in server.log.read_text()
        assert "bug" not in server.log.read_text()


#: So many clients come while the server has no time; eight of them used to find room in its queue.
MANY = 20
#: For so long it has none, in seconds.
LATE_SECONDS = 2.0


def test_who_comes_while_the_server_is_late_is_served_when_it_has_time() -> None:
    """faults.md 25, variation: with nine connections waiting at the admin socket, the local command said at once that
    no server was there, and to start one."""
    with Server() as server:
        with server.stopped():
            listings = [subprocess.Popen(server.local("ls"), stdout=-1, stderr=-1) for _ in range(MANY)]
            waiting = Deadline(60)
            while _connections(server) < MANY and not any(listing.poll() is not None for listing in listings):
                assert waiting.left, f"{_connections(server)} have connected in {waiting}"
                time.sleep(0.01)
        for listing in listings:
            said, errors = listing.communicate(timeout=scaled(60))
            assert (listing.returncode, b"web1" in said, errors) == (0, True, b"")


async def test_scripts_come_to_a_late_server_as_well() -> None:
    """faults.md 25, variation, by `oobconsole.client`."""
    with Server() as server:
        target = f"unix:{server.folder / 'state' / 'admin.sock'}"
        with server.stopped():
            coming = [asyncio.ensure_future(_names(target)) for _ in range(MANY)]
            done, _ = await asyncio.wait(coming, timeout=LATE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            assert not done, done
        assert await asyncio.gather(*coming) == [["web1", "web2"]] * MANY


async def test_who_finds_the_queue_full_waits_until_there_is_room(tmp_path: Path) -> None:
    """faults.md 25, variation: asyncio says that it has connected where the kernel says EAGAIN."""
    path = tmp_path / "full"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)  # room for one
        first = await adminsocket.connected(path)
        second = await stays(adminsocket.connected(path))
        accepted = [listener.accept()[0]]
        other = await soon(second)
        assert other.getpeername() == first.getpeername() == str(path)
        accepted.append(listener.accept()[0])
        for sock in (first, other, *accepted):
            sock.close()


async def _names(target: str) -> list[str]:
    async with connect(target) as there:
        return [row["console"] for row in await there.ls()]


def _connections(server: Server) -> int:
    """How many clients have connected to the server's admin socket, and were not accepted yet."""
    listed = Path("/proc/net/unix").read_text().splitlines()
    return sum(line.endswith("admin.sock") and str(server.folder) in line for line in listed) - 1
