"""Standard input, output and error may be closed when this program starts (`2>&-`). Here is what is done about it."""

from __future__ import annotations

import os
import sys
from typing import Final

_STANDARD: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def fill_standard() -> None:
    """Open /dev/null in the place of each of the three that is closed. Otherwise the next file or socket would get
    its number, and libraries and child processes would print into that."""
    for number, (name, mode) in enumerate(_STANDARD):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, closefd=False))  # noqa: SIM115 - it is open as long as we run
