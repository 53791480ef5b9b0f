"""The inputs that fuzzing has kept (`make fuzz`) still do no harm: a gcc suffices to run them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from oobconsole.front.frames import FromFront
from oobconsole.interceptors import wire
from tests.fuzz.front_properties import read
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
    inputs = corpus(target)
    done = subprocess.run([str(built / target), *map(str, inputs)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stdout == f"{len(inputs)} inputs\n"


def test_kept_inputs_do_the_server_no_harm() -> None:
    for data in streams("wire"):
        check(data[1:], data[0] + 1)


# -- is the corpus one of today's frames? After a change of the wire `make fuzz` makes it one again. ----------------


def streams(target: str) -> list[bytes]:
    """The kept inputs of a target written in Python: the size of the pieces, less 1, and the stream."""
    return [data for path in corpus(target) if (data := path.read_bytes())]


def test_kept_inputs_have_every_frame_that_a_native_half_sends() -> None:
    seen = {type(event) for data in streams("wire") for event in decode([data[1:]])[0]}
    assert seen == set(get_args(wire.Event))


def test_kept_inputs_have_every_frame_that_a_server_sends() -> None:
    seen = {kind for path in corpus("frame") for kind in server_frames(path.read_bytes())}
    assert seen == {kind for kind in wire.FrameType if kind >= wire.FrameType.WELCOME}


def server_frames(stream: bytes) -> Iterator[int]:
    """The kinds of the whole frames at the beginning of a stream. A WELCOME of another version has another length,
    and ends it."""
    while len(stream) >= wire.HEADER.size:
        length, kind, *_ = wire.HEADER.unpack_from(stream)
        if not wire.HEADER.size <= length <= len(stream) or kind not in set(wire.FrameType):
            return
        if kind == wire.FrameType.WELCOME and length != wire.WELCOME.size:
            return
        yield kind
        stream = stream[length:]


def test_kept_inputs_have_every_frame_that_a_front_sends() -> None:
    seen = {frame.kind for data in streams("front") for frame in read(data[1:], len(data))[0]}
    assert seen == set(FromFront)
