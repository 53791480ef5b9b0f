"""The systemd unit, by systemd's own judgement. It is not started here: systemd is not the first process."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.pace import scaled

UNIT = Path(__file__).resolve().parents[3] / "docs" / "systemd" / "oobconsole.service"


@pytest.mark.needs("systemd")
def test_its_exposure_is_low() -> None:
    words = ["systemd-analyze", "security", "--offline=yes", "--no-pager", str(UNIT)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=scaled(60), check=False)
    found = re.search(r"Overall exposure level for oobconsole.service: ([\d.]+)", done.stdout)
    assert found, done.stdout[-1000:] + done.stderr
    assert float(found[1]) <= 2.0


@pytest.mark.needs("systemd")
def test_systemd_understands_every_line() -> None:
    words = ["systemd-analyze", "verify", "--man=no", str(UNIT)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=scaled(60), check=False)
    said = [line for line in done.stderr.splitlines() if UNIT.name in line and "is not executable" not in line]
    assert said == []
