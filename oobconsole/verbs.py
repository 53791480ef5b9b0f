"""The table of verbs: every command of the server has one line here, and one file in `session/verbs/`.

A verb is the first word behind `ssh HOST`, and behind the local command `oobconsole`. These parts of the program read
this table instead of having a list of their own:

- `config/table.py` refuses to give a console the name of a verb;
- `config/schema.py` gives no console of a libvirt domain such a name;
- `session/parsing.py` and `session/commands.py` understand a command line and carry it out;
- `session/verbs/help.py` lists the verbs and explains one of them;
- `session/signals.py` knows which sessions read keys, and which can send a break to a guest;
- `cli/main.py` makes a subcommand of each verb that the local command hands on to the running server;
- `cli/completion.py` completes the words that stand behind a verb.

What a verb does is in `session/verbs/NAME.py` (`session/verbs/__init__.py` says what such a file contains). This
module stands low and imports nothing heavy, because the local command must start quickly.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Final

from oobconsole.access import Right


class Argument(StrEnum):
    """What a word behind a verb means, as far as completion and rights are concerned."""

    CONSOLE = "console"
    VERB = "verb"
    POWER_ACTION = "power action"


class Keys(Enum):
    """Which sessions of a verb read what the client types, key by key.

    A session that reads keys gets the signals INT and QUIT as the keys Ctrl-C and Ctrl-\\. Any other session is ended
    by these signals (`session/signals.py`).
    """

    NEVER = "never"
    AT_A_TERMINAL = "only a session whose client has a terminal"
    ALWAYS = "every session"


@dataclass(frozen=True)
class Verb:
    """One command of the server.

    Attributes:
        name: the word that is typed, and the name of the file in `session/verbs/`.
        summary: what the command does, in one line, for `help` and for `oobconsole --help`.
        words: what the first words behind the verb mean. Words that have no fixed meaning are not listed.
        right: the right that the user needs at the console. None: the verb concerns no single console.
        server_user: only the user who runs the server, and root, may use this verb, through the admin socket.
        text: the last argument is a text, which reaches to the end of the line (`session/freetext.py`).
        options_behind: options may also stand between the console's name and the text.
        handed_on: the local command hands this verb on to the running server. False: the local command has a
            subcommand of that name with a meaning of its own.
        keys: which sessions of this verb read keys.
        has_breaks: whether a session of this verb may ever send a break to a guest: the session is at a console, or
            may come to one.
        followed_by: the only word that may follow the verb, where the verb is never said without that word.
    """

    name: str
    summary: str
    words: tuple[Argument, ...] = ()
    right: Right | None = None
    server_user: bool = False
    text: bool = False
    options_behind: bool = False
    handed_on: bool = True
    keys: Keys = Keys.NEVER
    has_breaks: bool = False
    followed_by: str = ""

    @property
    def spoken(self) -> str:
        """The verb as a person says it, for messages: `reload`, `audit head`."""
        return f"{self.name} {self.followed_by}".rstrip()


_CONSOLE: Final = (Argument.CONSOLE,)
_SWITCH: Final = (Argument.CONSOLE, Argument.POWER_ACTION)
_ALL: Final = (
    Verb(
        "menu",
        "choose a console from a menu, as ssh -t HOST without a command does",
        keys=Keys.AT_A_TERMINAL,
        has_breaks=True,
    ),
    Verb(
        "attach",
        "attach to a console, with the keyboard if nobody has it",
        _CONSOLE,
        Right.WATCH,
        keys=Keys.ALWAYS,
        has_breaks=True,
    ),
    Verb(
        "watch",
        "watch a console, without the keyboard",
        _CONSOLE,
        Right.WATCH,
        keys=Keys.AT_A_TERMINAL,
        has_breaks=True,
    ),
    Verb("ls", "list the consoles, and how each of them does"),
    Verb("who", "list who is attached where, and who has the keyboard"),
    Verb("events", "show what happens at the consoles, as it happens"),
    Verb("send", "type a text into a guest", _CONSOLE, Right.WRITE, text=True),
    Verb("wait", "wait until a guest prints something", _CONSOLE, Right.WATCH, text=True, options_behind=True),
    Verb("power", "reset a guest, switch it off or on, or send it an NMI", _SWITCH, Right.POWER),
    Verb("reload", "have the server read its configuration again", server_user=True),
    Verb(
        "audit", "print the audit log's last number and hash", server_user=True, handed_on=False, followed_by="head"
    ),
    Verb("log", "print what a guest has printed, or who typed what, from the recording", _CONSOLE, Right.LOG),
    Verb(
        "replay",
        "show a recording once more, as the guest printed it",
        _CONSOLE,
        Right.LOG,
        keys=Keys.AT_A_TERMINAL,
    ),
    Verb(
        "search",
        "find the lines of a recording that match a pattern",
        _CONSOLE,
        Right.LOG,
        text=True,
        options_behind=True,
    ),
    Verb("status", "print how the server does, and what is wrong", server_user=True),
    Verb("help", "explain a command and its options", (Argument.VERB,)),
)

#: Every verb by its name, in the order in which `help` lists them.
VERBS: Final = {verb.name: verb for verb in _ALL}
