"""The configuration file: what it may say, and what is said about what it may not."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oobconsole.config.guests import ConsoleConfig, GuestConfig, MachineConfig, UartConfig
from oobconsole.config.load import load
from oobconsole.config.places import places_of
from oobconsole.config.schema import AuditConfig, MetricsConfig, RecordingConfig, ServerConfig
from oobconsole.errors import ConfigError

SERVER = '[server]\nstate_dir = "state"\nauthorized_keys = "keys"\n'
GUEST = '[[machine.guest]]\nname = "web1"\n'
VM = '[[vm]]\nname = "vm1"\n'
MACHINE = f'[[machine]]\nname = "rack7"\n{GUEST}'


def write(folder: Path, text: str) -> Path:
    (folder / "keys").mkdir(exist_ok=True)
    file = folder / "oobconsole.toml"
    file.write_text(text)
    return file


def test_little_is_needed(tmp_path: Path) -> None:
    config = load(write(tmp_path, SERVER + MACHINE))
    assert config.server.listen == ["127.0.0.1:2222"]
    assert config.machines[0].interceptor == "tcg"
    assert config.machines[0].guests[0].uarts == [UartConfig(port=0x3F8, irq=4)]
    assert config.machines[0].guests[0].console_names == ["web1"]


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, SERVER + MACHINE + '[[machine]]\nname = "rack8"\nsocket = "run/l1"\n' + GUEST.replace("1", "2"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    config = load(Path("../oobconsole.toml"))
    assert config.server.state_dir == tmp_path / "state"
    assert config.server.authorized_keys == tmp_path / "keys"
    assert config.server.host_key_file == tmp_path / "state" / "ssh_host_ed25519_key"
    assert [config.socket_of(machine) for machine in config.machines] == [
        tmp_path / "state" / "rack7.sock",
        tmp_path / "run" / "l1",
    ]


def test_uarts_and_their_consoles(tmp_path: Path) -> None:
    uarts = 'uarts = ["com1", "com2", {port = 0x2e0, irq = 10}]\n'
    machine = load(write(tmp_path, SERVER + MACHINE + uarts)).machines[0]
    assert machine.guests[0].console_names == ["web1", "web1.com2", "web1.2e0"]
    places = [one.place for one in places_of(machine)]
    assert [(place.ranges[0].start, *place.lines) for place in places] == [(0x3F8, 4), (0x2F8, 3), (0x2E0, 10)]
    assert [place.ranges for place in places] == [(range(first, first + 8),) for first in (0x3F8, 0x2F8, 0x2E0)]


def test_a_uart_below_the_first_256_ports(tmp_path: Path) -> None:
    machine = load(write(tmp_path, SERVER + MACHINE + "uarts = [{port = 0x68, irq = 4}]\n")).machines[0]
    assert places_of(machine)[0].place.ranges == (range(0x68, 0x70),)


def test_a_serial_card_and_its_consoles(tmp_path: Path) -> None:
    config = load(write(tmp_path, SERVER + VM + "vfio_user = { ports = 2 }\n"))
    assert config.vms[0].console_names == ["vm1", "vm1.port2"]
    assert config.vfio_socket_of(config.vms[0]) == tmp_path / "state" / "vm1.vfio"
    assert config.keeper_socket_of(config.vms[0]) == tmp_path / "state" / "vm1.keeper"
    elsewhere = load(write(tmp_path, SERVER + VM + 'vfio_user = { socket = "run/web" }\n'))
    assert elsewhere.vfio_socket_of(elsewhere.vms[0]) == tmp_path / "run" / "web"


@pytest.mark.parametrize("listen", ['"[::1]:0"', '["127.0.0.1:22", "[::]:2222"]'])
def test_addresses(tmp_path: Path, listen: str) -> None:
    load(write(tmp_path, SERVER + f"listen = {listen}\n" + MACHINE))


BAD = [
    ("", "server", "is needed, and the file does not have it"),
    (SERVER, "", "a [[machine]] with guests, a [[vm]] or a [[libvirt]] is needed"),
    ("[server", "", "is not TOML: Expected ']'"),
    (SERVER + MACHINE + "\n[extra]\n", "extra", "there is no such key"),
    (SERVER + "colour = 1\n" + MACHINE, "server.colour", "there is no such key"),
    (SERVER.replace('"keys"', '"nokeys"') + MACHINE, "server.authorized_keys", "/nokeys is no folder"),
    (SERVER.replace('"keys"', '"~/keys"') + MACHINE, "server.authorized_keys", "'~' is not expanded"),
    (SERVER.replace('"state"', "1") + MACHINE, "server.state_dir", "a path, as a string, is wanted"),
    (SERVER.replace('"state"', '""') + MACHINE, "server.state_dir", "a path, as a string, is wanted"),
    (SERVER + 'listen = "localhost:22"\n' + MACHINE, "server.listen.0", "'localhost:22' is no address"),
    (SERVER + 'listen = "127.0.0.1"\n' + MACHINE, "server.listen.0", "'127.0.0.1' is no address"),
    (SERVER + 'listen = ["127.0.0.1:1", "::1:65536"]\n' + MACHINE, "server.listen.1", "'::1:65536' is no address"),
    (SERVER + "listen = []\n" + MACHINE, "server.listen", "at least 1 item"),
    (SERVER + "listen = 2222\n" + MACHINE, "server.listen", "valid list"),
    (SERVER + "scrollback_kib = 1\n" + MACHINE, "server.scrollback_kib", "greater than or equal to 4"),
    (SERVER + 'scrollback_kib = "9"\n' + MACHINE, "server.scrollback_kib", "valid integer"),
    (SERVER + "drain_ms = true\n" + MACHINE, "server.drain_ms", "valid integer"),
    (SERVER + 'log = "xml"\n' + MACHINE, "server.log", "'console', 'json' or 'journald'"),
    (SERVER + MACHINE.replace('"rack7"', '"../x"'), "machine.0.name", "'../x' cannot be a name"),
    (SERVER + MACHINE.replace('"rack7"', '"x\\u001b[m"'), "machine.0.name", r"'x\x1b[m' cannot be a name"),
    (SERVER + MACHINE.replace('"rack7"', f'"{"x" * 48}"'), "machine.0.name", "1 to 47 of A-Z"),
    (SERVER + MACHINE.replace('"web1"', '"ls"'), "machine.0.guest.0.name", "'ls' cannot be a name"),
    (SERVER + MACHINE.replace('"web1"', "1"), "machine.0.guest.0.name", "valid string"),
    (SERVER + '[[machine]]\nname = "rack7"\n', "machine.0.guest", "is needed, and the file does not have it"),
    (
        SERVER + '[[machine]]\nname = "rack7"\ninterceptor = "xen"\n' + GUEST,
        "machine.0.interceptor",
        "'tcg' or 'memory'",
    ),
    (SERVER + MACHINE + MACHINE, "machine.1.name", "another machine is 'rack7' already"),
    (SERVER + MACHINE + GUEST, "machine.0.guest.1.name", "another console is 'web1' already"),
    (
        SERVER + MACHINE + '[[machine]]\nname = "rack8"\n' + GUEST,
        "machine.1.guest.0.name",
        "another console is 'web1' already",
    ),
    (
        SERVER + MACHINE + 'uarts = ["com1", "com2"]\n[[machine.guest]]\nname = "web1.com2"\n',
        "machine.0.guest.1.name",
        "another console is 'web1.com2' already",
    ),
    (
        SERVER + MACHINE + '[[machine]]\nname = "rack8"\nsocket = "state/rack7.sock"\n' + GUEST.replace("1", "2"),
        "machine.1.socket",
        "/state/rack7.sock' already",
    ),
    (SERVER + MACHINE + 'uarts = ["com5"]\n', "machine.0.guest.0.uarts.0", "'com5' is no UART: com1 to com4"),
    (SERVER + MACHINE + "uarts = []\n", "machine.0.guest.0.uarts", "at least 1 item"),
    (
        SERVER + MACHINE + "uarts = [{port = 0x3f8}]\n",
        "machine.0.guest.0.uarts.0.irq",
        "is needed, and the file does not have it",
    ),
    (SERVER + MACHINE + "uarts = [{port = 0x3f9, irq = 4}]\n", "machine.0.guest.0.uarts.0.port", "multiple of 8"),
    (SERVER + MACHINE + "uarts = [{port = 0x10000, irq = 4}]\n", "machine.0.guest.0.uarts.0.port", "less than or"),
    (SERVER + MACHINE + "uarts = [{port = -8, irq = 4}]\n", "machine.0.guest.0.uarts.0.port", "greater than or"),
    (SERVER + MACHINE + "uarts = [{port = 0x20, irq = 4}]\n", "machine.0.guest", "port 0x20 is the first interrupt"),
    (SERVER + MACHINE + "uarts = [{port = 0xa0, irq = 4}]\n", "machine.0.guest", "port 0xa0 is the second interrupt"),
    (SERVER + MACHINE + "uarts = [{port = 0x80, irq = 4}]\n", "machine.0.guest", "port 0x80 is the port by which"),
    (SERVER + MACHINE + "uarts = [{port = 0xe8, irq = 4}]\n", "machine.0.guest", "port 0xec is the port at which"),
    (SERVER + MACHINE + 'uarts = ["com1", {port = 0x3f8, irq = 4}]\n', "machine.0.guest", "have the same port"),
    (
        SERVER + MACHINE + GUEST.replace("1", "2") + "uarts = [{port = 0x3f8, irq = 7}]\n",
        "machine.0.guest",
        "port 0x3f8 has two interrupts, 4 and 7",
    ),
    (SERVER + VM, "vm.0", "exactly one of chardev, serial and vfio_user is needed"),
    (SERVER + VM + 'chardev = "unix:a"\nvfio_user = {}\n', "vm.0", "exactly one of chardev, serial and vfio_user"),
    (SERVER + VM + "vfio_user = { ports = 3 }\n", "vm.0.vfio_user.ports", "1, 2 or 4"),
    (SERVER + VM + 'vfio_user = { bar = "rom" }\n', "vm.0.vfio_user.bar", "'io' or 'memory'"),
    (
        SERVER + VM + "vfio_user = { ports = 2 }\n" + VM.replace("vm1", "vm1.port2") + "vfio_user = {}\n",
        "vm.1.name",
        "another console is 'vm1.port2' already",
    ),
    (  # faults.md 21, variation
        SERVER + VM + 'serial = { device = "/dev/x" }\n' + VM.replace("1", "2") + 'serial = { device = "/dev//x" }\n',
        "vm.1.serial.device",
        "another port is '/dev/x' already",
    ),
    (
        SERVER
        + VM
        + 'serial = { device = "rfc2217://a:1" }\n'
        + VM.replace("1", "2")
        + 'serial = { device = "rfc2217://a:1" }\n',
        "vm.1.serial.device",
        "another port is 'rfc2217://a:1' already",
    ),
    (
        SERVER + VM + 'vfio_user = { socket = "a" }\n' + VM.replace("1", "2") + 'vfio_user = { socket = "a" }\n',
        "vm.1.vfio_user.socket",
        "/a' already",
    ),
]


@pytest.mark.parametrize(("text", "key", "reason"), BAD)
def test_file_key_and_reason_of_what_is_wrong(tmp_path: Path, text: str, key: str, reason: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(ConfigError) as raised:
        load(file)
    assert (raised.value.file, raised.value.key) == (str(file), key)
    assert reason in raised.value.reason
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = " + "[" * 5000, "too many of them"),
        ("x = " + "{a = " * 3000, "too many of them"),
        ("x = " + "9" * 5000, "is not TOML"),
        (SERVER + '"\\u001b]0;PWN\\u0007" = 1', r"server\.\?\]0;PWN\?: there is no such key"),
        (SERVER + '"' + "k" * 100_000 + '" = 1', "kkk…: there is no such key"),
    ],
    ids=["lists", "tables", "digits", "a key with ESC", "a long key"],
)
def test_what_no_parser_expects_is_one_short_message(tmp_path: Path, text: str, reason: str) -> None:
    """security.md 13 and 18, their kind: a traceback, or what a terminal acts on."""
    with pytest.raises(ConfigError, match=reason) as error:
        load(write(tmp_path, text))
    assert len(str(error.value)) < 1000
    assert str(error.value).isprintable()


def test_more_ports_than_a_native_half_can_take(tmp_path: Path) -> None:
    guests = "".join(
        f'[[machine.guest]]\nname = "w{i}"\nuarts = [{{port = {0x200 + 8 * i}, irq = 5}}]\n' for i in range(16)
    )
    with pytest.raises(ConfigError, match="more than 15 devices at different ports in one machine"):
        load(write(tmp_path, f'{SERVER}[[machine]]\nname = "rack7"\n{guests}'))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load(tmp_path / "none.toml")
    with pytest.raises(ConfigError, match="Is a directory"):
        load(tmp_path)
    (tmp_path / "latin.toml").write_bytes(b'a = "\xe9"')
    with pytest.raises(ConfigError, match="is not UTF-8: line 1 has the byte 0xe9"):
        load(tmp_path / "latin.toml")


def test_a_byte_order_mark_is_skipped_and_utf_16_is_named(tmp_path: Path) -> None:
    """faults.md 26: files made on Windows."""
    file = write(tmp_path, f'{SERVER}{MACHINE}[[machine.guest]]\nname = "db1"\n')
    plain = load(file)
    text = file.read_text()
    file.write_text(text, encoding="utf-8-sig")
    assert load(file) == plain
    for encoding in ("utf-16", "utf-16-le", "utf-16-be"):
        file.write_text(text, encoding=encoding)
        with pytest.raises(ConfigError, match="is UTF-16 and not UTF-8: save it as UTF-8"):
            load(file)


EXAMPLE = Path(__file__).resolve().parents[3] / "docs" / "oobconsole.example.toml"


def test_the_example_is_valid_and_shows_every_key_with_its_default(tmp_path: Path) -> None:
    config = load(write(tmp_path, EXAMPLE.read_text()))
    assert config == load(
        write(tmp_path, f'{SERVER}{MACHINE}[[machine.guest]]\nname = "db1"\nuarts = ["com1", "com2"]')
    )
    for table in (
        ServerConfig,
        ConsoleConfig,
        RecordingConfig,
        AuditConfig,
        MetricsConfig,
        MachineConfig,
        GuestConfig,
    ):
        for name, field in table.model_fields.items():
            key = field.alias or name
            assert re.search(rf"^(# |\[\[machine\.)?{key}( =|\]\])", EXAMPLE.read_text(), re.MULTILINE), key


@pytest.mark.parametrize(
    ("alert", "key", "reason"),
    [
        ('name = "a"\npattern = "("\ncommand = ["x"]', "alert.0.pattern", "is no regular expression"),
        ('name = "a"\npattern = "x"', "alert.0", "it does nothing: write command, url or both"),
        ('name = "a"\npattern = "x"\ncommand = []', "alert.0.command", "at least 1"),
        ('name = "a"\npattern = "x"\ncommand = [""]', "alert.0.command", "a program, which has a name"),
        ('name = "a"\npattern = "x"\ncommand = ["x", "\\u0000"]', "alert.0.command", "without NUL"),
        ('name = "a"\npattern = "x"\nurl = "file:///etc/passwd"', "alert.0.url", "it is no URL for alerts"),
        ('name = "a"\npattern = "x"\nurl = "https://h/\\r\\nX: y"', "alert.0.url", "it is no URL for alerts"),
        ('name = "a"\npattern = "x"\nurl = "https://u:p@h/"', "alert.0.url", "without a user"),
        ('name = "a"\npattern = "x"\nurl = "http://h:99999/"', "alert.0.url", "it is no URL for alerts"),
        ('name = "a"\npattern = "x"\nurl = "http://h"\n[[alert]]\nname = "a"\npattern = "y"\nurl = "http://h"',
         "alert.1.name", "another alert is 'a' already"),
    ],
)  # fmt: skip
def test_alerts_that_cannot_be(tmp_path: Path, alert: str, key: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(write(tmp_path, SERVER + MACHINE + "[[alert]]\n" + alert))
    assert caught.value.key == key
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ('[[grant]]\nusers = [""]\nrights = "all"\n', "grant.0.users"),
        ('[[grant]]\nusers = "*"\nconsoles = ["web1", " "]\nrights = "all"\n', "grant.0.consoles"),
        ('[[group]]\nname = "ops"\nmembers = [""]\n', "group.0.members"),
    ],
)
def test_an_empty_name_means_nobody(tmp_path: Path, table: str, key: str) -> None:
    with pytest.raises(ConfigError, match="an empty name means nobody") as caught:
        load(write(tmp_path, SERVER + table))
    assert caught.value.key == key


def test_what_looks_like_a_socket_elsewhere_stays_as_it_is(tmp_path: Path) -> None:
    """Only a line's path is one: words of commands and patterns are what the file says."""
    alert = '[[alert]]\nname = "a"\npattern = "unix:x"\ncommand = ["nc", "unix:y"]\n'
    config = load(write(tmp_path, SERVER + MACHINE + VM + 'chardev = "unix:z"\n' + alert))
    assert config.alerts[0].pattern == "unix:x"
    assert config.alerts[0].command == ["nc", "unix:y"]
    assert config.vms[0].chardev == f"unix:{tmp_path / 'z'}"
