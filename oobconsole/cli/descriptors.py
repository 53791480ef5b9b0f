"""Standard input, output and error, which whoever starts us may have closed (`2>&-`)."""

from __future__ import annotations

import os
import sys
from typing import Final

_STANDARD: Final = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def fill_standard() -> None:
    """Put /dev/null where one of the three is closed: else the next file or socket that is opened would get its
    number, and what libraries and children print there."""
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
