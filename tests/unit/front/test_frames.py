"""The relay's codec: what one side writes the other reads, in pieces of any size; and what is hostile is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.errors import FrontError
from oobconsole.front import frames
from oobconsole.front.frames import (
    CORE_SIZES,
    DATA_MAX,
    FRONT_SIZES,
    HEADER,
    Decoder,
    Frame,
    FromCore,
    FromFront,
    Opening,
)
from tests.fuzz.front_properties import check

NUMBERS = st.integers(0, 2**32 - 1)


@st.composite
def some_frames(draw: st.DrawFn) -> list[Frame]:
    """What a front may send, as far as the header says."""
    made = []
    for _ in range(draw(st.integers(1, 6))):
        kind = draw(st.sampled_from(list(FromFront)))
        least, most = FRONT_SIZES[kind]
        made.append(Frame(kind, draw(NUMBERS), draw(st.binary(min_size=least, max_size=min(most, least + 300)))))
    return made


def written(made: list[Frame]) -> bytes:
    return b"".join(frames.frame(*frame) for frame in made)


def read(decoder: Decoder) -> list[Frame]:
    """All that are complete."""
    return list(iter(decoder.next, None))


@given(some_frames())
def test_byte_by_byte(made: list[Frame]) -> None:
    decoder, found = Decoder(FRONT_SIZES), []
    for byte in written(made):
        decoder.feed(bytes([byte]))
        found += read(decoder)
    assert (found, decoder.waiting) == (made, 0)


@given(some_frames(), st.data())
def test_in_pieces_of_any_size(made: list[Frame], data: st.DataObject) -> None:
    decoder, found, rest = Decoder(FRONT_SIZES), list[Frame](), written(made)
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        decoder.feed(rest[:size])
        rest = rest[size:]
        if data.draw(st.booleans()):
            found += read(decoder)
    assert found + read(decoder) == made


@given(st.binary(max_size=400), st.data())
def test_anything_is_frames_or_one_clear_error(data: bytes, draw: st.DataObject) -> None:
    """However it comes, the same is found, and no more is kept than has come."""
    ends = []
    for size in (len(data) or 1, draw.draw(st.integers(1, 9))):
        decoder, found, why = Decoder(FRONT_SIZES), list[Frame](), ""
        try:
            for at in range(0, len(data), size):
                decoder.feed(data[at : at + size])
                found += read(decoder)
        except FrontError as error:
            why = str(error)
        assert decoder.waiting <= len(data)
        ends.append((found, why))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("kind", FromFront)
def test_lengths_have_bounds_before_the_content_has_come(kind: FromFront) -> None:
    least, most = FRONT_SIZES[kind]
    for length in {least, most}:
        decoder = Decoder(FRONT_SIZES)
        decoder.feed(frames.header(kind, 1, length))
        assert (decoder.next() is None) is bool(length)
    for length in ({least - 1} if least else set()) | {most + 1, 2**32 - 1}:
        decoder = Decoder(FRONT_SIZES)
        decoder.feed(frames.header(kind, 1, length))
        with pytest.raises(FrontError, match=f"{length} bytes; it has {least} to {most}"):
            decoder.next()


@pytest.mark.parametrize("kind", [0, 18, 64, *FromCore, 255])
def test_a_front_cannot_speak_as_the_core(kind: int) -> None:
    decoder = Decoder(FRONT_SIZES)
    decoder.feed(HEADER.pack(kind, 0, 0))
    with pytest.raises(FrontError, match=f"kind {kind}, which there is not"):
        decoder.next()


def test_what_has_come_whole_is_not_kept_twice() -> None:
    data = frames.frame(FromCore.OUTPUT, 7, b"x" * DATA_MAX)
    decoder = Decoder(CORE_SIZES)
    decoder.feed(data)
    assert decoder.next() == Frame(FromCore.OUTPUT, 7, b"x" * DATA_MAX)
    assert decoder.waiting == 0


def test_the_inputs_that_fuzzing_has_kept_do_no_harm() -> None:
    kept = sorted((Path(__file__).parents[2] / "fuzz" / "corpus" / "front").iterdir())
    assert len(kept) >= 10
    for path in kept:
        data = path.read_bytes()
        check(data[1:], data[0] + 1)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@given(st.lists(TEXTS, max_size=5))
def test_texts_there_and_back(values: list[str]) -> None:
    assert frames.as_texts(frames.texts(*values)) == values


@given(st.binary(max_size=60))
def test_any_content_is_texts_or_an_error(content: bytes) -> None:
    try:
        found = frames.as_texts(content)
    except FrontError:
        return
    assert frames.texts(*found) == content


def test_a_text_is_cut_at_a_character() -> None:
    assert frames.cut("é" * frames.TEXT_MAX) == ("é" * (frames.TEXT_MAX // 2)).encode()
    assert frames.cut("aé" * 3, 4) == "aéa".encode()


@given(
    st.builds(
        Opening,
        st.none() | TEXTS,
        st.booleans(),
        st.none() | st.text("abcxyz-256", max_size=64),
        st.integers(0, 65535),
        st.integers(0, 65535),
        st.text("OpenSSH_9.2p1 ", max_size=200),
    ),
    NUMBERS,
)
def test_openings_there_and_back(wanted: Opening, connection: int) -> None:
    assert frames.as_opening(frames.opening(connection, wanted)) == (connection, wanted)


@given(st.binary(min_size=FRONT_SIZES[FromFront.OPEN][0], max_size=200))
def test_any_content_is_an_opening_or_an_error(content: bytes) -> None:
    try:
        connection, wanted = frames.as_opening(content)
    except FrontError:
        return
    assert frames.opening(connection, wanted) == content


@given(st.binary(min_size=FRONT_SIZES[FromFront.LOGIN][0], max_size=100))
def test_any_content_is_a_login_or_an_error(content: bytes) -> None:
    try:
        age, texts = frames.as_login(content)
    except FrontError:
        return
    assert 0 <= age < 1e9
    assert len(texts) == 3


@given(st.floats(0, 1e8), st.binary(min_size=1, max_size=100))
def test_input_there_and_back(at: float, data: bytes) -> None:
    decoder = Decoder(FRONT_SIZES)
    decoder.feed(frames.typed(7, at, data))
    (made,) = read(decoder)
    assert (made.kind, made.number) == (FromFront.INPUT, 7)
    found, same = frames.as_input(made.content)
    assert same == data
    assert abs(found - at) < 1e-6
