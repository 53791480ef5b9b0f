"""asyncssh below its public interface: a version without what we build on fails here, and says what it lacks."""

from __future__ import annotations

import ast
import asyncio
import inspect
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import asyncssh
import pytest
from asyncssh import channel, connection, encryption, public_key
from asyncssh.crypto import cipher

import oobconsole
from oobconsole.ssh import login, private, sessionchannel, transport

SOURCES = Path(oobconsole.__file__).parent
OF_PRIVATES = SOURCES / "ssh" / "private"

#: What `ssh/private` replaces or calls, and the arguments that asyncssh gives or takes.
CONNECTION = {
    "_recv_pkthdr": "self",
    "_finish_recv_packet": "self, pkttype, seq, _task, is_async",
    "_cleanup": "self, exc",
    "_recv_data": "self",
    "_reset_keepalive_timer": "self",
    "_set_keepalive_timer": "self",
    "_keepalive_timer_callback": "self",
    "_send_kexinit": "self",
    "_process_kexinit": "self, _pkttype, _pktid, packet",
    "_process_newkeys": "self, _pkttype, _pktid, packet",
    "_process_service_request": "self, _pkttype, _pktid, packet",
    "_process_userauth_request": "self, _pkttype, _pktid, packet",
    "_process_channel_open": "self, _pkttype, _pktid, packet",
    "_process_ext_info": "self, _pkttype, _pktid, packet",
    "_update_recv_pktlen": "self, max_pktsize",
    "create_server_channel": "self, encoding, errors, window, max_pktsize",
    "process_packet": "self, pkttype, pktid, packet",
    "send_newkeys": "self, k, h",
    "send_userauth_success": "self",
    "send_userauth_failure": "self, partial_success",
    "send_packet": "self, pkttype, args, handler",
    "send_channel_open_failure": "self, send_chan, code, reason, lang",
    "validate_public_key": "self, username, key_data, msg, signature",
}
CHANNEL = {
    "_process_window_adjust": "self, _pkttype, _pktid, packet",
    "_process_env_request": "self, packet",
    "_process_pty_req_request": "self, packet",
    "_process_exec_request": "self, packet",
    "_process_request": "self, _pkttype, _pktid, packet",
    "_process_break_request": "self, packet",
    "_report_response": "self, result",
    "_start_session": "self, command, subsystem",
    "_close_send": "self",
    "_deliver_data": "self, data, datatype",
    "write": "self, data, datatype",
    "process_packet": "self, pkttype, pktid, packet",
    "send_packet": "self, pkttype, args",
    "exit": "self, status",
}
ENCRYPTION = {
    "encrypt_packet": "self, seq, header, packet",
    "decrypt_header": "self, seq, first_block, header_len",
    "decrypt_packet": "self, seq, first, rest, header_len, mac",
}
METHODS = [
    *((asyncssh.SSHServerConnection, *method) for method in CONNECTION.items()),
    *((encryption.GCMEncryption, *method) for method in ENCRYPTION.items()),
    *((asyncssh.SSHServerChannel, *method) for method in CHANNEL.items()),
    (
        asyncssh.SSHServerChannel,
        "__init__",
        "self, conn, loop, allow_pty, line_editor, line_echo, line_history, max_line_length, encoding, errors, "
        "window, max_pktsize",
    ),
]


@pytest.mark.parametrize(("theirs", "name", "arguments"), METHODS)
def test_a_method_that_we_replace_or_call_has_the_arguments_that_we_know(
    theirs: type, name: str, arguments: str
) -> None:
    method = getattr(theirs, name, None)
    assert method is not None, f"asyncssh {asyncssh.__version__} has no {theirs.__name__}.{name}"
    assert ", ".join(inspect.signature(method).parameters) == arguments


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


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


THEIRS = set(filter(is_private, set[str]().union(*map(attributes, (connection, channel, public_key)))))
OF_CIPHERS = set(filter(is_private, attributes(encryption) | attributes(cipher)))
#: What `ssh/private` itself adds.
OURS = {"_window_adjust", "_request", "_heard", "_padding", "_open_packet", "_take_data"}


def test_each_private_name_that_we_use_is_there() -> None:
    nodes = [node for file in OF_PRIVATES.glob("*.py") for node in ast.walk(ast.parse(file.read_text()))]
    used = {node.attr for node in nodes if isinstance(node, ast.Attribute) and is_private(node.attr)}
    lacking = sorted(used - OURS - THEIRS - OF_CIPHERS)
    assert len(used) > 30
    assert not lacking, f"asyncssh {asyncssh.__version__} lacks what ssh/private uses: {', '.join(lacking)}"


def test_handlers_for_the_packets_that_we_take_are_the_ones_that_we_call() -> None:
    theirs, ours = asyncssh.SSHServerConnection._packet_handlers, private.Connection._packet_handlers
    assert {theirs[number].__name__ for number, handler in ours.items() if handler is not theirs[number]} == {
        "_process_kexinit",
        "_process_newkeys",
        "_process_service_request",
        "_process_userauth_request",
        "_process_channel_open",
        "_process_ext_info",
    }
    of_channels, ours_of_channels = asyncssh.SSHServerChannel._packet_handlers, private.Channel._packet_handlers
    changed = [number for number, handler in ours_of_channels.items() if handler is not of_channels[number]]
    assert [of_channels[number].__name__ for number in changed] == [
        "_process_window_adjust",
        "_process_request",
    ]


def test_what_we_add_to_asyncssh_s_classes_takes_no_name_of_theirs() -> None:
    assert not OURS & THEIRS


def test_a_cipher_keeps_its_key_and_the_nonce_of_the_next_packet() -> None:
    key, nonce = bytes(range(32)), bytes(range(12))
    made = encryption.get_encryption(b"aes256-gcm@openssh.com", key, nonce)
    assert type(made) is encryption.GCMEncryption
    assert (made._cipher._key, made._cipher._iv) == (key, nonce)
    made.encrypt_packet(0, bytes(4), bytes(16))
    assert made._cipher._iv == bytes((*range(11), 12))


def others() -> Iterator[tuple[Path, ast.AST]]:
    """What every module consists of that is not in `ssh/private`."""
    for file in SOURCES.rglob("*.py"):
        if file.parent != OF_PRIVATES:
            for node in ast.walk(ast.parse(file.read_text())):
                yield file.relative_to(SOURCES), node


def test_no_other_file_uses_a_submodule_of_asyncssh() -> None:
    found = [
        f"{file}: {ast.unparse(node)}"
        for file, node in others()
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("asyncssh"))
        or (isinstance(node, ast.Import) and any(name.name.startswith("asyncssh.") for name in node.names))
    ]
    assert not found


def test_no_other_file_uses_a_private_name_of_asyncssh() -> None:
    found = {
        f"{file}: {ast.unparse(node)}"
        for file, node in others()
        if file.parent.name == "ssh" and isinstance(node, ast.Attribute) and node.attr in THEIRS
        if ast.unparse(node.value) != "self"
    }
    assert not found


@pytest.mark.parametrize(
    ("ours", "theirs", "documented"),
    [
        (transport.Transport, asyncssh.SSHServerConnection, set(dir(asyncio.Protocol))),
        (login.Connection, asyncssh.SSHServerConnection, set()),
        (sessionchannel.SessionChannel, asyncssh.SSHServerChannel, {"exit"}),
    ],
)
def test_no_other_file_replaces_what_asyncssh_does_not_document(
    ours: type, theirs: type, documented: set[str]
) -> None:
    replaced = {name for name in vars(ours) if hasattr(theirs, name) and not name.startswith("__")}
    assert not replaced - documented, "a hook of ssh/private is wanted"


def test_a_login_knows_nothing_of_the_server_that_makes_it() -> None:
    tree = ast.parse(inspect.getsource(login))
    assert "oobconsole.ssh.server" not in {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


@pytest.mark.parametrize("ours", [transport.Transport, sessionchannel.SessionChannel, login.Connection])
def test_no_attribute_of_ours_takes_the_place_of_a_private_one(ours: type) -> None:
    tree = ast.parse(inspect.getsource(ours))
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    assert not names & THEIRS


def test_the_versions_that_were_tried_are_the_ones_that_are_allowed() -> None:
    project = tomllib.loads((SOURCES.parent / "pyproject.toml").read_text())["project"]
    (bounds,) = [wanted for wanted in project["dependencies"] if wanted.startswith("asyncssh")]
    oldest, newest = private.TRIED[0], private.TRIED[-1]
    assert bounds == f"asyncssh>={oldest},<{next_minor(newest)}"


def next_minor(version: str) -> str:
    major, minor, _ = version.split(".")
    return f"{major}.{int(minor) + 1}"
