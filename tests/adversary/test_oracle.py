"""What these tests expect of a CPU is what QEMU's own does: the same cases without us, at QEMU's own UART."""

from __future__ import annotations

import pytest

from tests.adversary import test_access, test_string_io
from tests.adversary.cases import Case, Ended, run_on_qemus_own_uart


def _oracle_has_a_say(case: Case) -> bool:
    """QEMU hands an access that leaves a device's range to that device whole. Nobody types here. An I/O breakpoint
    strikes at the port at which the CPU executes the access: another one with us (docs/qemu-assumptions.md)."""
    return not any(part in case.name for part in ("below", "beyond", "ins-page-fault", "ins-after", "io-breakpoint"))


SUITES = {
    name: [case for case in cases if _oracle_has_a_say(case)]
    for name, cases in (("access", test_access.CASES), ("string", test_string_io.CASES))
}
CASES = [pytest.param(name, case, id=f"{name}-{case.name}") for name, cases in SUITES.items() for case in cases]


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Ended]]:
    """All cases, run in one boot for each suite."""
    return {name: run_on_qemus_own_uart(cases, tmp_path_factory.mktemp(name)) for name, cases in SUITES.items()}


@pytest.mark.parametrize(("suite", "case"), CASES)
def test_qemus_own(suite: str, case: Case, ended: dict[str, dict[str, Ended]]) -> None:
    ended[suite][case.name].check(case)
