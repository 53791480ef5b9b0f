"""The reference of the configuration file, made from its types: `python -m oobconsole.ops.reference`.

Markdown, as `docs/man/oobconsole.toml.5.md` holds it; a test says when that one is stale.
"""

from __future__ import annotations

import inspect
import textwrap
import types
import typing
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from annotated_types import Ge, Le, MaxLen, MinLen, MultipleOf
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from oobconsole.config.alerts import AlertConfig
from oobconsole.config.guests import (
    ConsoleConfig,
    GuestConfig,
    LibvirtConfig,
    MachineConfig,
    PowerConfig,
    SerialConfig,
    UartConfig,
    VfioUserConfig,
    VmConfig,
)
from oobconsole.config.schema import (
    AuditConfig,
    Config,
    FrontConfig,
    GrantConfig,
    GroupConfig,
    MetricsConfig,
    RecordingConfig,
    ServerConfig,
)
from oobconsole.config.table import Table, is_reloadable

#: Every table, by the way in which the file writes it, in the order of the example.
TABLES: Final[dict[str, type[Table]]] = {
    "[server]": ServerConfig,
    "[console]": ConsoleConfig,
    "[recording]": RecordingConfig,
    "[audit]": AuditConfig,
    "[front]": FrontConfig,
    "[metrics]": MetricsConfig,
    "[[group]]": GroupConfig,
    "[[grant]]": GrantConfig,
    "[[machine]]": MachineConfig,
    "[[machine.guest]]": GuestConfig,
    "uarts = [{ … }]": UartConfig,
    "[[vm]]": VmConfig,
    "serial = { … }": SerialConfig,
    "vfio_user = { … }": VfioUserConfig,
    "[[libvirt]]": LibvirtConfig,
    "power = { … }": PowerConfig,
    "[[alert]]": AlertConfig,
}
#: As wide as lines of Markdown may be (docs/coding-style.md).
COLUMNS: Final = 100
_WORDS: Final = {str: "string", int: "integer", bool: "boolean", Path: "path"}

HEAD: Final = """\
# oobconsole.toml 5 "" "oobconsole" "File Formats"

# NAME

oobconsole.toml - configuration of the out-of-band console server

# DESCRIPTION

The configuration is a TOML file, by default */etc/oobconsole/oobconsole.toml*. Unknown keys and
wrong types are errors. Relative paths are relative to the file.

How is it checked? *oobconsole check* validates the file. *oobconsole doctor* also looks at what the
file names, and says what mends each fault.

How does a change take effect? By *oobconsole reload*, or by SIGHUP. If anything is wrong, nothing
changes, and the log says what is wrong. A key that this page calls *reloadable* can be changed so.
Where everything in a table is reloadable, such tables can also be added and removed. Any other
change needs a restart: a reload then changes nothing, and the log names the keys.
"""
FOOT: Final = """
# SEE ALSO

**oobconsole**(1)
"""


def markdown() -> str:
    """The whole manual page, in the Markdown that go-md2man reads."""
    return HEAD + "".join(_section(title, table) for title, table in TABLES.items()) + FOOT


def _section(title: str, table: type[Table]) -> str:
    paragraphs = inspect.cleandoc(table.__doc__ or "").split("\n\n")
    if table in _reloadable_tables():
        paragraphs.append("Everything in this table is reloadable.")
    about = "\n\n".join(_filled(_escaped(paragraph)) for paragraph in paragraphs)
    entries = "".join(_entry(key, field) for key, field in keys(table))
    return f"\n# {_escaped(title)}\n\n{about}\n{entries}"


def _reloadable_tables() -> list[type[Table]]:
    """The tables that a reload takes as a whole, whatever changes in them."""
    lists = [_bare(field.annotation) for field in Config.model_fields.values() if is_reloadable(field)]
    return [typing.get_args(kind)[0] for kind in lists]


def keys(table: type[Table]) -> Iterator[tuple[str, FieldInfo]]:
    """The keys that a table may have in the file, with their fields. Keys that are tables of TABLES are left out."""
    own = tuple(TABLES.values())
    for name, field in table.model_fields.items():
        inner = _bare(field.annotation)
        listed = typing.get_args(inner)[0] if typing.get_origin(inner) is list else None
        if field.alias is None or _bare(listed) not in own:
            yield field.alias or name, field


def _entry(key: str, field: FieldInfo) -> str:
    reloadable = "reloadable" if is_reloadable(field) else ""
    facts = ", ".join(filter(None, (_type(field.annotation), _bounds(field.metadata), _default(field), reloadable)))
    meaning = _escaped((field.description or "").strip())
    return f"\n**{_escaped(key)}** ({facts})\n" + _filled(f": {meaning[:1].upper()}{meaning[1:]}.") + "\n"


def _filled(text: str) -> str:
    """The text in lines of at most COLUMNS characters."""
    return textwrap.fill(text, COLUMNS, break_long_words=False, break_on_hyphens=False)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value is PydanticUndefined or (value == [] or value == {}):
        return "none by default"
    return f"default {_escaped(_value(value))}"


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    if isinstance(value, Table):
        return "{ " + ", ".join(f"{key} = {_value(item)}" for key, item in value) + " }"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _bare(kind: Any) -> Any:
    """A type without its annotations, and without `| None`."""
    if typing.get_origin(kind) is typing.Annotated:
        return _bare(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        return _bare(next(part for part in typing.get_args(kind) if part is not type(None)))
    return kind


def _type(kind: Any) -> str:
    kind = _bare(kind)
    if typing.get_origin(kind) is list:
        return f"list of {_type(typing.get_args(kind)[0])}s"
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(_value(word) for word in typing.get_args(kind))
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return "string"
    return _WORDS.get(kind, "table")


def _bounds(metadata: list[Any]) -> str:
    low = next((m.ge for m in metadata if isinstance(m, Ge)), None)
    high = next((m.le for m in metadata if isinstance(m, Le)), None)
    multiple = next((f"a multiple of {m.multiple_of}" for m in metadata if isinstance(m, MultipleOf)), "")
    few = next((m.min_length for m in metadata if isinstance(m, MinLen)), None)
    many = next((m.max_length for m in metadata if isinstance(m, MaxLen)), None)
    length = f"{few or 0} to {many} long" if many is not None else ""
    return ", ".join(filter(None, (f"{low} to {high}" if high is not None else "", multiple, length)))


def _escaped(text: str) -> str:
    for mark in ("\\", "*", "_", "`", "<", "["):
        text = text.replace(mark, "\\" + mark)
    return text


if __name__ == "__main__":
    print(markdown(), end="")
