"""A person who names no console: shows the menu and does what is chosen in it, again and again until the person
leaves."""

from __future__ import annotations

import shlex
from typing import Final

from oobconsole.session import switch
from oobconsole.session.prompt import Keys, PeerPrompt
from oobconsole.session.request import AtOnce, ExitStatus, Peer, Request
from oobconsole.session.together import send_together
from oobconsole.session.tui.catalogue import Catalogue
from oobconsole.session.tui.choose import choose
from oobconsole.session.tui.menu import Action, Choice, Place
from oobconsole.session.tui.terminal import Terminal

_REPLAY_SINCE: Final = "10m"


class _Heard:
    """A peer, and what it was told.

    Attributes:
        typed: what was typed in the menu behind the choice. It is read first.
        last: what the peer was told last. The menu says it again, because the menu covers it on the screen.
    """

    def __init__(self, peer: Peer) -> None:
        self.write, self.error, self.gone, self.put_back = peer.write, peer.error, peer.gone, peer.put_back
        self.takes, self.put = peer.takes, peer.put
        self._peer = peer
        self.typed = b""
        self.last = ""

    @property
    def why_gone(self) -> str:
        """The peer's `why_gone`."""
        return self._peer.why_gone

    @property
    def pause(self) -> float:
        """The peer's `pause`, in seconds."""
        return self._peer.pause

    async def read(self, at_once: AtOnce | None = None) -> bytes:
        """Return what was typed behind the end of a screen, and then what the peer types."""
        typed, self.typed = self.typed, b""
        return typed or await self._peer.read(at_once)

    async def tell(self, text: str) -> None:
        """Tell the peer `text`, and keep it in `last`."""
        self.last = text
        await self._peer.tell(text)


async def visit(request: Request, terminal: Terminal) -> ExitStatus:
    """Show the menu and do what is chosen, until the user leaves or the server stops. Returns the exit status. If a
    command fails, the user is back in the menu."""
    services, who = request.services, request.who
    heard, catalogue, place = _Heard(request.peer), Catalogue(services, who), Place()
    while True:
        choice, heard.typed = await choose(terminal, catalogue, services.stopping, place, heard.last)
        heard.last = ""
        if terminal.forget_breaks():
            await heard.tell("no break was sent: no console was open")
        if choice is not None:
            await _do(choice, heard, request, terminal, place)
        elif services.stopping.is_set():
            await heard.tell("the console server stops")
        if services.stopping.is_set():
            return ExitStatus.FAILED
        if choice is None:
            return ExitStatus.OK


async def _do(choice: Choice, peer: _Heard, request: Request, terminal: Terminal, place: Place) -> None:
    services, who = request.services, request.who
    name, keys = choice.console, Keys(peer, PeerPrompt(peer))
    match choice.action:
        case Action.SEND:
            said = await send_together(request, terminal, sorted(place.marks) or [name], peer)
            peer.last = said or peer.last
        case Action.REPLAY:
            question = f"replay {name} since (10m, 02:13, 2026-03-01T02:13; Enter: {_REPLAY_SINCE}; Escape cancels):"
            since = await keys.ask_line(question)
            if since is not None:
                await request.run(shlex.join(["replay", name, "--since", since.strip() or _REPLAY_SINCE]), peer)
                await _look_at(peer)
            elif keys.dropped:
                await peer.tell(f"{peer.last}; {keys.dropped}")
        case Action.POWER:
            console = services.directory.find(name)
            done = await switch.ask(services, console, who, keys, peer.tell) if console else f"{name} is no more"
            if done:
                await peer.tell(done)
            elif keys.dropped:
                await peer.tell(f"{peer.last}; {keys.dropped}")
        case action:
            await request.run(shlex.join([action, name]), peer)


async def _look_at(peer: _Heard) -> None:
    """Wait for a key before the menu covers the last screen of a replay."""
    await peer.tell("any key goes back to the menu")
    await peer.read()
    peer.last = ""
