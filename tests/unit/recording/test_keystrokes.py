from __future__ import annotations

from oobconsole.access import Principal
from oobconsole.recording.keystrokes import ECHO_SECONDS, LINE_SECONDS, LINES_MAX, WAITING_MAX, Keystrokes

ALICE = Principal("alice")
BOB = Principal("bob")


class Guest:
    """What is typed into it, and what it answers; `recorded`: who, and the text or a number."""

    def __init__(self) -> None:
        self.recorded: list[tuple[str, str | int]] = []
        self.now = 1000.0
        self.keys = Keystrokes(lambda _, who, what: self.recorded.append((who.name if who else "", what)))

    def types(self, data: bytes, who: Principal = ALICE) -> Guest:
        self.keys.typed(data, who, self.now)
        return self

    def prints(self, data: bytes) -> Guest:
        self.keys.output(data, self.now)
        return self

    def waits(self, seconds: float) -> Guest:
        self.now += seconds
        self.keys.expire(self.now)
        return self


def test_a_line_that_is_echoed_is_recorded() -> None:
    guest = Guest()
    for key in b"ls -l":
        guest.types(bytes((key,))).prints(bytes((key,)))
    assert guest.recorded == []
    guest.types(b"\r").prints(b"\r\ntotal 0\r\n# ")
    assert guest.recorded == [("alice", "ls -l\r")]


def test_lines_that_are_pasted_are_recorded_as_they_are_echoed() -> None:
    assert Guest().types(b"ls\rpwd\r").prints(b"ls\r\npwd\r\n").recorded == [("alice", "ls\r"), ("alice", "pwd\r")]


def test_the_echo_may_come_in_any_pieces() -> None:
    guest = Guest().types("grüße\x03".encode())
    for byte in "grüße^C".encode():
        guest.prints(bytes((byte,)))
    assert guest.recorded == [("alice", "grüße\x03")]


def test_a_guest_that_echoes_enter_as_it_is() -> None:
    assert Guest().types(b"a\rb\r").prints(b"a\rb\r").recorded == [("alice", "a\r"), ("alice", "b\r")]


def test_what_is_deleted_is_recorded_with_the_key_that_did_it() -> None:
    assert Guest().types(b"lx\x7fs\r").prints(b"lx\b \bs\r\n").recorded == [("alice", "lx\x7fs\r")]
    assert Guest().types(b"lx\x7fs\r").prints(b"lx\b\x1b[Ks\r\n").recorded == [("alice", "lx\x7fs\r")]


def test_a_password_is_only_counted() -> None:
    guest = Guest().types(b"root\r").prints(b"root\r\nPassword: ")
    guest.types(b"secret\r").prints(b"\r\nLast login: secret\r\n")
    assert guest.recorded == [("alice", "root\r"), ("alice", 7)]


def test_a_password_typed_slowly_is_only_counted() -> None:
    guest = Guest()
    for key in b"secret":
        guest.types(bytes((key,))).waits(1)
    guest.types(b"\r").prints(b"\r\n# ")
    assert guest.recorded == [("alice", 7)]


def test_a_password_for_which_asterisks_come_is_only_counted() -> None:
    guest = Guest()
    for key in b"se*ret":
        guest.types(bytes((key,))).prints(b"*")
    guest.types(b"\r").prints(b"\r\n")
    assert guest.recorded == [("alice", 7)]


def test_a_password_that_begins_as_the_output_does_is_only_counted() -> None:
    assert Guest().types(b"Last\r").prints(b"La\r\nstranger\r\n").recorded == [("alice", 5)]


def test_a_password_that_is_printed_much_later_is_only_counted() -> None:
    guest = Guest().types(b"secret\r").waits(ECHO_SECONDS + 0.1)
    assert guest.recorded == [("alice", 7)]
    assert guest.prints(b"secret\r\n").recorded == [("alice", 7)]


def test_the_next_line_is_compared_afresh() -> None:
    guest = Guest().types(b"secret\r").prints(b"\r\n# ").types(b"id\r").prints(b"id\r\n")
    assert guest.recorded == [("alice", 7), ("alice", "id\r")]


def test_a_message_of_the_kernel_within_a_line_makes_it_a_number() -> None:
    guest = Guest().types(b"i").prints(b"i").types(b"d").prints(b"[  1.0] usb 1-1\r\nd").types(b"\r").prints(b"\r\n")
    assert guest.recorded == [("alice", 3)]


def test_two_who_type_have_their_own_lines() -> None:
    guest = Guest().types(b"ab").prints(b"ab").types(b"c\r", BOB).prints(b"c\r\n")
    assert guest.recorded == [("alice", "ab"), ("bob", "c\r")]


def test_a_line_that_is_never_ended_is_recorded_at_last() -> None:
    guest = Guest().types(b"y").prints(b"y").waits(LINE_SECONDS - 1)
    assert guest.recorded == []
    assert guest.waits(2).recorded == [("alice", "y")]
    assert not guest.keys.pending


def test_what_is_left_at_the_end_is_recorded() -> None:
    guest = Guest().types(b"ab").prints(b"a")
    guest.keys.close()
    assert guest.recorded == [("alice", 2)]


def test_much_that_is_not_echoed_is_bounded_and_counted() -> None:
    guest = Guest()
    for _ in range(3 * LINES_MAX):
        guest.types(b"x" * 99 + b"\r")
    guest.types(b"y" * 3 * WAITING_MAX + b"\r").waits(ECHO_SECONDS + 1)
    counts = [what for _, what in guest.recorded]
    assert all(isinstance(what, int) for what in counts)
    assert sum(what for what in counts if isinstance(what, int)) == 300 * LINES_MAX + 3 * WAITING_MAX + 1
