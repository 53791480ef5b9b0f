"""What QEMU is told, as its option syntax wants it."""

from __future__ import annotations

from pathlib import Path

import pytest

from oobconsole.devices.device import Resources
from oobconsole.devices.uart16550 import Uart16550
from oobconsole.interceptors.tcg import qemu_options
from tests.support.devices import KEYBOARD, Keyboard

COM1 = ("web1", Uart16550, Resources.of(Uart16550, ports=(0x3F8,), lines=(4,)))
COM2 = ("web1", Uart16550, Resources.of(Uart16550, ports=(0x2F8,), lines=(3,)))


@pytest.mark.parametrize(
    ("plugin", "socket", "head"),
    [
        ("/lib/oob_tcg.so", "/run/l1.sock", "/lib/oob_tcg.so,socket=/run/l1.sock"),
        ("/a,b/oob_tcg.so", "/run/x,y", "/a,,b/oob_tcg.so,socket=/run/x,,y"),
        ("/a=b/oob_tcg.so", "/run/x=y", "file=/a=b/oob_tcg.so,socket=/run/x=y"),
    ],
)
def test_paths_of_any_name(plugin: str, socket: str, head: str) -> None:
    option, value = qemu_options("l1", Path(socket), Path(plugin), [COM1])
    assert (option, value) == ("-plugin", f"{head},machine=l1,ports=uart@0x3f8-0x3ff,irq=4")


def test_several_ports() -> None:
    _, value = qemu_options("l1", Path("/s"), Path("/p"), [COM1, COM2])
    assert value.endswith(",ports=uart@0x3f8-0x3ff:uart@0x2f8-0x2ff,irq=4:3")


def test_a_device_with_several_ranges_and_interrupts() -> None:
    _, value = qemu_options("l1", Path("/s"), Path("/p"), [COM1, ("web1", Keyboard, KEYBOARD)])
    assert value.endswith(",ports=uart@0x3f8-0x3ff:generic@0x60+0x64,irq=4:1+12")
