"""Who may log in, by what lies in a folder, and by whose certificates are believed."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import asyncssh
import pytest
from asyncssh.packet import String
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from oobconsole.errors import EnvironmentFault
from oobconsole.log.log import LogLimit
from oobconsole.ssh import auth, revoked
from oobconsole.ssh.auth import Allowed, Offered, Refused, Trust, offered, parse_cas, read_cas

KEY = asyncssh.generate_private_key("ssh-ed25519")
OTHER = asyncssh.generate_private_key("ssh-ed25519")
CA = asyncssh.generate_private_key("ssh-ed25519")
PUBLIC = KEY.export_public_key().decode().strip()
CA_PUBLIC = CA.export_public_key().decode().strip()
OFFERED = Offered(KEY.convert_to_public())


@pytest.fixture(autouse=True)
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "_limit", LogLimit(1000))


def allowed(
    folder: Path, user: str = "alice", address: str = "192.0.2.1", now: float | None = None
) -> Allowed | None:
    try:
        return Trust(folder).allows(user, OFFERED, address, now)
    except Refused:
        return None


def revoked_of(file: Path) -> revoked.Revoked:
    return revoked.check(revoked.read(file), file)


def cas_of(file: Path) -> tuple[asyncssh.SSHKey, ...]:
    return parse_cas(read_cas(file), file)


def certified(
    principals: list[str], *, ca: asyncssh.SSHKey = CA, serial: int = 7, force: str | None = None
) -> Offered:
    made = ca.generate_user_certificate(
        KEY.convert_to_public(), "alice@laptop", serial=serial, principals=principals, force_command=force
    )
    found = offered(made.public_data)
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["alice", "alice.pub"])
def test_a_file_holds_a_users_keys(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(f"# laptop\n\n{OTHER.export_public_key().decode()}{PUBLIC} alice@laptop\n")
    assert allowed(tmp_path) == Allowed()
    assert allowed(tmp_path, "bob") is None


def test_a_change_counts_at_once(tmp_path: Path) -> None:
    assert allowed(tmp_path) is None
    (tmp_path / "alice").write_text(PUBLIC)
    assert allowed(tmp_path) == Allowed()
    (tmp_path / "alice").write_bytes(OTHER.export_public_key())
    assert allowed(tmp_path) is None


@pytest.mark.parametrize(
    "user", ["", ".", "..", "../alice", "keys/alice", "alice\0", "alice.pub", "a" * 65, "a b", "-a", "*"]
)
def test_names_that_are_no_users(tmp_path: Path, user: str) -> None:
    folder = tmp_path / "keys"
    folder.mkdir()
    (folder / "alice.pub").write_text(PUBLIC)
    (tmp_path / "alice").write_text(PUBLIC)
    assert allowed(folder, user) is None


def test_a_bad_line_is_named_and_the_others_count(tmp_path: Path) -> None:
    (tmp_path / "alice").write_bytes(b"ssh-ed25519 nonsense\n\xff\xfe\n" + PUBLIC.encode() + b"\n")
    with capture_logs() as logs:
        assert allowed(tmp_path) == Allowed()
    assert [entry["file"] for entry in logs] == [f"{tmp_path}/alice:1", f"{tmp_path}/alice:2"]


def test_an_option_that_is_not_kept_lets_nobody_in(tmp_path: Path) -> None:
    (tmp_path / "alice").write_text(f"verify-required {PUBLIC}\n")
    with capture_logs() as logs:
        assert allowed(tmp_path) is None
    assert logs[0]["event"].endswith(
        "option 'verify-required' is not supported, or not in this form: docs/access.md shows each option"
    )


def test_what_is_no_file_of_keys(tmp_path: Path) -> None:
    (tmp_path / "alice").mkdir()
    assert allowed(tmp_path) is None
    (tmp_path / "bob").write_text(f"{PUBLIC}\n" + "#" * (1 << 20))
    with capture_logs() as logs:
        assert allowed(tmp_path, "bob") is None
    assert "too large" in logs[0]["event"]
    assert str(tmp_path / "bob") in logs[0]["event"]
    assert allowed(tmp_path / "missing") is None


def test_the_first_line_that_lets_in_counts(tmp_path: Path) -> None:
    (tmp_path / "alice").write_text(
        f'from="198.51.100.0/24",command="web1" {PUBLIC}\nexpiry-time="20200101Z" {PUBLIC}\nno-pty {PUBLIC}\n'
    )
    assert allowed(tmp_path, address="198.51.100.7") == Allowed("web1")
    assert allowed(tmp_path) == Allowed(pty=False)
    assert allowed(tmp_path, now=0) == Allowed()


class TestCertificates:
    def test_let_in_whom_they_name(self, tmp_path: Path) -> None:
        trust = Trust(tmp_path, (CA.convert_to_public(),))
        assert trust.allows("alice", certified(["bob", "alice"]), "192.0.2.1") == Allowed()
        assert trust.allows("alice", certified(["alice"], force="web1"), "192.0.2.1") == Allowed("web1")
        for principals, user, reason in (
            (["alice"], "bob", "no principal of the certificate"),
            ([], "alice", "names no principals"),
            (["*"], "alice", "no principal of the certificate"),
        ):
            with pytest.raises(Refused, match=reason):
                trust.allows(user, certified(principals), "192.0.2.1")
        with pytest.raises(Refused):
            trust.allows("alice", certified(["alice"], ca=OTHER), "192.0.2.1")

    def test_of_a_ca_in_the_users_own_file(self, tmp_path: Path) -> None:
        (tmp_path / "alice").write_text(f'cert-authority,principals="ops,dev",command="ls" {CA_PUBLIC}\n')
        trust = Trust(tmp_path)
        assert trust.allows("alice", certified(["dev"]), "192.0.2.1") == Allowed("ls")
        assert trust.allows("alice", certified(["dev"], force="ls"), "192.0.2.1") == Allowed("ls")
        with pytest.raises(Refused, match="force different commands"):
            trust.allows("alice", certified(["dev"], force="web1"), "192.0.2.1")
        with pytest.raises(Refused):
            trust.allows("alice", certified(["alice"]), "192.0.2.1")
        (tmp_path / "alice").write_text(f"{CA_PUBLIC}\n")  # the CA's key itself, but not as a CA
        with pytest.raises(Refused):
            trust.allows("alice", certified(["alice"]), "192.0.2.1")

    def test_are_shown_with_number_and_id(self) -> None:
        assert certified(["alice"]).text == (
            f"{KEY.get_fingerprint()} ID alice@laptop (serial 7) CA {CA.get_fingerprint()}"
        )

    def test_signed_with_sha1_are_not_believed(self, tmp_path: Path) -> None:
        rsa = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
        for algorithm, good in (("ssh-rsa", False), ("rsa-sha2-512", True)):
            made = rsa.generate_user_certificate(
                KEY.convert_to_public(), "x", principals=["alice"], sig_alg=algorithm
            )
            found = offered(made.public_data)
            assert found is not None
            trust = Trust(tmp_path, (rsa.convert_to_public(),))
            if good:
                assert trust.allows("alice", found, "192.0.2.1") == Allowed()
            else:
                with pytest.raises(Refused, match="SHA-1"):
                    trust.allows("alice", found, "192.0.2.1")


class TestCas:
    def test_a_ca_s_key_in_another_form_is_refused(self, tmp_path: Path) -> None:
        """security.md 19, its kind: zeros before an RSA CA's numbers ended the connection, and nothing said why."""
        ca = asyncssh.generate_private_key("ssh-rsa", key_size=2048)
        rsa = ca.pyca_key
        assert isinstance(rsa, RSAPrivateKey)
        data = ca.generate_user_certificate(KEY.convert_to_public(), "x", principals=["alice"]).public_data
        modulus = rsa.private_numbers().public_numbers.n.to_bytes(256)
        other = String("ssh-rsa") + String(bytes(1) + b"\1\0\1") + String(bytes(3) + modulus)
        signed = data[: data.rindex(String(ca.public_data))] + String(other)
        signature = rsa.sign(signed, padding.PKCS1v15(), hashes.SHA512())
        found = offered(signed + String(String("rsa-sha2-512") + String(signature)))
        assert found is not None
        with pytest.raises(Refused, match="another form"):
            Trust(tmp_path, (ca.convert_to_public(),)).allows("alice", found, "192.0.2.1")


class TestRevoked:
    @pytest.mark.parametrize(
        "line",
        [
            PUBLIC, f"key: {PUBLIC}", KEY.get_fingerprint(), f"hash: {KEY.get_fingerprint()}",
            f"sha256:{KEY.get_fingerprint()}", CA.get_fingerprint(), CA_PUBLIC, "serial: 7", "serial: 5-9",
            "id: alice@laptop",
            f"sha1: {PUBLIC}", f"SHA256: {CA_PUBLIC} lost", "serial: 7 # lost", "id: alice@laptop # lost",
            f"{KEY.get_fingerprint()} # lost",
        ],
        ids=[
            "key", "key:", "hash", "hash:", "sha256:", "hash of the CA", "the CA", "serial", "serials", "id",
            "sha1: and a key", "sha256: and the CA", "serial with a comment", "id with a comment",
            "hash with a comment",
        ],
    )  # fmt: skip
    def test_keys_cas_numbers_and_ids(self, tmp_path: Path, line: str) -> None:
        """security.md 22, its kind: what ssh-keygen understands means the same here."""
        (tmp_path / "revoked").write_text(f"# lost\n\n{line}\n")
        trust = Trust(tmp_path, (CA.convert_to_public(),), revoked_of(tmp_path / "revoked"))
        with pytest.raises(Refused, match="revoked"):
            trust.allows("alice", certified(["alice"]), "192.0.2.1")
        assert not trust.still_allows("alice", certified(["alice"]))
        other = OTHER.generate_user_certificate(OTHER.convert_to_public(), "x", serial=8, principals=["alice"])
        found = offered(other.public_data)
        assert found is not None
        if "5-9" not in line:
            trust.check_revoked(found)

    def test_plain_keys(self, tmp_path: Path) -> None:
        (tmp_path / "alice").write_text(PUBLIC)
        assert Trust(tmp_path).still_allows("alice", OFFERED)
        (tmp_path / "revoked").write_text(PUBLIC)
        trust = Trust(tmp_path, (), revoked_of(tmp_path / "revoked"))
        with pytest.raises(Refused, match="revoked"):
            trust.allows("alice", OFFERED, "192.0.2.1")
        assert not trust.still_allows("alice", OFFERED)
        (tmp_path / "alice").unlink()
        assert not Trust(tmp_path).still_allows("alice", OFFERED)

    @pytest.mark.parametrize(
        ("data", "reason"),
        [
            (b"SSHKRL\n\0x", "binary KRL"),
            (b"\nssh-ed25519 oops\n", ":2: is no public key"),
            (b"serial: x", ":1: is no"),
            (b"serial: 0", ":1: is no"),
            (b"serial: 0-5", ":1: is no"),
            (b"serial: 010", ":1: is no"),
            (b"serial: 18446744073709551616", ":1: is no"),
            (b"serial: 1-99999999999999999999", ":1: is no"),
            ("serial: ٣".encode(), ":1: is no"),
            (b"# 22: a range that ends before it begins\nserial: 9-3", ":2: is no"),
            ("serial: 7\n".encode("utf-16"), "is UTF-16 and not UTF-8"),
            (bytes(400), "revoked: begins with zero bytes, which a crash of the machine has left"),
            (
                b"serial: 7\n# a comment that is longer than the place where it is looked for\n" + bytes(400),
                ":3: has zero",
            ),
        ],
    )
    def test_a_file_that_cannot_be_understood_is_refused(self, tmp_path: Path, data: bytes, reason: str) -> None:
        """security.md 22, its kind: no line is taken that revokes nothing, or another number than for ssh-keygen."""
        (tmp_path / "revoked").write_bytes(data)
        with pytest.raises(EnvironmentFault, match=reason):
            revoked_of(tmp_path / "revoked")
        with pytest.raises(EnvironmentFault, match="cannot be read"):
            revoked_of(tmp_path / "missing")


def test_an_empty_list_of_revoked_keys_is_said(tmp_path: Path) -> None:
    """issue 12, section 3: it may be what a crash has left of one that revoked something."""
    (tmp_path / "revoked").touch()
    with capture_logs() as logs:
        revoked_of(tmp_path / "revoked")
    (line,) = logs
    assert (line["log_level"], line["file"]) == ("warning", str(tmp_path / "revoked"))
    assert "revoked_keys is empty: nothing is revoked" in line["event"]


@pytest.mark.timeout(30)
def test_lists_that_are_no_files_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(EnvironmentFault, match="fifo: revoked_keys cannot be read: it is no file: move it away"):
        revoked_of(tmp_path / "fifo")
    with pytest.raises(EnvironmentFault, match="fifo: user_ca cannot be read: it is no file"):
        cas_of(tmp_path / "fifo")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", "holds no public key"), ("nonsense", "must hold public keys"), ("\0" * 90, "begins with zero bytes")],
)
def test_a_ca_file_that_cannot_be_used(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "ca").write_text(text)
    with pytest.raises(EnvironmentFault, match=reason):
        cas_of(tmp_path / "ca")


@settings(max_examples=500, deadline=None)
@given(st.data())
def test_any_damage_to_what_is_offered_is_no_key(data: st.DataObject) -> None:
    sound = certified(["alice"]).certificate.public_data  # type: ignore[union-attr]
    whole = bytearray(sound)
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    del whole[data.draw(st.integers(0, len(whole))) :]
    assume(whole != sound)  # one change may undo another
    found = offered(bytes(whole))
    assert found is None or found.certificate is None


def test_what_is_no_key() -> None:
    assert offered(b"") is None
    assert offered(b"\0\0\0\x0bssh-ed25519") is None
    assert offered(OTHER.public_data) == Offered(OTHER.convert_to_public())


class TestFiles:
    """Files of keys as people make them: faults.md 26 and 32, security.md 22 to 24 and 29."""

    @pytest.mark.parametrize("user", ["alice@corp.example", "CORP\\alice", "müller", "svc$", "阿里", "a-b_c.d"])
    def test_names_of_directory_services(self, tmp_path: Path, user: str) -> None:
        (tmp_path / user).write_text(PUBLIC)
        assert allowed(tmp_path, user) == Allowed()

    @pytest.mark.parametrize(
        "name", ["alice~", "alice.bak", "alice.orig", "alice.PUB.old", "#alice#", "alice.dpkg-dist"]
    )
    def test_a_copy_is_nobody_s(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text(PUBLIC)
        with pytest.raises(Refused, match="the name is"):
            Trust(tmp_path).allows(name, OFFERED, "192.0.2.1")

    def test_a_byte_order_mark_is_skipped(self, tmp_path: Path) -> None:
        (tmp_path / "alice").write_bytes(b"\xef\xbb\xbf" + PUBLIC.encode() + b"\r\n")
        assert allowed(tmp_path) == Allowed()

    @pytest.mark.parametrize(
        "text", [f"\ufeff\ufeff{PUBLIC}", f"# bob's\r\n\ufeff{PUBLIC}\r\n"], ids=["one key", "one of two"]
    )
    def test_byte_order_marks_of_joined_files_are_skipped(self, tmp_path: Path, text: str) -> None:
        """faults.md 26: `type a.pub b.pub > keys` has one at the beginning of each."""
        (tmp_path / "alice").write_text(text, newline="")
        assert allowed(tmp_path) == Allowed()

    def test_utf_16_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "alice").write_text(PUBLIC, encoding="utf-16")
        with capture_logs() as logs, pytest.raises(Refused, match="is UTF-16 and not UTF-8"):
            Trust(tmp_path).allows("alice", OFFERED, "192.0.2.1")
        assert f"{tmp_path / 'alice'}: is UTF-16" in logs[0]["event"]

    @pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
    def test_of_a_ca(self, tmp_path: Path, encoding: str) -> None:
        (tmp_path / "ca").write_text(f"{CA_PUBLIC} José's CA\r\n", encoding=encoding)
        assert cas_of(tmp_path / "ca") == (CA.convert_to_public(),)

    @pytest.mark.parametrize(("file", "folder"), [(0o666, 0o700), (0o664, 0o700), (0o600, 0o777), (0o600, 0o770)])
    def test_what_others_may_write_does_not_count(self, tmp_path: Path, file: int, folder: int) -> None:
        """security.md 23: such files let users in without a word; sshd's StrictModes refuses them."""
        keys = tmp_path / "keys"
        keys.mkdir()
        (keys / "alice").write_text(PUBLIC)
        (keys / "alice").chmod(file)
        keys.chmod(folder)
        with pytest.raises(Refused, match=r"others may write the (file|folder) \(mode .*\): chmod go-w it"):
            Trust(keys).allows("alice", OFFERED, "192.0.2.1")
        assert Trust(keys, strict=False).allows("alice", OFFERED, "192.0.2.1") == Allowed()

    def test_what_belongs_to_another_user_does_not_count(self, tmp_path: Path) -> None:
        (tmp_path / "alice").write_text(PUBLIC)
        if os.geteuid() == 0:
            os.chown(tmp_path / "alice", 65534, -1)
            with pytest.raises(Refused, match="belongs to user 65534"):
                Trust(tmp_path).allows("alice", OFFERED, "192.0.2.1")
        else:  # nobody but root can give a file away
            assert allowed(tmp_path) == Allowed()

    def test_the_ca_is_no_user_wherever_it_lies(self, tmp_path: Path) -> None:
        (tmp_path / "ca.pub").write_text(PUBLIC)
        assert allowed(tmp_path, "ca") == Allowed()
        with pytest.raises(Refused, match="no such key"):
            Trust(tmp_path, reserved=(tmp_path / "ca.pub",)).allows("ca", OFFERED, "192.0.2.1")

    def test_weak_rsa_keys_let_nobody_in(self, tmp_path: Path) -> None:
        """security.md 27."""
        for size, good in ((1024, False), (2048, True)):
            key = asyncssh.generate_private_key("ssh-rsa", key_size=size).convert_to_public()
            (tmp_path / "alice").write_bytes(key.export_public_key())
            if good:
                assert Trust(tmp_path).allows("alice", Offered(key), "192.0.2.1") == Allowed()
            else:
                with pytest.raises(Refused, match="an RSA key of 1024 bits is too weak"):
                    Trust(tmp_path).allows("alice", Offered(key), "192.0.2.1")

    def test_a_host_without_descriptors_is_no_answer_about_a_key(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """security.md 29: users were refused as if their keys were unknown, and their addresses were punished."""
        (tmp_path / "alice").write_text(PUBLIC)

        def full(*_: object, **__: object) -> None:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        monkeypatch.setattr(Path, "open", full)
        with pytest.raises(Refused, match="cannot be read: Too many open files") as refused:
            Trust(tmp_path).allows("alice", OFFERED, "192.0.2.1")
        assert refused.value.ours
        assert Trust(tmp_path).still_allows("alice", OFFERED)

    def test_a_certificate_that_forces_nothing_is_refused(self, tmp_path: Path) -> None:
        """security.md 15, its kind."""
        with pytest.raises(Refused, match="forces an empty command"):
            Trust(tmp_path, (CA.convert_to_public(),)).allows("alice", certified(["alice"], force=" "), "192.0.2.1")
