"""The configuration file: TOML, validated before anything acts on it."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from oobconsole.errors import ConfigError
from oobconsole.interceptors.wire import NAME

#: Words that mean, or are to mean, something else where a console's name can stand.
RESERVED: Final = frozenset(
    {"attach", "events", "help", "log", "ls", "power", "replay", "send", "wait", "watch", "who"}
)
_PATHS: Final = ("state_dir", "authorized_keys", "host_key")
_PORTS_MAX: Final = 8  # native/tcg/options.h
#: The four COM ports of a PC: I/O base and ISA interrupt.
COM: Final = {"com1": (0x3F8, 4), "com2": (0x2F8, 3), "com3": (0x3E8, 4), "com4": (0x2E8, 3)}


def _name(value: str) -> str:
    if not NAME.fullmatch(value) or value in RESERVED:
        raise ValueError(
            f"{value!r} cannot be a name: 1 to 47 of A-Z, a-z, 0-9, '_', '.', '-', beginning with a letter or digit, "
            f"and not one of {', '.join(sorted(RESERVED))}"
        )
    return value


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


def _one_or_more(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


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


Name = Annotated[str, AfterValidator(_name)]
Address = Annotated[str, AfterValidator(_address)]
FilePath = Annotated[Path, BeforeValidator(_path)]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class UartConfig(_Table):
    """A UART of a guest: I/O base (a multiple of 8, from 0x100) and ISA interrupt."""

    port: Annotated[int, Field(ge=0x100, le=0xFFF8, multiple_of=8)]
    irq: Annotated[int, Field(ge=1, le=15)]


class GuestConfig(_Table):
    """An L2. Its first UART's console has its name, another one `NAME.com2`, or `NAME.2e0` by its port."""

    name: Name
    uarts: Annotated[list[Annotated[UartConfig, BeforeValidator(_uart)]], Field(min_length=1, max_length=8)] = Field(
        default_factory=lambda: [UartConfig(port=0x3F8, irq=4)]
    )

    @property
    def console_names(self) -> list[str]:
        """One for each UART."""
        known = {port: com for com, (port, _) in COM.items()}
        return [self.name, *(f"{self.name}.{known.get(uart.port, f'{uart.port:x}')}" for uart in self.uarts[1:])]


class MachineConfig(_Table):
    """An L1: how its guests' accesses reach us, and the guests, in the order in which they appear."""

    name: Name
    interceptor: Literal["tcg", "memory"] = "tcg"
    socket: FilePath | None = None
    spin_us: Annotated[int, Field(ge=0, le=1000)] = 200
    hide_registers: bool = True
    guests: Annotated[list[GuestConfig], Field(alias="guest", min_length=1, max_length=256)]


class ServerConfig(_Table):
    """The server itself."""

    listen: Annotated[list[Address], BeforeValidator(_one_or_more), Field(min_length=1, max_length=16)] = Field(
        default_factory=lambda: ["127.0.0.1:2222"]
    )
    state_dir: FilePath
    authorized_keys: FilePath
    host_key: FilePath | None = None
    scrollback_kib: Annotated[int, Field(ge=4, le=65536)] = 256
    tail_lines: Annotated[int, Field(ge=0, le=10000)] = 50
    drain_ms: Annotated[int, Field(ge=10, le=60000)] = 300
    drain_max_s: Annotated[int, Field(ge=1, le=3600)] = 60
    max_connections: Annotated[int, Field(ge=1, le=100000)] = 1000
    login_grace_s: Annotated[int, Field(ge=1, le=600)] = 60
    log: Literal["console", "json"] = "console"

    @property
    def host_key_file(self) -> Path:
        """Where the SSH host key is, or is to be made."""
        return self.host_key or self.state_dir / "ssh_host_ed25519_key"


class Config(_Table):
    """The whole file."""

    server: ServerConfig
    machines: Annotated[list[MachineConfig], Field(alias="machine", min_length=1, max_length=1024)]

    def machine(self, name: str) -> MachineConfig | None:
        """The machine with that name."""
        return next((m for m in self.machines if m.name == name), None)

    def socket_of(self, machine: MachineConfig) -> Path:
        """The UNIX socket that its native half connects to."""
        return machine.socket or self.server.state_dir / f"{machine.name}.sock"


def ports_of(machine: MachineConfig) -> list[UartConfig]:
    """Every UART that a guest of the machine has, once, for the native half's options."""
    by_port = {uart.port: uart for guest in machine.guests for uart in guest.uarts}
    return [by_port[port] for port in sorted(by_port, reverse=True)]


def load(file: Path) -> Config:
    """Read, validate and resolve a configuration file; relative paths are relative to the file.

    Raises:
        ConfigError: with the file, the key and the reason.
    """
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(str(file), "", error.strerror or "cannot be read") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(file), "", f"is not TOML: {error}") from error
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"] if not str(part).startswith("function-"))
        raise ConfigError(str(file), key, _reason(first["type"], first["msg"])) from error
    config = _resolve(config, file.resolve().parent)
    fault = _conflict(config) or _keys_missing(config)
    if fault is not None:
        raise ConfigError(str(file), *fault)
    return config


def _conflict(config: Config) -> tuple[str, str] | None:
    """Key and reason of the first thing that stands twice and must not."""
    names: dict[str, set[str]] = {"machine": set(), "console": set(), "socket": set()}

    def repeated(kind: str, name: str) -> str | None:
        if name in names[kind]:
            return f"another {kind} is '{name}' already"
        names[kind].add(name)
        return None

    for m, machine in enumerate(config.machines):
        key = f"machine.{m}"
        if reason := repeated("machine", machine.name):
            return f"{key}.name", reason
        if reason := repeated("socket", str(config.socket_of(machine))):
            return f"{key}.socket", reason
        if reason := _ports_conflict(machine):
            return f"{key}.guest", reason
        for g, guest in enumerate(machine.guests):
            for name in guest.console_names:
                if reason := repeated("console", name):
                    return f"{key}.guest.{g}.name", reason
    return None


def _ports_conflict(machine: MachineConfig) -> str | None:
    """What the native half, which knows one interrupt for each port of a machine, could not do."""
    irqs: dict[int, int] = {}
    for guest in machine.guests:
        if len({uart.port for uart in guest.uarts}) < len(guest.uarts):
            return f"two UARTs of '{guest.name}' have the same port"
        for uart in guest.uarts:
            if irqs.setdefault(uart.port, uart.irq) != uart.irq:
                return f"port {uart.port:#x} has two interrupts, {irqs[uart.port]} and {uart.irq}: a machine has one"
    return f"more than {_PORTS_MAX} different ports in one machine" if len(irqs) > _PORTS_MAX else None


def _reason(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such key"
    if kind == "missing":
        return "is needed"
    return message.removeprefix("Value error, ")


def _keys_missing(config: Config) -> tuple[str, str] | None:
    folder = config.server.authorized_keys
    if os.access(folder, os.R_OK | os.X_OK) and folder.is_dir():
        return None
    reason = f"{folder} is no folder that can be read: make it, with one file of public keys for each user"
    return "server.authorized_keys", reason


def _resolve(config: Config, base: Path) -> Config:
    """Make every path absolute."""
    server = config.server
    paths = {key: base / path for key in _PATHS if (path := getattr(server, key)) is not None}
    machines = [m.model_copy(update={"socket": base / m.socket}) if m.socket else m for m in config.machines]
    return config.model_copy(update={"server": server.model_copy(update=paths), "machines": machines})
