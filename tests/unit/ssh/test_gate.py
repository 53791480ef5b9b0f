"""Limits before a login, against what sshd's sources do."""

from __future__ import annotations

import ipaddress
import tracemalloc

import pytest

from oobconsole.config.schema import ServerConfig
from oobconsole.ssh.gate import PENALTY_MAX, Gate, Offence, Penalties, source_of


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def limits(**changes: object) -> ServerConfig:
    return ServerConfig.model_validate({"state_dir": "s", "authorized_keys": "k", **changes})


def test_sources() -> None:
    assert source_of("192.0.2.1") == ipaddress.ip_network("192.0.2.1/32")
    assert source_of("2001:db8:1:2:3::4") == source_of("2001:db8:1:2::9") == ipaddress.ip_network("2001:db8:1:2::/64")
    assert source_of("2001:db8:1:3::4") != source_of("2001:db8:1:2::9")
    assert source_of("::ffff:192.0.2.1") == source_of("192.0.2.1")
    assert source_of("fe80::1%eth0") == ipaddress.ip_network("fe80::/64")
    assert source_of("") == ""


class TestPenalties:
    def test_add_up_and_count_from_a_minimum_on(self) -> None:
        clock = Clock()
        penalties = Penalties(clock=clock)
        for _ in range(3):
            penalties.punish("a", Offence.AUTH_FAILED)
        assert penalties.refuses("a") == ("", 0.0)  # 15 s are not more than 15 s
        penalties.punish("a", Offence.NO_AUTH)
        assert penalties.refuses("a") == ("connected without trying to log in", 16.0)
        assert penalties.refuses("b") == ("", 0.0)
        clock.now += 15.5
        assert penalties.refuses("a")[1] == pytest.approx(0.5)  # once enforced, to its end
        clock.now += 0.5
        assert penalties.refuses("a") == ("", 0.0)
        assert len(penalties) == 0

    def test_pass_when_they_come_slowly(self) -> None:
        clock = Clock()
        penalties = Penalties(clock=clock)
        for _ in range(100):  # a load balancer's check every five seconds
            penalties.punish("a", Offence.NO_AUTH)
            assert penalties.refuses("a") == ("", 0.0)
            clock.now += 5

    def test_have_a_maximum(self) -> None:
        penalties = Penalties(clock=Clock())
        for _ in range(1000):
            penalties.punish("a", Offence.CRASH)
        assert penalties.refuses("a")[1] == PENALTY_MAX

    def test_stay_bounded_and_keep_the_longest(self) -> None:
        penalties = Penalties(sources_max=100, clock=Clock())
        penalties.punish("bad", Offence.CRASH)
        for number in range(10_000):
            penalties.punish(f"{number}", Offence.NO_AUTH)
            penalties.punish(f"{number % 7}", Offence.NO_AUTH)
            assert len(penalties) <= 100
        assert penalties.refuses("bad")[0]
        assert len(penalties._by_end) <= 300

    def test_memory_under_a_flood_of_addresses(self) -> None:
        gate = Gate(limits(), clock=Clock())
        tracemalloc.start()
        for number in range(10_000):
            address = f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}"
            assert gate.refuses(address) == ""
            gate.entered(address)
            gate.left(address, logged_in=False)
            gate.punish(address, Offence.NO_AUTH)
        used, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(gate._connections) == 0
        assert used < 10 << 20


class TestGate:
    def test_penalties_are_for_a_network_and_by_configuration(self) -> None:
        gate = Gate(limits(penalties_exempt="2001:db8:9::/48"))
        for address in ("2001:db8::1", "2001:db8:9::1"):
            gate.punish(address, Offence.CRASH)
        assert gate.refuses("2001:db8::2") == "your address caused an internal error; it has to wait 90 s"
        assert gate.refuses("2001:db8:9::1") == ""
        gate.limits = limits(penalties=False)
        assert gate.refuses("2001:db8::2") == ""

    def test_max_startups_as_in_sshd(self) -> None:
        chance = 0
        gate = Gate(limits(max_startups="10:30:100", max_connections_per_source=1000), chance=lambda: chance)
        for _ in range(10):
            assert gate.refuses("192.0.2.1") == ""
            gate.entered("192.0.2.1")
        assert "too many logins" in gate.refuses("192.0.2.1")  # 0 < 30
        chance = 30
        assert gate.refuses("192.0.2.1") == ""
        for _ in range(45):
            gate.entered("192.0.2.1")
        chance = 65
        assert gate.refuses("192.0.2.1") == ""  # 30 + 70 * 45 / 90 = 65
        chance = 64
        assert gate.refuses("192.0.2.1")
        for _ in range(45):
            gate.entered("192.0.2.1")
        chance = 99
        assert gate.refuses("192.0.2.1")
        for _ in range(100):
            gate.logged_in()
        chance = 0
        assert gate.refuses("192.0.2.1") == ""

    def test_connections_of_a_source_and_of_all(self) -> None:
        gate = Gate(limits(max_connections=3, max_connections_per_source=2))
        for _ in range(2):
            gate.entered("192.0.2.1")
            gate.logged_in()
        assert "your address has 2 connections" in gate.refuses("192.0.2.1")
        assert gate.refuses("192.0.2.2") == ""
        gate.entered("192.0.2.2")
        assert "too many connections" in gate.refuses("192.0.2.3")
        gate.left("192.0.2.1", logged_in=True)
        assert gate.refuses("192.0.2.1") == ""
        gate.left("192.0.2.2", logged_in=False)
        assert gate._startups == 0


@pytest.mark.parametrize(
    "value", ["", "1", "0:30:100", "10:0:100", "10:101:100", "100:30:10", "a:b:c", "1:1:1:1", "-1:1:1"]
)
def test_max_startups_that_make_no_sense(value: str) -> None:
    with pytest.raises(ValueError, match="START:RATE:FULL"):
        limits(max_startups=value)


@pytest.mark.parametrize("value", ["nonsense", "192.0.2.1/24", "localhost"])
def test_exempt_networks_that_are_none(value: str) -> None:
    with pytest.raises(ValueError, match="is no address or network"):
        limits(penalties_exempt=value)
