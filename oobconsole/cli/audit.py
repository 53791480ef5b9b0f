"""`oobconsole audit verify`, `head` and `show`: read the files of the audit log, and need no running server."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final

import typer

from oobconsole.audit import chain, files
from oobconsole.audit.verify import verify as check
from oobconsole.cli.place import config_file
from oobconsole.config.load import load
from oobconsole.errors import ConfigError, EnvironmentFault

audit_app = typer.Typer(
    no_args_is_help=True, help="The signed log of who did what: verify it, show its entries, print its head."
)

Files = Annotated[
    list[Path] | None,
    typer.Argument(help="files of the log, the oldest first; default: all files of the configured log"),
]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="the configuration file that names the log")]

_SHOWN_FIRST: Final = ("kind", "user", "console", "address")
_NOT_SHOWN: Final = frozenset({*_SHOWN_FIRST, "seq", "time", "prev", "hash", "sig"})


@audit_app.command()
def verify(
    ctx: typer.Context,
    names: Files = None,
    config: ConfigFile = None,
    key: Annotated[
        Path | None, typer.Option("--key", help="the public key; default: the configured key's .pub")
    ] = None,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", help="a hash that `head` printed earlier; the log must have an entry with it"),
    ] = None,
) -> None:
    """Look for entries that were changed, removed, reordered or cut off; exit status 1 if there are any.

    Without --head, entries that are missing at the end cannot be found: a log that was cut looks like a shorter one.
    """
    with _errors():
        public = chain.load_public_key(key or _configured_key(config_file(ctx, config)))
        which = _which(names, config_file(ctx, config))
        report = check(which, public, heads=head or (), whole=not names)
    for note in report.notes:
        typer.echo(f"note: {note}")
    for fault in report.faults:
        typer.echo(f"FAULT: {fault}")
    verdict = "NOT intact" if report.faults else "intact"
    typer.echo(f"{verdict}: {report.entries} entries in {len(which)} file(s), the last is {report.seq} {report.head}")
    typer.echo(f"signed by {chain.fingerprint(public)}")
    if not head:
        typer.echo("no --head was given: whether entries are missing at the end cannot be known")
    raise typer.Exit(1 if report.faults else 0)


@audit_app.command()
def head(ctx: typer.Context, names: Files = None, config: ConfigFile = None) -> None:
    """Print the last entry's number and hash. Keep them elsewhere, for `verify --head`."""
    with _errors():
        last = files.last_entry(_which(names, config_file(ctx, config))[-1])
        if last is None:
            raise EnvironmentFault(
                "the last line of the log is no entry: 'oobconsole audit verify' says what is wrong"
            )
    typer.echo(f"{last.seq} {last.hash}")


@audit_app.command()
def show(
    ctx: typer.Context,
    names: Files = None,
    config: ConfigFile = None,
    last: Annotated[int, typer.Option("--last", min=1, max=1_000_000, help="how many entries")] = 50,
) -> None:
    """Show the newest entries, one a line. This verifies nothing: `verify` does."""
    with _errors():
        entries = deque(
            (line for name in _which(names, config_file(ctx, config)) for line in files.lines(name)), maxlen=last
        )
    for line in entries:
        typer.echo(_readable(line))


def _readable(line: files.Line) -> str:
    """Return an entry as a line for people: number, time, kind, user, console, address, and the other fields."""
    try:
        entry = chain.decode(line.data.removesuffix(b"\n"))
    except chain.Damaged as error:
        return f"??? a line that {line.damage or error}"
    fields = entry.fields
    head = [str(fields.get(name, "-")) or "-" for name in _SHOWN_FIRST]
    rest = [f"{name}={_word(value)}" for name, value in fields.items() if name not in _NOT_SHOWN]
    time = str(fields.get("time"))[:19].replace("T", " ")
    return "  ".join([f"{entry.seq:>6}", time, f"{_word(head[0]):<14}", *map(_word, head[1:]), *rest])


def _word(value: object) -> str:
    """Return a value as it is shown. Nothing in it acts on a terminal, or looks like another field."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if text.isprintable() and " " not in text else json.dumps(text)


def _which(names: list[Path] | None, config: Path) -> list[Path]:
    """Return the files that were named, or all files of the configured log. Raises `EnvironmentFault` if there are
    none."""
    if names:
        return names
    file = load(config).audit_file
    found = files.all_of(file)
    if not found:
        raise EnvironmentFault(f"{file}: there is no audit log: name its files, or another --config")
    return found


def _configured_key(config: Path) -> Path:
    """Return the path of the public key: that of the configured private key, with `.pub` behind it."""
    private = load(config).audit_key
    return private.with_name(private.name + ".pub")


@contextmanager
def _errors() -> Iterator[None]:
    """Say what went wrong, and exit with status 2."""
    try:
        yield
    except (ConfigError, EnvironmentFault) as error:
        typer.echo(f"oobconsole: {error}", err=True)
        raise typer.Exit(2) from error
    except OSError as error:
        typer.echo(f"oobconsole: {error.filename}: {error.strerror or error}", err=True)
        raise typer.Exit(2) from error
