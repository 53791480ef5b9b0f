"""The configuration file: TOML, validated before anything acts on it."""

from __future__ import annotations

import ipaddress
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from oobconsole.errors import ConfigError

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,46}")
#: Words that mean something else where a console's name could stand.
RESERVED: Final = frozenset({"ls", "help"})
#: The four COM ports of a PC: I/O base and ISA interrupt.
COM: Final = {"com1": (0x3F8, 4), "com2": (0x2F8, 3), "com3": (0x3E8, 4), "com4": (0x2E8, 3)}


def _name(value: str) -> str:
    if not _NAME.fullmatch(value) or value in RESERVED:
        raise ValueError(
            f"'{value}' cannot be a name: 1 to 47 of a-z, 0-9, '_', '.', '-', beginning with a letter or digit, "
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
        raise ValueError(f"'{value}' is no address: write it as 127.0.0.1:2222 or [::1]:2222")
    return value


def _path(value: Any) -> Any:
    if isinstance(value, str) and value and "\0" not in value:
        return Path(value)
    raise ValueError("a path, as a string, is wanted")


def _uart(value: Any) -> Any:
    if isinstance(value, str):
        if value not in COM:
            raise ValueError(f"'{value}' is no UART: com1 to com4, or a table with port and irq")
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
    """An L2. Its first UART's console has its name, the others `NAME.2`, `NAME.3` and so on."""

    name: Name
    uarts: Annotated[list[Annotated[UartConfig, BeforeValidator(_uart)]], Field(min_length=1, max_length=8)] = Field(
        default_factory=lambda: [UartConfig(port=0x3F8, irq=4)]
    )

    @property
    def console_names(self) -> list[str]:
        """One for each UART."""
        return [self.name if i == 0 else f"{self.name}.{i + 1}" for i in range(len(self.uarts))]


class MachineConfig(_Table):
    """An L1: how its guests' accesses reach us, and the guests, in the order in which they appear."""

    name: Name
    interceptor: Literal["tcg", "memory"] = "tcg"
    socket: FilePath | None = None
    spin_us: Annotated[int, Field(ge=0, le=1000)] = 100
    guests: Annotated[list[GuestConfig], Field(alias="guest", min_length=1, max_length=256)]


class ServerConfig(_Table):
    """The server itself."""

    listen: Address = "127.0.0.1:2222"
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


class Config(_Table):
    """The whole file."""

    server: ServerConfig
    machines: Annotated[list[MachineConfig], Field(alias="machine", min_length=1, max_length=1024)]

    @model_validator(mode="after")
    def _unique(self) -> Config:
        seen: set[str] = set()
        for machine in self.machines:
            ports: set[int]
            if f"machine {machine.name}" in seen:
                raise ValueError(f"two machines have the name '{machine.name}'")
            seen.add(f"machine {machine.name}")
            for guest in machine.guests:
                ports = {uart.port for uart in guest.uarts}
                if len(ports) != len(guest.uarts):
                    raise ValueError(f"two UARTs of guest '{guest.name}' have the same port")
                for name in guest.console_names:
                    if name in seen:
                        raise ValueError(f"two consoles have the name '{name}'")
                    seen.add(name)
        return self

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
    return _resolve(config, file)


def _reason(kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        return "there is no such key"
    if kind == "missing":
        return "is needed"
    return message.removeprefix("Value error, ")


def _resolve(config: Config, file: Path) -> Config:
    base = file.resolve().parent
    server = config.server
    update: dict[str, Any] = {
        "state_dir": base / server.state_dir,
        "authorized_keys": base / server.authorized_keys,
        "host_key": base / (server.host_key or server.state_dir / "ssh_host_ed25519_key"),
    }
    if not update["authorized_keys"].is_dir():
        raise ConfigError(
            str(file),
            "server.authorized_keys",
            f"{update['authorized_keys']} is no folder: make it, with one file of public keys for each user",
        )
    machines = [
        machine.model_copy(update={"socket": base / machine.socket}) if machine.socket else machine
        for machine in config.machines
    ]
    return config.model_copy(update={"server": server.model_copy(update=update), "machines": machines})
