"""Every way to falsify an audit log is found, and only those."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from oobconsole.audit import chain
from oobconsole.audit.verify import FAULTS_MAX, verify
from oobconsole.cli.main import app
from tests.unit.audit.test_log import write

COUNT = 8


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("audit")
    write(made, COUNT)
    return made


def faults(folder: Path, data: bytes, *heads: str) -> list[str]:
    file = folder / "changed.jsonl"
    file.write_bytes(data)
    found = verify([file], chain.load_public_key(folder / "key.pub"), heads=heads).faults
    return [fault.replace(f"{file}:", "line ") for fault in found]


def original(folder: Path) -> list[bytes]:
    return (folder / "audit.jsonl").read_bytes().splitlines(keepends=True)


def test_the_original(folder: Path) -> None:
    assert faults(folder, b"".join(original(folder))) == []


def test_removed(folder: Path) -> None:
    lines = original(folder)
    assert faults(folder, b"".join(lines[:2] + lines[3:])) == ["line 3: entry 4 follows 2: 1 are missing"]
    assert faults(folder, b"".join(lines[1:]))[0].startswith("begins at entry 2")
    assert faults(folder, b"") == ["there are no entries"]


def test_reordered_and_repeated(folder: Path) -> None:
    lines = original(folder)
    swapped = [lines[0], lines[2], lines[1], *lines[3:]]
    assert faults(folder, b"".join(swapped)) == [
        "line 2: entry 3 follows 1: 1 are missing",
        "line 3: entry 2 follows 3: out of order, or there twice",
        "line 4: entry 4 follows 2: 1 are missing",
    ]
    assert "there twice" in faults(folder, b"".join([*lines, lines[-1]]))[0]


def test_truncated_against_a_head(folder: Path) -> None:
    lines = original(folder)
    head = json.loads(lines[-1])["hash"]
    cut = b"".join(lines[:-1])
    assert faults(folder, cut) == []
    assert faults(folder, cut, head) == [f"truncated: the entry with hash {head} is not there"]
    assert faults(folder, b"".join(lines), json.loads(lines[3])["hash"]) == []  # an older anchor is still one


def test_rewritten_by_somebody_with_another_key(folder: Path, tmp_path: Path) -> None:
    write(tmp_path, COUNT)
    assert len(faults(folder, (tmp_path / "audit.jsonl").read_bytes())) == COUNT + 1


def test_rehashed_without_the_key(folder: Path) -> None:
    """Who cannot sign can still compute hashes."""
    import hashlib

    lines = original(folder)
    body = lines[3].partition(b',"hash":')[0].replace(b"web3", b"web7")
    sig = json.loads(lines[3])["sig"].encode()
    lines[3] = body + b',"hash":"' + hashlib.sha256(body).hexdigest().encode() + b'","sig":"' + sig + b'"}\n'
    found = faults(folder, b"".join(lines))
    assert "line 4: is not signed by this key" in found[0]


def test_a_fork_by_the_same_key(folder: Path, tmp_path: Path) -> None:
    """The same key and number, another past."""
    (tmp_path / "key").write_bytes((folder / "key").read_bytes())
    (tmp_path / "key").chmod(0o600)
    write(tmp_path, COUNT)
    other = (tmp_path / "audit.jsonl").read_bytes().splitlines(keepends=True)
    lines = original(folder)
    assert faults(folder, b"".join(lines[:4] + other[4:])) == [
        "line 5: entry 5 continues another log: its prev is not the hash of the one before"
    ]


def test_nonsense_is_bounded(folder: Path) -> None:
    assert len(faults(folder, b"x\n" * 1000)) == FAULTS_MAX + 1
    assert faults(folder, b"\0" * 300_000 + b"\n" + b"".join(original(folder)))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_changed_byte_is_found(folder: Path, data: st.DataObject) -> None:
    whole = bytearray(b"".join(original(folder)))
    place = data.draw(st.integers(0, len(whole) - 2))  # without the last newline: nothing was written after it
    whole[place] ^= data.draw(st.integers(1, 255))
    assert faults(folder, bytes(whole))


def test_a_bit_that_base64_ignores(folder: Path) -> None:
    """64 bytes are 85 characters and two bits: the last character has four that decoding drops."""
    whole = b"".join(original(folder))
    last = whole.rindex(b'=="')
    assert faults(folder, whole[: last - 1] + bytes((whole[last - 1] + 1,)) + whole[last:])


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_removed_piece_is_found_against_the_head(folder: Path, data: st.DataObject) -> None:
    whole = b"".join(original(folder))
    head = json.loads(original(folder)[-1])["hash"]
    start = data.draw(st.integers(0, len(whole) - 2))
    end = data.draw(st.integers(start + 1, len(whole) - 1))
    assert faults(folder, whole[:start] + whole[end:], head)


class TestCommand:
    def run(self, *words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["audit", *words])
        return result.exit_code, result.output

    @pytest.mark.needs("ssh")
    def test_verify(self, folder: Path) -> None:
        file, key = str(folder / "audit.jsonl"), str(folder / "key.pub")
        head = json.loads(original(folder)[-1])["hash"]
        status, output = self.run("verify", file, "--key", key, "--head", head)
        assert (status, output.splitlines()[0]) == (
            0, f"intact: {COUNT} entries in 1 file(s), the last is {COUNT} {head}",
        )  # fmt: skip
        fingerprint = subprocess.run(["ssh-keygen", "-lf", key], capture_output=True, text=True, check=True).stdout
        assert f"signed by {fingerprint.split()[1]}" in output
        (folder / "bad.jsonl").write_bytes(b"".join(original(folder)[1:]) + b"\n")
        status, output = self.run("verify", str(folder / "bad.jsonl"), "--key", key)
        assert status == 1
        assert f"FAULT: {folder}/bad.jsonl:8: is no entry" in output

    def test_head(self, folder: Path) -> None:
        status, output = self.run("head", str(folder / "audit.jsonl"))
        assert (status, output.split()) == (0, [str(COUNT), json.loads(original(folder)[-1])["hash"]])

    def test_show(self, folder: Path) -> None:
        status, output = self.run("show", str(folder / "audit.jsonl"), "--last", "2")
        assert status == 0
        rows = output.splitlines()
        assert [row.split()[3:7] for row in rows] == [["attached", "alice", f"web{n}", "192.0.2.1"] for n in (6, 7)]
        assert rows[0].endswith("key=SHA256:abc")

    @pytest.mark.parametrize(
        "words", [("verify",), ("head", "nosuch"), ("verify", "x", "--key", "nosuch"), ("show",)]
    )
    def test_what_is_not_there(self, words: tuple[str, ...]) -> None:
        status, output = self.run(*words)
        assert status == 2
        assert output.startswith("oobconsole: ")
        assert output.count("\n") == 1
