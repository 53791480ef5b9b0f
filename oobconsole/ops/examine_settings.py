"""What a valid configuration may still get wrong: users without keys, grants for nobody or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from oobconsole.ops.finding import Finding, Level
from oobconsole.settings import Config


def _key_files(folder: Path) -> dict[str, Path]:
    """By user."""
    return {file.name.removesuffix(".pub"): file for file in folder.iterdir() if not file.name.startswith(".")}


def _is_pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")


def users(config: Config) -> Iterator[Finding]:
    """Who is named and cannot log in; who can log in and is named nowhere."""
    folder = config.server.authorized_keys
    files = _key_files(folder)
    named = {user for grant in config.grants for user in grant.users}
    named |= {user for group in config.groups for user in group.members}
    for user in sorted(name for name in named if not _is_pattern(name)):
        file = files.get(user)
        if file is None and config.server.user_ca is None:
            yield Finding(
                Level.WARNING,
                f"user {user}",
                "has grants, and no key to log in with",
                f"cp THEIR_KEY.pub {folder / user}",
            )
        elif file is not None and file.stat().st_size == 0:
            yield Finding(Level.WARNING, str(file), "is empty: nobody logs in with it", f"cp THEIR_KEY.pub {file}")
    for user, file in sorted(files.items()):
        if not any(fnmatchcase(user, name) for name in named):
            yield Finding(
                Level.WARNING,
                str(file),
                f"user {user} can log in, and may do nothing",
                f'add a [[grant]] with users = ["{user}"], or rm {file}',
            )


def grants(config: Config) -> Iterator[Finding]:
    """Groups and grants that have no effect."""
    used = {name for grant in config.grants for name in grant.groups}
    for group in config.groups:
        if group.name not in used:
            yield Finding(
                Level.WARNING, f"group {group.name}", "no [[grant]] names it", "add one, or remove the group"
            )
    if not config.grants:
        yield Finding(
            Level.WARNING,
            "[[grant]]",
            "there is none: nobody may do anything over ssh",
            'add [[grant]] with users = ["NAME"] and rights = "all"',
        )
    names = [name for machine in config.machines for guest in machine.guests for name in guest.console_names]
    for number, grant in enumerate(config.grants):
        for pattern in grant.consoles:
            if not any(fnmatchcase(name, pattern) for name in names):
                yield Finding(
                    Level.WARNING,
                    f"grant.{number}.consoles",
                    f"'{pattern}' matches no console",
                    f"there are: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}",
                )
