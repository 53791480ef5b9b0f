"""The command line: what runs here, and the verbs that the running server does (`oobconsole help`)."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated, Final

import typer

from oobconsole.cli.audit import audit_app
from oobconsole.config import load, ports_of
from oobconsole.errors import ConfigError, EnvironmentFault
from oobconsole.settings import Config

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
        typer.echo(f"line {vm.name}: {vm.chardev or (vm.serial and vm.serial.device)}")
    for libvirt in settings.libvirts:
        typer.echo(f"libvirt {libvirt.name} ({libvirt.uri}): {', '.join(libvirt.domains)}")


@app.command("qemu-options")
def qemu_options(
    machine: Annotated[str, typer.Argument(help="the machine's name in the configuration")],
    config: ConfigFile,
    plugin: Annotated[Path, typer.Option(help="the plugin, as `make -C native/tcg` builds it")] = Path("oob_tcg.so"),
) -> None:
    """Print what to add to a machine's QEMU command line."""
    settings = _load(config)
    wanted = settings.machine(machine)
    if wanted is None:
        known = ", ".join(m.name for m in settings.machines)
        typer.echo(f"oobconsole: {config}: there is no machine '{machine}'; there are: {known}", err=True)
        raise typer.Exit(2)
    if wanted.interceptor != "tcg":
        typer.echo(f"oobconsole: machine '{machine}' is not run by QEMU: its interceptor is not tcg", err=True)
        raise typer.Exit(2)
    from oobconsole.interceptors.tcg import qemu_options as options

    uarts = ports_of(wanted)
    ports = [(uart.port, uart.port + 7) for uart in uarts]
    words = options(
        wanted.name,
        settings.socket_of(wanted),
        plugin.resolve(),
        ports,
        [uart.irq for uart in uarts],
        hide_registers=wanted.hide_registers,
    )
    typer.echo(shlex.join(words))


@app.command()
def doctor(
    config: ConfigFile,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for each finding")] = False,
) -> None:
    """Look for faults in this host, the configuration and the permissions of what it names."""
    from oobconsole.ops.doctor import report

    raise typer.Exit(report(config, as_json=as_json))


@app.command()
def discover(
    ctx: typer.Context,
    config: Annotated[
        Path | None, typer.Option("--config", help="compare with this configuration: what is in it, what is missing")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for each")] = False,
    as_toml: Annotated[bool, typer.Option("--toml", help="a configuration to start from")] = False,
    write: Annotated[
        Path | None, typer.Option(metavar="FILE", help="write that configuration; never over another file")
    ] = None,
) -> None:
    """List what this host runs that could have a console: QEMU, libvirt's domains, serial ports."""
    from oobconsole.ops import discover as discovery

    named = config or ctx.obj[0] or (DEFAULT_CONFIG if DEFAULT_CONFIG.exists() else None)
    found, notes = discovery.discover(_load(named) if named else None)
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
    app(prog_name="oobconsole")
