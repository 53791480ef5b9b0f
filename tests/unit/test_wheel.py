"""The wheel is built and installed: what lands in site-packages, and whether the program starts from there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: What a wheel is built from.
SOURCES = ["pyproject.toml", "README.md", "LICENSE"]
PACKAGES = ["devices", "oobconsole"]


def run(*words: object, cwd: Path) -> str:
    done = subprocess.run([str(word) for word in words], cwd=cwd, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy of this tree, so that nothing is built into the tree itself.

    It is built by the setuptools of the virtual environment that the tests have, so that no package is fetched.
    """
    copy = tmp_path_factory.mktemp("source")
    for file in SOURCES:
        shutil.copy(ROOT / file, copy)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    built = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-c", f"from setuptools.build_meta import build_wheel; build_wheel({str(built)!r})", cwd=copy)
    (found,) = built.glob("*.whl")
    return found


def test_the_wheel_has_our_package_and_nothing_beside_it(wheel: Path) -> None:
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in names} == {"oobconsole"}
    ours = {str(file.relative_to(ROOT)) for file in (ROOT / "oobconsole").glob("**/*.py")}
    devices = {f"oobconsole/{file.relative_to(ROOT)}" for file in (ROOT / "devices").glob("**/*.py")}
    assert "oobconsole/devices/uart16550.py" in devices
    assert names == ours | devices | {"oobconsole/py.typed"}


def test_the_installed_program_starts_without_the_tree(wheel: Path, tmp_path: Path) -> None:
    environment = tmp_path / "environment"
    run(sys.executable, "-m", "venv", "--without-pip", environment, cwd=tmp_path)
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps", wheel, cwd=tmp_path)
    where = "import importlib.util as u; print(*(u.find_spec(n) is not None for n in ('oobconsole', 'devices')))"
    assert run(python, "-c", where, cwd=tmp_path) == "True False\n"
    # All other packages are those of the tests' environment. Ours is found before them.
    own = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    (own / "others.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    device = run(python, "-c", "from oobconsole.devices import uart16550 as u; print(u.__file__)", cwd=tmp_path)
    assert device == f"{own}/oobconsole/devices/uart16550.py\n"
    assert "serve" in run(environment / "bin" / "oobconsole", "--help", cwd=tmp_path)
