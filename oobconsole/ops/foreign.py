"""Names what lies in the server's folders and is not the server's: once at each start. It is left alone.

These functions read folders and wait for the disk: call them in a thread.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import structlog

from oobconsole.audit.files import closed_names
from oobconsole.config.schema import Config
from oobconsole.recording.recordings import is_console_name
from oobconsole.recording.segments import is_ours

log = structlog.get_logger(__name__)

#: How many names of each folder are logged.
NAMED_MAX: Final = 10
#: What the server makes in its state_dir, whatever the configuration says.
_STATE: Final = ("ssh_port", "metrics_port")


class Foreign(NamedTuple):
    """The things in a folder that are not ours.

    Attributes:
        folder: the folder.
        how_many: how many such things are there.
        first: the first NAMED_MAX of their names, in order.
    """

    folder: Path
    how_many: int
    first: list[str]


def tell(config: Config) -> None:
    """Log what is not ours in the server's folders. Nothing is opened: opening a FIFO would wait for its other
    end."""
    for found in survey(config):
        log.warning(
            "files that are not oobconsole's lie here; they are left alone: move them away",
            folder=str(found.folder), how_many=found.how_many, first=found.first,
        )  # fmt: skip


def survey(config: Config) -> Iterator[Foreign]:
    """Yield what is not ours in the state_dir, in the folder of recordings, and in the recording of each console."""
    state, recordings = config.server.state_dir, config.recordings
    known, audit = _known(config), closed_names(config.audit_file)
    yield from _look(
        state, lambda entry: entry.name in known or (bool(audit.fullmatch(entry.name)) and entry.is_file())
    )
    if config.recording.enabled:
        yield from _look(recordings, _is_recording)
        for name in sorted(_names(recordings)):
            yield from _look(recordings / name, lambda entry: is_ours(entry.name) and entry.is_file())


def _names(recordings: Path) -> Iterable[str]:
    try:
        with os.scandir(recordings) as entries:
            return [entry.name for entry in entries if _is_recording(entry)]
    except OSError:
        return []  # the recorder logs that it cannot be read


def _look(folder: Path, ours: Callable[[os.DirEntry[str]], bool]) -> Iterator[Foreign]:
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if not ours(entry)]
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as error:
        log.warning("a folder cannot be looked into", folder=str(folder), reason=error.strerror)
        return
    if names:
        yield Foreign(folder, len(names), sorted(names)[:NAMED_MAX])


def _is_recording(entry: os.DirEntry[str]) -> bool:
    return is_console_name(entry.name) and entry.is_dir()


def _known(config: Config) -> set[str]:
    """The names in the state_dir that are ours, or that the configuration mentions."""
    vms, machines = config.vms, config.machines
    keys = (config.server.host_key_file, config.audit_key)
    paths = [*keys, *(key.with_name(f"{key.name}.pub") for key in keys), config.audit_file, config.recordings]
    paths += [config.server.admin_socket, *(config.server.state_dir / name for name in _STATE)]
    paths += [*map(config.socket_of, machines), *map(config.vfio_socket_of, vms)]
    paths += [path.with_name(path.name + end) for path in map(config.keeper_socket_of, vms) for end in ("", ".log")]
    below = f"{config.server.state_dir}/"
    texts = [*map(str, paths), *_texts(config.model_dump())]
    return {text.partition(below)[2].partition("/")[0] for text in texts if below in text}


def _texts(value: Any) -> Iterator[str]:
    """Every text in the configuration: sockets of lines are named in it as `unix:PATH`."""
    if isinstance(value, str | Path):
        yield str(value)
    elif isinstance(value, dict):
        yield from (text for each in value.values() for text in _texts(each))
    elif isinstance(value, list | tuple | set):
        yield from (text for each in value for text in _texts(each))
