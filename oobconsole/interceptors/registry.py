"""Which interceptor a configuration's `interceptor` key names."""

from __future__ import annotations

from oobconsole.interceptors.base import Interceptor
from oobconsole.interceptors.memory import MemoryInterceptor
from oobconsole.interceptors.tcg import TcgInterceptor
from oobconsole.settings import Config, MachineConfig


def make(config: Config, machine: MachineConfig) -> Interceptor:
    """Make the interceptor of a machine; `start` begins its work."""
    if machine.interceptor == "memory":
        return MemoryInterceptor(machine.name, echo=len(machine.guests))
    return TcgInterceptor(machine.name, config.socket_of(machine), spin_us=machine.spin_us)
