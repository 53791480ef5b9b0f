"""What does a signal mean that a client sends to its session (RFC 4254, 6.9)?

There is no process here that could get the signal. OpenSSH's server sends it to the process group of the command that
it has started, and whoever sends INT to a shell at a terminal expects what Ctrl-C does. So:

- INT and QUIT are the keys Ctrl-C and Ctrl-\\, where the session reads keys. They are typed behind all that was typed
  before. At a console they go to the guest, by the same rules as any other key: the sender must have the keyboard.
- INT and QUIT end any other session, and HUP, TERM and KILL end every session. The user is told why.
- All other signals mean nothing here, and the front does not pass them on.
"""

from __future__ import annotations

from typing import Final

from oobconsole.verbs import VERBS, Keys, Verb

#: The signals that mean something here, by their names in SSH.
SIGNALS: Final = frozenset({"HUP", "INT", "KILL", "QUIT", "TERM"})
#: What a terminal sends for a signal (stty(1): `intr`, `quit`).
_KEYS: Final = {"INT": b"\x03", "QUIT": b"\x1c"}


def verb_of(command: str | None) -> Verb:
    """Return the verb of a command line, before anybody has understood it. A console's name alone means `attach`."""
    first, *_ = (command or "").split(None, 1) or ["menu"]
    return VERBS.get(first) or VERBS["attach"]


def key_of(signal: str, command: str | None, *, terminal: bool) -> bytes:
    """Return the key that a signal stands for; empty: the signal ends the session.

    Args:
        signal: a member of `SIGNALS`.
        command: the session's command line; None: the client has given none.
        terminal: whether the client has a terminal.
    """
    keys = verb_of(command).keys
    reads_keys = keys is Keys.ALWAYS or (terminal and keys is Keys.AT_A_TERMINAL)
    return _KEYS.get(signal, b"") if reads_keys else b""


def has_breaks(command: str | None) -> bool:
    """Return whether the session of a command line may ever send a break (`Verb.has_breaks`)."""
    return verb_of(command).has_breaks
