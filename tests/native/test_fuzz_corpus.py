"""The inputs that fuzzing has kept (`make fuzz`) still do no harm: a gcc suffices to run them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.fuzz.wire_properties import check
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
    inputs = corpus(target)
    done = subprocess.run([str(built / target), *map(str, inputs)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == f"{len(inputs)} inputs\n"


def test_kept_inputs_do_the_server_no_harm() -> None:
    for path in corpus("wire"):
        data = path.read_bytes()
        if data:
            check(data[1:], data[0] + 1)
