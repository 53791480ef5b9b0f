"""What the tables of a configuration file have in common, and the kinds of values that many of them have."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.config import JsonDict
from pydantic.fields import FieldInfo

from oobconsole.verbs import VERBS

#: What a name of a machine or console may be. The wire carries names of machines (docs/wire-protocol.md).
NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,46}")
#: `Field(json_schema_extra=RELOADABLE)` says that the key, or the table, may change while the server runs. A reload
#: refuses a change of anything else, because the server was built from it (`app/reload.py`).
RELOADABLE: Final[JsonDict] = {"reloadable": True}


def is_reloadable(field: FieldInfo) -> bool:
    """Return whether a reload of the configuration may change a key, or a table, while the server runs."""
    extra = field.json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("reloadable"))


def _name(value: str) -> str:
    if not NAME.fullmatch(value) or value in VERBS:
        raise ValueError(
            f"{value!r} cannot be a name: 1 to 47 of A-Z, a-z, 0-9, '_', '.', '-', beginning with a letter or digit, "
            f"and not one of {', '.join(sorted(VERBS))}"
        )
    return value


def one_or_more(value: Any) -> Any:
    """Take one string for a list with that string."""
    return [value] if isinstance(value, str) else value


def _no_empty(words: list[str]) -> list[str]:
    if not all(word.strip() for word in words):
        raise ValueError("an empty name means nobody and nothing: write a name, or leave it out")
    return words


def _command(words: list[str]) -> list[str]:
    if not words[0] or any("\0" in word for word in words):
        raise ValueError("a program, which has a name, and its arguments are wanted, without NUL characters")
    return words


Name = Annotated[str, AfterValidator(_name)]
Words = Annotated[list[str], BeforeValidator(one_or_more), AfterValidator(_no_empty)]
Command = Annotated[list[str], Field(min_length=1, max_length=64), AfterValidator(_command)]


class Table(BaseModel):
    """A table of the file. An unknown key is an error, and no value is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
