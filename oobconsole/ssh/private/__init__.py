"""The only folder that uses what asyncssh does not document: its private methods and attributes, and its submodules.

asyncssh promises nothing about these, so a new version may change any of them. Everything else in `ssh` uses the
names below instead. `Connection` and `Channel` are asyncssh's classes with *hooks*: methods without an underscore
that a subclass overrides, and that asyncssh reaches through a private or undocumented method of the same purpose.
Each hook does what asyncssh does when it is not overridden.

All of it works with the versions in `TRIED`. `tests/unit/ssh/test_private.py` fails when the installed version lacks
something, or when a private method has other arguments; `make asyncssh` runs the SSH tests with each version of
`TRIED`. To allow a newer version: add it to `TRIED`, run `make asyncssh`, mend this folder, then raise the bound in
`pyproject.toml`.
"""

from __future__ import annotations

from typing import Final

from asyncssh.constants import (
    MSG_CHANNEL_EOF,
    MSG_IGNORE,
    MSG_SERVICE_ACCEPT,
    MSG_USERAUTH_LAST,
    OPEN_RESOURCE_SHORTAGE,
)
from asyncssh.misc import TermModes, TermSize
from asyncssh.packet import PacketDecodeError, SSHPacket, String
from asyncssh.public_key import SSHOpenSSHCertificate, decode_ssh_certificate, decode_ssh_public_key

from oobconsole.ssh.private.certificates import id_of, is_host_certificate, serial_of, validity_of
from oobconsole.ssh.private.channel import Channel
from oobconsole.ssh.private.connection import Connection

#: The versions of asyncssh with which the SSH tests were run: all that `pyproject.toml` allows. 2.24.0 is not among
#: them: it has no limit of a packet's length that could be set.
TRIED: Final = ("2.24.1",)

__all__ = [
    "MSG_CHANNEL_EOF",
    "MSG_IGNORE",
    "MSG_SERVICE_ACCEPT",
    "MSG_USERAUTH_LAST",
    "OPEN_RESOURCE_SHORTAGE",
    "TRIED",
    "Channel",
    "Connection",
    "PacketDecodeError",
    "SSHOpenSSHCertificate",
    "SSHPacket",
    "String",
    "TermModes",
    "TermSize",
    "decode_ssh_certificate",
    "decode_ssh_public_key",
    "id_of",
    "is_host_certificate",
    "serial_of",
    "validity_of",
]
