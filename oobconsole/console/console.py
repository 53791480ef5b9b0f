"""The console of one port: its output goes to any number of readers, and its input comes from any number of writers.

The interceptor or the line calls the guest's side (`output`, `gap`, `bind`, `set_state`), which returns at once.
output.py keeps what was printed, for its readers; input.py queues what is typed.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final

from oobconsole.access import Principal
from oobconsole.config.guests import ConsoleConfig
from oobconsole.console.input import INPUT_MAX, PUMPED_MAX, Break, Device, Input
from oobconsole.console.output import Output
from oobconsole.console.pace import Hold
from oobconsole.console.reader import Notice
from oobconsole.console.states import ALLOWED, ENDED, NOBODY, ConsoleState, Observer
from oobconsole.errors import StateError
from oobconsole.words import Few, brief

#: The reason of the state LIVE when the guest is another one than before, or the same one, started again.
NEW_GUEST: Final = "a new guest appeared"
#: How many messages about what happens to the guest's machine are told in so many seconds.
NEWS_MAX: Final = 20
NEWS_SECONDS: Final = 10.0

__all__ = ["INPUT_MAX", "NEW_GUEST", "NOBODY", "PUMPED_MAX", "Break", "Console", "ConsoleState", "Observer"]


class Console(Output):
    """One console: what its guest prints, what is typed into it, and what is known of the guest.

    Args:
        name: the name by which users call the console.
        scrollback: how many bytes of output are kept.
        settings: how the console behaves.

    Attributes:
        reason: why the console is in its state, in words.
    """

    def __init__(self, name: str, *, scrollback: int, settings: ConsoleConfig | None = None) -> None:
        super().__init__(name, scrollback=scrollback)
        self.settings = settings or ConsoleConfig()
        self.reason = ConsoleState.WAITING.value
        self._reason_at = time.monotonic()
        self._state = ConsoleState.WAITING
        self._was_ended = False  # the guest had ended when an earlier server stopped
        self._takers: list[Callable[[], bool]] = []
        self._news = Few(NEWS_MAX, NEWS_SECONDS)
        self._input = Input(self._observers, self.announce)

    # -- state --------------------------------------------------------------------------------------

    @property
    def state(self) -> ConsoleState:
        """What is known of the guest: whether it is there, away or gone."""
        return self._state

    def set_state(self, state: ConsoleState, reason: str = "") -> None:
        """Move to another state, and tell the people who are attached. Input that waits is lost when its guest ends.

        When does a new guest begin? When the state becomes LIVE after a guest that printed something has ended, or
        with the reason `NEW_GUEST`.

        Raises:
            StateError: `ALLOWED` does not have this transition.
        """
        is_new = state is ConsoleState.LIVE and self.end > 0
        is_new = is_new and (self._state in ENDED or self._was_ended or reason == NEW_GUEST)
        reason = NEW_GUEST if is_new else brief(reason) or state.value
        self._reason_at = time.monotonic()
        if state is self._state:
            self.reason = reason
            return
        if state not in ALLOWED[self._state]:
            raise StateError(self._state, state)
        first = self._state is ConsoleState.WAITING and not is_new
        self._was_ended = self._was_ended and state is not ConsoleState.LIVE
        self._state = state
        self.reason = reason
        if is_new:
            self._another_guest()
        if not first:
            detail: dict[str, str | int] = {"state": state.name.lower(), "reason": self.reason}
            if is_new:
                detail["offset"] = self.end
            self._tell(Notice(f"{self.name}: {self.reason}", "state", detail))
        for observer in self._observers:
            observer.state_changed(state, self.reason)
        self._input.follow(state)

    @property
    def reason_now(self) -> str:
        """The reason of the state, with its age if that is a second or more: `the next attempt is in 5 s` may have
        been said long ago."""
        ago = time.monotonic() - self._reason_at
        return self.reason if ago < 1 else f"{ago:.0f} s ago: {self.reason}"

    @property
    def refuses(self) -> str:
        """Why text that is typed now would be lost, in words; empty: it would not."""
        if self._input.held:
            return self._input.held
        return f"it is {self._state.name.lower()}: {self.reason}" if self._state in NOBODY else ""

    # -- the guest's side ---------------------------------------------------------------------------

    def bind(self, device: Device | None, send_break: Break | None = None, hold: Hold | None = None) -> None:
        """Say where input goes.

        Args:
            device: accepts bytes, and returns how many it took; None: nobody takes input now.
            send_break: sends a break; None: the line cannot.
            hold: makes the guest wait with its output (True) and go on (False); None: the guest cannot wait.
        """
        self.pace.bind(hold)
        self._input.bind(device, send_break)

    def pump(self) -> None:
        """Give the device as much input as it accepts. The device's owner calls this when there is room again."""
        self._input.pump()

    def resume(
        self,
        offset: int,
        history: bytes,
        *,
        begun: Iterable[tuple[int, float]] = (),
        silences: Iterable[int] = (),
        ended: bool = False,
    ) -> None:
        """Go on where a recording ends, as `Output.resume` says.

        Args:
            ended: the last guest of the recording has ended, so that the next one is another guest.
        """
        super().resume(offset, history, begun=begun, silences=silences)
        self._was_ended = ended

    def hold_input(self, reason: str) -> None:
        """Give the guest no input until this is called with an empty `reason`. Typed text is lost meanwhile, and so
        is the input that waits now. Why not keep it? Commands must not run later, when nobody expects them. The
        people who are attached are told."""
        self._input.hold(reason)

    # -- the users' side ----------------------------------------------------------------------------

    def write(self, data: bytes, who: Principal | None = None) -> Coroutine[Any, Any, None]:
        """Type `data` into the guest. Returns when all of it waits for the guest, in order.

        While the guest does not read, the writer waits. Several writers take turns. Text for a guest that is gone is
        lost, because it is not meant for the guest that comes next.
        """
        return self._input.write(data, who)

    def write_at_once(self, data: bytes, who: Principal | None = None) -> bool:
        """Do what `write` does, if nobody has to wait for it. Returns False if that is not possible now; nothing has
        been typed then."""
        return self._input.write_at_once(data, who)

    async def send_break(
        self, key: bytes = b"", who: Principal | None = None, may: Callable[[], bool] = lambda: True
    ) -> bool:
        """Send a break condition after everything that was typed before, and then `key`. Nobody else can type between
        the two. The break waits, as typed text does, while the line has no room or is away. Returns False when there
        is nobody who could receive it, or when the sender may not send it any more.

        Args:
            key: the key that follows the break, or nothing.
            who: the sender.
            may: says whether the sender may send a break. It is asked when the break has waited and would be sent.

        Raises:
            LineFault: the line refuses the break, or the guest for which it was meant is gone; the message says
                which.
        """
        return await self._input.send_break(key, who, may)

    @property
    def break_unanswered(self) -> bool:
        """Whether the line was asked for a break, and has not answered yet whether the break was sent."""
        return self._input.break_unanswered

    @property
    def takes_input(self) -> bool:
        """Whether somebody takes typed text, at once or as fast as the guest reads."""
        return self._input.is_taken

    @property
    def input_waiting(self) -> int:
        """How many typed bytes no guest has taken yet."""
        return self._input.waiting

    @property
    def input_lost(self) -> int:
        """How many typed bytes no guest took, because it was gone or input was held."""
        return self._input.lost

    async def input_taken(self) -> None:
        """Wait until the guest's UART has accepted everything that was typed."""
        await self._input.taken()

    def on_take(self, call: Callable[[], bool]) -> None:
        """Register a function for `take`. It makes another program that has the line open leave it, and returns
        whether there was such a program."""
        self._takers.append(call)

    def take(self) -> bool:
        """Make another program that has the line open leave it. Returns whether there was such a program."""
        return any(tuple(call() for call in self._takers))  # the tuple, because each function must be called

    def announce(self, text: str) -> None:
        """Tell the people who are attached something about the console, after the output so far. The console's name
        comes first."""
        self._tell(Notice(f"{self.name}: {text}"))

    def tell_elsewhere(self, name: str) -> None:
        """A guest has appeared at another console, and may be the one that was here. The people are told who have a
        right at that console, so that they may know its name."""
        self._tell(Notice(f"{self.name}: a guest has appeared as {name}; it may be this one", "moved", {"to": name}))

    def happened(self, what: str) -> None:
        """Tell the people who are attached what has happened to the guest's machine. Only `NEWS_MAX` messages are
        told in `NEWS_SECONDS`, so that a guest that resets itself without end, or a garbling monitor, does not fill
        terminals.
        """
        if said := self._news.say(what):
            self.announce(said)
