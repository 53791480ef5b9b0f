"""qemu.qmp below its public interface: a version without what we build on fails here, and says what it lacks."""

from __future__ import annotations

import ast
import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
from qemu.qmp import QMPClient, protocol, qmp_client

import oobconsole
from oobconsole.power import qmpclient

#: Methods that `power/qmpclient.py` replaces or calls, with their arguments.
METHODS = {
    "_do_recv": "self",
    "_readline": "self",
    "_cb_inbound": "self, msg",
    "_on_message": "self, msg",
    "__init__": "self, name, readbuflen",
}
#: Attributes that it reads.
ATTRIBUTES = {"_dc_task", "_pending", "_reader_task", "_writer", "_writer_task"}


@pytest.mark.parametrize(("name", "arguments"), METHODS.items())
def test_a_method_that_we_replace_or_call_has_the_arguments_that_we_know(name: str, arguments: str) -> None:
    method = getattr(QMPClient, name, None)
    assert method is not None, f"qemu.qmp {version('qemu.qmp')} has no QMPClient.{name}"
    assert ", ".join(inspect.signature(method).parameters) == arguments


def test_each_private_name_that_we_use_is_there() -> None:
    tree = ast.parse(inspect.getsource(qmpclient.Connection))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_")}
    ours = {name for name in used if f"def {name}(" in inspect.getsource(qmpclient.Connection)} | {"_heard", "_owed"}
    assert used - ours - METHODS.keys() == ATTRIBUTES
    theirs = inspect.getsource(protocol) + inspect.getsource(qmp_client)
    lacking = sorted(name for name in ATTRIBUTES if f"self.{name}" not in theirs)
    assert not lacking, f"qemu.qmp {version('qemu.qmp')} lacks what we use: {', '.join(lacking)}"


def test_the_versions_that_were_tried_are_the_ones_that_are_allowed() -> None:
    file = Path(oobconsole.__file__).parents[1] / "pyproject.toml"
    (bounds,) = [one for one in tomllib.loads(file.read_text())["project"]["dependencies"] if "qemu" in one]
    newest = int(qmpclient.TRIED[-1].rpartition(".")[2])
    assert bounds == f"qemu.qmp>={qmpclient.TRIED[0]},<0.0.{newest + 1}"
