"""SSH as a kind of front, as the core sees it: where it listens, and which settings its processes get."""

from __future__ import annotations

from functools import partial

import asyncssh

from oobconsole import supervise
from oobconsole.config.schema import Config, ServerConfig
from oobconsole.front.ends import Unavailable
from oobconsole.front.kinds import Kind
from oobconsole.front.link import found, not_found
from oobconsole.front.relay import Keys
from oobconsole.ssh import auth, hostkeys, revoked
from oobconsole.ssh.auth import Trust
from oobconsole.ssh.settings import Settings, as_text, decode


def prepare(config: Config, before: bytes | None) -> bytes:
    """Read the files that `[server]` names, check that they can be used, and return the settings of a front.

    Args:
        before: the settings that SSH's fronts have now. The host key is read at the start only, so a disk that fails
            later does not keep anybody from a reload.

    Raises:
        EnvironmentFault: a file cannot be used.
    """
    server = config.server
    key = hostkeys.load_or_make(server.host_key_file) if before is None else host_key(before)
    files = {
        "host_certificate": server.host_certificate,
        "user_ca": server.user_ca,
        "revoked_keys": server.revoked_keys,
    }
    certificate, cas, revoking = _certificate(server, key), _cas(server), _revoked(server)
    return Settings(
        host_key=key.export_private_key("openssh").decode(),
        login_grace_s=server.login_grace_s,
        max_auth_tries=server.max_auth_tries,
        max_connections=server.max_connections,
        max_connections_per_source=server.max_connections_per_source,
        max_startups=server.max_startups,
        penalties=server.penalties,
        penalties_exempt=tuple(server.penalties_exempt),
        host_certificate=certificate,
        user_ca=cas,
        revoked_keys=revoking,
        files={name: str(path) for name, path in files.items() if path is not None},
    ).encode()


def host_key(settings: bytes) -> asyncssh.SSHKey:
    """Return the host key in the settings of a front. The local socket has the same host key."""
    return asyncssh.import_private_key(decode(settings).host_key)


def _certificate(server: ServerConfig, key: asyncssh.SSHKey) -> str | None:
    if server.host_certificate is None:
        return None
    hostkeys.load_certificate(server.host_certificate, key)
    return as_text(hostkeys.read_certificate(server.host_certificate))


def _cas(server: ServerConfig) -> str | None:
    if server.user_ca is None:
        return None
    data = auth.read_cas(server.user_ca)
    auth.parse_cas(data, server.user_ca)
    return as_text(data)


def _revoked(server: ServerConfig) -> str | None:
    if server.revoked_keys is None:
        return None
    data = revoked.read(server.revoked_keys)
    revoked.check(data, server.revoked_keys)
    return as_text(data)


def keys(config: Config) -> Keys:
    """Return the function that answers a front's questions for users' keys."""
    server = config.server
    trust = Trust(server.authorized_keys, reserved=server.not_users_keys, strict=server.strict_modes)
    return partial(_keys, trust)


def _keys(trust: Trust, user: str) -> bytes:
    try:
        return found(trust.keys(user))
    except Unavailable as error:
        return not_found(str(error), ours=error.ours)
    except Exception as error:  # whatever it is: the front waits for an answer
        supervise.tell("reading a user's keys", error)
        return not_found("a bug in oobconsole; the server's log has more", ours=True)


KIND = Kind(
    name="ssh",
    module="oobconsole.ssh.worker",
    listen=lambda config: config.server.listen,
    prepare=prepare,
    keys=keys,
    connections=lambda config: config.server.max_connections,
)
