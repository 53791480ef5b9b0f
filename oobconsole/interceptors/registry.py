"""Which interceptor or line a configuration names."""

from __future__ import annotations

from oobconsole.interceptors.base import Interceptor
from oobconsole.interceptors.chardev import ChardevStream, parse
from oobconsole.interceptors.memory import MemoryInterceptor
from oobconsole.interceptors.serialport import SerialStream
from oobconsole.interceptors.stream import Stream
from oobconsole.interceptors.tcg import TcgInterceptor
from oobconsole.settings import Config, MachineConfig, VmConfig


def make(config: Config, machine: MachineConfig) -> Interceptor:
    """Make the interceptor of a machine; `start` begins its work."""
    if machine.interceptor == "memory":
        return MemoryInterceptor(machine.name, echo=len(machine.guests))
    return TcgInterceptor(machine.name, config.socket_of(machine), spin_us=machine.spin_us)


def make_line(vm: VmConfig, scrollback: int) -> Stream:
    """Make the line of a VM or port; `start` begins its work. Its console keeps `scrollback` bytes."""
    if vm.chardev is not None:
        return ChardevStream(vm.name, parse(vm.chardev), at_once=scrollback // 4)
    assert vm.serial is not None  # exactly one is there: settings.VmConfig
    return SerialStream(vm.name, vm.serial)
