"""The manual pages: the generated one is as the settings are, and both are pages that man can show."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from oobconsole.config.schema import Config
from oobconsole.config.table import Table
from oobconsole.ops.reference import TABLES, keys, markdown

MAN = Path(__file__).parents[3] / "docs" / "man"


def test_the_committed_reference_is_what_the_settings_say() -> None:
    assert (MAN / "oobconsole.toml.5.md").read_text() == markdown(), (
        "stale: python -m oobconsole.ops.reference >docs/man/oobconsole.toml.5.md"
    )


def test_every_table_of_the_file_is_in_it() -> None:
    def subclasses(kind: type[Table]) -> set[type[Table]]:
        return set(kind.__subclasses__()).union(*map(subclasses, kind.__subclasses__()))

    ours = ("oobconsole.config.schema", "oobconsole.config.guests", "oobconsole.config.alerts")
    assert {t for t in subclasses(Table) if t.__module__ in ours} - {Config} == set(TABLES.values())


@pytest.mark.parametrize("title", TABLES)
def test_every_key_has_a_meaning(title: str) -> None:
    assert [key for key, field in keys(TABLES[title]) if not field.description] == []


@pytest.mark.needs("man")
@pytest.mark.parametrize("page", sorted(MAN.glob("*.md")), ids=lambda page: page.stem)
def test_man_shows_it_without_a_warning(page: Path, tmp_path: Path) -> None:
    built = tmp_path / page.stem
    subprocess.run(["go-md2man", "-in", str(page), "-out", str(built)], check=True)
    shown = subprocess.run(
        ["man", "--warnings", "-l", str(built)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "MANWIDTH": "100"},
    )
    assert shown.stderr == ""
    assert "SEE ALSO" in shown.stdout
    assert "\\" not in shown.stdout  # an escape that came through
