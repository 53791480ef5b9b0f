"""Reading the configuration again while the server runs: all of it, or nothing.

First every part of the server reads what the new configuration names for it (`Prepare`). Only when all of them could,
they take it, one after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from inspect import isawaitable
from pathlib import Path
from typing import Any, NamedTuple

import structlog

from oobconsole.access import Principal
from oobconsole.config.guests import ConsoleConfig
from oobconsole.config.load import access_of, load
from oobconsole.config.schema import Config
from oobconsole.config.table import Table, is_reloadable
from oobconsole.errors import ConfigError, OobError
from oobconsole.events import Events, Kind
from oobconsole.session.services import Services

log = structlog.get_logger(__name__)

#: Reads what a new configuration names for one part of the server, and changes nothing yet. It raises `OobError` when
#: the part cannot be served so. What it returns has the part take the configuration, and does not fail; where that
#: takes time, it returns something to wait for.
Prepare = Callable[[Config], Awaitable[Callable[[], object]]]


class Reloader:
    """Knows which configuration the server runs with, and has all parts of the server take another one, or none.

    Args:
        file: is read again.
        config: what was in it.
        events: are told of each reload.
    """

    def __init__(self, file: Path, config: Config, events: Events) -> None:
        self._file = file
        self._config = config
        self._events = events
        self._parts: list[Prepare] = []
        self._lock = asyncio.Lock()

    def add(self, part: Prepare) -> None:
        """A part of the server that a configuration concerns. Parts take it in the order in which they were added."""
        self._parts.append(part)

    async def reload(self, who: Principal | None = None) -> str:
        """Read the file, and do what it says from now on; returns what has changed, for people.

        Raises:
            OobError: why nothing was changed.
        """
        async with self._lock:
            try:
                changed = await self._reload()
            except OobError as error:
                log.error(f"the configuration was not reloaded, and stays as it was: {error}")
                raise
        text = ", ".join(changed) or "nothing in the file; keys and certificates were read again"
        log.info("configuration reloaded", changed=changed, by=who.name if who else "SIGHUP")
        self._events.emit(Kind.RELOADED, who=who, changed=text)
        return f"reloaded: {text}"

    async def _reload(self) -> list[str]:
        new = await asyncio.to_thread(_load_again, self._file)
        changed = differences(self._config, new)
        fixed = [difference.key for difference in changed if not difference.reloadable]
        if fixed:
            raise ConfigError(str(self._file), ", ".join(fixed), "cannot change while the server runs: restart it")
        take = [await prepare(new) for prepare in self._parts]
        self._config = new  # from here on nothing fails
        taken = [part() for part in take]
        for part_taken in taken:
            if isawaitable(part_taken):
                await part_taken
        return [difference.key for difference in changed]


def _load_again(file: Path) -> Config:
    """Read the configuration again.

    Why is a pipe refused, though it may be read at the start? Reading it again could wait for ever, and each later
    reload would wait for this one, and so would the end of the server.
    """
    if file.exists() and not file.is_file():
        reason = "is no file, and cannot be read again: put a file there, or restart the server"
        raise ConfigError(str(file), "", reason)
    return load(file)


def part(take: Callable[[Config], object]) -> Prepare:
    """A part that has nothing to read before, and takes any configuration."""

    async def prepare(new: Config) -> Callable[[], object]:
        return partial(take, new)

    return prepare


def services_take(services: Services, new: Config) -> None:
    """Make sessions and guests follow a configuration: rights, limits, and how consoles behave."""
    services.access.grants = access_of(new).grants
    services.tail_lines = new.server.tail_lines
    services.drain_s = new.server.drain_ms / 1000
    services.drain_max_s = new.server.drain_max_s
    services.directory.configure(new)
    services.seats.recheck()


def _guest_settings(config: Config) -> Iterator[tuple[str, ConsoleConfig]]:
    """Yield how the consoles of each guest behave, by the name of the guest."""
    guests = {console.guest.name: console.guest for console in config.consoles()}
    return ((name, config.console.with_own(guest.console)) for name, guest in guests.items())


def _host_settings(config: Config) -> Iterator[tuple[str, ConsoleConfig]]:
    """Yield how the consoles of each libvirt host behave, by the name of the host."""
    return ((libvirt.name, config.console.with_own(libvirt.console)) for libvirt in config.libvirts)


class Difference(NamedTuple):
    """A key whose values differ between two configurations.

    Attributes:
        key: the dotted key, as in the file. Tables in a list are told apart by their names.
        reloadable: whether the key may change while the server runs, as the schema says
            (`oobconsole/config/table.py:RELOADABLE`). Everything else was used to build what is there.
    """

    key: str
    reloadable: bool


def differences(old: Config, new: Config) -> list[Difference]:
    """Return what differs between two configurations, in the order of the keys."""
    return sorted({*_differences(old, new), *_console_differences(old, new)})


def _console_differences(old: Config, new: Config) -> Iterator[Difference]:
    for of in (_guest_settings, _host_settings):
        before = dict(of(old))
        for name, settings in of(new):
            for field, value in before.get(name, settings):
                if value != getattr(settings, field):
                    yield Difference(f"console.{field}", is_reloadable(ConsoleConfig.model_fields[field]))


def _differences(old: Any, new: Any, path: str = "", *, reloadable: bool = False) -> Iterator[Difference]:
    """Yield what differs between two values at the place `path`. What is reloadable is compared as a whole."""
    if ConsoleConfig in (type(old), type(new)):
        return  # `_console_differences`: what counts is what a console has in the end
    if isinstance(old, Table) and isinstance(new, Table) and type(old) is type(new):
        for name, field in type(old).model_fields.items():
            below = _join(path, field.alias or name)
            yield from _differences(getattr(old, name), getattr(new, name), below, reloadable=is_reloadable(field))
    elif _named(old) and _named(new) and not reloadable:
        before, after = ({table.name: table for table in tables} for tables in (old, new))
        if list(before) != list(after):
            yield Difference(path, reloadable=False)
        for name in before.keys() & after.keys():
            yield from _differences(before[name], after[name], _join(path, name))
    elif old != new:
        yield Difference(path, reloadable)


def _named(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(hasattr(item, "name") for item in value)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
