"""`wait` with a failure pattern: which of two patterns has come first, whatever pieces the output comes in."""

from __future__ import annotations

import pytest

from oobconsole.patterns import compile_pattern
from oobconsole.session.request import ExitStatus
from oobconsole.session.verbs import wait
from tests.unit.session.fakes import FakePeer, consoles, request_for

#: What is awaited, what is a failure, what the guest prints, and the exit status.
CASES = [
    ("login: .*\\n", "FAILED", "web1 login: FAILED again\n", ExitStatus.FAILED),
    ("login: .*", "FAILED", "web1 login: FAILED again\n", ExitStatus.OK),
    ("login: ", "FAILED", "web1 login: \nFAILED\n", ExitStatus.OK),
    ("login: ", "FAILED", "FAILED\nweb1 login: ", ExitStatus.FAILED),
    ("done", "error.*fatal", "error, but done; fatal\n", ExitStatus.OK),
    ("\\d+ passed.*ok", "panic|oops", "3 passed, panic, ok\n", ExitStatus.FAILED),
    ("begin.*end", "b.*d", "begin end\n", ExitStatus.FAILED),  # two that begin together
]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize(("wanted", "fail", "text", "status"), CASES)
async def test_the_answer_does_not_depend_on_them(
    wanted: str, fail: str, text: str, status: ExitStatus, size: int
) -> None:
    """faults.md 5, variation: the match that began earlier counted, so the answer was another one when the guest, or
    the network, was slow."""
    settings = consoles("web1")
    console = settings.directory.find("web1")
    assert console is not None
    patterns = [compile_pattern(pattern, multiline=True) for pattern in (wanted, fail)]
    asked = request_for("wait", FakePeer(), settings, pattern=patterns[0], fail=patterns[1:])
    window = wait.Window()
    found = None
    for at in range(0, len(text), size):
        await window.add(text[at : at + size].encode())
        found = await wait._looked_at(asked, console, window)
        if found is not None:
            break
    assert found is status
