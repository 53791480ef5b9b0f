"""The verb `power`: resets a guest, switches it off or on, or sends it an NMI."""

from __future__ import annotations

import argparse

from oobconsole.power.power import PowerAction, PowerError
from oobconsole.session.arguments import add_console
from oobconsole.session.request import ExitStatus, Request, UsageError, echo
from oobconsole.session.switch import switch


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the console, what is to be done, and the option that confirms it."""
    add_console(parser)
    parser.add_argument(
        "action",
        choices=list(PowerAction),
        type=_action,
        metavar="|".join(PowerAction),
        help="what to do; 'off' asks the guest to shut down, as its power button does",
    )
    parser.add_argument("--yes", action="store_true", help="really do it; without this, nothing is done")


def _action(text: str) -> PowerAction:
    if text not in list(PowerAction):
        raise argparse.ArgumentTypeError(f"{echo(text)} is none of {', '.join(PowerAction)}")
    return PowerAction(text)


async def handle(request: Request) -> ExitStatus:
    """Switch the guest, if `--yes` confirms it."""
    console = request.console()
    action: PowerAction = request.args.action
    power = request.services.directory.power_of(console)
    if power is None:
        raise UsageError(f"nothing is configured that could switch {console.name} (power = …, oobconsole.toml(5))")
    if not request.args.yes:
        raise UsageError(f"{action} of {console.name} was not done: if it is meant, say it again with --yes")
    try:
        said = await switch(request.services, console, power, action, request.who)
    except PowerError as error:
        await request.peer.tell(f"{action} of {console.name} failed: {error}")
        return ExitStatus.FAILED
    return await request.print([said])
