"""Which file of `native/core` calls functions of which other one? No two of them need each other, even by way of
others: what happens in a lower file is told to a higher one by a table of functions (`machine.c`)."""

from __future__ import annotations

import re
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Final

from tests.stack.nested import ROOT

CORE: Final = ROOT / "native" / "core"
_COMMENT: Final = re.compile(r"/\*.*?\*/", re.DOTALL)


def names(file: Path, pattern: str) -> set[str]:
    """What matches the pattern in a file, comments apart."""
    return set(re.findall(pattern, _COMMENT.sub("", file.read_text())))


def calls(core: Path) -> dict[str, set[str]]:
    """For each C file, the C files whose functions or tables it names. Those are declared in headers."""
    declared = {file.stem: names(file.with_suffix(".h"), r"(?<!struct )\b(oob_\w+)[(;]") for file in core.glob("*.c")}
    named = {file.stem: names(file, r"\boob_\w+") for file in core.glob("*.c")}
    return {
        user: {owner for owner, theirs in declared.items() if owner != user and theirs & used}
        for user, used in named.items()
    }


def test_no_file_needs_one_that_needs_it() -> None:
    graph = calls(CORE)
    assert "link" in graph["serve"]
    assert list(TopologicalSorter(graph).static_order())
