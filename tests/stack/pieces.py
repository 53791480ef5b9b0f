"""The pieces of `make soak`: which tests form one piece, which pieces somebody wants, and how long they take."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.stack.nested import ROOT

ROUNDS: Final = 5
#: Folders that are run `ROUNDS` times, file by file.
AGAIN: Final = ("vm", "contract", "loopback")
#: Folders that are run once. Each of their files is a piece, because each takes long.
BY_FILE: Final = ("adversary",)
#: Files that no test depends on. A result stays valid when only these have changed.
PROSE: Final = ("**/*.md", "docs/demo.cast")
#: Files on which only those pieces depend that run or import them.
TESTS: Final = "tests/**/test_*.py"
_IMPORTED: Final = re.compile(r"^from tests\.([\w.]*\btest_\w+) import ", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """How one piece has ended.

    Attributes:
        passed, failed, skipped: how many tests ended in that way.
        seconds: how long it took.
        load: the load average at its end.
        tests: which tests these were (`Piece.digest`).
    """

    passed: int
    failed: int
    skipped: int
    seconds: float
    load: float
    tests: str = ""


@dataclass(frozen=True)
class Piece:
    """Some tests, in one of the rounds. The path is relative to the folder `tests`."""

    round: int
    path: Path

    @property
    def name(self) -> str:
        return f"{self.round} tests/{self.path}"

    @property
    def folder(self) -> str:
        return self.path.parts[0]

    @property
    def words(self) -> frozenset[str]:
        """The words by which the piece can be chosen, besides its round: its folder and its file."""
        paths = {str(self.path), self.folder, self.path.name, self.path.stem}
        return frozenset(paths | {f"tests/{path}" for path in paths})

    def digest(self, tests: Path = ROOT / "tests") -> str:
        """Return a hash of the piece's test files, and of the test files that these import, as they are now."""
        path = tests / self.path
        files: set[Path] = set()
        left = list(path.rglob("test_*.py")) if path.is_dir() else [path]
        while left:
            files.add(file := left.pop())
            left += [imported for imported in _imported(file, tests) if imported not in files]
        return _digest((str(file.relative_to(tests)).encode(), file) for file in sorted(files))


def pieces(tests: Path = ROOT / "tests") -> list[Piece]:
    """Return all pieces, in the order in which they are run."""
    files = sorted(path.relative_to(tests) for path in tests.rglob("test_*.py"))
    folders = sorted({path.parts[0] for path in files})
    found = []
    for number in range(1, ROUNDS + 1):
        for folder in folders if number == 1 else AGAIN:
            by_file = folder in (*AGAIN, *BY_FILE)
            found += (
                [Piece(number, path) for path in files if path.parts[0] == folder]
                if by_file
                else [Piece(number, Path(folder))]
            )
    return found


def chosen(every: Sequence[Piece], words: Iterable[str]) -> list[Piece]:
    """Return the pieces that somebody wants: those in one of the rounds that `words` name, and in one of the folders
    or files.

    Raises:
        ValueError: a word is neither a round, nor a folder, nor a file.
    """
    rounds = {word for word in words if word.isdecimal()}
    places = {word.rstrip("/") for word in words} - rounds
    known = frozenset[str]().union(*(piece.words for piece in every))
    for word in sorted((rounds - {str(piece.round) for piece in every}) | (places - known)):
        folders = ", ".join(dict.fromkeys(piece.folder for piece in every))
        raise ValueError(
            f"{word!r} is no round (1 to {ROUNDS}), no folder of tests ({folders}), and no file in one of those"
        )
    in_rounds = [piece for piece in every if not rounds or str(piece.round) in rounds]
    return [piece for piece in in_rounds if not places or piece.words & places]


class Durations:
    """How long pieces have taken, as results of this code and of former code say.

    Args:
        results: by the name of the piece; later results count more.
    """

    def __init__(self, results: Iterable[Mapping[str, Result]]) -> None:
        self._seconds = {name: result.seconds for some in results for name, result in some.items()}

    def of(self, piece: Piece) -> float | None:
        """Return how long a piece is expected to take, in seconds: as long as it took, or as it took in another
        round."""
        own = self._seconds.get(piece.name)
        if own is not None:
            return own
        others = [self._seconds.get(Piece(number, piece.path).name) for number in range(ROUNDS, 0, -1)]
        return next((seconds for seconds in others if seconds is not None), None)

    def estimate(self, left: Sequence[Piece]) -> str:
        """Return how long the pieces will take, in words."""
        known = [seconds for piece in left if (seconds := self.of(piece)) is not None]
        if not known:
            return f"how long {len(left)} pieces take is not known: none of them has been run yet"
        guessed = len(left) - len(known)
        total = sum(known) * len(left) / len(known)
        note = f" ({guessed} of them have not been run yet: they are taken for average)" if guessed else ""
        return f"{len(left)} pieces will take about {in_words(total)}{note}"


def in_words(seconds: float) -> str:
    """Return a duration as hours and minutes, or as minutes and seconds."""
    whole = round(seconds)
    return (
        f"{whole // 3600} h {whole % 3600 // 60:02} min" if whole >= 3600 else f"{whole // 60} min {whole % 60:02} s"
    )


def code_under_test(root: Path = ROOT) -> str:
    """Return a hash of what every piece depends on. These are all files as they are now, committed or not, except the
    files of tests (`Piece.digest`)."""
    left_out = [f":(exclude,glob){pattern}" for pattern in (*PROSE, TESTS)]
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".", *left_out]
    names = sorted(
        set(subprocess.run(command, cwd=root, check=True, capture_output=True).stdout.split(b"\0")) - {b""}
    )
    return _digest((name, root / name.decode()) for name in names)


def _imported(file: Path, tests: Path) -> list[Path]:
    return [tests / f"{name.replace('.', '/')}.py" for name in _IMPORTED.findall(file.read_text())]


def _digest(files: Iterable[tuple[bytes, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in files:
        content = path.read_bytes() if path.is_file() else b""
        digest.update(name + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()[:12]


class Progress:
    """What has been done for one state of the code. It is kept on disk.

    Args:
        base: the folder with all results.
        code: which state of the code it is (`code_under_test`).
        every: the pieces as they are now. A result of other tests does not count for them.

    Attributes:
        done: the results, by the name of the piece.
    """

    def __init__(self, base: Path, code: str, every: Iterable[Piece] = ()) -> None:
        self.folder = base / code
        self.folder.mkdir(parents=True, exist_ok=True)
        self._file = self.folder / "done.json"
        found = _read(self._file) if self._file.exists() else {}
        now = {piece.name: piece.digest() for piece in every}
        self.done = {name: result for name, result in found.items() if result.tests == now.get(name, result.tests)}
        files = sorted(base.glob("*/done.json"), key=lambda file: file.stat().st_mtime)
        self._former = [_read(file) for file in files if file != self._file]

    def add(self, piece: Piece, result: Result) -> None:
        """Write a result to disk, so that it is kept if the machine or this program ends."""
        self.done[piece.name] = result
        fresh = self._file.with_suffix(".new")
        fresh.write_text(json.dumps({name: asdict(one) for name, one in self.done.items()}, indent=1))
        fresh.replace(self._file)

    @property
    def durations(self) -> Durations:
        """Return what is known about how long pieces take."""
        return Durations([*self._former, self.done])


def _read(file: Path) -> dict[str, Result]:
    return {name: Result(**result) for name, result in json.loads(file.read_text()).items()}
