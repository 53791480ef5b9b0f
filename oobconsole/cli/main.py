"""The local command: subcommands that run here, and verbs that it hands on to the running server (`oobconsole
help`)."""

from __future__ import annotations

import contextlib
import json
import shlex
import signal
import sys
from enum import StrEnum
from operator import attrgetter
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from oobconsole.cli import completion, stdio
from oobconsole.cli.audit import audit_app
from oobconsole.cli.descriptors import fill_standard
from oobconsole.cli.place import DEFAULT_CONFIG, config_file
from oobconsole.config.guests import MachineConfig, VmConfig
from oobconsole.config.load import load
from oobconsole.config.places import places_of
from oobconsole.config.schema import Config
from oobconsole.errors import ConfigError, EnvironmentFault
from oobconsole.verbs import VERBS

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(audit_app, name="audit")

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help=f"the configuration file (TOML); default: {DEFAULT_CONFIG}")
]


def _load(file: Path) -> Config:
    """Read the configuration. If it cannot be used, say why and exit with status 2."""
    try:
        return load(file)
    except ConfigError as error:
        hint = "" if file.exists() else "; name the server's configuration: oobconsole --config FILE COMMAND"
        typer.echo(f"oobconsole: {error}{hint}", err=True)
        raise typer.Exit(2) from error


@app.callback()
def options(
    ctx: typer.Context,
    config: Annotated[
        Path | None,
        typer.Option("--config", envvar="OOBCONSOLE_CONFIG", help="the configuration of the server that is meant"),
    ] = None,
    socket: Annotated[Path | None, typer.Option(help="the admin socket of that server, in place of --config")] = None,
) -> None:
    """Out-of-band consoles for virtual machines: the guest's UART is emulated outside its hypervisor.

    'serve' runs the server. 'help COMMAND' explains a command that the running server carries out.
    """
    ctx.obj = (config, socket)


def _forward(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(autocompletion=completion.words)] = None,
) -> None:
    """Hand a verb and the words behind it to the running server, and exit with the status that it returns.

    Somebody who asks for the verb's help gets it from here, so that no server need run, and no configuration exist.
    """
    line = [str(ctx.info_name), *(words or ())]
    if help_lines := _explained(line):
        typer.echo("\n".join(help_lines))
        return
    _, socket = ctx.obj
    if socket is None:
        socket = _load(config_file(ctx)).server.admin_socket
    from oobconsole.cli import remote

    raise typer.Exit(remote.run(socket, line))


def _explained(line: list[str]) -> list[str]:
    """Return the lines that explain a verb, if a command line asks for them with `-h` or `--help`; otherwise none."""
    if not {"-h", "--help"}.intersection(line):
        return []
    from oobconsole.session.parsing import explained, parse  # here, because the other commands start faster without
    from oobconsole.session.request import UsageError

    try:
        verb, arguments = parse(shlex.join(line), local=True)
    except UsageError:
        return []  # the server says what is wrong, as it does for every other command line
    return explained(VERBS[arguments.verb]) if verb.name == "help" and arguments.verb in VERBS else []


for _verb in filter(attrgetter("handed_on"), VERBS.values()):
    app.command(
        _verb.name,
        help=f"{_verb.summary} (by the running server)",
        add_help_option=False,
        context_settings={
            "ignore_unknown_options": True,
            "allow_interspersed_args": False,
        },
    )(_forward)


@app.command()
def serve(ctx: typer.Context, config: ConfigFile = None) -> None:
    """Run the console server until SIGTERM or Ctrl-C."""
    file = config_file(ctx, config)
    settings = _load(file)
    import uvloop  # here, because the other commands start faster without it

    from oobconsole.app.serve import serve as run
    from oobconsole.log import log

    try:
        log.setup(settings.server.log)
        uvloop.run(run(settings, file))
    except EnvironmentFault as error:
        typer.echo(f"oobconsole: {error}", err=True)
        raise typer.Exit(1) from error


@app.command()
def check(ctx: typer.Context, config: ConfigFile = None) -> None:
    """Check a configuration file, and say which consoles it configures."""
    settings = _load(config_file(ctx, config))
    for machine in settings.machines:
        typer.echo(f"machine {machine.name} ({machine.interceptor}): {', '.join(machine.console_names)}")
    for vm in settings.vms:
        line = vm.chardev or (vm.serial.device if vm.serial else "vfio-user")
        typer.echo(f"line {', '.join(vm.console_names)}: {line}{' with QEMU monitor' if vm.qmp else ''}")
    for libvirt in settings.libvirts:
        typer.echo(f"libvirt {libvirt.name} ({libvirt.uri}): {', '.join(libvirt.domains)}")


class OptionsFor(StrEnum):
    """Who is to get the options that `qemu-options` prints."""

    QEMU = "qemu"
    LIBVIRT = "libvirt"
    GUEST = "guest"


@app.command("qemu-options")
def qemu_options(
    ctx: typer.Context,
    machine: Annotated[str, typer.Argument(help="the machine's or VM's name in the configuration")],
    config: ConfigFile = None,
    plugin: Annotated[Path, typer.Option(help="the plugin, as `make -C native/tcg` builds it")] = Path("oob_tcg.so"),
    wanted_by: Annotated[
        OptionsFor,
        typer.Option("--for", help="of a VM with vfio_user: words for QEMU, XML for libvirt, or the guest kernel's"),
    ] = OptionsFor.QEMU,
) -> None:
    """Print what to add to the command line of a machine's or VM's QEMU."""
    file = config_file(ctx, config)
    settings = _load(file)
    if vm := settings.vm(machine):
        typer.echo(_options_of_vm(settings, vm, wanted_by))
    elif wanted := settings.machine(machine):
        typer.echo(shlex.join(_options_of_machine(settings, wanted, plugin)))
    else:
        known = ", ".join([*(m.name for m in settings.machines), *(vm.name for vm in settings.vms)])
        _refuse(f"{file}: there is no machine or VM '{machine}'; there are: {known}")


def _options_of_machine(settings: Config, machine: MachineConfig, plugin: Path) -> list[str]:
    if machine.interceptor != "tcg":
        _refuse(f"machine '{machine.name}' is not run by QEMU: its interceptor is not tcg")
    from oobconsole.interceptors.tcg import qemu_options as options

    return options(
        machine.name,
        settings.socket_of(machine),
        plugin.resolve(),
        places_of(machine),
        hide_registers=machine.hide_registers,
    )


def _options_of_vm(settings: Config, vm: VmConfig, wanted_by: OptionsFor) -> str:
    if vm.vfio_user is None:
        _refuse(f"VM '{vm.name}' needs no options of ours: it has no vfio_user")
    from oobconsole.vfio_user import options

    socket = settings.vfio_socket_of(vm)
    match wanted_by:
        case OptionsFor.QEMU:
            return shlex.join(options.qemu_words(socket))
        case OptionsFor.LIBVIRT:
            return options.libvirt_xml(socket)
        case OptionsFor.GUEST:
            return options.KERNEL_ARGUMENTS


def _refuse(why: str) -> NoReturn:
    """Say why, and exit with status 2."""
    typer.echo(f"oobconsole: {why}", err=True)
    raise typer.Exit(2)


@app.command()
def doctor(
    ctx: typer.Context,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, one object for each finding")] = False,
) -> None:
    """Look for faults in this host, in the configuration, and in the permissions of the files that it names."""
    from oobconsole.ops.doctor import report

    raise typer.Exit(report(config_file(ctx, config), as_json=as_json))


@app.command()
def discover(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="compare with this configuration: what is in it, what is missing")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON, one object for each thing found")] = False,
    as_toml: Annotated[bool, typer.Option("--toml", help="print a configuration to start from")] = False,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write that configuration to FILE, which must not exist")
    ] = None,
) -> None:
    """List what this host runs that could have a console: QEMU, libvirt's domains and serial ports."""
    from oobconsole.ops import discover as discovery

    named = config_file(ctx, config)
    found, notes = discovery.discover(_load(named) if named != DEFAULT_CONFIG or named.exists() else None)
    for note in notes:
        typer.echo(f"oobconsole: {note}", err=True)
    if as_toml:
        typer.echo(discovery.toml(found), nl=False)
        return
    try:
        lines = discovery.write(write, found) if write else discovery.table(found)
        for line in (json.dumps(one.as_dict()) for one in found) if as_json else lines:
            typer.echo(line)
    except EnvironmentFault as error:
        typer.echo(f"oobconsole: {error}", err=True)
        raise typer.Exit(1) from error


def main() -> None:
    """Entry point of the `oobconsole` command."""
    fill_standard()
    stdio.make_patient()
    try:
        try:
            app(prog_name="oobconsole")
        finally:
            sys.stdout.flush()
    except stdio.CannotWrite as error:
        stdio.give_up()
        with contextlib.suppress(OSError):
            typer.echo(f"oobconsole: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:  # whoever reads our output has read enough, as `head` does
        stdio.give_up()
        sys.exit(128 + signal.SIGPIPE)
