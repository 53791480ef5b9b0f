"""The audit log of a real server."""

from __future__ import annotations

import json
import os
import re
import signal
import stat
import subprocess

import pytest

from oobconsole.audit import chain, files
from oobconsole.audit.verify import verify
from tests.loopback.access import refused, ssh, wait_for_log
from tests.support.server import Server


class TestAudit:
    def test_by_the_local_command(self) -> None:
        with Server() as server:
            assert ssh(server, "ls").returncode == 0
            head = server.run_local("audit", "head").stdout.split()[1].decode()
            assert ssh(server, "web1").returncode == 0
            done = server.run_local("audit", "verify", "--head", head)
            assert done.returncode == 0, done
            assert done.stdout.startswith(b"intact: ")
            shown = server.run_local("audit", "show").stdout
            assert re.search(rb" attached +alice +web1 +127.0.0.1 +key=SHA256:", shown), shown
            log = server.folder / "state" / "audit.jsonl"
            log.write_bytes(log.read_bytes().replace(b'"attached"', b'"detached"'))
            done = server.run_local("audit", "verify", "--head", head)
            assert done.returncode == 1
            assert b"was changed: its hash is another" in done.stdout

    def test_of_a_real_server(self) -> None:
        with Server() as server:
            state = server.folder / "state"
            assert ssh(server, "help", options=("-o", "SendEnv=NOTHING")).returncode == 0
            assert refused(ssh(server, "ls", key=server.make_key("mallory", authorize=False)))
            os.kill(server.pid, signal.SIGHUP)
            wait_for_log(server, "configuration reloaded")
            assert server.stop() == 0
            server.start()
            server.kill()
            server.start()
            server.stop()
            head = wait_for_log(server, r"audit log closed.*head='?([0-9a-f]{64})", 2)[1]
            entries = [json.loads(line) for line in (state / "audit.jsonl").read_text().splitlines()]
            kinds = [entry["kind"] for entry in entries]
            assert kinds[:6] == ["server-started", "login", "logout", "login-refused", "reloaded", "server-stopped"]
            fingerprint = subprocess.run(
                ["ssh-keygen", "-lf", server.key], capture_output=True, text=True, check=True
            ).stdout.split()[1]
            assert (entries[1]["user"], entries[1]["address"], entries[1]["key"]) == (
                "alice",
                "127.0.0.1",
                fingerprint,
            )
            assert (entries[3]["user"], entries[3]["reason"]) == ("alice", "no such key")
            key = chain.load_public_key(state / "audit_ed25519_key.pub")
            assert verify(files.all_of(state / "audit.jsonl"), key, heads=[head]).faults == []

    def test_files_are_private(self, plain: Server) -> None:
        state = plain.folder / "state"
        assert stat.S_IMODE(state.stat().st_mode) == 0o700
        open_to_others = [path for path in state.rglob("*") if stat.S_IMODE(path.stat().st_mode) & 0o077]
        assert open_to_others == []

    def test_a_state_dir_that_others_may_write_to(self) -> None:
        with Server() as server:
            server.stop()
            (server.folder / "state").chmod(0o777)
            with pytest.raises(AssertionError, match="others may write into the server's state_dir; chmod 700 it"):
                server.start()
            (server.folder / "state").chmod(0o700)
