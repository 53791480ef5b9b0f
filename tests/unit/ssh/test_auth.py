"""Who may log in, by what lies in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import asyncssh
import pytest
from structlog.testing import capture_logs

from oobconsole.ssh.auth import UserKeys

KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER = asyncssh.generate_private_key("ssh-ed25519")
PUBLIC = KEY.export_public_key().decode().strip()


def validate(folder: Path, user: str = "alice", address: str = "192.0.2.1") -> Mapping[str, object] | None:
    return UserKeys(folder, user).validate(KEY.convert_to_public(), address, address)


@pytest.mark.parametrize("name", ["alice", "alice.pub"])
def test_a_file_holds_a_users_keys(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f"# laptop\n\n{OTHER.export_public_key().decode()}{PUBLIC} alice@laptop\n")
    assert validate(tmp_path) == {}
    assert validate(tmp_path, "bob") is None


def test_a_change_counts_at_once(tmp_path: Path) -> None:
    assert validate(tmp_path) is None
    (tmp_path / "alice").write_text(PUBLIC)
    assert validate(tmp_path) == {}
    (tmp_path / "alice").write_bytes(OTHER.export_public_key())
    assert validate(tmp_path) is None


@pytest.mark.parametrize("user", ["", ".", "..", "../alice", "keys/alice", "alice\0", "alice.pub", "a" * 65, "älice"])
def test_names_that_are_no_users(tmp_path: Path, user: str) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "alice.pub").write_text(PUBLIC)
    (tmp_path / "alice").write_text(PUBLIC)
    assert validate(folder, user) is None


def test_a_bad_line_is_named_and_the_others_count(tmp_path: Path) -> None:
    (tmp_path / "alice").write_bytes(b"ssh-ed25519 nonsense\n\xff\xfe\n" + PUBLIC.encode() + b"\n")
    with capture_logs() as logs:
        assert validate(tmp_path) == {}
    assert [entry["file"] for entry in logs] == [f"{tmp_path}/alice:1", f"{tmp_path}/alice:2"]


def test_from_is_honoured(tmp_path: Path) -> None:
    (tmp_path / "alice").write_text(f'from="198.51.100.0/24" {PUBLIC}\n')
    assert validate(tmp_path, address="192.0.2.1") is None
    assert validate(tmp_path, address="198.51.100.7") is not None


def test_a_forced_command_is_kept(tmp_path: Path) -> None:
    (tmp_path / "alice").write_text(f'command="web1",no-pty {PUBLIC}\n')
    assert validate(tmp_path) == {"command": "web1", "no-pty": True}


@pytest.mark.parametrize(("options", "no_pty"), [("restrict", True), ("restrict,pty", False)])
def test_restrict_takes_the_terminal_away(tmp_path: Path, options: str, no_pty: bool) -> None:
    (tmp_path / "alice").write_text(f"{options} {PUBLIC}\n")
    found = validate(tmp_path)
    assert found is not None
    assert ("no-pty" in found) is no_pty


def test_a_limit_that_is_not_kept_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "alice").write_text(f'expiry-time="20200101" {PUBLIC}\n')
    with capture_logs() as logs:
        assert validate(tmp_path) is None
    assert logs[0]["file"] == f"{tmp_path}/alice:1"
    assert logs[0]["unsupported"] == ["expiry-time"]


def test_what_is_no_file_of_keys(tmp_path: Path) -> None:
    (tmp_path / "alice").mkdir()
    assert validate(tmp_path) is None
    (tmp_path / "bob").write_text(f"{PUBLIC}\n" + "#" * (1 << 20))
    with capture_logs() as logs:
        assert validate(tmp_path, "bob") is None
    assert "too large" in logs[0]["event"]
    assert validate(tmp_path / "missing") is None
