"""Every fault is found, once, with its mend; a good configuration has none."""

from __future__ import annotations

import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from oobconsole.ops import doctor, examine_host
from oobconsole.ops.finding import Finding, Level


class Setup:
    """A configuration without a fault, and what it names."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = folder / "keys"
        self.state = folder / "state"
        self.keys.mkdir(mode=0o700)
        self.state.mkdir(mode=0o700)
        (self.keys / "alice.pub").write_text("ssh-ed25519 AAAA alice\n")
        (self.keys / "alice.pub").chmod(0o600)
        self.file = folder / "oobconsole.toml"
        self.write()

    def write(self, more: str = "", server: str = "", machine: str = 'interceptor = "memory"') -> None:
        self.file.write_text(
            '[server]\nlisten = "127.0.0.1:0"\nstate_dir = "state"\nauthorized_keys = "keys"\n'
            f"{server}\n[recording]\nkeep_mib = 65\n"
            f'[[machine]]\nname = "rack7"\n{machine}\n[[machine.guest]]\nname = "web1"\n'
            f'[[grant]]\nusers = ["alice"]\nrights = "all"\n{more}\n'
        )

    def only(self) -> Finding:
        found = list(doctor.examine(self.file))
        assert len(found) == 1, found
        return found[0]


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def test_no_fault(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(doctor.examine(setup.file)) == []
    assert doctor.report(setup.file, as_json=False) == 0
    assert capsys.readouterr().out == "no fault was found\n"


def test_a_configuration_that_is_not_valid(setup: Setup, capsys: pytest.CaptureFixture[str]) -> None:
    setup.write(server="colour = 1")
    assert doctor.report(setup.file, as_json=True) == 1
    finding = json.loads(capsys.readouterr().out)
    assert (finding["level"], finding["about"]) == ("fault", "server.colour")


@pytest.mark.parametrize("name", ["state/ssh_host_ed25519_key", "state/audit_ed25519_key"])
def test_a_private_key_that_others_read(setup: Setup, name: str) -> None:
    file = setup.folder / name
    file.write_text("secret")
    file.chmod(0o644)
    finding = setup.only()
    assert (finding.level, finding.mend) == (Level.FAULT, f"chmod 600 {file}")
    file.chmod(0o600)
    assert list(doctor.examine(setup.file)) == []


@pytest.mark.parametrize("name", ["keys", "keys/alice.pub", "state"])
def test_what_others_can_write(setup: Setup, name: str) -> None:
    path = setup.folder / name
    path.chmod(0o777)
    assert setup.only().mend == f"chmod go-w {path}"


def test_a_user_without_a_key_and_one_without_a_grant(setup: Setup) -> None:
    (setup.keys / "alice.pub").rename(setup.keys / "bob")
    found = list(doctor.examine(setup.file))
    assert [f.text for f in found] == [
        "has grants, and no key to log in with",
        "user bob can log in, and may do nothing",
    ]
    assert {f.level for f in found} == {Level.WARNING}
    assert found[0].mend == f"cp THEIR_KEY.pub {setup.keys / 'alice'}"


def test_a_group_that_nobody_uses_and_a_grant_for_no_console(setup: Setup) -> None:
    setup.write('consoles = ["db*"]\n[[group]]\nname = "ops"\nmembers = ["alice"]')
    assert [f.about for f in doctor.examine(setup.file)] == ["group ops", "grant.0.consoles"]


def test_alerts_that_can_do_nothing(setup: Setup) -> None:
    alert = '[[alert]]\nname = "a"\npattern = "x"\n'
    setup.write(f'{alert}command = ["no-such-program"]\n')
    assert "'no-such-program' is no program that can be run" in setup.only().text
    assert setup.only().level is Level.FAULT
    setup.write(f'{alert}command = ["true"]\nconsoles = "db*"\n')
    assert setup.only().text == "'db*' matches no console"
    assert setup.only().level is Level.WARNING
    setup.write(f'{alert}command = ["true"]\nconsoles = ["web1"]\n')
    assert not list(doctor.examine(setup.file))


def test_consoles_of_further_ports_are_known(setup: Setup) -> None:
    """faults.md 27: by grants, and where room for recordings is counted."""
    card = '[[vm]]\nname = "card"\nvfio_user = { ports = 4 }\n'
    setup.write(f'[[grant]]\nusers = "alice"\nconsoles = "card.port2"\nrights = "log"\n{card}')
    assert list(doctor.examine(setup.file)) == []
    keep = shutil.disk_usage(setup.folder).free >> 20
    setup.file.write_text(setup.file.read_text().replace("keep_mib = 65", f"keep_mib = {keep // 2 + 65}"))
    assert f"5 consoles may keep {5 * (keep // 2 + 65)} MiB" in setup.only().text


def test_an_address_that_somebody_has(setup: Setup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        setup.write(more=f'[metrics]\nlisten = "127.0.0.1:{port}"')
        finding = setup.only()
    assert finding.about == f"127.0.0.1:{port}"
    assert "Address already in use" in finding.text


def test_an_address_that_the_running_server_has_is_no_fault(setup: Setup) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, socket.socket(socket.AF_UNIX) as admin:
        admin.bind(str(setup.state / "admin.sock"))
        (setup.state / "admin.sock").chmod(0o600)
        admin.listen()
        setup.write(more=f'[metrics]\nlisten = "127.0.0.1:{taken.getsockname()[1]}"')
        assert list(doctor.examine(setup.file)) == []


def test_a_socket_path_that_is_too_long(setup: Setup) -> None:
    setup.write(machine=f'interceptor = "memory"\nsocket = "/{"x" * 107}"')
    assert "107 bytes" in setup.only().text


def test_a_file_where_a_socket_should_be(setup: Setup) -> None:
    (setup.state / "admin.sock").write_text("")
    assert setup.only().mend == f"mv {setup.state / 'admin.sock'} {setup.state / 'admin.sock'}.old"


def test_two_consoles_with_one_serial_port(setup: Setup) -> None:
    """The configuration compares the names, and not what they lead to."""
    ours, theirs = os.openpty()
    port = os.ttyname(theirs)
    for name in ("left", "right"):
        (setup.folder / name).symlink_to(port)
    more = "".join(
        f'[[vm]]\nname = "{name}"\nserial = {{ device = "{device}" }}\n'
        for name, device in [
            ("db1", setup.folder / "left"),
            ("db2", setup.folder / "right"),
            ("db3", "/dev/ttyNOWHERE"),
            ("db4", "/dev/ttyNOWHERE2"),
            ("db5", "rfc2217://127.0.0.1:1"),
        ]
    )
    setup.write(more)
    finding = setup.only()
    assert (finding.level, finding.about) == (Level.WARNING, "vm.1.serial.device")
    assert f"{setup.folder / 'right'} is the port that console db1 has as {setup.folder / 'left'}" in finding.text
    (setup.folder / "right").unlink()
    assert list(doctor.examine(setup.file)) == []
    os.close(ours)
    os.close(theirs)


def test_too_little_room(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        free = 64 << 20

    monkeypatch.setattr("oobconsole.ops.examine_host.shutil.disk_usage", lambda _: Usage)
    assert setup.only().level is Level.WARNING
    Usage.free = 1 << 20
    assert setup.only().level is Level.FAULT


def test_a_clock_that_was_never_set(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oobconsole.ops.examine_host.time.time", lambda: 0.0)
    assert setup.only().about == "the clock"


@pytest.mark.parametrize(
    ("says", "text"), [("echo QEMU emulator version 9.2.0", "is version 9.2"), ("exit 3", "does not run")]
)
def test_a_qemu_that_is_too_old_or_broken(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, text: str
) -> None:
    program = tmp_path / "qemu-system-x86_64"
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    setup.write(machine='interceptor = "tcg"')
    finding = setup.only()
    assert text in finding.text
    assert finding.level is Level.FAULT


def test_a_file_where_recordings_should_be(setup: Setup) -> None:
    (setup.state / "recordings").write_text("")
    assert setup.only().text == "is no folder"


def test_a_certificate_authority_that_is_missing(setup: Setup) -> None:
    setup.write(server='user_ca = "nothing"')
    assert setup.only().about == str(setup.folder / "nothing")


@pytest.mark.needs("libvirt")
def test_a_grant_for_lines_and_for_domains_that_only_libvirt_knows(setup: Setup) -> None:
    grant = '[[grant]]\nusers = ["alice"]\nconsoles = "db2"\nrights = "all"\n'
    setup.write(grant)
    assert "'db2' matches no console" in setup.only().text
    setup.write(f'{grant}[[vm]]\nname = "db2"\nchardev = "tcp:127.0.0.1:9"\n')
    assert list(doctor.examine(setup.file)) == []
    setup.write(f'{grant}[[libvirt]]\nuri = "test:///default"\n')
    assert list(doctor.examine(setup.file)) == []


def test_libvirt_without_its_library(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    setup.write('[[libvirt]]\nuri = "test:///default"\n')
    monkeypatch.setattr(examine_host, "find_spec", lambda name: None)
    assert "pip install 'oobconsole[libvirt]'" in setup.only().mend


@pytest.mark.needs("libvirt")
def test_a_libvirt_daemon_that_is_not_there_or_not_for_us(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup.write('[[libvirt]]\nuri = "qemu:///system"\n')
    monkeypatch.setattr(examine_host, "_SYSTEM_SOCKETS", [tmp_path / "sock"])
    assert setup.only().text == "no libvirt daemon of the system is there"
    (tmp_path / "sock").touch()
    assert list(doctor.examine(setup.file)) == []
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "sock")
    assert "may not use" in setup.only().text


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("alice~", "ssh-ed25519 AAAA alice", "is no user's name"),
        ("tess.bak", "ssh-ed25519 AAAA tess", "is named as a copy"),
        ("bob", "", "is empty: nobody logs in with it"),
        ("alice", "ssh-ed25519 AAAA alice", "is not read: alice is"),
    ],
)
def test_a_file_that_lets_nobody_in_is_no_user(setup: Setup, name: str, text: str, why: str) -> None:
    """faults.md 32: doctor had another idea of what is a user's file than the login."""
    (setup.keys / name).write_text(text)
    (setup.keys / name).chmod(0o600)
    found = setup.only()
    if name == "alice":  # it is the one that counts, and the other does not
        assert (found.about, found.text) == (
            str(setup.keys / "alice.pub"),
            f"lets nobody in: it {why} that user's file",
        )
    else:
        assert found.about == str(setup.keys / name)
        assert found.text.startswith(f"lets nobody in: it {why}")


def test_a_folder_is_no_user(setup: Setup) -> None:
    """faults.md 32."""
    (setup.keys / "dir").mkdir(mode=0o700)
    assert setup.only().text == "lets nobody in: it is a folder; keys lie in files"


def test_a_ca_among_the_users_keys(setup: Setup) -> None:
    """security.md 24: its key logged in as user `ca`."""
    (setup.keys / "ca.pub").write_text("ssh-ed25519 AAAA ca")
    (setup.keys / "ca.pub").chmod(0o600)
    setup.write(server='user_ca = "keys/ca.pub"')
    assert "has another meaning in the configuration" in setup.only().text


def test_a_user_that_can_never_log_in(setup: Setup) -> None:
    """faults.md 32."""
    setup.write('[[grant]]\nusers = ["al ice"]\nrights = "all"\n')
    assert setup.only().text.startswith("can never log in: the name is no user's name")


def test_users_of_a_directory_service(setup: Setup) -> None:
    """faults.md 32: they have grants and a file, and can log in."""
    names = ["alice@corp.example", "CORP\\\\alice", "müller", "svc$"]
    for name in names:
        (setup.keys / name.replace("\\\\", "\\")).write_text("ssh-ed25519 AAAA x")
        (setup.keys / name.replace("\\\\", "\\")).chmod(0o600)
    listed = ", ".join(f'"{name}"' for name in names)
    setup.write(f'[[grant]]\nusers = [{listed}]\nrights = "all"\n')
    assert list(doctor.examine(setup.file)) == []


def test_a_file_of_keys_in_utf_16(setup: Setup) -> None:
    """faults.md 26."""
    (setup.keys / "alice.pub").write_text("ssh-ed25519 AAAA alice", encoding="utf-16")
    assert "is UTF-16 and not UTF-8" in setup.only().text


def test_a_link_to_nowhere_is_named(setup: Setup) -> None:
    """faults.md 32, its kind: doctor ended with a traceback, and said nothing of anything else."""
    (setup.keys / "bob").symlink_to("nowhere")
    found = setup.only()
    assert (found.level, found.about) == (Level.WARNING, str(setup.keys / "bob"))
    assert found.text == "lets nobody in: it is a link to nowhere"
