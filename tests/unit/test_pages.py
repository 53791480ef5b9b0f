"""Pages of Markdown: their lines are not too long, their links lead somewhere, and what they name is there.

So the walks of a byte and a key in docs/architecture.md stay true. An editor that wraps docstrings is found out, too.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: `folder/file.c:function`, or a file or folder alone. Patterns with * name no single file.
_PLACE = re.compile(r"`((?:native|oobconsole|devices|tests)/[\w./-]+)(?::(\w+))?`")
PAGES = sorted([*ROOT.glob("docs/**/*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])
#: In columns; tables and code may be wider (docs/coding-style.md).
WIDTH = 100
#: The same for a row of a table, in whose cells no prose belongs. Pages of figures have many columns.
ROW = 260
FIGURES = ("security-tests.md",)
#: Pages that are still to be wrapped.
WIDE: tuple[str, ...] = ()


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


def prose(page: Path) -> list[str]:
    """The lines of a page that are neither code nor a row of a table."""
    lines, code = [], False
    for line in page.read_text().splitlines():
        code ^= line.startswith("```")
        if not code and not line.startswith(("|", "    ", "```")):
            lines.append(line)
    return lines


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if str(page.relative_to(ROOT)) not in WIDE],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_lines_have_at_most_100_columns(page: Path) -> None:
    assert [line for line in prose(page) if len(line) > WIDTH] == []


@pytest.mark.parametrize(
    "page", [page for page in PAGES if page.name not in FIGURES], ids=lambda page: str(page.relative_to(ROOT))
)
def test_tables_have_short_cells(page: Path) -> None:
    """What takes sentences is read in a paragraph or in a list, and not in a narrow column."""
    assert [row for row in page.read_text().splitlines() if row.startswith("|") and len(row) > ROW] == []


def anchors(page: Path) -> set[str]:
    """What a link can name in a page: its headings, as GitHub makes anchors of them."""
    headings = [line.lstrip("#").strip() for line in prose(page) if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        name, _, anchor = link.partition("#")
        target = page.parent / name if name else page
        if "://" not in link and not (target.exists() and (not anchor or anchor in anchors(target))):
            lost.append(link)
    assert lost == []


#: Where a line that is indented further may follow: what ends with a colon, an item of a list, or of `Args`.
_OPENS = re.compile(r".*:$|\s*(?:[\w`.*]+(?:, [\w`.*]+)*:|-|\*|#|\d+\.) ")


def broken(docstring: str) -> list[str]:
    """The lines of a docstring that are indented further than the line before, in the middle of a sentence."""
    lines = inspect.cleandoc(docstring).splitlines()
    indents = [len(line) - len(line.lstrip()) for line in lines]
    return [
        line
        for before, line, left, right in zip(lines, lines[1:], indents, indents[1:], strict=False)
        if before and line and right > left and not _OPENS.match(before)
    ]


def test_a_broken_docstring_is_found() -> None:
    assert broken("One\nhas a\n    list\nof them.") == ["    list"]
    assert broken("One.\n\nArgs:\n    a: what\n        it is.\n- item\n  of it\n") == []


@pytest.mark.parametrize("folder", ["devices", "oobconsole", "tests"])
def test_no_docstring_was_broken_by_wrapping_it(folder: str) -> None:
    found = []
    for file in sorted((ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found += [f"{file.name}: {line.strip()}" for line in broken(ast.get_docstring(node) or "")]
    assert found == []
