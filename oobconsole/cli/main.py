"""The command line: what runs here, and the verbs that the running server does (`oobconsole help`)."""

from __future__ import annotations

import shlex
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, NoReturn

import typer

from oobconsole.cli.audit import audit_app
from oobconsole.config import load, ports_of
from oobconsole.errors import ConfigError, EnvironmentFault
from oobconsole.settings import Config, MachineConfig, VmConfig

#: Done by the server: its own `help` says more.
REMOTE: Final = {
    "attach": "attach to a console",
    "watch": "attach to a console, without the keyboard",
    "ls": "list the consoles",
    "who": "list who is attached",
    "events": "show what happens, as it happens",
    "send": "type a text into a guest",
    "wait": "wait until a guest prints something",
    "power": "switch a guest",
    "log": "show what a guest printed, and who typed what",
    "replay": "show what a guest printed, as it came",
    "search": "look for a pattern in what a guest printed",
    "reload": "read the server's configuration again",
    "status": "say how the server does",
    "help": "what these commands can do",
}
DEFAULT_CONFIG: Final = Path("/etc/oobconsole/oobconsole.toml")


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(audit_app, name="audit")

ConfigFile = Annotated[Path, typer.Option("--config", help="the configuration file (TOML)")]


def _load(file: Path) -> Config:
    try:
        return load(file)
    except ConfigError as error:
        typer.echo(f"oobconsole: {error}", err=True)
        raise typer.Exit(2) from error


@app.callback()
def options(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", envvar="OOBCONSOLE_CONFIG", help="of the server that is to do it")
    ] = None,
    socket: Annotated[Path | None, typer.Option(help="its admin socket, instead")] = None,
) -> None:
    """Out-of-band consoles for virtual machines: the guest's UART is emulated outside its hypervisor."""
    ctx.obj = (config, socket)


def _forward(ctx: typer.Context) -> None:
    """Let the running server do it."""
    config, socket = ctx.obj
    if socket is None:
        socket = _load(config or DEFAULT_CONFIG).server.admin_socket
    from oobconsole.cli import remote

    raise typer.Exit(remote.run(socket, [str(ctx.info_name), *ctx.args]))


for _verb, _summary in REMOTE.items():
    app.command(
        _verb,
        help=f"{_summary} (by the running server)",
        add_help_option=False,
        context_settings={
            "ignore_unknown_options": True,
            "allow_extra_args": True,
            "allow_interspersed_args": False,
        },
    )(_forward)


@app.command()
def serve(config: ConfigFile) -> None:
    """Run the console server until SIGTERM or Ctrl-C."""
    settings = _load(config)
    import uvloop  # the other commands start faster without

    from oobconsole import log
    from oobconsole.app import serve as run

    try:
        log.setup(settings.server.log)
        uvloop.run(run(settings, config))
    except EnvironmentFault as error:
        typer.echo(f"oobconsole: {error}", err=True)
        raise typer.Exit(1) from error


@app.command()
def check(config: ConfigFile) -> None:
    """Validate a configuration file and say what it configures."""
    settings = _load(config)
    for machine in settings.machines:
        names = ", ".join(name for guest in machine.guests for name in guest.console_names)
        typer.echo(f"machine {machine.name} ({machine.interceptor}): {names}")
    for vm in settings.vms:
        kind = "chardev" if vm.chardev else "serial" if vm.serial else "vfio-user"
        typer.echo(f"vm {vm.name} ({kind}): {', '.join(vm.console_names)}")


class OptionsFor(StrEnum):
    """Who is to get the options."""

    QEMU = "qemu"
    LIBVIRT = "libvirt"
    GUEST = "guest"


@app.command("qemu-options")
def qemu_options(
    machine: Annotated[str, typer.Argument(help="the machine's or VM's name in the configuration")],
    config: ConfigFile,
    plugin: Annotated[Path, typer.Option(help="the plugin, as `make -C native/tcg` builds it")] = Path("oob_tcg.so"),
    wanted_by: Annotated[
        OptionsFor,
        typer.Option("--for", help="of a VM with vfio_user: words for QEMU, XML for libvirt, the kernel's"),
    ] = OptionsFor.QEMU,
) -> None:
    """Print what to add to the command line of a machine's or VM's QEMU."""
    settings = _load(config)
    if vm := settings.vm(machine):
        typer.echo(_options_of_vm(settings, vm, wanted_by))
    elif wanted := settings.machine(machine):
        typer.echo(shlex.join(_options_of_machine(settings, wanted, plugin)))
    else:
        known = ", ".join([*(m.name for m in settings.machines), *(vm.name for vm in settings.vms)])
        _refuse(f"{config}: there is no machine or VM '{machine}'; there are: {known}")


def _options_of_machine(settings: Config, machine: MachineConfig, plugin: Path) -> list[str]:
    if machine.interceptor != "tcg":
        _refuse(f"machine '{machine.name}' is not run by QEMU: its interceptor is not tcg")
    from oobconsole.interceptors.tcg import qemu_options as options

    uarts = ports_of(machine)
    return options(
        machine.name,
        settings.socket_of(machine),
        plugin.resolve(),
        [(uart.port, uart.port + 7) for uart in uarts],
        [uart.irq for uart in uarts],
        hide_registers=machine.hide_registers,
    )


def _options_of_vm(settings: Config, vm: VmConfig, wanted_by: OptionsFor) -> str:
    if vm.vfio_user is None:
        _refuse(f"VM '{vm.name}' needs no options of ours: it has no vfio_user")
    from oobconsole.interceptors.vfio_user import options

    socket = settings.vfio_socket_of(vm)
    match wanted_by:
        case OptionsFor.QEMU:
            return shlex.join(options.qemu_words(socket))
        case OptionsFor.LIBVIRT:
            return options.libvirt_xml(socket)
        case OptionsFor.GUEST:
            return options.KERNEL_ARGUMENTS


def _refuse(why: str) -> NoReturn:
    typer.echo(f"oobconsole: {why}", err=True)
    raise typer.Exit(2)


@app.command()
def doctor(
    config: ConfigFile,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for each finding")] = False,
) -> None:
    """Look for faults in this host, the configuration and the permissions of what it names."""
    from oobconsole.ops.doctor import report

    raise typer.Exit(report(config, as_json=as_json))


def main() -> None:
    """Entry point of the `oobconsole` command."""
    app(prog_name="oobconsole")
