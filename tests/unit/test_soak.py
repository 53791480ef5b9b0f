"""`make soak` rests on these: a piece that is left out, or a failure to start that is taken for a result, would make
its figures wrong."""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from tests.stack.pieces import Durations, Piece, Progress, Result, chosen, code_under_test, in_words, pieces
from tests.stack.pytests import NoResultError, PytestRun
from tests.stack.soak import Crew, table
from tests.support.pace import Deadline

RESULT = Result(passed=3, failed=0, skipped=0, seconds=60.0, load=8.0)


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """A project with a file of tests in each of some folders."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for folder in ("adversary", "contract", "loopback", "unit", "vm"):
        (tmp_path / "tests" / folder).mkdir(parents=True)
        (tmp_path / "tests" / folder / "test_one.py").write_text("def test_it(): pass\n")
    (tmp_path / "tests" / "vm" / "test_vfio_user.py").write_text("def test_it(): pass\n")
    (tmp_path / "tests" / "unit" / "test_vm.py").write_text("def test_it(): pass\n")
    return tmp_path / "tests"


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress(tmp_path / "soak", "now")


class TestPieces:
    def test_every_file_is_in_the_first_round_and_some_folders_are_in_five(self, tests: Path) -> None:
        found = pieces(tests)
        first = {str(piece.path) for piece in found if piece.round == 1}
        files = {"adversary/test_one.py", "contract/test_one.py", "loopback/test_one.py", "vm/test_one.py"}
        assert first == {"unit", "vm/test_vfio_user.py"} | files
        assert [piece.round for piece in found if piece.path == Path("vm/test_one.py")] == [1, 2, 3, 4, 5]
        assert [piece.round for piece in found if piece.folder == "adversary"] == [1]

    def test_of_this_project_are_all_of_its_files(self) -> None:
        there = {str(piece.path) for piece in pieces() if piece.round == 1}
        tests = Path(__file__).parents[1]
        for path in tests.rglob("test_*.py"):
            relative = path.relative_to(tests)
            assert {str(relative), relative.parts[0]} & there, f"{relative} is in no piece"

    @pytest.mark.parametrize(
        ("words", "names"),
        [
            (["2", "vm"], ["2 tests/vm/test_one.py", "2 tests/vm/test_vfio_user.py"]),
            (["3", "test_vfio_user.py"], ["3 tests/vm/test_vfio_user.py"]),
            (["3", "4", "vm/test_vfio_user.py"], ["3 tests/vm/test_vfio_user.py", "4 tests/vm/test_vfio_user.py"]),
            (["1", "tests/unit/"], ["1 tests/unit"]),
            (["1", "unit", "test_vfio_user"], ["1 tests/unit", "1 tests/vm/test_vfio_user.py"]),
        ],
    )
    def test_are_chosen_by_round_folder_and_file(self, tests: Path, words: list[str], names: list[str]) -> None:
        assert [piece.name for piece in chosen(pieces(tests), words)] == names

    def test_a_round_alone_is_all_of_it(self, tests: Path) -> None:
        assert {piece.folder for piece in chosen(pieces(tests), ["4"])} == {"vm", "contract", "loopback"}

    @pytest.mark.parametrize("word", ["v", "vfio", "6", "vm/test_two.py"])
    def test_a_word_that_names_nothing_is_an_error(self, tests: Path, word: str) -> None:
        with pytest.raises(ValueError, match=f"'{word}' is no round .1 to 5., no folder of tests"):
            chosen(pieces(tests), ["vm", word])


class TestTime:
    VM, OTHER = Path("vm/test_one.py"), Path("vm/test_two.py")

    def test_of_a_piece_is_what_it_took_or_what_it_took_in_another_round(self) -> None:
        known = Durations([{"1 tests/vm/test_one.py": RESULT}, {"2 tests/vm/test_one.py": Result(1, 0, 0, 90, 8)}])
        assert known.of(Piece(1, self.VM)) == 60
        assert known.of(Piece(3, self.VM)) == 90
        assert known.of(Piece(1, self.OTHER)) is None

    def test_that_is_left_is_estimated_and_says_what_is_guessed(self) -> None:
        known = Durations([{"1 tests/vm/test_one.py": RESULT}])
        assert known.estimate([Piece(2, self.VM)]) == "1 pieces will take about 1 min 00 s"
        said = known.estimate([Piece(2, self.VM), Piece(1, self.OTHER)])
        assert said.startswith("2 pieces will take about 2 min 00 s (1 of them have not been run yet")
        assert "is not known" in known.estimate([Piece(1, self.OTHER)])
        assert in_words(2 * 3600 + 61) == "2 h 01 min"

    def test_of_former_code_counts_but_its_results_do_not(self, tmp_path: Path) -> None:
        Progress(tmp_path, "before").add(Piece(1, self.VM), RESULT)
        now = Progress(tmp_path, "now")
        assert not now.done
        assert now.durations.of(Piece(1, self.VM)) == 60


def test_results_survive(tmp_path: Path) -> None:
    Progress(tmp_path, "now").add(Piece(1, Path("vm/test_one.py")), RESULT)
    kept = Progress(tmp_path, "now").done
    assert kept == {"1 tests/vm/test_one.py": RESULT}
    assert "| 1 | vm | 3 | 0 | 0 | 1 min 00 s | 8 to 8 |" in table(kept, [Piece(1, Path("vm/test_one.py"))])


@pytest.mark.parametrize(
    ("path", "matters"),
    [
        ("docs/guide.md", False), ("README.md", False), ("tests/vm/test_new.py", False), ("new.py", True),
        ("tests/support/new.py", True), ("oobconsole/test_new.py", True), ("tests/vm/guest.S", True),
    ],
)  # fmt: skip
def test_every_piece_depends_on_all_files_but_prose_and_tests(tmp_path: Path, path: str, matters: bool) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / path).write_text("x = 1\n")
    before = code_under_test(tmp_path)
    (tmp_path / path).write_text("x = 2\n")
    assert (code_under_test(tmp_path) != before) is matters


def test_a_result_is_of_the_tests_that_were_run_and_of_what_they_import(tests: Path, tmp_path: Path) -> None:
    one, other, all_units = (Piece(1, Path(path)) for path in ("vm/test_one.py", "vm/test_vfio_user.py", "unit"))
    (tests / "vm" / "test_one.py").write_text("from tests.loopback.test_one import test_it\n")
    before = [piece.digest(tests) for piece in (one, other, all_units)]
    (tests / "loopback" / "test_one.py").write_text("def test_it(): assert 1\n")
    (tests / "unit" / "test_new.py").write_text("def test_it(): pass\n")
    now = [piece.digest(tests) for piece in (one, other, all_units)]
    assert [a == b for a, b in zip(before, now, strict=True)] == [False, True, False]


def test_a_result_of_other_tests_is_none(tmp_path: Path) -> None:
    piece = next(piece for piece in pieces() if piece.folder == "vm")
    for digest, counts in ((piece.digest(), True), ("other", False)):
        Progress(tmp_path, "now").add(piece, replace(RESULT, tests=digest))
        assert (piece.name in Progress(tmp_path, "now", pieces()).done) is counts


def run(piece: Piece, progress: Progress, seconds: float | None, tests: Path) -> Result | None:
    """The result of a piece that is done in time."""
    with Crew(progress, tests) as crew:
        crew.begin(piece)
        return next((result for _, result in crew.ended(seconds)), None)


class TestRun:
    """A real pytest, without the plugins that it does not need here."""

    @pytest.fixture(autouse=True)
    def without_plugins(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    @pytest.fixture
    def one(self) -> Piece:
        return Piece(1, Path("vm/test_one.py"))

    @pytest.mark.parametrize("seconds", [None, 6e6], ids=["for ever", "for longer than epoll can wait"])
    def test_that_passes_leaves_no_output(
        self, tests: Path, progress: Progress, one: Piece, seconds: float | None
    ) -> None:
        result = run(one, progress, seconds, tests)
        assert result is not None
        assert (result.passed, result.failed, result.skipped) == (1, 0, 0)
        assert not list(progress.folder.iterdir())

    @pytest.mark.parametrize(
        ("text", "failed"),
        [
            ("def test_it(): assert 0\ndef test_other(): pass\n", 1),
            ("import no_such_module\n", 1),
            ("import os\ndef test_it(): os._exit(0)\n", 1),
            ("", 1),
        ],
        ids=["a failure", "one that cannot be imported", "one that ends pytest", "no test at all"],
    )
    def test_that_fails_is_a_failure(
        self, tests: Path, progress: Progress, one: Piece, text: str, failed: int
    ) -> None:
        (tests / one.path).write_text(text)
        result = run(one, progress, None, tests)
        assert result is not None
        assert result.failed == failed
        assert [file.suffix for file in progress.folder.iterdir()] == [".log"]

    def test_that_cannot_start_is_no_result(self, tests: Path, progress: Progress, one: Piece) -> None:
        (tests.parent / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
        with pytest.raises(NoResultError, match=r"did not start \(status 4\)(.|\n)*--no-such-option"):
            run(one, progress, None, tests)

    def test_that_is_not_done_in_time_has_no_result(self, tests: Path, progress: Progress, one: Piece) -> None:
        (tests / one.path).write_text("import time\ndef test_it(): time.sleep(1000)\n")
        assert run(one, progress, 0, tests) is None
        assert not progress.done

    def test_several_at_a_time_are_told_apart(self, tests: Path, progress: Progress, one: Piece) -> None:
        other = Piece(1, Path("vm/test_vfio_user.py"))
        (tests / other.path).write_text("def test_it(): assert 0\n")
        results: dict[Piece, int] = {}
        with Crew(progress, tests) as crew:
            crew.begin(one)
            crew.begin(other)
            while crew:
                results |= {piece: result.failed for piece, result in crew.ended(None)}
        assert results == {one: 0, other: 1}

    def test_that_is_ended_undoes_its_fixtures_and_ends_what_it_has_started(
        self, tests: Path, one: Piece, tmp_path: Path
    ) -> None:
        child, undone = tmp_path / "child", tmp_path / "undone"
        (tests / one.path).write_text(
            "import pathlib, subprocess\nimport pytest\n"
            f"@pytest.fixture\ndef folder():\n    yield\n    pathlib.Path({str(undone)!r}).touch()\n"
            "def test_it(folder):\n    child = subprocess.Popen(['sleep', '1000'])\n"
            f"    pathlib.Path({str(child)!r}).write_text(f'{{child.pid}}\\n')\n    child.wait()\n"
        )
        with PytestRun(tests.parent, [f"tests/{one.path}"], tmp_path / "log") as tested:
            deadline = Deadline(30)
            while not (child.exists() and child.read_text().endswith("\n")):
                assert deadline.left, tested.last_lines()
                assert not tested.wait(0.05), tested.last_lines()
        assert tested.wait(0)
        assert undone.exists()
        ended(int(child.read_text()))


def ended(pid: int) -> None:
    """Wait until a process has ended that was told to; it is not ours to wait for."""
    deadline = Deadline(10)
    with contextlib.suppress(ProcessLookupError, FileNotFoundError):
        while "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]:
            assert deadline.left, f"process {pid} goes on"
