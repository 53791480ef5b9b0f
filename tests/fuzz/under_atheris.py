"""Runs one of the Python targets under atheris: libFuzzer, led by the branches that an input takes.

    python -m tests.fuzz.under_atheris TARGET [libFuzzer's arguments]

An input is the size of the pieces that the stream comes in (one byte: the size minus 1), and the stream.
"""

from __future__ import annotations

import importlib
import shlex
import sys
from collections.abc import Callable
from typing import Final

import atheris

#: For each target: the package whose branches lead the fuzzer, and the module whose `check(stream, size)` tells what
#: has to be true of each stream.
TARGETS: Final = {
    "front": ("oobconsole.front", "tests.fuzz.front_properties"),
    "wire": ("oobconsole.interceptors", "tests.fuzz.wire_properties"),
}


def one_input(check: Callable[[bytes, int], object], data: bytes) -> None:
    """Check one input that the fuzzer has made."""
    if data:
        check(data[1:], data[0] + 1)


def main(target: str, arguments: list[str]) -> None:
    """Fuzz one target; libFuzzer ends the process."""
    package, properties = TARGETS[target]
    with atheris.instrument_imports(include=[package]):
        check = importlib.import_module(properties).check
    # To merge, libFuzzer starts itself again, in a shell, by what stands here.
    again = f"{shlex.quote(sys.executable)} -m tests.fuzz.under_atheris {target}"
    atheris.Setup([again, *arguments], lambda data: one_input(check, data))
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
