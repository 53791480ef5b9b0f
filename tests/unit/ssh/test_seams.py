"""asyncssh below its public interface: a version without what we build on fails here, and says what it lacks."""

from __future__ import annotations

import ast
import inspect
from types import ModuleType

import asyncssh
import pytest
from asyncssh import channel, connection, public_key

from oobconsole.ssh import auth, hostkeys, sessionchannel, transport

#: Methods of asyncssh's that ours replace: asyncssh has to call them.
REPLACED = {
    asyncssh.SSHServerConnection: (
        "_recv_pkthdr _finish_recv_packet _cleanup _send_kexinit send_packet send_newkeys process_packet "
        "send_userauth_success create_server_channel _packet_handlers"
    ),
    asyncssh.SSHServerChannel: (
        "_process_env_request _process_exec_request _process_pty_req_request _close_send process_packet exit "
        "_packet_handlers"
    ),
}


def private(module: ModuleType) -> set[str]:
    """Attributes with an underscore that a module uses and does not make itself."""
    tree = ast.parse(inspect.getsource(module))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    made = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    own = {"_turns", "_tcp", "_backlog", "_reading", "_ended", "_packets_left", "_turn_ends", "_stopped", "_bytes"}
    own |= {
        "_packets",
        "_requests",
        "_exchanges",
        "_rekeys",
        "_exchange_timer",
        "_held_kexinit",
        "_socket_has_room",
        "_exits",
        "_garbled",
    }
    return {name for name in used - made - own if name.startswith("_") and not name.startswith("__")}


def attributes(module: ModuleType) -> set[str]:
    """What a module of asyncssh's reads or writes of an object, or defines."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Name):
            found.add(node.id)
    return found


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [(transport, connection), (sessionchannel, channel), (auth, public_key), (hostkeys, public_key)],
)
def test_what_we_use_is_there(ours: ModuleType, theirs: ModuleType) -> None:
    used = private(ours)
    if ours in (auth, hostkeys):  # they have objects of their own, too
        used &= {"_serial", "_key_id", "_cert_type", "_valid_after", "_valid_before"}
    lacking = sorted(used - attributes(theirs))
    assert used
    assert not lacking, f"asyncssh {asyncssh.__version__} lacks what {ours.__name__} uses: {', '.join(lacking)}"


@pytest.mark.parametrize(("theirs", "names"), REPLACED.items())
def test_what_we_replace_is_there(theirs: type, names: str) -> None:
    lacking = [name for name in names.split() if not hasattr(theirs, name)]
    assert not lacking, f"asyncssh {asyncssh.__version__} never calls {', '.join(lacking)} of {theirs.__name__}"


def test_packets_that_we_handle_are_handled_by_the_same_methods() -> None:
    """A handler of ours calls asyncssh's for the same packet."""
    handlers = asyncssh.SSHServerConnection._packet_handlers
    names = {ours: handlers[number].__name__ for number, ours in _ours(transport.Transport).items()}
    assert names == {
        "_service_request": "_process_service_request",
        "_ext_info": "_process_ext_info",
        "_kexinit": "_process_kexinit",
        "_newkeys": "_process_newkeys",
        "_userauth_request": "_process_userauth_request",
        "_channel_open": "_process_channel_open",
    }
    channels = asyncssh.SSHServerChannel._packet_handlers
    names = {ours: channels[number].__name__ for number, ours in _ours(sessionchannel.SessionChannel).items()}
    assert names == {"_window_adjust": "_process_window_adjust"}


def _ours(cls: type) -> dict[int, str]:
    """Of the packets whose handlers are ours: their numbers and the handlers' names."""
    handlers, theirs = (vars(cls)["_packet_handlers"], cls.__mro__[1]._packet_handlers)  # type: ignore[attr-defined]
    return {number: ours.__name__ for number, ours in handlers.items() if ours is not theirs.get(number)}
