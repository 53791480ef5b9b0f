"""Which interceptor, binder or line a configuration names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from oobconsole.config.guests import MachineConfig, SerialConfig, VmConfig
from oobconsole.config.places import devices_of
from oobconsole.config.schema import Config
from oobconsole.guests.identity import Binder, InOrder
from oobconsole.interceptors.base import Interceptor
from oobconsole.interceptors.memory import MemoryInterceptor
from oobconsole.interceptors.ranges import served_ranges
from oobconsole.interceptors.tcg import TcgInterceptor
from oobconsole.lines.base import Stream
from oobconsole.lines.chardev import ChardevStream, parse
from oobconsole.lines.serialport import SerialStream
from oobconsole.vfio_user.keeper import Settings as KeeperSettings
from oobconsole.vfio_user.stream import KeeperProcess, VfioUserStream


def _memory(config: Config, machine: MachineConfig) -> Interceptor:
    return MemoryInterceptor(machine.name, echo=len(machine.guests))


def _tcg(config: Config, machine: MachineConfig) -> Interceptor:
    ranges = served_ranges(devices_of(machine))
    return TcgInterceptor(machine.name, config.socket_of(machine), spin_us=machine.spin_us, ranges=ranges)


#: Makes the interceptor of a machine, by the name that the configuration has for it.
INTERCEPTORS: Final[dict[str, Callable[[Config, MachineConfig], Interceptor]]] = {"memory": _memory, "tcg": _tcg}


def make(config: Config, machine: MachineConfig) -> Interceptor:
    """Make the interceptor of a machine; `start` begins its work."""
    return INTERCEPTORS[machine.interceptor](config, machine)


def make_binder(machine: MachineConfig) -> Binder:
    """Make what says which guest each context of a machine is. There is one kind of binder so far."""
    return InOrder()


def make_lines(config: Config, vm: VmConfig) -> list[Stream]:
    """Make the lines of a VM or port, in the order of its `console_names`; `start` begins their work."""
    line = vm.line
    if isinstance(line, str):
        at_once = (config.server.scrollback_kib << 10) // 4
        return [ChardevStream(vm.name, parse(line), at_once=at_once)]
    if isinstance(line, SerialConfig):
        return [SerialStream(vm.name, line)]
    sockets = str(config.vfio_socket_of(vm)), str(config.keeper_socket_of(vm))
    process = KeeperProcess(vm.name, KeeperSettings(*sockets, line.bar, line.ports))
    return [VfioUserStream(name, process, number) for number, name in enumerate(vm.console_names)]
