"""The filter does the same in every Python that there is here.

Debian 12's own, 3.11.2, repeats groups possessively in another way than later ones (python/cpython#106052): sequences
that make a terminal answer passed the filter there, while everything was right in 3.11.7.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from oobconsole.terminal import sequences
from oobconsole.terminal.safe import SafeFilter
from tests.unit.session.test_safe import DROP, PASS

ROOT = Path(__file__).parents[3]
#: Reads outputs of guests, in hexadecimal, and prints what may be shown of each.
SHOWN = """
import sys
sys.path.insert(0, sys.argv[1])
from oobconsole.terminal.safe import SafeFilter
for line in sys.stdin:
    print(SafeFilter().feed(bytes.fromhex(line)).hex())
"""
NEW_ENOUGH = "import sys; sys.exit(sys.version_info < (3, 11))"
NAMES = ("python3", "/usr/bin/python3", "/usr/local/bin/python3", *(f"python3.{minor}" for minor in range(11, 16)))
#: Between two pieces of text, since what is left over by one is taken for the next.
CORPUS = [b"one" + part + b"two\r\n" for part in (*PASS, *DROP.values())]


def pythons() -> list[str]:
    """This one, and all others that run: names of pyenv's, for example, do not without being chosen."""
    found = {path for name in NAMES if (path := shutil.which(name))}
    good = [path for path in found if subprocess.run([path, "-c", NEW_ENOUGH], capture_output=True).returncode == 0]
    return [sys.executable, *sorted(good)]


@pytest.mark.parametrize("python", pythons())
def test_the_same_is_shown(python: str) -> None:
    done = subprocess.run(
        [python, "-B", "-c", SHOWN, str(ROOT)],
        input="\n".join(part.hex() for part in CORPUS),
        capture_output=True,
        text=True,
        check=True,
    )
    assert [bytes.fromhex(line) for line in done.stdout.split("\n")[:-1]] == [
        SafeFilter().feed(part) for part in CORPUS
    ]


@pytest.mark.parametrize("name", ["TOKEN", "TOKEN_STRICT", "INSIDE", "SKIPPED"])
def test_what_is_repeated_ends_with_what_fails_at_once(name: str) -> None:
    """Without it a pattern means another thing in Python 3.11.2, whether that is here or not."""
    pattern = getattr(sequences, name).pattern
    groups = pattern.count(b")++") + pattern.count(b")*+")
    assert groups > 0
    assert groups == pattern.count(b"|(?!))++") + pattern.count(b"|(?!))*+")
