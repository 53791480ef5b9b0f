"""One SSH connection from its first packet on: who is the user, what may the user open, and why was a client
refused?"""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Final, TypeVar

import asyncssh
import structlog

from oobconsole.access import Principal
from oobconsole.front import ends
from oobconsole.front.ends import Core, SessionEnd
from oobconsole.log.log import USER_LINES, USERS_MAX, LogLimits
from oobconsole.ssh import auth
from oobconsole.ssh.algorithms import SIGNATURES
from oobconsole.ssh.auth import Allowed, Offered, Trust
from oobconsole.ssh.channel import Channel
from oobconsole.ssh.gate import Gate, Offence
from oobconsole.ssh.private import PacketDecodeError
from oobconsole.ssh.settings import Settings
from oobconsole.ssh.transport import TooMuch, Transport

log = structlog.get_logger(__name__)

T = TypeVar("T")

_SESSIONS_MAX: Final = 10  # sessions of one connection, as in OpenSSH's MaxSessions
#: The same, with sessions that have ended but that the client has not closed: it may still be reading their output.
_CHANNELS_MAX: Final = 40
#: One user may have at most this part (a fourth) of the sessions that all users together may have, so that a user who
#: fills them keeps nobody else out.
_USERS_SHARE: Final = 4
_USER_SHOWN: Final = 64  # characters of a user name in the log
#: A refused key is answered after so many seconds at least, and a random part of them more, so that the time does not
#: tell which users exist (OpenSSH's auth2.c, `auth_failure_delay`).
_REFUSAL_SECONDS: Final = 0.005
_DISMISS_SECONDS: Final = 1.0  # for a client to read the reason, and as long again to leave by itself
_TIMER_SECONDS: Final = 0.1  # a timer may expire a little early
#: The errors that asyncssh raises about bytes that are not SSH, or break its rules.
_NOT_SSH: Final = (
    *(asyncssh.ProtocolError, asyncssh.ProtocolNotSupported, asyncssh.MACError, asyncssh.CompressionError),
    *(PacketDecodeError, UnicodeDecodeError),
)
_KEY_MAX: Final = 65536  # bytes of a key or certificate
_NO_LONGER: Final = "the key that you logged in with counts no longer"


def _prohibited() -> asyncssh.ChannelOpenError:
    return asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "a console server forwards nothing")


class _Granted(asyncssh.SSHAuthorizedKeys):
    """The decision of `Trust` about the key that is being tried, in the form that asyncssh wants."""

    def __init__(self, allowed: Allowed) -> None:
        super().__init__()
        self._options: dict[str, object] = {"principals": True}  # checked already
        if allowed.command is not None:
            self._options["command"] = allowed.command
        if not allowed.pty:
            self._options["no-pty"] = True
        if allowed.no_touch:
            self._options["no-touch-required"] = True

    def validate(
        self,
        key: asyncssh.SSHKey,
        client_host: str,
        client_addr: str,
        cert_principals: Sequence[str] | None = None,
        ca: bool = False,
    ) -> Mapping[str, object]:
        return self._options


class Connection(Transport):
    """A connection whose login attempts all pass through `KeyLogin`. It also makes sessions wait while the network
    takes nothing: asyncssh itself waits only for the client's window, which may have 4 GiB."""

    def room_changed(self, room: bool) -> None:
        login = self.get_owner()
        if isinstance(login, Login):
            login.set_room(room)

    async def check_key(self, user: str, key: bytes, message: bytes, signature: bytes) -> bool:
        login = self._login
        loop = asyncio.get_running_loop()
        began = loop.time()
        offered = await login.understand(key)
        allowed = await login.consider(offered)
        if message and _weak(signature):
            login.reason = "the signature is by an algorithm that is not accepted"
        elif offered is not None and allowed is not None:
            self.set_authorized_keys(_Granted(allowed))
            if await super().check_key(login.user, key, message, signature):
                if message:
                    login.signed(offered)
                return True
            login.reason = "the signature is wrong" if message else "the certificate is not valid now or here"
        await _wait_since(began)
        return False

    def login_failed(self) -> bool:
        return self._login.may_try_again()

    @property
    def _login(self) -> KeyLogin:
        login = self.get_owner()
        if not isinstance(login, KeyLogin):
            raise TypeError(f"keys are checked by a KeyLogin, and this connection has a {type(login).__name__}")
        return login


async def _wait_since(began: float) -> None:
    """Wait until a moment that tells a client little about how long the check took. If the check of a long file of
    keys takes longer than the wait, the wait is doubled."""
    loop = asyncio.get_running_loop()
    seconds = _REFUSAL_SECONDS * (1 + random.random())
    while began + seconds < loop.time():
        seconds *= 2
    await asyncio.sleep(began + seconds - loop.time())


def _weak(signature: bytes) -> bool:
    """Return whether the signature's algorithm is not accepted. asyncssh itself would verify signatures by all
    algorithms that it knows, not only by those that it offers."""
    algorithm = signature[4 : 4 + int.from_bytes(signature[:4])]
    return algorithm.decode("ascii", "replace") not in SIGNATURES


class Host:
    """What the logins of one server share.

    Attributes:
        core: begins the sessions.
        connections: all connections, with their logins.
        numbers: gives each connection that has logged in its number for the core.
        user_log: says whether one more line about a user may be logged.
    """

    def __init__(self, core: Core) -> None:
        self.core = core
        self.connections: dict[asyncssh.SSHServerConnection, Login] = {}
        self.numbers = itertools.count(1)
        self.user_log = LogLimits(USER_LINES, USERS_MAX)

    @property
    def sessions(self) -> int:
        """How many sessions there are, of all connections. Those count that the client has not closed yet."""
        return sum(login.sessions for login in self.connections.values())

    def sessions_of(self, who: Principal | None) -> int:
        """Return how many of these sessions one user has."""
        return sum(one.sessions for one in self.connections.values() if one.who and who and one.who.is_user(who))


class KeyHost(Host):
    """What the logins of one server share where users log in by their keys: the server itself.

    Attributes:
        config: the present settings.
        trust: whom the present settings trust. A reload puts another object in its place.
        gate: is told of each connection that comes, logs in, fails or leaves.
        login_threads: check the keys of clients who want to log in.
    """

    config: Settings
    trust: Trust
    gate: Gate
    login_threads: Executor

    def recheck(self, logins: Sequence[Login]) -> None:
        """End those of these connections whose key does not count any more, in the background."""
        raise NotImplementedError


class Login(asyncssh.SSHServer):
    """A client that is logged in, or is about to be. asyncssh's defaults refuse everything that nobody may do here,
    such as SFTP."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.who: Principal | None = None  # the user; None: not logged in yet
        self._number = 0  # the connection's number for the core, once the user is logged in
        self.began = asyncio.get_running_loop().time()
        self._sessions: set[Channel] = set()
        self._room = True

    def principal(self) -> Principal:
        """Return the user who has just logged in."""
        raise NotImplementedError

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self.host.connections[conn] = self

    def connection_lost(self, exc: Exception | None) -> None:
        self.host.connections.pop(self._connection, None)
        if self.who is not None:
            self.host.core.logged_out(self._number)

    def auth_completed(self) -> None:
        self.who = self.principal()
        self._number = next(self.host.numbers)
        age = asyncio.get_running_loop().time() - self.began
        self.host.core.logged_in(self._number, self.who, age)

    @property
    def sessions(self) -> int:
        """How many sessions this connection has, with those that have ended and that the client has not closed."""
        return len(self._sessions)

    def session_requested(self) -> Channel:
        running = sum(not channel.has_exited for channel in self._sessions)
        if running >= _SESSIONS_MAX or self.sessions >= _CHANNELS_MAX:
            raise self._too_many("of one connection", _SESSIONS_MAX)
        if self.host.sessions_of(self.who) >= ends.FRONT_SESSIONS_MAX // _USERS_SHARE:
            raise self._too_many("of one user", ends.FRONT_SESSIONS_MAX // _USERS_SHARE)
        if self.host.sessions >= ends.FRONT_SESSIONS_MAX:
            raise self._too_many("of all connections", ends.FRONT_SESSIONS_MAX)
        channel = Channel(self._begin, self._sessions.discard)
        channel.set_room(self._room)
        self._sessions.add(channel)
        return channel

    def _too_many(self, whose: str, limit: int) -> asyncssh.ChannelOpenError:
        """Log that a session is refused, and return the error that tells the client."""
        user = self.who.name if self.who is not None else ""
        if self.host.user_log.allows(user, user=user):
            log.warning(f"too many sessions {whose}", user=user, limit=limit)
        reason = f"too many sessions {whose}: there may be {limit}; end one first"
        return asyncssh.ChannelOpenError(asyncssh.OPEN_RESOURCE_SHORTAGE, reason)

    def command(self, asked: str | None) -> str | None:
        """Return the command to run when the client asks for `asked`; None: it asks for no command."""
        return asked

    def _begin(self, channel: Channel) -> SessionEnd:
        wanted = channel.wanted
        return self.host.core.open(self._number, wanted._replace(command=self.command(wanted.command)), channel)

    def connection_requested(self, dest_host: str, dest_port: int, orig_host: str, orig_port: int) -> bool:
        raise _prohibited()

    def unix_connection_requested(self, dest_path: str) -> bool:
        raise _prohibited()

    def tun_requested(self, unit: int | None) -> bool:
        raise _prohibited()

    def tap_requested(self, unit: int | None) -> bool:
        raise _prohibited()

    def set_room(self, room: bool) -> None:
        """Say whether the network takes more output. If not, every session waits."""
        self._room = room
        for channel in self._sessions:
            channel.set_room(room)

    async def end_if_not_trusted(self) -> bool:
        """End the connection, and tell the user why, if the user's key does not count any more. Returns whether that
        was so."""
        if self.who is None or await self.trusted():
            return False
        for channel in list(self._sessions):
            channel.dismiss(_NO_LONGER)
        left = asyncio.ensure_future(self._connection.wait_closed())
        await asyncio.wait([left], timeout=2 * _DISMISS_SECONDS)
        self._connection.close()
        return True

    async def trusted(self) -> bool:
        """Return whether the user's key would still let the user in."""
        return True


class KeyLogin(Login):
    """A login over the network, by a key or a certificate."""

    def __init__(self, server: KeyHost) -> None:
        super().__init__(server)
        self.server = server
        self._name: str | None = None  # the name that the client has given: USER or USER+CONSOLE
        self._tries = 0
        self._offered: Offered | None = None
        self.user = ""
        self.reason = ""
        self._trust: Trust | None = None  # by which the last key was checked
        self._our_trouble = False  # the client was refused because of a fault of this host, which is no offence

    # -- the connection -----------------------------------------------------------------------------

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        super().connection_made(conn)
        self._address = str((conn.get_extra_info("peername") or ("",))[0])
        self.server.gate.entered(self._address)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.server.gate.left(self._address, logged_in=self.who is not None)
        if self.who is None:
            offence = self._offence(exc)
            if not self._our_trouble:
                self.server.gate.punish(self._address, offence)
            self.server.core.refused(self.principal(), self.reason or offence.text)

    def _offence(self, exc: Exception | None) -> Offence:
        if asyncio.get_running_loop().time() - self.began >= self.server.config.login_grace_s - _TIMER_SECONDS:
            return Offence.GRACE_EXCEEDED
        if self._offered is not None or self._tries > 1:
            return Offence.AUTH_FAILED
        if isinstance(exc, TooMuch):
            return Offence.TOO_MUCH
        if isinstance(exc, _NOT_SSH):
            return Offence.NO_SSH
        if exc is not None and not isinstance(exc, (asyncssh.Error, OSError)):
            log.error("a connection failed: a bug", address=self._address, error=repr(exc))
            return Offence.CRASH
        return Offence.NO_AUTH

    # -- logging in ---------------------------------------------------------------------------------

    def begin_auth(self, username: str) -> bool:
        if self._name is not None:
            self.reason = "changed the user name"
            self._connection.disconnect(asyncssh.DISC_PROTOCOL_ERROR, "a user's name cannot be changed")
        self._name = username
        self.user = username.partition("+")[0]
        return True

    def public_key_auth_supported(self) -> bool:
        return True

    async def understand(self, key_data: bytes) -> Offered | None:
        """Decode what a client offers, in a thread: the signature of a certificate is verified, which may take long,
        because the client chooses the key. Returns None if it is not supported."""
        if len(key_data) > _KEY_MAX:
            return None
        return await self._beside(auth.offered, key_data)

    async def consider(self, offered: Offered | None) -> Allowed | None:
        """Return how the key lets the user in, or None when it does not; `reason` says why.

        The check may take long. If a reload has changed meanwhile who is trusted, the key is checked anew.
        """
        trust = None
        while trust is not self.server.trust:
            trust = self.server.trust
            allowed = await self._considered(trust, offered)
        self._trust = trust
        return allowed

    async def _considered(self, trust: Trust, offered: Offered | None) -> Allowed | None:
        self._offered = offered or self._offered
        if offered is None:
            self.reason = "a kind of key that is not supported"
            return None
        try:
            return await self._beside(trust.allows, self.user, offered, self._address)
        except auth.Refused as error:
            self.reason = str(error)
            self._our_trouble = error.ours
            return None

    async def _beside(self, call: Callable[..., T], *args: object) -> T:
        """Call a function beside the event loop, in threads that only serve clients who have not logged in."""
        return await asyncio.get_running_loop().run_in_executor(self.server.login_threads, call, *args)

    def signed(self, offered: Offered) -> None:
        """The client has proved that it has the key. `auth_completed` follows."""
        self._offered = offered

    def may_try_again(self) -> bool:
        """An attempt has failed. Returns whether the client may try again; if not, ends the connection. The first
        attempt does not count: it is the client's question which methods there are."""
        self._tries += 1
        if self._tries <= self.server.config.max_auth_tries:
            return True
        self.reason = f"{self.reason or 'no key'}; too many attempts"
        self._connection.disconnect(asyncssh.DISC_NO_MORE_AUTH_METHODS_AVAILABLE, "too many authentication failures")
        return False

    def auth_completed(self) -> None:
        self.server.gate.logged_in()
        super().auth_completed()
        if self._trust is not self.server.trust:
            self.server.recheck([self])

    def principal(self) -> Principal:
        key = self._offered.text if self._offered is not None else ""
        return Principal(self.user[:_USER_SHOWN], key, self._address)

    # -- once logged in -----------------------------------------------------------------------------

    def command(self, asked: str | None) -> str | None:
        _, plus, console = (self._name or "").partition("+")
        return asked or (console if plus else None)

    async def trusted(self) -> bool:
        if self._offered is None:
            return False
        return await asyncio.to_thread(self.server.trust.still_allows, self.user, self._offered)
