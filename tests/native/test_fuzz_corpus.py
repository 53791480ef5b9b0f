"""The inputs that fuzzing has kept (`make fuzz`), and those with which it begins, do no harm: a gcc suffices."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import get_args

import pytest

from oobconsole.front.frames import FromFront
from oobconsole.interceptors import wire
from tests.fuzz import seeds
from tests.fuzz.front_properties import CONTENTS, read
from tests.fuzz.wire_properties import check, decode
from tests.stack.nested import ROOT

FUZZ = ROOT / "tests" / "fuzz"


def corpus(target: str) -> list[Path]:
    """The kept inputs of one target."""
    found = sorted((FUZZ / "corpus" / target).iterdir())
    assert len(found) >= 10, f"{target} has lost its corpus"
    return found


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the C targets are, built to run files."""
    folder = tmp_path_factory.mktemp("fuzz")
    command = ["make", "-s", "-C", str(FUZZ), "FUZZER=", f"OUT={folder}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("target", ["frame", "decode"])
def test_kept_inputs_do_the_native_half_no_harm(built: Path, target: str) -> None:
    seeds.main(built / "seeds")
    inputs = [*corpus(target), *(built / "seeds").glob(f"{target}/*")]
    done = subprocess.run([str(built / target), *map(str, inputs)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == f"{len(inputs)} inputs\n"


def test_kept_inputs_do_the_server_no_harm() -> None:
    kept = [path.read_bytes() for path in corpus("wire")]
    for data in filter(None, [*kept, *seeds.SEEDS["wire"]]):
        check(data[1:], data[0] + 1)


# -- what fuzzing begins with is of today's frames ------------------------------------------------------------------


def test_a_native_half_s_are_all_that_it_may_send() -> None:
    events, refused = decode([b"".join(seeds.NATIVE)])
    assert refused is None
    assert {type(event) for event in events} == set(get_args(wire.Event))


def test_a_server_s_are_all_that_it_may_send() -> None:
    assert {frame[2] for frame in seeds.SERVER} == {kind for kind in wire.FrameType if kind >= wire.FrameType.WELCOME}


def test_a_front_s_are_all_that_it_may_send() -> None:
    found, refused = read(b"".join(seeds.FRONT), 16)
    assert refused == ""
    assert {frame.kind for frame in found} == set(FromFront)
    for frame in found:
        CONTENTS.get(frame.kind, bytes)(frame.content)
