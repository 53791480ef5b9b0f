"""The command line: what runs here, and the verbs that the running server does (`oobconsole help`)."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer

from oobconsole.cli import completion
from oobconsole.cli.audit import audit_app
from oobconsole.cli.verbs import DEFAULT_CONFIG, REMOTE, config_file
from oobconsole.config import load, ports_of
from oobconsole.errors import ConfigError, EnvironmentFault
from oobconsole.settings import Config

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.add_typer(audit_app, name="audit")

ConfigFile = Annotated[
    Path | None, typer.Option("--config", help=f"the configuration file (TOML); default: {DEFAULT_CONFIG}")
]


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


def _forward(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(autocompletion=completion.words)] = None,
) -> None:
    """Let the running server do it."""
    _, socket = ctx.obj
    if socket is None:
        socket = _load(config_file(ctx)).server.admin_socket
    from oobconsole.cli import remote

    raise typer.Exit(remote.run(socket, [str(ctx.info_name), *(words or ())]))


for _verb, _summary in REMOTE.items():
    app.command(
        _verb,
        help=f"{_summary} (by the running server)",
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
    import uvloop  # the other commands start faster without

    from oobconsole import log
    from oobconsole.app import serve as run

    try:
        log.setup(settings.server.log)
        uvloop.run(run(settings, file))
    except EnvironmentFault as error:
        typer.echo(f"oobconsole: {error}", err=True)
        raise typer.Exit(1) from error


@app.command()
def check(ctx: typer.Context, config: ConfigFile = None) -> None:
    """Validate a configuration file and say what it configures."""
    settings = _load(config_file(ctx, config))
    for machine in settings.machines:
        names = ", ".join(name for guest in machine.guests for name in guest.console_names)
        typer.echo(f"machine {machine.name} ({machine.interceptor}): {names}")
    for vm in settings.vms:
        line = vm.chardev or (vm.serial.device if vm.serial else "")
        typer.echo(f"line {vm.name}: {line}{' with QEMU monitor' if vm.qmp else ''}")


@app.command("qemu-options")
def qemu_options(
    ctx: typer.Context,
    machine: Annotated[str, typer.Argument(help="the machine's name in the configuration")],
    config: ConfigFile = None,
    plugin: Annotated[Path, typer.Option(help="the plugin, as `make -C native/tcg` builds it")] = Path("oob_tcg.so"),
) -> None:
    """Print what to add to a machine's QEMU command line."""
    file = config_file(ctx, config)
    settings = _load(file)
    wanted = settings.machine(machine)
    if wanted is None:
        known = ", ".join(m.name for m in settings.machines)
        typer.echo(f"oobconsole: {file}: there is no machine '{machine}'; there are: {known}", err=True)
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
    ctx: typer.Context,
    config: ConfigFile = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object for each finding")] = False,
) -> None:
    """Look for faults in this host, the configuration and the permissions of what it names."""
    from oobconsole.ops.doctor import report

    raise typer.Exit(report(config_file(ctx, config), as_json=as_json))


def main() -> None:
    """Entry point of the `oobconsole` command."""
    app(prog_name="oobconsole")
