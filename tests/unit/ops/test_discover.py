"""What is read from command lines, and what is written of it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from serial.tools import list_ports
from serial.tools.list_ports_linux import SysFS

from oobconsole.config.load import load
from oobconsole.config.table import NAME
from oobconsole.errors import EnvironmentFault
from oobconsole.ops import discover, discover_ports, discover_qemu
from oobconsole.ops.discover_qemu import find, guest_of
from oobconsole.ops.found import Found, Kind, Standing
from oobconsole.terminal.text import is_plain

QEMU = "/usr/bin/qemu-system-x86_64"


def lines(*argv: str, folder: Path | None = Path("/vm")) -> list[tuple[str, str, str]]:
    return [(found.name, found.chardev, found.qmp) for found in guest_of(77, [QEMU, *argv], folder)]


class TestCommandLines:
    @pytest.mark.parametrize(
        ("argv", "wanted"),
        [
            (["-serial", "unix:/run/a,server=on,wait=off"], [("qemu-77", "unix:/run/a", "")]),
            (["-serial", "unix:a,server,nowait"], [("qemu-77", "unix:/vm/a", "")]),
            (["--serial", "unix:/a,,b,server=on"], [("qemu-77", "unix:/a,b", "")]),
            (["-serial", "unix:/run/a,reconnect-ms=9"], [("qemu-77", "unix-listen:/run/a", "")]),
            (["-serial", "tcp::4444,server=on"], [("qemu-77", "tcp:127.0.0.1:4444", "")]),
            (["-serial", "tcp:[::1]:4444,server=on"], [("qemu-77", "tcp:[::1]:4444", "")]),
            (["-serial", "tcp:192.0.2.1:4444"], [("qemu-77", "tcp-listen:192.0.2.1:4444", "")]),
            (["-name", "db2", "-serial", "unix:/a,server=on"], [("db2", "unix:/a", "")]),
            (["-name", "guest=db2,debug-threads=on", "-serial", "unix:/a,server=on"], [("db2", "unix:/a", "")]),
            (
                ["-serial", "unix:/a,server=on", "-serial", "unix:/b,server=on", "-name", "db2"],
                [("db2", "unix:/a", ""), ("db2.2", "unix:/b", "")],
            ),
            (
                ["-qmp", "unix:/q,server=on,wait=off", "-serial", "unix:/a,server=on"],
                [("qemu-77", "unix:/a", "/q")],
            ),
            (
                ["-device", "isa-serial,chardev=c", "-chardev", "socket,id=c,path=/a,server=on", "-nodefaults"],
                [("qemu-77", "unix:/a", "")],
            ),
            (
                [
                    *("-chardev", "socket,id=m,path=/q,server=on", "-mon", "chardev=m,mode=control"),
                    *("-chardev", "socket,id=c,host=127.0.0.1,port=99,server=on", "-serial", "chardev:c"),
                ],
                [("qemu-77", "tcp:127.0.0.1:99", "/q")],
            ),
        ],
    )
    def test_lines_that_can_be_had(self, argv: Sequence[str], wanted: list[tuple[str, str, str]]) -> None:
        assert lines(*argv) == wanted

    @pytest.mark.parametrize(
        "argv",
        [
            [],
            ["-serial", "stdio"],
            ["-serial", "none"],
            ["-serial", "mon:stdio"],
            ["-serial", "pty"],
            ["-serial", "telnet:127.0.0.1:99,server=on"],
            ["-serial", "tcp:127.0.0.1:99,server=on,telnet=on"],
            ["-serial", "tcp:127.0.0.1:many,server=on"],
            ["-serial", "chardev:nowhere"],
            ["-serial"],
        ],
    )
    def test_a_guest_without_one_is_shown_and_says_what_to_do(self, argv: Sequence[str]) -> None:
        (found,) = guest_of(77, [QEMU, *argv], None)
        assert (found.kind, found.where) == (Kind.QEMU, "")
        assert "start it with -serial unix:" in found.note

    def test_a_machine_of_ours(self) -> None:
        (found,) = guest_of(7, [QEMU, "-plugin", "/x/oob_tcg.so,socket=/s,machine=l1,ports=uart@0x3f8-0x3ff"], None)
        assert (found.kind, found.name) == (Kind.MACHINE, "l1")

    @pytest.mark.parametrize(
        "argv", [[], ["vim", QEMU], ["bash", "-c", "qemu-system-x86_64"], ["qemu-img", "x"], ["/lib64/ld-linux.so.2"]]
    )
    def test_what_is_no_qemu(self, argv: Sequence[str]) -> None:
        assert guest_of(7, argv, None) == []

    @given(st.lists(st.text() | st.sampled_from(["-serial", "-chardev", "-device", "-qmp", "-name", "socket,id="])))
    def test_whatever_somebody_starts_has_a_name_and_a_place_that_can_be_shown(self, argv: list[str]) -> None:
        for found in guest_of(77, [QEMU, *argv], None):
            assert found.kind is Kind.MACHINE or NAME.fullmatch(found.name)
            assert is_plain(found.note)
            tomllib.loads(discover.toml([found]))

    def test_a_process_that_runs_is_found_behind_the_loader_too(self, tmp_path: Path) -> None:
        pid = tmp_path / "123"
        pid.mkdir()
        words = ["/x/ld-linux-x86-64.so.2", "--library-path", "/x", QEMU, "-serial", "unix:/a,server=on"]
        (pid / "cmdline").write_bytes("".join(f"{word}\0" for word in words).encode())
        (tmp_path / "124").mkdir()  # ended meanwhile
        (tmp_path / "self").mkdir()
        assert [found.chardev for found in find(tmp_path)] == ["unix:/a"]


def test_serial_ports_without_hardware_and_the_hosts_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def port(name: str, about: str = "n/a") -> SysFS:
        made = SysFS(f"/dev/{name}")
        made.description = about
        return made

    monkeypatch.setattr(list_ports, "comports", lambda: [port("ttyUSB0", "a\x1b[2J cable"), *map(port, PORTS)])
    for name, kind in PORTS.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{kind}\n")
    (tmp_path / "console").mkdir()
    (tmp_path / "console" / "active").write_text("tty0 ttyS0\n")
    found = list(discover_ports.serial_ports(tmp_path))
    assert [(one.device, one.note) for one in found] == [
        ("", "/dev/ttyS0 is this host's own console"),
        ("/dev/ttyS2", ""),
        ("/dev/ttyUSB0", "a?[2J cable"),
    ]


#: serial_core.h: PORT_16550A, PORT_UNKNOWN
PORTS = {"ttyS0": 4, "ttyS1": 0, "ttyS2": 4}

CONFIG = """
[server]
state_dir = "state"
authorized_keys = "."
[[vm]]
name = "db2"
chardev = "unix:/a"
[[vm]]
name = "old"
chardev = "unix:/gone"
[[vm]]
name = "far"
chardev = "tcp:192.0.2.9:99"
[[vm]]
name = "switch1"
serial = { device = "/dev/ttyUSB0" }
[[vm]]
name = "switch2"
serial = { device = "/dev/ttyUSB1" }
[[machine]]
name = "l1"
[[machine.guest]]
name = "web1"
[[libvirt]]
uri = "test:///default"
domains = ["te*", "nobody"]
[[libvirt]]
name = "lost"
uri = "qemu+unix:///session?socket=/nowhere"
"""


@pytest.mark.needs("libvirt")
def test_beside_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.toml").write_text(CONFIG)
    monkeypatch.setattr(discover_ports, "local_uris", lambda: [])
    monkeypatch.setattr(
        discover_qemu,
        "find",
        lambda: iter([Found(Kind.QEMU, "qemu-1", chardev="unix:/a"), Found(Kind.QEMU, "new", chardev="unix:/b")]),
    )
    monkeypatch.setattr(
        discover_ports,
        "serial_ports",
        lambda: iter(
            [Found(Kind.SERIAL, "ttyUSB0", device="/dev/ttyUSB0"), Found(Kind.SERIAL, "s", device="/dev/s")]
        ),
    )
    found, notes = discover.discover(load(tmp_path / "c.toml"))
    assert {(one.name, one.kind.value, one.standing.value) for one in found} == {
        ("test", "libvirt", "configured"),
        ("nobody", "libvirt", "missing"),
        ("lost", "libvirt", "missing"),
        ("db2", "qemu", "configured"),
        ("new", "qemu", "new"),
        ("old", "qemu", "missing"),
        ("switch1", "serial", "configured"),
        ("switch2", "serial", "missing"),
        ("s", "serial", "new"),
        ("l1", "machine", "missing"),
    }
    (note,) = notes
    assert "socket=/nowhere: Failed to connect socket" in note
    assert all(one.name in "\n".join(discover.table(found)) for one in found)


FOUND = [
    Found(Kind.LIBVIRT, "web1", uri="qemu:///system", domain="web1", note="it runs"),
    Found(Kind.QEMU, "db2", chardev='unix:/a "b"\\c é', qmp="/q"),
    Found(Kind.QEMU, "odd", chardev="unix:/a\nb"),
    Found(Kind.QEMU, "none", note="no socket"),
    Found(Kind.SERIAL, "ttyUSB0", device="/dev/ttyUSB0", note="A cable"),
    Found(Kind.SERIAL, "gone", device="/dev/ttyUSB1", note="missing", standing=Standing.MISSING),
]


class TestWriting:
    def test_what_is_written_can_be_served(self, tmp_path: Path) -> None:
        file = tmp_path / "new.toml"
        discover.write(file, FOUND)
        config = load(file)
        assert [(vm.name, vm.chardev) for vm in config.vms] == [("db2", 'unix:/a "b"\\c é'), ("ttyUSB0", None)]
        assert [(host.name, host.uri) for host in config.libvirts] == [("system", "qemu:///system")]
        assert all(f"# {name} (" in file.read_text() for name in ("odd", "none", "gone"))  # dropped, but not silently

    def test_never_over_another_file(self, tmp_path: Path) -> None:
        file = tmp_path / "new.toml"
        file.write_text("mine")
        with pytest.raises(EnvironmentFault, match="is not overwritten"):
            discover.write(file, FOUND)
        assert file.read_text() == "mine"

    def test_nothing_found_is_nothing_written(self, tmp_path: Path) -> None:
        with pytest.raises(EnvironmentFault, match="nothing was found"):
            discover.write(tmp_path / "new.toml", FOUND[-1:])
        assert not (tmp_path / "new.toml").exists()

    def test_a_name_is_there_once(self) -> None:
        twins = [Found(Kind.QEMU, "db2", chardev=f"unix:/{i}") for i in range(3)]
        assert [one.name for one in discover._unique(twins)] == ["db2", "db2-2", "db2-3"]


def test_the_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "oobconsole", "discover", "--toml"], capture_output=True, text=True, check=True
    )
    tomllib.loads(done.stdout)
