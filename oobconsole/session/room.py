"""The people at one place, such as a console: who is attached, and who has the keyboard.

One has it, unless the console is shared; nobody gets it without asking, and nobody loses it without being told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Container
from typing import Generic, Protocol, TypeVar

from oobconsole.access import Access, Principal, Right
from oobconsole.config.guests import ConsoleConfig
from oobconsole.console.reader import Notice
from oobconsole.events import Events, Kind


class Member:
    """One session that is attached.

    Attributes:
        who: the user of the session.
        reader: shows the place to the member, and gets the notices.
        watching: whether the member does not want the keyboard.
        since: when the session was attached, by `time.monotonic`.
        typed_at: when the member has typed last, by `time.monotonic`.
        ended: set, with the reason, when the session must end.
        lender: the session of the same user that gets the keyboard back when this one leaves; None: there is none.
    """

    def __init__(self, who: Principal, reader: Listener, *, watching: bool) -> None:
        self.who = who
        self.reader = reader
        self.watching = watching
        self.since = self.typed_at = time.monotonic()
        self.ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.lender: Member | None = None

    def tell(self, text: str) -> None:
        """Show a line, after what the guest has printed so far."""
        self.reader.wake(Notice(text))

    def end(self, reason: str) -> None:
        """Make the member's session end, for that reason. A second call does nothing."""
        if not self.ended.done():
            self.ended.set_result(reason)


class Place(Protocol):
    """What a room belongs to: a console, or anything else that several people may see and one of them controls."""

    name: str
    settings: ConsoleConfig

    def take(self) -> bool:
        """Make another program that has the place open leave it. Returns whether there was one."""


PlaceT = TypeVar("PlaceT", bound=Place)


class Listener(Protocol):
    """Where a member hears what the others do: a console's `Reader`, or what shows a graphical screen."""

    def wake(self, notice: Notice | None = None) -> None:
        """Tell the member a notice, behind what it was shown so far."""


class Room(Generic[PlaceT]):
    """Everybody at one place.

    Args:
        place: where they are.
        access: who may do what.
        events: told what they do.

    Attributes:
        place: where they are.
        members: who is there, in the order in which they came.
    """

    def __init__(self, place: PlaceT, access: Access, events: Events) -> None:
        self.place = place
        self.members: list[Member] = []
        self._access = access
        self._events = events
        self._holder: Member | None = None
        self._asking: list[Member] = []
        self._idle_timer: asyncio.TimerHandle | None = None

    # -- coming and going ---------------------------------------------------------------------------

    def join(self, who: Principal, reader: Listener, *, watch: bool) -> Member:
        """A member attaches. If the keyboard is free the member gets it, except one who only watches or may not
        write."""
        member = Member(who, reader, watching=watch or not self.may(who, Right.WRITE))
        self.announce(f"{who.name} is attached")
        self.members.append(member)
        self._events.emit(Kind.ATTACHED, self.place.name, who, watching=member.watching)
        if not member.watching:
            self.claim(member)
        return member

    def leave(self, member: Member, why: str = "") -> None:
        """A member has left. If the member had the keyboard, it is free now. A second call does nothing.

        Args:
            why: the reason that others are told, if the member did not leave by itself.
        """
        if member not in self.members:
            return
        self.members.remove(member)
        if member in self._asking:
            self._asking.remove(member)
        self._events.emit(Kind.DETACHED, self.place.name, member.who)
        left = f"{member.who.name} has left{f' ({why})' if why else ''}"
        free = self._holder is member
        back = member.lender if free else None
        if back is not None and back in self.members and self.may(back.who, Right.WRITE):
            back.watching = False
            self._give(back)
            back.tell("you have the keyboard again")
            self.announce(left, but={back})
            return
        if free:
            self._give(None)
        self.announce(f"{left}{'; the keyboard is free' if free else ''}")

    def recheck(self) -> None:
        """Rights have changed: end the sessions of members who may not watch any more, and take the keyboard from a
        member who may not write any more."""
        for member in tuple(self.members):
            if not self.may(member.who, Right.WRITE) and member in self._asking:
                self._asking.remove(member)
            if not self.may(member.who, Right.WATCH):
                self._put_down(member)
                member.end(f"your right to watch {self.place.name} was taken away")
            elif not self.may(member.who, Right.WRITE) and not member.watching:
                self._put_down(member)
                member.tell(f"your right to write to {self.place.name} was taken away: you watch")
        self._watch_idle()  # there may be another limit now

    def _put_down(self, member: Member) -> None:
        """Make a member watch. If the member had the keyboard, it is free now."""
        member.watching = True
        if self._holder is member:
            self._give(None)
            self.announce("the keyboard is free", but={member})

    def claim(self, member: Member) -> bool:
        """Take the keyboard if it is free, without asking anybody. Returns whether this member may type now."""
        if self.may(member.who, Right.WRITE):
            member.watching = False
            if self._holder is None and not self.shared:
                self._give(member)
        return self.may_type(member)

    def borrow(self, member: Member) -> bool:
        """Take the keyboard if it is free. If another session of the same user has it, borrow it until `member`
        leaves: that session may be dead, and nobody can know. Returns whether this member may type now."""
        lender = self._holder
        if not self.claim(member) and lender is not None and self._is_own(member) and not self.shared:
            self._take(member, lender)
            member.lender = lender
            lender.tell(f"another session of yours{_whence(member)} has the keyboard until it ends: you watch")
        return self.may_type(member)

    def _is_own(self, member: Member) -> bool:
        """Return whether another session of the same user has the keyboard, and the user may write."""
        holder = self._holder
        return holder is not None and holder.who.is_user(member.who) and self.may(member.who, Right.WRITE)

    def _take(self, member: Member, former: Member) -> None:
        former.watching, member.watching = True, False
        if member in self._asking:
            self._asking.remove(member)
        self._give(member, taken_from=former)

    # -- the keyboard -------------------------------------------------------------------------------

    @property
    def shared(self) -> bool:
        """Whether several members may type at the same time."""
        return self.place.settings.share

    @property
    def holder(self) -> Member | None:
        """The member who has the keyboard. None: nobody has it, as always when the console is shared."""
        return self._holder

    def may(self, who: Principal, right: Right) -> bool:
        """Return whether `who` has that right here."""
        return self._access.may(who, right, self.place.name)

    def may_type(self, member: Member) -> bool:
        """Return whether the guest gets what this member types."""
        return (self.shared and not member.watching) or self._holder is member

    def typed(self, member: Member) -> None:
        """A member has typed something: the time until the member counts as idle begins anew."""
        member.typed_at = time.monotonic()

    def ask(self, member: Member) -> str:
        """Ask for the keyboard, or take it if it is free. Returns what to tell the member."""
        if not self.may(member.who, Right.WRITE):
            return f"you have no right to write to {self.place.name}"
        member.watching = False
        if self.may_type(member):
            return "you may type"
        if self._holder is None:
            self._give(member)
            return "you have the keyboard"
        if member not in self._asking:
            self._asking.append(member)
        prefix = self.place.settings.escape
        how = f": {prefix}r, then h, hands it over" if prefix else ""
        self._holder.tell(f"{member.who.name} asks for the keyboard{how}")
        if self._is_own(member):
            take = f": {prefix}r, then f, takes it" if prefix else ""
            return f"another session of yours{_whence(self._holder)} has the keyboard, and was asked for it{take}"
        return f"{self._holder.who.name} has the keyboard, and was asked for it"

    def hand_over(self, member: Member) -> str:
        """Give the keyboard to the member who has asked first, or put it down. Returns what to tell the member."""
        if self.shared:
            return "the keyboard is shared"
        if self._holder is not member:
            return "you do not have the keyboard"
        heir = self._asking.pop(0) if self._asking else None
        member.watching = True
        self._give(heir)
        if heir is None:
            self.announce("the keyboard is free", but={member})
            return "you have put the keyboard down, and watch"
        heir.tell(f"{member.who.name} gave you the keyboard")
        return f"{heir.who.name} has the keyboard now, and you watch"

    def watch(self, member: Member) -> str:
        """Make the member only watch from now on. Returns what to tell the member."""
        if self._holder is member:
            return self.hand_over(member)
        member.watching = True
        if member in self._asking:
            self._asking.remove(member)
        return "you watch"

    def force(self, member: Member) -> str:
        """Take the keyboard from the member who has it. Returns what to tell the member who takes it."""
        if self.take_line(member.who):
            return f"{self.place.name} is taken from the program that had it"
        former = self._holder
        if self.shared or former is None or former is member:
            return self.ask(member)
        may_force = self.may(member.who, Right.FORCE) and self.may(member.who, Right.WRITE)
        if not (may_force or self._is_own(member)):
            self._events.emit(Kind.DENIED, self.place.name, member.who, right="force")
            return f"you have no right to take the keyboard of {self.place.name} from {former.who.name}"
        self._take(member, former)
        former.tell(f"{member.who.name} took the keyboard from you: you watch")
        self.announce(f"{member.who.name} took the keyboard from {former.who.name}", but={former, member})
        return f"you have the keyboard; {former.who.name} watches"

    def take_line(self, who: Principal) -> bool:
        """Make another program that has the line open leave it. Returns False if there is none, or `who` may not do
        so."""
        taken = self.may(who, Right.FORCE) and self.place.take()
        if taken:
            self._events.emit(Kind.FORCED, self.place.name, who)
            self.announce(f"{who.name} ends the other program that has {self.place.name} open")
        return taken

    # -- what everybody sees ------------------------------------------------------------------------

    def message(self, member: Member, text: str) -> None:
        """Say something to everybody who is attached."""
        self._events.emit(Kind.MESSAGE, self.place.name, member.who, text=text)
        self.announce(f"{member.who.name} says: {text}")

    def who(self) -> list[str]:
        """Return one line for each member: name, role, for how long, and from where."""
        now = time.monotonic()
        return [
            f"{member.who.name:<16} {self.role(member):<9} {_ago(now - member.since)}{_whence(member)}"
            for member in self.members
        ]

    def role(self, member: Member) -> str:
        """Return what a member does, in a word: `types` or `watches`."""
        return "types" if self.may_type(member) else "watches"

    def announce(self, text: str, *, but: Container[Member] = ()) -> None:
        """Tell everybody who is attached, except the members in `but`."""
        for member in self.members:
            if member not in but:
                member.tell(text)

    def _give(self, member: Member | None, taken_from: Member | None = None) -> None:
        self._holder = member
        detail = {"taken_from": taken_from.who.name} if taken_from else {}
        self._events.emit(Kind.KEYBOARD, self.place.name, member.who if member else None, **detail)
        if member is not None:
            member.typed_at = time.monotonic()
            self._watch_idle()

    @property
    def _idle_limit(self) -> float:
        """After how many seconds without typing a member loses the keyboard; 0: never."""
        return self.place.settings.idle_minutes * 60.0

    def _watch_idle(self) -> None:
        """Look again when the holder of the keyboard may have typed nothing for too long."""
        if self._idle_timer is not None:
            self._idle_timer.cancel()
            self._idle_timer = None
        if self._idle_limit and self._holder is not None:
            left = max(0.0, self._holder.typed_at + self._idle_limit - time.monotonic())
            self._idle_timer = asyncio.get_running_loop().call_later(left, self._look_for_idle)

    def _look_for_idle(self) -> None:
        holder, limit = self._holder, self._idle_limit
        if holder is not None and limit and time.monotonic() - holder.typed_at >= limit:
            self._put_down(holder)
            holder.tell(f"you typed nothing for {limit / 60:.0f} min: the keyboard is free, and you watch")
        self._watch_idle()


def _whence(member: Member) -> str:
    return f" from {member.who.address}" if member.who.address else ""


def _ago(seconds: float) -> str:
    minutes = int(seconds) // 60
    return f"{minutes // 60}:{minutes % 60:02} h" if minutes >= 60 else f"{minutes} min"
