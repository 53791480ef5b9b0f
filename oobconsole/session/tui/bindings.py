"""The keys of a screen of ours, and what each key does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent


class Bindings(KeyBindings):
    """Keys, and what each key does.

    Args:
        pressed: called before what the key does, for every key.
    """

    def __init__(self, pressed: Callable[[], object]) -> None:
        super().__init__()
        self._pressed = pressed

    def bind(self, keys: Sequence[str], do: Callable[[KeyPressEvent], object]) -> None:
        """Call `do` whenever one of these keys is pressed."""

        def pressed(event: KeyPressEvent) -> None:
            self._pressed()
            do(event)

        for key in keys:
            self.add(key)(pressed)

    def bind_moves(self, move: Callable[[int], object], page: Callable[[], int]) -> None:
        """Make the usual keys move through lines.

        Args:
            move: moves by so many lines, or as far as it goes; a negative number moves up.
            page: returns how many lines are on the screen.
        """
        self.bind(["up"], lambda _: move(-1))
        self.bind(["down"], lambda _: move(+1))
        self.bind(["pageup"], lambda _: move(-page()))
        self.bind(["pagedown"], lambda _: move(+page()))
        self.bind(["home"], lambda _: move(-sys.maxsize))
        self.bind(["end"], lambda _: move(+sys.maxsize))
