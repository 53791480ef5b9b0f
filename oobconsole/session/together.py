"""One text for the consoles that are marked in the menu: asks for the text, has it confirmed, types it, and shows
what the consoles answer.

Sending itself is that of the verb `send` (sending.py).
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from oobconsole.session.prompt import Keys, PeerPrompt
from oobconsole.session.request import ExitStatus, Peer, Request
from oobconsole.session.sending import Several, named
from oobconsole.session.tui.answers import Answers, Transcript
from oobconsole.session.tui.showing import Showing
from oobconsole.session.tui.terminal import Terminal
from oobconsole.verbs import VERBS

#: How long the text may be, in bytes.
TEXT_MAX: Final = 1000


class Text(NamedTuple):
    """A text to type into several consoles.

    Attributes:
        text: the text, without an Enter.
        enter: whether the Enter key follows it.
    """

    text: str
    enter: bool


async def send_together(request: Request, terminal: Terminal, names: Sequence[str], peer: Peer) -> str:
    """Do all of it, from the first question until the user goes back to the menu. Returns what the menu says about
    it; empty: the user knows already."""
    wanted = await _ask(names, peer)
    if wanted is None:
        return ""
    showing = Showing(terminal, request.services.stopping)
    transcript = Transcript(showing.changed)
    args = argparse.Namespace(text=wanted.text, no_enter=not wanted.enter, force=False)
    sent = replace(request, verb=VERBS["send"], args=args, terminal=None, peer=_OnScreen(transcript, peer))
    several = Several(sent, names)
    transcript.state = f"typing {wanted.text!r} into {named(names)}"
    task = asyncio.create_task(several.run(), name="a text for marked consoles")

    def ended(_: asyncio.Task[ExitStatus]) -> None:
        if task.cancelled():
            transcript.add(several.summary)
        transcript.end(several.summary)

    task.add_done_callback(ended)
    try:
        await showing.show(lambda keys: Answers(transcript, task.cancel, keys, terminal))
    finally:
        task.cancel()
        result = (await asyncio.gather(task, return_exceptions=True))[0]
    if isinstance(result, Exception):
        raise result
    return several.summary


async def _ask(names: Sequence[str], peer: Peer) -> Text | None:
    """Return the text to send; None: nothing is to be sent, and the user was told so."""
    keys, where = Keys(peer, PeerPrompt(peer)), named(names)
    text = await keys.ask_line(f"text for {where}; Enter goes on, Escape cancels:", TEXT_MAX)
    if text is None:
        return None
    if text:
        question, answers = (
            f"y types {text!r} and Enter into {where}, t the text alone; any other key: nothing",
            b"yt",
        )
    else:
        question, answers = f"y types only Enter into {where}; any other key: nothing", b"y"
    answer = await keys.ask(question, answers, alone=True)
    if answer not in (b"y", b"t"):
        await peer.tell("nothing was typed")
        return None
    return Text(text, enter=answer == b"y")


class _OnScreen:
    """A peer whose output is shown on a screen of ours. Its input, and whether it is gone, are those of the real
    peer."""

    def __init__(self, transcript: Transcript, peer: Peer) -> None:
        self._transcript = transcript
        self._peer = peer
        self.read, self.put_back, self.gone = peer.read, peer.put_back, peer.gone

    @property
    def why_gone(self) -> str:
        """The peer's `why_gone`."""
        return self._peer.why_gone

    @property
    def pause(self) -> float:
        """The peer's `pause`, in seconds."""
        return self._peer.pause

    async def write(self, data: bytes) -> None:
        """Add the lines of an answer to the transcript."""
        for line in data.decode(errors="replace").removesuffix("\n").split("\n"):
            self._transcript.add(line)
        await asyncio.sleep(0)

    def takes(self, size: int) -> bool:
        """Return False: lines are added to the transcript by `write`."""
        return False

    def put(self, data: bytes) -> None:
        """Do nothing, because `takes` never allows it."""

    async def tell(self, text: str) -> None:
        """Add what became of the text, at one console or in all, to the transcript."""
        for line in text.split("\n"):
            self._transcript.add(line)

    async def error(self, data: bytes) -> None:
        """Add the lines to the same transcript, because a terminal has only one output."""
        await self.write(data)
