"""What a configuration file may say: every table and key, with its default and what it means.

The descriptions are for users: the manual page oobconsole.toml(5) is made from them (oobconsole.ops.reference).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final, Literal, NamedTuple

from pydantic import BeforeValidator, Field

from oobconsole.config.alerts import AlertConfig
from oobconsole.config.guests import ConsoleConfig, GuestConfig, LibvirtConfig, MachineConfig, VmConfig
from oobconsole.config.table import RELOADABLE, Name, Table, Words, one_or_more
from oobconsole.config.values import Address, FilePath, Loopback, MaxStartups, Network, Rights
from oobconsole.verbs import VERBS

_DOMAIN_MAX: Final = 37  # so that `.console15` can follow


def console_name(domain: str, uuid: str, *, unique: bool = False) -> str:
    """Return the console's name for a libvirt domain.

    It is the domain's name where that is a valid name of a console. Otherwise, or with `unique`, it is the valid part
    of the domain's name and the first 8 digits of the domain's UUID.
    """
    name = re.sub(r"[^A-Za-z0-9_.-]", "_", domain).lstrip("_.-")
    if name == domain and 0 < len(name) <= _DOMAIN_MAX and name not in VERBS and not unique:
        return name
    return f"{name[: _DOMAIN_MAX - 9]}-{uuid[:8]}".lstrip("-")


class ServerConfig(Table):
    """The server itself: where it listens, where it keeps its files, who may log in, and its limits."""

    listen: Annotated[list[Address], BeforeValidator(one_or_more), Field(min_length=1, max_length=16)] = Field(
        default_factory=lambda: ["127.0.0.1:2222"],
        description=(
            "where the SSH server listens: an address, or a list of addresses. Port 0 takes a free port, and "
            "writes it to STATE_DIR/ssh_port"
        ),
    )
    state_dir: FilePath = Field(
        description=(
            "the folder of the host key, sockets, recordings and audit log. The server makes it when it is "
            "missing, and refuses one that others may write into"
        )
    )
    authorized_keys: FilePath = Field(
        description=(
            "a folder whose file USER, or USER.pub, holds that user's public keys. The server reads it at every "
            "login; `oobconsole doctor` lists the files that let nobody in, and why"
        ),
        json_schema_extra=RELOADABLE,
    )
    strict_modes: bool = Field(
        default=True,
        description=(
            "whether a file of a user's keys that others than its owner may write is ignored, as by sshd's "
            "StrictModes. Switch it off only where a container mounts secrets otherwise"
        ),
        json_schema_extra=RELOADABLE,
    )
    host_key: FilePath | None = Field(
        default=None,
        description=(
            "the SSH host key. The server makes it on first start; nobody else may read it. Without this key, it "
            "is STATE_DIR/ssh_host_ed25519_key"
        ),
    )
    host_certificate: FilePath | None = Field(
        default=None,
        description=(
            "an OpenSSH certificate of the host key, which is shown to clients. One that has expired is logged, "
            "and still shown"
        ),
        json_schema_extra=RELOADABLE,
    )
    user_ca: FilePath | None = Field(
        default=None,
        description=(
            "a file of public keys, one a line. A certificate that is signed by one of them lets in the users "
            "that the certificate names"
        ),
        json_schema_extra=RELOADABLE,
    )
    revoked_keys: FilePath | None = Field(
        default=None,
        description=(
            "a file that says, one a line, what counts no longer: keys, fingerprints, and `serial:` and `id:` of "
            "certificates. A line that cannot be understood stops the start, or the reload"
        ),
        json_schema_extra=RELOADABLE,
    )
    scrollback_kib: int = Field(
        default=256, ge=4, le=65536, description="how much of each console's output is kept in memory, in KiB"
    )
    tail_lines: int = Field(
        default=50,
        ge=0,
        le=10000,
        description="how many lines `log` and `~l` show when nobody says how many",
        json_schema_extra=RELOADABLE,
    )
    drain_ms: int = Field(
        default=300,
        ge=10,
        le=60000,
        description=(
            "when a pipe such as `ssh HOST CONSOLE <file` ends whose input has ended: after the guest has "
            "printed nothing for so many milliseconds"
        ),
        json_schema_extra=RELOADABLE,
    )
    drain_max_s: int = Field(
        default=60,
        ge=1,
        le=3600,
        description=(
            "when such a pipe ends at the latest, in seconds after the end of its input, even if the guest never "
            "stops printing"
        ),
        json_schema_extra=RELOADABLE,
    )
    max_connections: int = Field(
        default=1000,
        ge=1,
        le=100000,
        description="how many SSH connections there may be. A further connection is told so, and closed",
        json_schema_extra=RELOADABLE,
    )
    max_connections_per_source: int = Field(
        default=500,
        ge=1,
        le=100000,
        description=(
            "how many of these connections may come from one IPv4 address, or from one IPv6 network of 64 bits"
        ),
        json_schema_extra=RELOADABLE,
    )
    max_startups: MaxStartups = Field(
        default="10:30:100",
        description=(
            "how many connections may not be logged in yet: START:RATE:FULL, as in sshd_config(5). From START on "
            "RATE percent of new connections are refused, from FULL on all"
        ),
        json_schema_extra=RELOADABLE,
    )
    max_auth_tries: int = Field(
        default=6,
        ge=1,
        le=100,
        description="how often one connection may try to log in before it is closed",
        json_schema_extra=RELOADABLE,
    )
    penalties: bool = Field(
        default=True,
        description=(
            "whether an address has to wait whose logins fail again and again, as by PerSourcePenalties of "
            "sshd_config(5)"
        ),
        json_schema_extra=RELOADABLE,
    )
    penalties_exempt: Annotated[list[Network], BeforeValidator(one_or_more), Field(max_length=1000)] = Field(
        default_factory=list,
        description=(
            "addresses and networks without penalties, and without the limit of connections per source. Loopback "
            "is not exempt by itself"
        ),
        json_schema_extra=RELOADABLE,
    )
    login_grace_s: int = Field(
        default=60,
        ge=1,
        le=600,
        description="after how many seconds a connection is closed that has not logged in",
        json_schema_extra=RELOADABLE,
    )
    max_alerts: int = Field(
        default=60,
        ge=1,
        le=10000,
        description=(
            "how many alerts there may be in a minute, of all `[[alert]]` together. The next alert says how many "
            "were left out"
        ),
        json_schema_extra=RELOADABLE,
    )
    log: Literal["console", "json", "journald"] = Field(
        default="console",
        description=(
            "where the server's log goes: text or JSON on standard error, or the journal. When it cannot be "
            "written, only its lines are lost; they are counted"
        ),
    )

    @property
    def host_key_file(self) -> Path:
        """The file of the SSH host key, which the server makes when it is missing."""
        return self.host_key or self.state_dir / "ssh_host_ed25519_key"

    @property
    def not_users_keys(self) -> tuple[Path, ...]:
        """Files that hold other keys: they are no user's keys, even if they lie in the folder of users' keys."""
        return tuple(path for path in (self.user_ca, self.revoked_keys, self.host_certificate) if path)

    @property
    def admin_socket(self) -> Path:
        """The UNIX socket at which the local command reaches the server."""
        return self.state_dir / "admin.sock"


class RecordingConfig(Table):
    """What is recorded of every console, and how long it is kept (docs/recording.md)."""

    enabled: bool = Field(default=True, description="whether every console is recorded")
    folder: FilePath | None = Field(
        default=None, description="where recordings are kept; STATE_DIR/recordings, unless said"
    )
    policy: Literal["best_effort", "strict"] = Field(
        default="best_effort",
        description=(
            "what happens while nothing can be written, as on a full disk. With best_effort it is only said; "
            "with strict, guests also get no input until something can be written. A guest is never stopped"
        ),
    )
    asciicast: bool = Field(
        default=True, description="whether a console is also recorded in asciinema's format, asciicast v2"
    )
    keystrokes: bool = Field(
        default=True,
        description=(
            "whether who typed what is recorded, as far as the guest has echoed it. Without echo, as for "
            "passwords, only the number of bytes is recorded"
        ),
    )
    rotate_mib: int = Field(
        default=64,
        ge=1,
        le=65536,
        description="at which size, in MiB, a recording is closed and compressed, and goes on in the next file",
    )
    rotate_hours: int = Field(
        default=24, ge=1, le=8760, description="at which age, in hours, a recording is closed and compressed"
    )
    keep_mib: int = Field(
        default=1024,
        ge=1,
        le=1 << 24,
        description="how much is kept of each console, in MiB. The oldest files are removed first",
    )
    keep_days: int = Field(
        default=90, ge=1, le=36500, description="how many days files are kept. Older ones are removed"
    )


class AuditConfig(Table):
    """The signed log of who did what (docs/audit.md)."""

    file: FilePath | None = Field(
        default=None, description="where the audit log is kept; STATE_DIR/audit.jsonl, unless said"
    )
    key: FilePath | None = Field(
        default=None,
        description=(
            "the key that signs the audit log. The server makes it on first start; STATE_DIR/audit_ed25519_key, "
            "unless said. Keep its .pub elsewhere, too: it verifies the log"
        ),
    )
    syslog: bool = Field(default=False, description="whether each entry is also sent to syslog")
    rotate_mib: int = Field(
        default=64,
        ge=1,
        le=4096,
        description=(
            "at which size, in MiB, a file is closed; the chain goes on in the next one. Do not let logrotate(8) "
            "rotate it"
        ),
    )
    keep_mib: int = Field(
        default=1024,
        ge=1,
        le=1 << 20,
        description=("how much is kept of closed files, in MiB. The oldest are removed first, and an entry says so"),
    )


class FrontConfig(Table):
    """The processes that strangers reach: they have few rights, and are begun again when they end."""

    workers: int = Field(
        default=1,
        ge=1,
        le=64,
        description=(
            "how many of these processes listen at the same addresses. They share nothing: the limits of connections "
            "and the penalties of addresses count in each of them"
        ),
    )
    user: str = Field(
        default="nobody",
        min_length=1,
        max_length=64,
        description="whom they become when the server is root. They keep the server's own user when it is not",
    )


class MetricsConfig(Table):
    """`/metrics` for Prometheus, and `/healthz`. Neither asks for a password, so they are on loopback only."""

    listen: Loopback | None = Field(
        default=None, description="a loopback address and a port. Nothing is served unless it is said"
    )


class GroupConfig(Table):
    """Users that `[[grant]]` can name together."""

    name: Name = Field(description="the name by which `groups` of `[[grant]]` name this group")
    members: Annotated[Words, Field(min_length=1, max_length=10000)] = Field(description="names of users")


class GrantConfig(Table):
    """Who may do what, where. Without a grant nobody may do anything.

    watch: see the console. write: type. force: take the keyboard, or a line that another program has. power: switch
    the guest. log: read recordings. all: each of these.
    """

    users: Words = Field(
        default_factory=list, description="which users the grant is for: names, or patterns with * and ?"
    )
    groups: Words = Field(default_factory=list, description="which groups the grant is for: names of `[[group]]`")
    consoles: Words = Field(
        default_factory=lambda: ["*"], description="at which consoles: names, or patterns with * and ?"
    )
    rights: Rights = Field(
        min_length=1, description="what they may do there: watch, write, force, power, log; or all"
    )


class ConfiguredConsole(NamedTuple):
    """A console that a configuration names.

    Attributes:
        name: the console's name.
        guest: the table of the guest that the console belongs to; the guest's name is that table's.
        key: the key of that table, as error messages name it: `machine.0.guest.1`.
    """

    name: str
    guest: GuestConfig | VmConfig
    key: str


class Config(Table):
    """A whole configuration file. `load` makes it; all its paths are absolute then."""

    server: ServerConfig
    console: ConsoleConfig = Field(default_factory=ConsoleConfig)
    recording: RecordingConfig = Field(default_factory=RecordingConfig)
    audit: AuditConfig = Field(default_factory=AuditConfig)
    front: FrontConfig = Field(default_factory=FrontConfig)
    metrics: MetricsConfig = Field(default_factory=MetricsConfig)
    groups: Annotated[list[GroupConfig], Field(alias="group", max_length=10000)] = Field(
        default_factory=list,
        json_schema_extra=RELOADABLE,
    )
    grants: Annotated[list[GrantConfig], Field(alias="grant", max_length=10000)] = Field(
        default_factory=list,
        json_schema_extra=RELOADABLE,
    )
    machines: Annotated[list[MachineConfig], Field(alias="machine", max_length=1024)] = Field(default_factory=list)
    vms: Annotated[list[VmConfig], Field(alias="vm", max_length=10000)] = Field(default_factory=list)
    alerts: Annotated[list[AlertConfig], Field(alias="alert", max_length=100)] = Field(
        default_factory=list,
        json_schema_extra=RELOADABLE,
    )
    libvirts: Annotated[list[LibvirtConfig], Field(alias="libvirt", max_length=64)] = Field(default_factory=list)

    def machine(self, name: str) -> MachineConfig | None:
        """The machine with that name; None: there is none."""
        return next((m for m in self.machines if m.name == name), None)

    def socket_of(self, machine: MachineConfig) -> Path:
        """The UNIX socket to which the native half of a machine connects."""
        return machine.socket or self.server.state_dir / f"{machine.name}.sock"

    def vfio_socket_of(self, vm: VmConfig) -> Path:
        """The UNIX socket to which the VMM of a VM connects that has a card of ours."""
        own = vm.vfio_user.socket if vm.vfio_user else None
        return own or self.server.state_dir / f"{vm.name}.vfio"

    def keeper_socket_of(self, vm: VmConfig) -> Path:
        """The UNIX socket at which the server finds the keeper of a VM, the process that is the card."""
        return self.server.state_dir / f"{vm.name}.keeper"

    def vm(self, name: str) -> VmConfig | None:
        """The VM with that name; None: there is none."""
        return next((vm for vm in self.vms if vm.name == name), None)

    def libvirt(self, name: str) -> LibvirtConfig | None:
        """The libvirt host with that name; None: there is none."""
        return next((libvirt for libvirt in self.libvirts if libvirt.name == name), None)

    def consoles(self) -> Iterator[ConfiguredConsole]:
        """Every console that the file names. Those of libvirt's domains are missing: only libvirt knows them."""
        for m, machine in enumerate(self.machines):
            for g, guest in enumerate(machine.guests):
                for name in guest.console_names:
                    yield ConfiguredConsole(name, guest, f"machine.{m}.guest.{g}")
        for v, vm in enumerate(self.vms):
            for name in vm.console_names:
                yield ConfiguredConsole(name, vm, f"vm.{v}")

    @property
    def recordings(self) -> Path:
        """The folder in which consoles are recorded."""
        return self.recording.folder or self.server.state_dir / "recordings"

    @property
    def audit_file(self) -> Path:
        """The audit log's file that is written now."""
        return self.audit.file or self.server.state_dir / "audit.jsonl"

    @property
    def audit_key(self) -> Path:
        """The file of the audit log's private key, which the server makes when it is missing."""
        return self.audit.key or self.server.state_dir / "audit_ed25519_key"
