"""What one user sees of the directory, and what a search finds in it.

Why are views kept? Looking up a user's rights at ten thousand consoles takes a second. So a view is made once for
each user, in slices, and then kept. The directory tells the views which consoles appear and vanish. A view is made
again when grants change.

What does a search look at? At the consoles of the view; if it goes on with the search before (another letter was
typed), only at the consoles that were found then.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, overload
from weakref import WeakSet

from oobconsole.access import Access, Grant, Principal
from oobconsole.console.console import Console, ConsoleState
from oobconsole.guests.directory import Directory
from oobconsole.guests.guest import Guest
from oobconsole.session.safe import eased

#: At how many consoles a user's rights are looked up in one slice. With a hundred grants, each console takes a fifth
#: of a millisecond.
RIGHTS_A_SLICE: Final = 16
#: How many views are kept though nobody has a menu open. Each takes 80 KiB for 10,000 consoles, and the texts
#: besides.
VIEWS_MAX: Final = 16


class _Item(NamedTuple):
    """A console, and the text in which words are looked for: its name and its machine's, in lower case."""

    name: str
    text: str
    console: Console


class Found(Sequence[Console]):
    """Consoles that were found, sorted by name. The sequence does not change any more, even if consoles vanish."""

    def __init__(self, items: Sequence[_Item]) -> None:
        self.items = items

    @overload
    def __getitem__(self, index: int) -> Console: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Console]: ...

    def __getitem__(self, index: int | slice) -> Console | Sequence[Console]:
        return Found(self.items[index]) if isinstance(index, slice) else self.items[index].console

    def __iter__(self) -> Iterator[Console]:
        return (item.console for item in self.items)

    def __len__(self) -> int:
        return len(self.items)

    def position(self, name: str) -> int | None:
        """Return the index of the console of that name; None: it was not found. Few of the other consoles are looked
        at."""
        return _position(self.items, name)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a search has found, and what the answer depends on.

    Attributes:
        words: what was searched for.
        found: the answer.
        basis: what the answer depends on besides the consoles of the view (`View._basis`).
    """

    words: list[str]
    found: Found
    basis: object


class View:
    """What one user sees.

    Args:
        who: the user.
        access: who may do what.
        directory: all consoles.

    Attributes:
        grants: the grants from which the user's rights were taken.
        looked_at: how many consoles all searches have looked at so far. That is what the searches cost.
    """

    def __init__(self, who: Principal, access: Access, directory: Directory) -> None:
        self.grants: tuple[Grant, ...] = access.grants
        self.looked_at = 0
        self._who = who
        self._access = access
        self._directory = directory
        self._items: list[_Item] = []  # sorted by name
        self._everything: Found | None = None  # the items as a sequence that does not change; None: not made yet
        self._longest: int | None = None
        self._answer: _Answer | None = None
        self._meanwhile: list[tuple[Guest, Console, bool]] | None = None  # what came or went while the view was made

    @property
    def everything(self) -> Found:
        """All consoles at which the user has any right."""
        if self._everything is None:
            self._everything = Found(tuple(self._items))
        return self._everything

    @property
    def longest(self) -> int:
        """How many characters the longest name among these consoles has; 0: there are none."""
        if self._longest is None:
            self._longest = max(map(len, map(_name, self._items)), default=0)
        return self._longest

    async def make(self) -> None:
        """Look up the user's rights at all consoles, in slices."""
        self._meanwhile = []
        async for name in eased(tuple(self._directory.names), RIGHTS_A_SLICE):
            entry = self._directory.entry(name)
            if entry is not None and self._access.sees(self._who, name):
                self._items.append(_item(entry.guest, entry.console))
        meanwhile, self._meanwhile = self._meanwhile, None
        for guest, console, is_there in meanwhile:
            self.vanished(guest, console)  # a console that has come may be among the items already
            if is_there:
                self.appeared(guest, console)

    def appeared(self, guest: Guest, console: Console) -> None:
        """Add a console that has appeared, if the user may see it."""
        if self._meanwhile is not None:
            self._meanwhile.append((guest, console, True))
        elif self._access.sees(self._who, console.name):
            insort(self._items, _item(guest, console), key=_name)
            self._changed()

    def vanished(self, guest: Guest, console: Console) -> None:
        """Remove a console that has vanished."""
        if self._meanwhile is not None:
            self._meanwhile.append((guest, console, False))
        elif (at := _position(self._items, console.name)) is not None:
            del self._items[at]
            self._changed()

    def _changed(self) -> None:
        self._everything = self._longest = self._answer = None

    # -- searching ----------------------------------------------------------------------------------

    def search(self, text: str, held: Mapping[Console, str]) -> Found:
        """Return the consoles that have every word of `text` in their name, in their machine's name, in their state,
        or in the name of whoever has the keyboard.

        Args:
            text: what to look for, in any case of letters.
            held: the name, in lower case, of whoever has the keyboard. Consoles at which nobody has it are left out.
        """
        words = text.lower().split()
        if not words:
            return self.everything
        before, basis = self._answer, self._basis(words, held)
        if before is not None and before.words == words and before.basis == basis:
            return before.found
        items: Sequence[_Item] = self.everything.items
        if before is not None and _goes_on(before.words, words) and before.basis == self._basis(before.words, held):
            items = before.found.items
        for word in words:
            items = self._with(word, items, held)
        self._answer = _Answer(words, Found(items), basis)
        return self._answer.found

    def _basis(self, words: Sequence[str], held: Mapping[Console, str]) -> object:
        """Return what an answer depends on besides the consoles' names. States count only if a word may mean a
        state."""
        by_state = any(_states(word) for word in words)
        return self._directory.state_changes if by_state else None, dict(held)

    def _with(self, word: str, items: Sequence[_Item], held: Mapping[Console, str]) -> Sequence[_Item]:
        """Return the items that have the word."""
        self.looked_at += len(items)
        states = _states(word)
        others = {console for console, name in held.items() if word in name}
        others.update(*(self._directory.in_state[state] for state in states))
        if not others:
            return [item for item in items if word in item.text]
        return [item for item in items if word in item.text or item.console in others]


class Views:
    """The views of all users who have looked lately."""

    def __init__(self, directory: Directory, access: Access) -> None:
        self._directory = directory
        self._access = access
        self._kept: dict[tuple[str, bool], View] = {}  # the view that was used last stands last
        self._live: WeakSet[View] = WeakSet()  # the kept views, and those that a menu still has
        directory.on_appeared(self._appeared)
        directory.on_vanished(self._vanished)

    async def of(self, who: Principal) -> View:
        """Return what that user sees now. The view is kept up to date until grants change (`is_old`)."""
        key = who.name, who.local
        view = self._kept.pop(key, None)
        if view is None or self.is_old(view):
            view = View(who, self._access, self._directory)
            self._live.add(view)
            await view.make()
        self._kept[key] = view
        while len(self._kept) > VIEWS_MAX:
            del self._kept[next(iter(self._kept))]
        return view

    def is_old(self, view: View) -> bool:
        """Return whether grants have changed since the view was made."""
        return view.grants is not self._access.grants

    def _appeared(self, guest: Guest, console: Console) -> None:
        for view in tuple(self._live):
            view.appeared(guest, console)

    def _vanished(self, guest: Guest, console: Console) -> None:
        for view in tuple(self._live):
            view.vanished(guest, console)


def _item(guest: Guest, console: Console) -> _Item:
    return _Item(console.name, f"{console.name} {guest.source.name}".lower(), console)


def _position(items: Sequence[_Item], name: str) -> int | None:
    at = bisect_left(items, name, key=_name)
    return at if at < len(items) and items[at].name == name else None


def _name(item: _Item) -> str:
    return item.name


def _states(word: str) -> list[ConsoleState]:
    """Return the states that a word of a search may mean: those whose name contains it."""
    return [state for state in ConsoleState if word in state.name.lower()]


def _goes_on(before: Sequence[str], words: Sequence[str]) -> bool:
    """Return whether everything that has `words` is among what has the words `before`."""
    return len(words) >= len(before) and all(
        word.startswith(former) for former, word in zip(before, words, strict=False)
    )
