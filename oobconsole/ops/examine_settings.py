"""What a valid configuration may still get wrong: users without keys, grants for nobody or nothing, alerts
that can do nothing."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

from oobconsole import userkeys
from oobconsole.config.schema import Config
from oobconsole.ops.finding import Finding, Level


def _is_pattern(name: str) -> bool:
    return any(mark in name for mark in "*?[")


def users(config: Config) -> Iterator[Finding]:
    """Yield users who are named and cannot log in, users who can log in and are named nowhere, and files that let
    nobody in."""
    server = config.server
    folder = server.authorized_keys
    named = {user for grant in config.grants for user in grant.users}
    named |= {user for group in config.groups for user in group.members}
    can: dict[str, Path] = {}
    for found in userkeys.survey(folder, server.not_users_keys):
        if found.user is None:
            yield Finding(Level.WARNING, str(found.path), f"lets nobody in: it {found.why}", _mend(found))
        else:
            can[found.user] = found.path
            yield from _usable(found.path, strict=server.strict_modes)
    for user in sorted(name for name in named if not _is_pattern(name)):
        if why := userkeys.why_no_user(user):
            yield Finding(Level.WARNING, f"user {user}", f"can never log in: the name {why}", "name another user")
        elif user not in can and server.user_ca is None and not _is_explained(folder, user):
            text = "has grants, and no key to log in with"
            yield Finding(Level.WARNING, f"user {user}", text, f"cp THEIR_KEY.pub {folder / user}")
    for user, file in sorted(can.items()):
        if not any(fnmatchcase(user, name) for name in named):
            yield Finding(
                Level.WARNING,
                str(file),
                f"user {user} can log in, and may do nothing",
                f'add a [[grant]] with users = ["{user}"], or rm {file}',
            )


def _usable(file: Path, *, strict: bool) -> Iterator[Finding]:
    """Yield why a login would not use the file, except for what `examine_host.files` says already."""
    try:
        userkeys.lines(file, strict=strict)
    except userkeys.Unusable as error:
        if os.access(file, os.R_OK) and not stat.S_IMODE(file.stat().st_mode | file.parent.stat().st_mode) & 0o022:
            about, _, reason = str(error).partition(": ")
            yield Finding(Level.FAULT, about, f"lets nobody in: it {reason}", f"mend {file}")


def _is_explained(folder: Path, user: str) -> bool:
    """Return whether there is a file of that name. Then another finding says why it lets nobody in."""
    return any((folder / name).exists() for name in (user, f"{user}.pub"))


def _mend(found: userkeys.Found) -> str:
    if found.path.is_file() and not found.path.stat().st_size:
        return f"cp THEIR_KEY.pub {found.path}"
    return f"mv {found.path} to another folder, or rm it"


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
    for number, grant in enumerate(config.grants):
        yield from _for_no_console(config, f"grant.{number}.consoles", grant.consoles)


def alerts(config: Config) -> Iterator[Finding]:
    """Alerts whose program is not there, and those that wait at no console."""
    for number, alert in enumerate(config.alerts):
        if alert.command is not None and shutil.which(alert.command[0]) is None:
            text = f"alert {alert.name}: '{alert.command[0]}' is no program that can be run"
            yield Finding(Level.FAULT, f"alert.{number}.command", text, "install it, or write its whole path")
        yield from _for_no_console(config, f"alert.{number}.consoles", alert.consoles)


def _for_no_console(config: Config, key: str, patterns: list[str]) -> Iterator[Finding]:
    if config.libvirts:
        return  # what there will be, only libvirt knows
    names = [console.name for console in config.consoles()]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            there = f"there are: {', '.join(names[:8])}{', …' if len(names) > 8 else ''}"
            yield Finding(Level.WARNING, key, f"'{pattern}' matches no console", there)
