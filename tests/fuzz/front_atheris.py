"""The relay's codec under atheris: libFuzzer, led by the branches that an input takes. The arguments are libFuzzer's.

An input is the size of the pieces that the stream comes in (one byte), and the stream.
"""

from __future__ import annotations

import shlex
import sys

import atheris

with atheris.instrument_imports(include=["oobconsole.front"]):
    from tests.fuzz.front_properties import check


def one_input(data: bytes) -> None:
    """One run."""
    if data:
        check(data[1:], data[0] + 1)


if __name__ == "__main__":
    # To merge, libFuzzer starts itself again, in a shell, by what stands here.
    again = f"{shlex.quote(sys.executable)} -m tests.fuzz.front_atheris"
    atheris.Setup([again, *sys.argv[1:]], one_input)
    atheris.Fuzz()
