"""What Prometheus is told, parsed by its own parser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from oobconsole.access import Principal
from oobconsole.config.schema import Config
from oobconsole.events import Kind
from oobconsole.interceptors import wire
from oobconsole.interceptors.tcg import TcgInterceptor
from oobconsole.ops.metrics import CONSOLES_A_PIECE, Metrics, _buckets
from oobconsole.vitals import FrontReport
from tests.loopback.lab import Lab
from tests.unit.session.fakes import consoles, of


async def _values(metrics: Metrics) -> dict[tuple[str, str], float]:
    families = text_string_to_metric_families((await metrics.render()).decode())
    return {(s.name, ",".join(s.labels.values())): s.value for family in families for s in family.samples}


async def test_a_console_is_counted(tmp_path: Path) -> None:
    async with Lab(tmp_path) as lab:
        metrics = Metrics(lab.services)
        lab.appear()
        lab.console.gap(7)
        reader = lab.console.attach()
        await lab.console.write(b"abc", Principal("alice"))
        lab.services.events.emit(Kind.LOGIN_REFUSED)
        found = await _values(metrics)
        reader.close()
    assert found["oobconsole_consoles", "live"] == 1
    assert found["oobconsole_console_attached", "web1"] == 1
    assert found["oobconsole_console_output_bytes_total", "web1"] == lab.console.end > 0
    assert found["oobconsole_console_input_bytes_total", "web1"] == 3
    assert found["oobconsole_console_gaps_total", "web1"] == 1
    assert found["oobconsole_console_lost_bytes_total", "web1"] == 7
    assert found["oobconsole_logins_refused_total", ""] == 1


async def test_a_slow_readers_loss_is_counted(tmp_path: Path) -> None:
    async with Lab(tmp_path, "scrollback_kib = 4") as lab:
        metrics = Metrics(lab.services)
        reader = lab.console.attach()
        lab.console.output(b"x" * 5000)
        await reader.next()
        assert (await _values(metrics))["oobconsole_console_skipped_bytes_total", "web1"] == 5000 - 4096
        reader.close()


async def test_each_front_is_told_of(tmp_path: Path) -> None:
    async with Lab(tmp_path) as lab:
        metrics = Metrics(lab.services)
        assert ("oobconsole_front_up", "ssh 1") not in await _values(metrics), "there is none"
        lab.services.vitals.fronts = lambda: {"ssh 1": front("serving", 3), "ssh 2": front("waiting", 0)}
        found = await _values(metrics)
    assert (found["oobconsole_front_up", "ssh 1"], found["oobconsole_front_restarts_total", "ssh 1"]) == (1, 3)
    assert (found["oobconsole_front_up", "ssh 2"], found["oobconsole_front_restarts_total", "ssh 2"]) == (0, 0)


async def test_how_much_goes_through_each_front_is_told(tmp_path: Path) -> None:
    async with Lab(tmp_path) as lab:
        metrics = Metrics(lab.services)
        lab.services.vitals.fronts = lambda: {"ssh 1": front("serving", 3)}
        found = await _values(metrics)
    ours = {name: value for (name, of), value in found.items() if of == "ssh 1"}
    assert ours == {
        "oobconsole_front_up": 1,
        "oobconsole_front_restarts_total": 3,
        "oobconsole_front_connections": 2,
        "oobconsole_front_sessions": 3,
        "oobconsole_front_logins_total": 4,
        "oobconsole_front_refused_total": 5,
        "oobconsole_front_turned_away_total": 8,
        "oobconsole_front_received_bytes_total": 6,
        "oobconsole_front_sent_bytes_total": 7,
    }


async def test_whatever_is_told_is_explained_by_a_sentence(tmp_path: Path) -> None:
    async with Lab(tmp_path) as lab:
        texts = {family.name: family.documentation for family in Metrics(lab.services).families()}
    ours = {name: text for name, text in texts.items() if name.startswith("oobconsole_")}
    assert {name for name, text in ours.items() if not re.fullmatch(r"(How|Whether|What) .+ .+\.", text)} == set()


def front(state: str, begun_again: int) -> FrontReport:
    return {
        "state": state,
        "pid": 7,
        "begun_again": begun_again,
        "reason": "signal SIGKILL" if begun_again else "",
        "confined_by": [],
        "lacking": [],
        "connections": 2,
        "sessions": 3,
        "logins": 4,
        "refused": 5,
        "turned_away": 8,
        "received_bytes": 6,
        "sent_bytes": 7,
    }


async def test_what_a_native_half_counted_is_told(tmp_path: Path) -> None:
    async with Lab(tmp_path) as lab:
        interceptor = TcgInterceptor("rack7", tmp_path / "s", spin_us=0)
        interceptor.stats = wire.Stats({"accesses": 12}, (0,) * 16 + (9, 0, 0, 1) + (0,) * 20)
        interceptor.counters.accesses = 10
        lab.machine.interceptor = interceptor
        found = await _values(Metrics(lab.services))
    assert found["oobconsole_native_total", "accesses,rack7"] == 12
    assert found["oobconsole_accesses_total", "rack7"] == 10
    assert found["oobconsole_access_seconds_bucket", "1.6e-05,rack7"] == 0
    assert found["oobconsole_access_seconds_bucket", "3.2e-05,rack7"] == 10


def test_buckets_are_cumulative_to_infinity() -> None:
    assert _buckets((1, 2, 3, 4)) == [("2e-06", 10.0), ("+Inf", 10.0)]


@pytest.mark.parametrize("address", ["0.0.0.0:9464", "192.0.2.1:9464", "[::]:9464"])
def test_metrics_are_on_loopback_only(address: str) -> None:
    with pytest.raises(ValueError, match="is not on loopback"):
        Config.model_validate({"metrics": {"listen": address}})


async def test_ten_thousand_consoles_are_rendered_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two pieces the event loop serves others. What a scraper gets is one family all the same."""
    many = 2 * CONSOLES_A_PIECE + 1
    metrics = Metrics(consoles(*(f"web{number:03}" for number in range(many))))
    pieces = [piece for piece in metrics.families() if piece.name == "oobconsole_console_output_bytes"]
    assert [len(piece.samples) for piece in pieces] == [CONSOLES_A_PIECE, CONSOLES_A_PIECE, 1]
    text = (await metrics.render()).decode()
    assert text.count("# TYPE oobconsole_console_output_bytes_total counter\n") == 1
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert len(families["oobconsole_console_output_bytes"].samples) == many


async def test_no_console_is_a_family_without_samples() -> None:
    text = (await Metrics(of()).render()).decode()
    assert "# TYPE oobconsole_console_attached gauge\n" in text
    assert 'console="' not in text
