"""What a configuration is made into: where guests come from, with their lines, monitors and power."""

from __future__ import annotations

from oobconsole.app import registry
from oobconsole.config.guests import MachineConfig, VmConfig
from oobconsole.config.schema import Config
from oobconsole.guests.directory import Directory
from oobconsole.guests.guest import Source
from oobconsole.guests.line import Line, Lines
from oobconsole.guests.nested import Machine
from oobconsole.libvirt.guests import Domains, DomainSource
from oobconsole.power.power import CommandPower, Power
from oobconsole.power.qmp import Qmp, QmpPower
from oobconsole.recording.recordings import Recordings


def directory_of(config: Config, directory: Directory, recordings: Recordings | None) -> None:
    """Put everything that the configuration names into the directory, in the order of `status`: machines, lines,
    libvirt hosts. Nothing is connected yet."""
    scrollback = config.server.scrollback_kib * 1024
    domains = Domains(scrollback, directory, recordings)
    sources: list[Source] = [
        *(_machine(config, machine, scrollback) for machine in config.machines),
        *(_lines(config, vm, scrollback) for vm in config.vms),
        *(DomainSource(libvirt, domains, config.console) for libvirt in config.libvirts),
    ]
    for source in sources:
        directory.add(source)


def _machine(config: Config, machine: MachineConfig, scrollback: int) -> Machine:
    """A machine, with what brings its guests' accesses, and what says which guest a context is."""
    return Machine(
        machine,
        registry.make(config, machine),
        scrollback=scrollback,
        defaults=config.console,
        binder=registry.make_binder(machine),
    )


def _lines(config: Config, vm: VmConfig, scrollback: int) -> Lines:
    """The lines of one VM or real port, one for each of its consoles."""
    settings = config.console.with_own(vm.console)
    monitor = Qmp(vm.name, vm.qmp) if vm.qmp is not None else None
    address = (vm.chardev or "").partition(":")[2]
    lines = [
        Line(name, stream, scrollback=scrollback, settings=settings, monitor=monitor, address=address)
        for name, stream in zip(vm.console_names, registry.make_lines(config, vm), strict=True)
    ]
    return Lines(vm.name, lines, settings=settings, monitor=monitor, power=_power(vm, monitor))


def _power(vm: VmConfig, monitor: Qmp | None) -> Power | None:
    """Return what switches a VM: QEMU's monitor, or else the administrator's program; None: nothing is configured."""
    if monitor is not None:
        return QmpPower(monitor)
    return CommandPower(vm.name, vm.power) if vm.power is not None else None
