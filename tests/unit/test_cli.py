"""The command line, in a process of its own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import xml.dom.minidom
from pathlib import Path

import pytest

from tests.support.pace import scaled
from tests.support.server import MEMORY_MACHINE

TCG_MACHINE = """
[[machine]]
name = "l1"
[[machine.guest]]
name = "web1"
uarts = ["com1", "com2"]
"""


def oobconsole(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "oobconsole", *words], capture_output=True, text=True, timeout=scaled(60), check=False
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "keys").mkdir()
    file = tmp_path / "oobconsole.toml"
    text = '[server]\nlisten = "127.0.0.1:0"\nstate_dir = "state"\nauthorized_keys = "keys"\n'
    file.write_text(text + TCG_MACHINE + MEMORY_MACHINE.replace("web", "mem"))
    return file


def test_check_says_what_is_configured(config: Path) -> None:
    done = oobconsole("check", "--config", str(config))
    assert done.stdout == "machine l1 (tcg): web1, web1.com2\nmachine mem (memory): mem1, mem2\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_the_configuration_may_be_named_before_the_command_or_in_the_environment(config: Path) -> None:
    config.write_text(config.read_text() + '[[vm]]\nname = "db1"\nchardev = "tcp:127.0.0.1:7"\nqmp = "db1.qmp"\n')
    said = "machine mem (memory): mem1, mem2\nline db1: tcp:127.0.0.1:7 with QEMU monitor\n"
    for words in (("--config", str(config), "check"), ("--config", "/nonexistent", "check", "--config", str(config))):
        assert oobconsole(*words).stdout.endswith(said)
    environment = {**os.environ, "OOBCONSOLE_CONFIG": str(config)}
    done = subprocess.run(
        [sys.executable, "-m", "oobconsole", "check"],
        env=environment,
        capture_output=True,
        timeout=scaled(60),
        check=True,
    )
    assert done.stdout.decode().endswith(said)


@pytest.mark.parametrize("command", [["check"], ["serve"], ["qemu-options", "l1"]])
def test_a_wrong_configuration_costs_one_line_and_status_2(config: Path, command: list[str]) -> None:
    config.write_text(config.read_text().replace("state_dir", "statedir"))
    done = oobconsole(*command, "--config", str(config))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr in (
        f"oobconsole: {config}: server.statedir: there is no such key: oobconsole.toml(5) has every key\n",
        f"oobconsole: {config}: server.state_dir: is needed, and the file does not have it\n",
    )


@pytest.mark.parametrize("command", ["ls", "check"])
def test_whoever_names_no_configuration_that_is_there_is_told_how_to(tmp_path: Path, command: str) -> None:
    done = oobconsole("--config", str(tmp_path / "none.toml"), command)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"oobconsole: {tmp_path}/none.toml: No such file or directory; "
        "name the server's configuration: oobconsole --config FILE COMMAND\n"
    )


def test_qemu_options_name_plugin_socket_ports_and_lines(config: Path) -> None:
    done = oobconsole("qemu-options", "l1", "--config", str(config), "--plugin", "/opt/oob_tcg.so")
    option, plugin = shlex.split(done.stdout)
    assert option == "-plugin"
    path, *settings = plugin.split(",")
    assert path.removeprefix("file=") == "/opt/oob_tcg.so"
    assert settings == [
        f"socket={config.parent}/state/l1.sock",
        "machine=l1",
        "ports=uart@0x3f8-0x3ff:uart@0x2f8-0x2ff",
        "irq=4:3",
    ]


def test_options_of_a_serial_card(config: Path) -> None:
    config.write_text(config.read_text() + '[[vm]]\nname = "vm1"\nvfio_user = { socket = "a&b.vfio" }\n')
    socket = f"{config.parent}/a&b.vfio"

    def options(*words: str) -> str:
        return oobconsole("qemu-options", "vm1", "--config", str(config), *words).stdout

    option, device = shlex.split(options())
    assert option == "-device"
    assert json.loads(device) == {
        "driver": "vfio-user-pci",
        "socket": {"type": "unix", "path": socket},
        "rombar": 0,
        "x-msg-timeout": 60000,
    }
    domain = xml.dom.minidom.parseString(options("--for", "libvirt"))
    assert [node.getAttribute("value") for node in domain.getElementsByTagName("qemu:arg")] == [option, device]
    assert options("--for", "guest") == "console=ttyS0,115200n8\n"


@pytest.mark.parametrize(
    ("machine", "reason"),
    [
        ("l2", "there is no machine or VM 'l2'; there are: l1, mem, vm2"),
        ("mem", "its interceptor is not tcg"),
        ("vm2", "it has no vfio_user"),
    ],
)
def test_qemu_options_of_what_is_no_qemu(config: Path, machine: str, reason: str) -> None:
    config.write_text(config.read_text() + '[[vm]]\nname = "vm2"\nchardev = "unix:vm2"\n')
    done = oobconsole("qemu-options", machine, "--config", str(config))
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda folder: (folder / "state").write_text(""), "/state: cannot be used as state_dir: File exists"),
        (
            lambda folder: (folder / "oobconsole.toml").write_text(
                (folder / "oobconsole.toml").read_text().replace("127.0.0.1:0", "192.0.2.1:0")
            ),
            "cannot listen on 192.0.2.1:0: ",
        ),
    ],
)
def test_what_this_host_lacks_costs_one_sentence_and_status_1(config: Path, break_it: object, reason: str) -> None:
    assert callable(break_it)
    break_it(config.parent)
    done = oobconsole("serve", "--config", str(config))
    assert done.returncode == 1
    assert reason in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr
