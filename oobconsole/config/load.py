"""Reads a configuration file, validates it, and makes its paths absolute, before anything acts on it."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any, Final, TypeVar

from pydantic import ValidationError

from oobconsole import textfile
from oobconsole.access import ALL, Access, Grant, Right
from oobconsole.config import places
from oobconsole.config.guests import VmConfig
from oobconsole.config.schema import Config
from oobconsole.config.table import Table
from oobconsole.errors import ConfigError
from oobconsole.words import brief

_AnyTable = TypeVar("_AnyTable", bound=Table)
#: What `chardev` of a [[vm]] says about a line at a UNIX socket (`VmConfig.chardev`): how, and at which path.
_UNIX: Final = re.compile(r"(unix(?:-listen)?:)(.+)")


def load(file: Path) -> Config:
    """Read and validate a configuration file. Relative paths in it are made absolute, from the file's folder on.

    Raises:
        ConfigError: the file cannot be read or used; it names the file, the key and the reason.
    """
    try:
        raw = tomllib.loads(textfile.decode(file.read_bytes()))
    except OSError as error:
        raise ConfigError(
            str(file), "", error.strerror or "it cannot be read, for a reason that the system does not name"
        ) from error
    except textfile.NotText as error:
        raise ConfigError(str(file), "", str(error)) from error
    except RecursionError as error:
        raise ConfigError(
            str(file), "", "has lists or tables in each other, too many of them: write fewer levels"
        ) from error
    except ValueError as error:  # TOMLDecodeError, and what int() says of a number of 5,000 digits
        raise ConfigError(str(file), "", f"is not TOML: {error}") from error
    try:
        config = Config.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(brief(str(part)) for part in first["loc"] if not str(part).startswith("function-"))
        raise ConfigError(str(file), key, _reason(first["type"], first["msg"])) from error
    config = _resolve(config, file.resolve().parent)
    if not (config.machines or config.vms or config.libvirts):
        raise ConfigError(str(file), "", "no console: a [[machine]] with guests, a [[vm]] or a [[libvirt]] is needed")
    fault = _conflict(config) or _unknown_group(config) or _keys_missing(config)
    if fault is not None:
        raise ConfigError(str(file), *fault)
    return config


def _conflict(config: Config) -> tuple[str, str] | None:
    """Return the key and the reason of the first conflict: a name, a socket or a port that two tables have, or a
    place that two devices of a guest have. None means that there is no conflict."""
    names: dict[str, set[str]] = {"machine": set(), "console": set(), "socket": set(), "alert": set(), "port": set()}

    def repeated(kind: str, name: str) -> str | None:
        if name in names[kind]:
            return f"another {kind} is '{name}' already: each {kind} needs its own"
        names[kind].add(name)
        return None

    for m, machine in enumerate(config.machines):
        key = f"machine.{m}"
        if reason := repeated("machine", machine.name):
            return f"{key}.name", reason
        if reason := repeated("socket", str(config.socket_of(machine))):
            return f"{key}.socket", reason
        if reason := places.conflict(machine):
            return f"{key}.guest", reason
    for console in config.consoles():
        if reason := repeated("console", console.name):
            return f"{console.key}.name", reason
    for v, vm in enumerate(config.vms):
        if vm.vfio_user and (reason := repeated("socket", str(config.vfio_socket_of(vm)))):
            return f"vm.{v}.vfio_user.socket", reason
        # Two names of one port are found when it is opened: where links lead changes while the server runs.
        if vm.serial and (reason := repeated("port", _normal(vm.serial.device))):
            return f"vm.{v}.serial.device", reason
    for n, libvirt in enumerate(config.libvirts):
        if reason := repeated("machine", libvirt.name):
            return f"libvirt.{n}.name", reason
    for a, alert in enumerate(config.alerts):
        if reason := repeated("alert", alert.name):
            return f"alert.{a}.name", reason
    return None


def _normal(device: str) -> str:
    return device if "://" in device else os.path.normpath(device)


def _unknown_group(config: Config) -> tuple[str, str] | None:
    """Return the key and the reason of the first [[grant]] that names an unknown group, or nobody at all."""
    known = {group.name for group in config.groups}
    for number, grant in enumerate(config.grants):
        for name in grant.groups:
            if name not in known:
                return f"grant.{number}.groups", f"there is no group {brief(name)!r}: add a [[group]] with that name"
        if not grant.users and not grant.groups:
            return f"grant.{number}", "it names nobody: users or groups are needed"
    return None


def access_of(config: Config) -> Access:
    """Return who may do what, as the file's [[grant]]s and [[group]]s say."""
    members = {group.name: group.members for group in config.groups}
    return Access(
        tuple(
            Grant(
                (*grant.users, *(user for group in grant.groups for user in members[group])),
                tuple(grant.consoles),
                ALL if "all" in grant.rights else frozenset(map(Right, grant.rights)),
            )
            for grant in config.grants
        )
    )


def _reason(kind: str, message: str) -> str:
    """Return what to tell an administrator about pydantic's error of that kind (`extra_forbidden`, `missing`, …)."""
    if kind == "extra_forbidden":
        return "there is no such key: oobconsole.toml(5) has every key"
    if kind == "missing":
        return "is needed, and the file does not have it"
    return message.removeprefix("Value error, ")


def _keys_missing(config: Config) -> tuple[str, str] | None:
    """Return the key and the reason if the folder of users' keys cannot be read: nobody could log in then."""
    folder = config.server.authorized_keys
    if os.access(folder, os.R_OK | os.X_OK) and folder.is_dir():
        return None
    reason = f"{folder} is no folder that the server can read: make it, with one file of public keys for each user"
    return "server.authorized_keys", reason


def _resolve(config: Config, base: Path) -> Config:
    """Return the same configuration with absolute paths. A relative path is one from the folder `base`."""

    def absolute(value: Any) -> Any:
        if isinstance(value, Path):
            return base / value
        if isinstance(value, list):
            return [absolute(item) for item in value]
        return table(value) if isinstance(value, Table) else value

    def table(value: _AnyTable) -> _AnyTable:
        changed = {key: absolute(item) for key, item in value if item is not None}
        if isinstance(value, VmConfig) and (found := _UNIX.fullmatch(value.chardev or "")):
            changed["chardev"] = f"{found[1]}{base / found[2]}"
        return value.model_copy(update={k: v for k, v in changed.items() if v is not getattr(value, k)})

    return table(config)
