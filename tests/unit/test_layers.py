"""The contracts of import-linter name everything: a module or a package that none of them names fails here."""

from __future__ import annotations

import ast
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import oobconsole

SERVER = Path(oobconsole.__file__).parent
DEVICES = SERVER.parent / "devices"
CONTRACTS: list[dict[str, Any]] = tomllib.loads((SERVER.parent / "pyproject.toml").read_text())["tool"][
    "importlinter"
]["contracts"]
#: Packages that everybody may import: who logs, and who only names a type.
EVERYBODY = {"structlog", "_typeshed"}
#: Modules of the server that a script's process may load with `oobconsole.client`: they connect to the server, draw a
#: terminal's text, and look for patterns in it.
OF_A_CLIENT = {"adminsocket", "client", "matchorder", "spellings", "terminal"}
#: Modules of SSH that the core imports: the local socket, and what tells the core about SSH's fronts.
OF_THE_CORE = {"local", "kind"}


def imported(folder: Path) -> Iterator[tuple[Path, str]]:
    """Each module that a file below `folder` imports, by `import`, `from` or `import_module`."""
    for file in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Import(names=names):
                    yield from ((file, name.name) for name in names)
                case ast.ImportFrom(module=str(module)):
                    yield file, module
                case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(module)), *_]):
                    yield file, module


def is_standard(module: str) -> bool:
    return module.partition(".")[0] in sys.stdlib_module_names


def test_devices_import_the_standard_library_only() -> None:
    found = {(file.name, name) for file, name in imported(DEVICES) if not is_standard(name)}
    assert not {(file, name) for file, name in found if not name.startswith("oobconsole.devices")}


def test_nobody_imports_devices_by_another_name() -> None:
    """The same file under two names would be two modules, and its classes two classes."""
    assert SERVER.joinpath("devices").resolve() == DEVICES
    for folder in (SERVER, DEVICES, SERVER.parent / "tests"):
        found = {(file, name) for file, name in imported(folder) if name.partition(".")[0] == "devices"}
        assert not found


def test_each_package_that_is_imported_has_a_contract() -> None:
    protected = {name for contract in CONTRACTS for name in contract.get("protected_modules", [])}
    protected = {name for name in protected if not name.startswith("oobconsole.")}
    packages = {name.partition(".")[0] for _, name in imported(SERVER) if not is_standard(name)}
    loaded_when_wanted = {"libvirt", "libvirt_qemu"}  # an extra: `test_libvirt_is_loaded_in_one_place`
    assert packages - {"oobconsole"} - EVERYBODY - loaded_when_wanted == protected


def test_libvirt_is_loaded_in_one_place() -> None:
    """import-linter does not see what is imported by its name in a string."""
    assert {file.name for file, name in imported(SERVER) if name.startswith("libvirt")} <= {"library.py"}


def test_what_a_client_may_not_import_is_all_but_what_it_may() -> None:
    (contract,) = [one for one in CONTRACTS if one.get("source_modules") == ["oobconsole.client"]]
    files = {file.stem for file in SERVER.glob("*.py")} - {"__init__"}
    folders = {file.parent.name for file in SERVER.glob("*/__init__.py")}
    everything = {f"oobconsole.{name}" for name in (files | folders) - OF_A_CLIENT}
    assert set(contract["forbidden_modules"]) == everything


def test_of_ssh_the_core_imports_the_local_socket_and_what_starts_a_front() -> None:
    ours = [name for contract in CONTRACTS for name in contract.get("protected_modules", [])]
    folder = SERVER / "ssh"
    modules = {file.stem for file in folder.glob("*.py")} - {"__init__"}
    folders = {file.parent.name for file in folder.glob("*/__init__.py")}
    everything = {f"oobconsole.ssh.{name}" for name in (modules | folders) - OF_THE_CORE}
    assert {name for name in ours if name.startswith("oobconsole.ssh")} == everything
