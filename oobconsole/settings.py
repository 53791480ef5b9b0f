"""What a configuration file may say: every table and key, with its default and what it means.

The descriptions are for users: the reference in docs/man is made from them.
"""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from oobconsole.access import Right
from oobconsole.alertconfig import AlertConfig
from oobconsole.table import RESERVED, Command, Name, Table, Words, one_or_more

_DOMAIN_MAX: Final = 37  # so that `.console15` can follow
#: The four COM ports of a PC: I/O base and ISA interrupt.
COM: Final = {"com1": (0x3F8, 4), "com2": (0x2F8, 3), "com3": (0x3E8, 4), "com4": (0x2E8, 3)}


def console_name(domain: str, uuid: str, *, unique: bool = False) -> str:
    """The name of a libvirt domain's console: the domain's, if that can be one; else, and if it has to be `unique`,
    what it has of one and the beginning of its UUID."""
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", domain).lstrip("_.-")
    if name == domain and 0 < len(name) <= _DOMAIN_MAX and name not in RESERVED and not unique:
        return name
    return f"{name[: _DOMAIN_MAX - 9]}-{uuid[:8]}".lstrip("-")


def _address(value: str) -> str:
    host, colon, port = value.rpartition(":")
    try:
        ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
        valid = bool(colon) and 0 <= int(port) <= 65535
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"{value!r} is no address: write it as 127.0.0.1:2222 or [::1]:2222")
    return value


def _network(value: str) -> str:
    try:
        ipaddress.ip_network(value)
    except ValueError:
        raise ValueError(f"{value!r} is no address or network: write it as 192.0.2.0/24 or 2001:db8::/32") from None
    return value


def _max_startups(value: str) -> str:
    parts = value.split(":")
    if len(parts) == 3 and all(part.isascii() and part.isdigit() and len(part) <= 6 for part in parts):
        start, rate, full = map(int, parts)
        if 1 <= start <= full and 1 <= rate <= 100:
            return value
    raise ValueError(f"{value!r} is not START:RATE:FULL: three numbers, 1 to 100 in the middle, START not over FULL")


def _loopback(value: str) -> str:
    host = _address(value).rpartition(":")[0].removeprefix("[").removesuffix("]")
    if not ipaddress.ip_address(host).is_loopback:
        raise ValueError(
            f"{value!r} is not on loopback, and metrics ask for no password: use 127.0.0.1 or [::1], "
            "with a proxy before it if others are to read them"
        )
    return value


def _path(value: Any) -> Any:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError("a path, as a string, is wanted")
    if value.startswith("~"):
        raise ValueError(f"'~' is not expanded here: write {value!r} as a path from '/' or from this file's folder")
    return Path(value)


def _uart(value: Any) -> Any:
    if isinstance(value, str):
        if value not in COM:
            raise ValueError(f"{value!r} is no UART: com1 to com4, or a table with port and irq")
        port, irq = COM[value]
        return {"port": port, "irq": irq}
    return value


def _chardev(value: str) -> str:
    kind, _, rest = value.partition(":")
    host, _, port = rest.rpartition(":")
    is_tcp = kind in ("tcp", "tcp-listen") and host and port.isdecimal() and 0 < int(port) < 65536
    if not is_tcp and not (kind in ("unix", "unix-listen") and rest):
        raise ValueError(f"{value!r} is no line: unix:PATH, unix-listen:PATH, tcp:HOST:PORT or tcp-listen:HOST:PORT")
    return value


def _uri(value: str) -> str:
    scheme, colon, rest = value.partition("://")
    if not colon or not re.fullmatch(r"[a-z0-9+.-]+", scheme) or not rest or not value.isprintable():
        raise ValueError(f"{value!r} is no libvirt URI: qemu:///system, qemu:///session, qemu+ssh://host/system, …")
    return value


def _right(value: Any) -> Any:
    if not isinstance(value, str) or value not in (*Right, "all"):
        raise ValueError(f"{value!r} is no right: {', '.join(Right)}, or all")
    return value


Address = Annotated[str, AfterValidator(_address)]
Network = Annotated[str, AfterValidator(_network)]
MaxStartups = Annotated[str, AfterValidator(_max_startups)]
Loopback = Annotated[str, AfterValidator(_loopback)]
FilePath = Annotated[Path, BeforeValidator(_path)]
Rights = Annotated[list[Annotated[str, BeforeValidator(_right)]], BeforeValidator(one_or_more)]


class UartConfig(Table):
    """A UART of a guest: I/O base (a multiple of 8, from 0x100) and ISA interrupt."""

    port: Annotated[int, Field(ge=0x100, le=0xFFF8, multiple_of=8)] = Field(description="I/O base")
    irq: Annotated[int, Field(ge=1, le=15)] = Field(description="ISA interrupt")


class ConsoleConfig(Table):
    """How consoles behave: `[console]` for all, `console = { … }` in a guest for its own."""

    share: bool = Field(
        default=False, description="several may type at the same time; otherwise one has the keyboard"
    )
    filter: bool = Field(default=True, description="keep from terminals what makes them answer or act outside")
    escape: str = Field(
        default="~",
        max_length=8,
        pattern=r"^[!-~]*$",
        description="begins an escape command, after Enter; empty: none",
    )
    idle_minutes: int = Field(
        default=0, ge=0, le=10080, description="who types nothing for so long loses the keyboard; 0: never"
    )
    rows: int = Field(default=24, ge=2, le=500, description="of the terminal that the guest believes to have")
    columns: int = Field(default=80, ge=2, le=500, description="of the terminal that the guest believes to have")

    def with_own(self, own: ConsoleConfig | None) -> ConsoleConfig:
        """These, with what a guest says itself in their place."""
        return self.model_copy(update=own.model_dump(exclude_unset=True)) if own else self


class PowerConfig(Table):
    """How to switch a guest, when its interceptor cannot."""

    command: Command = Field(
        description="program and arguments; {action} and {guest} are replaced, no shell is between"
    )
    timeout_s: int = Field(default=30, ge=1, le=600, description="then it is ended, and has failed")


class GuestConfig(Table):
    """An L2. Its first UART's console has its name, another one `NAME.com2`, or `NAME.2e0` by its port."""

    name: Name = Field(description="the guest's, and that of its first UART's console")
    uarts: Annotated[list[Annotated[UartConfig, BeforeValidator(_uart)]], Field(min_length=1, max_length=8)] = Field(
        default_factory=lambda: [UartConfig(port=0x3F8, irq=4)],
        description="com1 to com4, or { port = 0x2e0, irq = 10 }",
    )
    console: ConsoleConfig | None = Field(default=None, description="what differs from `[console]`")
    power: PowerConfig | None = Field(default=None, description="how to switch it")

    @property
    def console_names(self) -> list[str]:
        """One for each UART."""
        known = {port: com for com, (port, _) in COM.items()}
        return [self.name, *(f"{self.name}.{known.get(uart.port, f'{uart.port:x}')}" for uart in self.uarts[1:])]


class MachineConfig(Table):
    """An L1: how its guests' accesses reach us, and the guests, in the order in which they appear."""

    name: Name = Field(description="what its native half says that it is")
    interceptor: Literal["tcg", "memory"] = Field(
        default="tcg",
        description="stock QEMU with our plugin; `memory`: guests that only echo, for trying things out",
    )
    socket: FilePath | None = Field(default=None, description="where the native half connects; default: in state_dir")
    spin_us: int = Field(
        default=200, ge=0, le=1000, description="how long to look for a guest's next access before sleeping"
    )
    hide_registers: bool = Field(
        default=True,
        description="while a console is in use, L1 sees none of its guest's registers that it does not need",
    )
    guests: Annotated[list[GuestConfig], Field(alias="guest", min_length=1, max_length=1024)]


class SerialConfig(Table):
    """A real serial port."""

    device: str = Field(min_length=1, pattern=r"^(/|rfc2217://)", description="/dev/ttyUSB0, or rfc2217://HOST:PORT")
    baud: int = Field(default=115200, ge=50, le=4_000_000, description="bits in a second")
    bits: Literal[5, 6, 7, 8] = Field(default=8, description="of a character")
    parity: Literal["none", "even", "odd", "mark", "space"] = Field(default="none", description="of a character")
    stop_bits: Literal[1, 2] = Field(default=1, description="after a character")
    flow: Literal["none", "rtscts", "xonxoff"] = Field(default="none", description="flow control")
    dtr: bool = Field(default=True, description="level of DTR while the port is open")
    rts: bool = Field(default=True, description="level of RTS while the port is open, without rtscts")


class VfioUserConfig(Table):
    """A serial card of ours in a guest of QEMU 10.1 or newer, or of another VMM that speaks vfio-user."""

    socket: FilePath | None = Field(default=None, description="where the VMM connects; default: STATE_DIR/NAME.vfio")
    bar: Literal["io", "memory"] = Field(
        default="io", description="the card's registers; memory is faster, and no card that QEMU knows"
    )
    ports: Literal[1, 2, 4] = Field(default=1, description="of the card; consoles NAME, NAME.port2, …")


class VmConfig(Table):
    """A guest without an untrusted hypervisor, or a real port: exactly one of `chardev`, `serial` and `vfio_user`."""

    name: Name = Field(description="the console's")
    chardev: Annotated[str, AfterValidator(_chardev)] | None = Field(
        default=None, description="unix:PATH or tcp:HOST:PORT to connect to, unix-listen: or tcp-listen: to wait at"
    )
    serial: SerialConfig | None = Field(default=None, description="a real serial port")
    vfio_user: VfioUserConfig | None = Field(default=None, description="a serial card of ours")
    qmp: FilePath | None = Field(default=None, description="QEMU's monitor socket: state, power, NMI, break")
    console: ConsoleConfig | None = Field(default=None, description="what differs from `[console]`")
    power: PowerConfig | None = Field(default=None, description="how to switch it, without `qmp`")

    @model_validator(mode="after")
    def _one_line(self) -> Self:
        if sum(line is not None for line in (self.chardev, self.serial, self.vfio_user)) != 1:
            raise ValueError("exactly one of chardev, serial and vfio_user is needed")
        return self

    @property
    def console_names(self) -> list[str]:
        """One for each port."""
        ports = self.vfio_user.ports if self.vfio_user else 1
        return [self.name, *(f"{self.name}.port{number}" for number in range(2, ports + 1))]


class LibvirtConfig(Table):
    """A libvirt host: each of its domains gets a console with the domain's name, a further port `NAME.serial1`."""

    name: Name = Field(default="libvirt", description="of this host, where consoles are listed")
    uri: Annotated[str, AfterValidator(_uri)] = Field(
        description="as virsh takes it: qemu:///system, qemu:///session, qemu+ssh://root@host/system?no_tty=1, …"
    )
    domains: Annotated[list[str], BeforeValidator(one_or_more), Field(min_length=1, max_length=1000)] = Field(
        default_factory=lambda: ["*"], description="names, or patterns with * and ?, of those that get consoles"
    )
    prefix: Annotated[str, Field(max_length=20, pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]*)?$")] = Field(
        default="", description="in front of the domains' names; the same at hosts between which domains migrate"
    )
    console: ConsoleConfig | None = Field(default=None, description="what differs from `[console]`")


class ServerConfig(Table):
    """The server itself."""

    listen: Annotated[list[Address], BeforeValidator(one_or_more), Field(min_length=1, max_length=16)] = Field(
        default_factory=lambda: ["127.0.0.1:2222"],
        description="an address or a list; port 0 takes a free one and writes it to STATE_DIR/ssh_port",
    )
    state_dir: FilePath = Field(description="made when missing: host key, sockets, recordings, audit log")
    authorized_keys: FilePath = Field(description="a folder: file USER, or USER.pub, holds that user's public keys")
    strict_modes: bool = Field(default=True, description="ignore files of users' keys that others may write")
    host_key: FilePath | None = Field(default=None, description="made on first start; nobody else may read it")
    host_certificate: FilePath | None = Field(default=None, description="OpenSSH certificate of the host key")
    user_ca: FilePath | None = Field(default=None, description="public keys whose certificates let in whom they name")
    revoked_keys: FilePath | None = Field(
        default=None,
        description="keys, fingerprints, and `serial:` and `id:` of certificates that count no longer, one a line",
    )
    scrollback_kib: int = Field(default=256, ge=4, le=65536, description="output kept in memory for each console")
    tail_lines: int = Field(default=50, ge=0, le=10000, description="lines that `log` and `~l` show unless told")
    drain_ms: int = Field(
        default=300, ge=10, le=60000, description="after its input's end, a pipe leaves at so much silence"
    )
    drain_max_s: int = Field(default=60, ge=1, le=3600, description="and at the latest after so long")
    max_connections: int = Field(default=1000, ge=1, le=100000, description="more are told so and disconnected")
    max_connections_per_source: int = Field(
        default=500, ge=1, le=100000, description="of one IPv4 address or IPv6 /64"
    )
    max_startups: MaxStartups = Field(default="10:30:100", description="START:RATE:FULL, as in sshd_config(5)")
    max_auth_tries: int = Field(default=6, ge=1, le=100, description="of one connection, then it is closed")
    penalties: bool = Field(default=True, description="make addresses whose logins fail wait")
    penalties_exempt: Annotated[list[Network], BeforeValidator(one_or_more), Field(max_length=1000)] = Field(
        default_factory=list,
        description="addresses and networks without penalties, and without the limit of connections per source",
    )
    login_grace_s: int = Field(default=60, ge=1, le=600, description="to log in, then the connection is closed")
    max_alerts: int = Field(default=60, ge=1, le=10000, description="a minute, of all `[[alert]]` together")
    log: Literal["console", "json", "journald"] = Field(
        default="console",
        description="text or JSON on standard error, or the journal; its errors cost lines only, which are counted",
    )

    @property
    def host_key_file(self) -> Path:
        """Where the SSH host key is, or is to be made."""
        return self.host_key or self.state_dir / "ssh_host_ed25519_key"

    @property
    def not_users_keys(self) -> tuple[Path, ...]:
        """Files with another meaning, which are nobody's keys wherever they lie."""
        return tuple(path for path in (self.user_ca, self.revoked_keys, self.host_certificate) if path)

    @property
    def admin_socket(self) -> Path:
        """Where the local command reaches the server."""
        return self.state_dir / "admin.sock"


class RecordingConfig(Table):
    """What is kept of every console."""

    enabled: bool = Field(default=True, description="record every console")
    folder: FilePath | None = Field(default=None, description="default: STATE_DIR/recordings")
    policy: Literal["best_effort", "strict"] = Field(
        default="best_effort",
        description="when nothing can be written: only say so, or also take no input until it can",
    )
    asciicast: bool = Field(default=True, description="also record asciicast v2")
    keystrokes: bool = Field(default=True, description="also record who typed what the guest has echoed")
    rotate_mib: int = Field(default=64, ge=1, le=65536, description="a file that is larger is closed, and compressed")
    rotate_hours: int = Field(default=24, ge=1, le=8760, description="so is one that is older")
    keep_mib: int = Field(default=1024, ge=1, le=1 << 24, description="of each console; the oldest files go first")
    keep_days: int = Field(default=90, ge=1, le=36500, description="older files go")


class AuditConfig(Table):
    """The signed log of who did what."""

    file: FilePath | None = Field(default=None, description="default: STATE_DIR/audit.jsonl")
    key: FilePath | None = Field(
        default=None, description="made on first start; default: STATE_DIR/audit_ed25519_key"
    )
    syslog: bool = Field(default=False, description="send each entry to syslog, too")
    rotate_mib: int = Field(
        default=64, ge=1, le=4096, description="a file that is larger is closed; the chain goes on"
    )
    keep_mib: int = Field(
        default=1024, ge=1, le=1 << 20, description="of closed files; the oldest go first, and an entry says so"
    )


class MetricsConfig(Table):
    """`/metrics` for Prometheus, and `/healthz`."""

    listen: Loopback | None = Field(default=None, description="a loopback address; off by default")


class GroupConfig(Table):
    """Users that `[[grant]]` can name together."""

    name: Name = Field(description="for `groups` of `[[grant]]`")
    members: Annotated[list[str], Field(min_length=1, max_length=10000)] = Field(description="names of users")


class GrantConfig(Table):
    """Who may do what, where. Without a grant nobody may do anything."""

    users: Words = Field(default_factory=list, description="names, or patterns with * and ?")
    groups: Words = Field(default_factory=list, description="names of `[[group]]`")
    consoles: Words = Field(default_factory=lambda: ["*"], description="names, or patterns with * and ?")
    rights: Rights = Field(min_length=1, description="of watch, write, force, power, log; or all")


class Config(Table):
    """The whole file."""

    server: ServerConfig
    console: ConsoleConfig = Field(default_factory=ConsoleConfig)
    recording: RecordingConfig = Field(default_factory=RecordingConfig)
    audit: AuditConfig = Field(default_factory=AuditConfig)
    metrics: MetricsConfig = Field(default_factory=MetricsConfig)
    groups: Annotated[list[GroupConfig], Field(alias="group", max_length=10000)] = Field(default_factory=list)
    grants: Annotated[list[GrantConfig], Field(alias="grant", max_length=10000)] = Field(default_factory=list)
    machines: Annotated[list[MachineConfig], Field(alias="machine", max_length=1024)] = Field(default_factory=list)
    vms: Annotated[list[VmConfig], Field(alias="vm", max_length=10000)] = Field(default_factory=list)
    alerts: Annotated[list[AlertConfig], Field(alias="alert", max_length=100)] = Field(default_factory=list)
    libvirts: Annotated[list[LibvirtConfig], Field(alias="libvirt", max_length=64)] = Field(default_factory=list)

    def machine(self, name: str) -> MachineConfig | None:
        """The machine with that name."""
        return next((m for m in self.machines if m.name == name), None)

    def socket_of(self, machine: MachineConfig) -> Path:
        """The UNIX socket that its native half connects to."""
        return machine.socket or self.server.state_dir / f"{machine.name}.sock"

    def vfio_socket_of(self, vm: VmConfig) -> Path:
        """The UNIX socket that its VMM connects to, if it has a card of ours."""
        own = vm.vfio_user.socket if vm.vfio_user else None
        return own or self.server.state_dir / f"{vm.name}.vfio"

    def keeper_socket_of(self, vm: VmConfig) -> Path:
        """The UNIX socket at which we find the process that is the card."""
        return self.server.state_dir / f"{vm.name}.keeper"

    def vm(self, name: str) -> VmConfig | None:
        """The VM with that name."""
        return next((vm for vm in self.vms if vm.name == name), None)

    @property
    def console_names(self) -> list[str]:
        """Of all consoles but those of libvirt's domains, which only libvirt knows."""
        guests = (guest for machine in self.machines for guest in machine.guests)
        sources: list[GuestConfig | VmConfig] = [*guests, *self.vms]
        return [name for source in sources for name in source.console_names]

    @property
    def recordings(self) -> Path:
        """Where consoles are recorded."""
        return self.recording.folder or self.server.state_dir / "recordings"

    @property
    def audit_file(self) -> Path:
        """Where the audit log is."""
        return self.audit.file or self.server.state_dir / "audit.jsonl"

    @property
    def audit_key(self) -> Path:
        """Where its key is, or is to be made."""
        return self.audit.key or self.server.state_dir / "audit_ed25519_key"
