"""`[[alert]]` of a real server: real programs, a real web server, and what hangs."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

from tests.loopback.access import PATIENCE, ssh, wait_for_log
from tests.support.expect import Expect
from tests.support.pace import Deadline, scaled
from tests.support.server import MEMORY_MACHINE, Server


@contextmanager
def web() -> Iterator[tuple[int, queue.Queue[tuple[str, bytes]]]]:
    """A web server, its port, and what is posted to it."""
    posted: queue.Queue[tuple[str, bytes]] = queue.Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posted.put((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port, posted
        finally:
            server.shutdown()
            thread.join()


def alert(name: str, pattern: str, action: str, more: str = "") -> str:
    return f"[[alert]]\nname = '{name}'\npattern = '{pattern}'\n{action}\n{more}\n"


def wait_for_file(path: Path, server: Server) -> str:
    deadline = Deadline(PATIENCE)
    while not path.exists():
        assert deadline.left, server.log.read_text()[-2000:]
        assert ssh(server, "ls").returncode == 0
    return path.read_text()


def test_a_program_and_a_url_get_it_and_events_shows_it(tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text(
        f'#!/bin/sh\nprintf "%s" "$OOB_ALERT_LINE" > {tmp_path}/new && mv {tmp_path}/new {tmp_path}/done\n'
    )
    hook.chmod(0o700)
    with web() as (port, posted):
        action = f'command = ["{hook}"]\nurl = "http://127.0.0.1:{port}/hook?x=1"\nconsoles = "web1"'
        with Server(MEMORY_MACHINE + alert("panic", "^Kernel p.nic", action)) as server:
            with Expect(server.ssh("events", "--json", options=("-v",))) as events:
                events.expect("Entering interactive session", timeout=PATIENCE)
                assert ssh(server, "who").returncode == 0
                assert ssh(server, "send", "web2", "Kernel panic").returncode == 0
                assert ssh(server, "send", "web1", "Kernel panic - $(reboot) 漢").returncode == 0
                events.expect(rb'"kind": ?"alert"', timeout=PATIENCE)
            assert wait_for_file(tmp_path / "done", server) == "Kernel panic - $(reboot) 漢"
            path, body = posted.get(timeout=scaled(PATIENCE))
            assert path == "/hook?x=1"
            told = json.loads(body)
            assert told["console"] == "web1"
            assert told["line"] == "Kernel panic - $(reboot) 漢"
            assert told["text"] == f"web1: {told['line']}"
            assert posted.empty()
            deadline = Deadline(PATIENCE)
            while '"kind":"alert"' not in (audit := (server.folder / "state" / "audit.jsonl").read_text()):
                assert deadline.left, audit
            assert '"attached": 0' in ssh(server, "ls", "--json").stdout.decode()


def test_what_hangs_or_fails_delays_nobody(tmp_path: Path) -> None:
    """A URL that never answers, a program that fails: one line in the log for each, and consoles go on."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        rules = [
            alert("hangs", "panic", f'url = "http://127.0.0.1:{port}/secret"', "timeout_s = 2"),
            alert("fails", "panic", 'command = ["sh", "-c", "echo broken >&2; exit 7"]'),
            alert("works", "panic", f'command = ["touch", "{tmp_path}/done"]'),
        ]
        with Server(MEMORY_MACHINE + "".join(rules)) as server:
            assert ssh(server, "send", "web1", "panic").returncode == 0
            wait_for_file(tmp_path / "done", server)
            assert ssh(server, "send", "web1", "still-here").returncode == 0
            assert "sh failed with status 7: broken" in wait_for_log(server, "did not arrive.*fails.*")[0]
            wait_for_log(server, "did not arrive.*hangs.*did not answer in 2")
            assert "/secret" not in server.log.read_text()
            assert len(re.findall("did not arrive", server.log.read_text())) == 2


def test_reload_takes_changes_up(tmp_path: Path) -> None:
    with Server() as server:
        with server.config.open("a") as file:
            file.write(alert("new", "oops", f'command = ["touch", "{tmp_path}/done"]'))
        os.kill(server.pid, signal.SIGHUP)
        wait_for_log(server, "configuration reloaded.*alert")
        assert ssh(server, "send", "web2", "oops").returncode == 0
        wait_for_file(tmp_path / "done", server)
        text = server.config.read_text()
        server.config.write_text(text.replace("'oops'", "'('"))
        os.kill(server.pid, signal.SIGHUP)
        wait_for_log(server, "was not reloaded.*alert.0.pattern")
