"""Says whether the server is fit to serve. A machine that is not connected is not a fault of the server."""

from __future__ import annotations

from typing import Final, Literal

from oobconsole.recording.trouble import Trouble
from oobconsole.vitals import Vitals

#: An event loop that was so many seconds late within the last half minute serves nobody well.
LAG_MAX: Final = 1.0


def faults(vitals: Vitals, trouble: Trouble, policy: Literal["best_effort", "strict"]) -> list[str]:
    """Why the server is not fit to serve, in sentences; empty: it is.

    Args:
        vitals: what the server knows of itself.
        trouble: which consoles are not recorded.
        policy: of recording: with `strict`, consoles that cannot be recorded take no input, which is a fault.
    """
    found = []
    if vitals.worst_lag > LAG_MAX:
        found.append(f"the event loop was {vitals.worst_lag:.1f} s late within the last half minute")
    if vitals.descriptors:
        found.append(f"there are too few descriptors: {vitals.descriptors}")
    if policy == "strict" and trouble.unrecorded:
        console, reason = next(iter(trouble.unrecorded.items()))
        found.append(
            f"{len(trouble.unrecorded)} consoles take no input, as they cannot be recorded: {console}: {reason}"
        )
    return found
