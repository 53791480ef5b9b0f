"""What a test needs besides Python and its packages: `@pytest.mark.needs("tmux")`, or `NEEDS_OF_FOLDERS`.

A test that lacks something fails and says what to install. With the option `--without-missing` such tests are left
out instead, and what is missing is said at the end, with the number of tests that it cost: nothing is skipped
silently.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Final

import pytest

_CACHE: Final = Path(__file__).resolve().parents[2] / ".cache"
_LEFT_OUT: Final = pytest.StashKey[Counter[str]]()
_LIST: Final = "left_out"  # by this name a process of pytest-xdist hands its counts on


def _program(*names: str) -> Callable[[], bool]:
    return lambda: all(shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") for name in names)


def _file(path: Path) -> Callable[[], bool]:
    return path.exists


def _may_mount() -> bool:
    """Whether this process may mount: CAP_SYS_ADMIN is bit 21 (linux/capability.h)."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return bool(int(status["CapEff"], 16) >> 21 & 1)


#: Everything that a test can need: whether it is there, and what to do when it is not.
NEEDS: Final[dict[str, tuple[Callable[[], bool], str]]] = {
    "cc": (_program("cc"), "install gcc and libc6-dev"),
    "guests": (_file(_CACHE / "guests"), "'make setup' builds the guests' images"),
    "libvirt": (lambda: importlib.util.find_spec("libvirt") is not None, "install libvirt-dev, then 'make venv'"),
    "libvirtd": (_program("libvirtd", "virsh"), "install libvirt-daemon and libvirt-clients"),
    "man": (_program("man", "go-md2man"), "install man-db and go-md2man"),
    "mount": (_may_mount, "run the tests as root"),
    "qemu": (_file(Path(os.environ.get("OOB_QEMU", _CACHE / "qemu"))), "'make setup' unpacks QEMU 11.1"),
    "ser2net": (_program("ser2net", "socat"), "install ser2net and socat"),
    "ssh": (_program("ssh", "ssh-keygen"), "install openssh-client"),
    "systemd": (_program("systemd-analyze"), "install systemd"),
    "tmux": (_program("tmux"), "install tmux"),
}
#: What all tests of a folder need, and the marks that they have besides.
NEEDS_OF_FOLDERS: Final[dict[str, tuple[str, ...]]] = {
    "adversary": ("cc", "qemu"),
    "contract": ("cc", "libvirt", "libvirtd", "ser2net"),
    "loopback": ("ssh",),
    "native": ("cc",),
    "vm": ("cc", "guests", "qemu", "ssh"),
}
_MARKED_VM: Final = ("adversary",)


@cache
def _is_there(need: str) -> bool:
    return NEEDS[need][0]()


def _missing(item: pytest.Item) -> list[str]:
    needs = [str(need) for mark in item.iter_markers("needs") for need in mark.args]
    return sorted({need for need in needs if not _is_there(need)})


class Needs:
    """The pytest plugin that `tests/conftest.py` registers."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Mark whole folders, before `-m` is looked at; then leave out what lacks something, if that is wanted."""
        for item in items:
            folder = item.path.parent.name
            item.add_marker(pytest.mark.needs(*NEEDS_OF_FOLDERS.get(folder, ())))
            if folder in _MARKED_VM:
                item.add_marker(pytest.mark.vm)
        if config.getoption("without_missing"):
            self._leave_out(config, items)

    def _leave_out(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        left_out = [item for item in items if _missing(item)]
        config.stash[_LEFT_OUT] = Counter(", ".join(_missing(item)) for item in left_out)
        items[:] = [item for item in items if not _missing(item)]
        config.hook.pytest_deselected(items=left_out)

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """A test that lacks something fails, and says so before anything else does."""
        if missing := _missing(item):
            do = "; ".join(NEEDS[need][1] for need in missing)
            pytest.fail(f"needs {', '.join(missing)}: {do}; --without-missing leaves such tests out", pytrace=False)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """In a process of pytest-xdist: hand the counts on."""
        if hasattr(session.config, "workeroutput"):
            left_out: Counter[str] = session.config.stash.get(_LEFT_OUT, Counter())
            session.config.workeroutput[_LIST] = dict(left_out)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: object, error: object) -> None:
        """A process of pytest-xdist has ended; each of them has collected all tests."""
        config, output = getattr(node, "config", None), getattr(node, "workeroutput", {})
        if isinstance(config, pytest.Config) and _LIST in output:
            config.stash[_LEFT_OUT] = Counter[str](output[_LIST])

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        """Say what was left out, and what it needs."""
        left_out = config.stash.get(_LEFT_OUT, Counter[str]())
        if left_out:
            terminalreporter.section(f"{left_out.total()} tests were left out, because something is missing")
            for line in _lines(left_out):
                terminalreporter.write_line(line)


def _lines(left_out: Counter[str]) -> Iterable[str]:
    for needs, number in sorted(left_out.items()):
        yield f"{needs}: {number} ({'; '.join(NEEDS[need][1] for need in needs.split(', '))})"
