"""What QEMU is told, as its option syntax wants it."""

from __future__ import annotations

from pathlib import Path

import pytest

from oobconsole.interceptors.tcg import qemu_options


@pytest.mark.parametrize(
    ("plugin", "socket", "head"),
    [
        ("/lib/oob_tcg.so", "/run/l1.sock", "/lib/oob_tcg.so,socket=/run/l1.sock"),
        ("/a,b/oob_tcg.so", "/run/x,y", "/a,,b/oob_tcg.so,socket=/run/x,,y"),
        ("/a=b/oob_tcg.so", "/run/x=y", "file=/a=b/oob_tcg.so,socket=/run/x=y"),
    ],
)
def test_paths_of_any_name(plugin: str, socket: str, head: str) -> None:
    option, value = qemu_options("l1", Path(socket), Path(plugin), [(0x3F8, 0x3FF)], [4])
    assert (option, value) == ("-plugin", f"{head},machine=l1,ports=0x3f8-0x3ff,irq=4")


def test_several_ports() -> None:
    _, value = qemu_options("l1", Path("/s"), Path("/p"), [(0x3F8, 0x3FF), (0x2F8, 0x2FF)], [4, 3])
    assert value.endswith(",ports=0x3f8-0x3ff:0x2f8-0x2ff,irq=4:3")
