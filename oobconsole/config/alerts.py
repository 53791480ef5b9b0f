"""What a configuration file may say in `[[alert]]`."""

from __future__ import annotations

from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from oobconsole.config.table import Command, Name, Table, one_or_more
from oobconsole.patterns import BadPattern, compile_pattern


def _pattern(value: str) -> str:
    try:
        compile_pattern(value)
    except BadPattern as error:
        raise ValueError(f"{value[:64]!r} {error}") from error
    return value


def _url(value: str) -> str:
    try:
        parts = urlsplit(value)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or not value.isascii() or not value.isprintable() or " " in value or "@" in parts.netloc:
        raise ValueError(
            "it is no URL for alerts: write http://HOST:PORT/PATH or https://…, in ASCII, without a user's name"
        )
    return value


class AlertConfig(Table):
    """When a guest prints what matches a pattern, a program runs, or a URL gets JSON, or both (docs/alerts.md)."""

    name: Name = Field(description="the alert's name, which no other alert has")
    consoles: Annotated[list[str], BeforeValidator(one_or_more), Field(min_length=1, max_length=1000)] = Field(
        default_factory=lambda: ["*"], description="at which consoles: names, or patterns with * and ?"
    )
    pattern: Annotated[str, AfterValidator(_pattern)] = Field(
        description="a regular expression of characters, looked for in each line"
    )
    command: Command | None = Field(
        default=None,
        description=("a program and its arguments, without a shell between. It gets the alert on its standard input"),
    )
    url: Annotated[str, AfterValidator(_url)] | None = Field(
        default=None,
        description=(
            "an address with http or https to which the alert is posted as JSON. Redirects are not followed"
        ),
    )
    min_seconds: int = Field(
        default=60,
        ge=0,
        le=86400,
        description=(
            "the least time, in seconds, between two of its alerts at one console. What matches meanwhile is counted"
        ),
    )
    timeout_s: int = Field(
        default=30, ge=1, le=600, description="after how many seconds a program or a post is ended, and has failed"
    )

    @model_validator(mode="after")
    def _does_something(self) -> Self:
        if self.command is None and self.url is None:
            raise ValueError("it does nothing: write command, url or both")
        return self
