"""Which of two patterns has come first in what a guest prints, whatever pieces the output comes in.

A pattern has come as soon as there is enough text for a match, though more text might make the match longer. So the
answer is the same when the text comes in one piece and when it comes in many. The verb `wait` and the client's
`expect` have this rule in common.
"""

from __future__ import annotations

import time

import regex

Match = regex.Match[str]


def comes_before(found: Match, first: Match, *, seconds: float) -> bool:
    """Return whether a match has come before another match in the same text, which was searched from the same
    character on.

    Of two patterns that have come with the same character, the match that begins earlier counts. Of two matches that
    begin together, `found` counts.

    Args:
        found: the match of one pattern.
        first: the match of the other pattern.
        seconds: how much processor time of this process it may take, which is what `regex` counts (clock(3)).

    Raises:
        TimeoutError: it took longer than `seconds`.
    """
    if found.start() == first.start():
        return True
    if found.end() <= first.start() or first.end() <= found.start():
        return found.start() < first.start()
    deadline = time.process_time() + seconds
    return (_came_at(found, deadline), found.start()) < (_came_at(first, deadline), first.start())


def _came_at(found: Match, deadline: float) -> int:
    """Return the position behind the character with which there was enough text for a match. It is looked for by
    bisection, as more text never makes less of a match; but for patterns that name the end of the text, for which the
    position is one at which there was a match."""
    few, enough = found.start(), found.end()
    while enough - few > 1:
        middle = (few + enough) // 2
        left = max(0.001, deadline - time.process_time())
        if found.re.search(found.string, found.pos, middle, timeout=left, concurrent=True):
            enough = middle
        else:
            few = middle
    return enough
