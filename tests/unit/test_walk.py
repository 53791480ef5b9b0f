"""The walks of a byte and a key in docs/architecture.md are true: every file and function that they name is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: `folder/file.c:function`, or a file or folder alone. Patterns with * name no single file.
_PLACE = re.compile(r"`((?:native|oobconsole|devices|tests)/[\w./-]+)(?::(\w+))?`")
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def places(page: Path) -> list[tuple[str, str | None]]:
    """The files that a page names, each with the function that it names there, if it names one."""
    return [(found[1], found[2]) for found in _PLACE.finditer(page.read_text())]


def defines(source: str, function: str) -> bool:
    """Does the file define the function: in Python by `def`, in C at the beginning of a line?"""
    return bool(re.search(rf"^ *(async )?def {function}\(|^\w[^\n;=]*\b{function}\([^;]*\{{", source, re.MULTILINE))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_functions_that_a_page_names_are_there(page: Path) -> None:
    missing = [path for path, _ in places(page) if not (ROOT / path).exists()]
    assert missing == [], "a file was renamed or removed: name the one that is there now"
    named = [(path, function) for path, function in places(page) if function is not None]
    gone = [f"{path}:{function}" for path, function in named if not defines((ROOT / path).read_text(), function)]
    assert gone == [], "a function was renamed or moved: walk the path again, and name what is there now"


def test_the_architecture_has_both_walks() -> None:
    """A page without any place would pass above."""
    assert sum(function is not None for _, function in places(ROOT / "docs" / "architecture.md")) > 40
