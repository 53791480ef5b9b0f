"""The configuration of what has consoles: guests, their hypervisors, real ports, libvirt hosts.

The descriptions are for users: the manual page oobconsole.toml(5) is made from them (oobconsole.ops.reference).
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from oobconsole.config.table import RELOADABLE, Command, Name, Table, one_or_more
from oobconsole.config.values import ChardevAddress, FilePath, LibvirtUri
from oobconsole.devices.device import PORTS, Resources
from oobconsole.devices.uart16550 import Uart16550

#: A 16550 has so many ports. Its chip sees the lower address lines only, so its I/O base is a multiple of that.
_UART_PORTS: Final = Uart16550.sizes[0]
#: The four COM ports of a PC: I/O base and ISA interrupt.
COM: Final = {"com1": (0x3F8, 4), "com2": (0x2F8, 3), "com3": (0x3E8, 4), "com4": (0x2E8, 3)}


def _uart(value: Any) -> Any:
    if isinstance(value, str):
        if value not in COM:
            raise ValueError(f"{value!r} is no UART: com1 to com4, or a table with port and irq")
        port, irq = COM[value]
        return {"port": port, "irq": irq}
    return value


class UartConfig(Table):
    """A UART of a guest: I/O base (a multiple of 8) and ISA interrupt."""

    port: Annotated[int, Field(ge=0, le=PORTS - _UART_PORTS, multiple_of=_UART_PORTS)] = Field(description="I/O base")
    irq: Annotated[int, Field(ge=1, le=15)] = Field(description="ISA interrupt")

    @property
    def place(self) -> Resources:
        """Where the guest finds it."""
        return Resources.of(Uart16550, ports=(self.port,), lines=(self.irq,))


class ConsoleConfig(Table):
    """How consoles behave: `[console]` says it for all consoles, `console = { … }` in a guest for its own."""

    share: bool = Field(
        default=False,
        description="whether several people may type at the same time. Otherwise one of them has the keyboard",
        json_schema_extra=RELOADABLE,
    )
    filter: bool = Field(
        default=True,
        description=(
            "whether output is kept from people's terminals that would make them answer, or act outside of their "
            "window"
        ),
        json_schema_extra=RELOADABLE,
    )
    escape: str = Field(
        default="~",
        max_length=8,
        pattern=r"^[!-~]*$",
        description="what begins an escape command after Enter. When it is empty, there are no escape commands",
        json_schema_extra=RELOADABLE,
    )
    idle_minutes: int = Field(
        default=0,
        ge=0,
        le=10080,
        description="after how many minutes without typing somebody loses the keyboard. 0: never",
        json_schema_extra=RELOADABLE,
    )
    rows: int = Field(default=24, ge=2, le=500, description="how many rows the guest believes its terminal to have")
    columns: int = Field(
        default=80, ge=2, le=500, description="how many columns the guest believes its terminal to have"
    )

    def with_own(self, own: ConsoleConfig | None) -> ConsoleConfig:
        """The settings of one guest: these, and in their place whatever the guest's own table says."""
        return self.model_copy(update=own.model_dump(exclude_unset=True)) if own else self


class PowerConfig(Table):
    """How a guest is switched by a program of yours, when its interceptor or line cannot do it.

    What the program prints last is shown to the person who asked. What it leaves in the background lives on.
    """

    command: Command = Field(
        description=(
            "a program and its arguments, without a shell between. {action} and {guest} are replaced in them: "
            "{action} is reset, nmi, off or on"
        )
    )
    timeout_s: int = Field(
        default=30,
        ge=1,
        le=600,
        description="after how many seconds the program is ended, with its process group, and has failed",
    )


class GuestConfig(Table):
    """An L2. The console of its first UART has the guest's name. The console of another UART is `NAME.com2`, or
    `NAME.2e0` by its port."""

    name: Name = Field(description="the guest's name, which is also the name of the console of its first UART")
    uarts: Annotated[list[Annotated[UartConfig, BeforeValidator(_uart)]], Field(min_length=1, max_length=8)] = Field(
        default_factory=lambda: [UartConfig(port=0x3F8, irq=4)],
        description=(
            'those of its serial ports that we serve, each as "com1" to "com4", or as { port = 0x2e0, irq = 10 }'
        ),
    )
    console: ConsoleConfig | None = Field(
        default=None, description="how its console differs from what `[console]` says"
    )
    power: PowerConfig | None = Field(default=None, description="how the guest is switched on, off and reset")

    @property
    def console_names(self) -> list[str]:
        """The names of the guest's consoles, one for each UART, in the order of `uarts`."""
        known = {port: com for com, (port, _) in COM.items()}
        return [self.name, *(f"{self.name}.{known.get(uart.port, f'{uart.port:x}')}" for uart in self.uarts[1:])]


class MachineConfig(Table):
    """An L1, the untrusted hypervisor: how its guests' accesses reach us, and which guests it has.

    Which of the configured guests is a guest that appears? Nothing that the guest does can say that, because L1
    could imitate it. So names are given in the order of appearance:

    The first guest that uses a serial port gets the first name, the next one the second. A guest keeps its name,
    and so its console, when it reboots. It also keeps its name when the server is started again, if consoles are
    recorded.

    A new guest gets the name of the guest that ended last, since it most probably is the same guest, started again.
    Guests that ended within one second, as when L1 itself was reset, get their names in the order of this file
    again.

    A guest for which no name is left gets no console, and the server's log says so. Where it matters which console
    is whose, start guests one after the other, in the order of this file.
    """

    name: Name = Field(description="the name by which its native half says who it is")
    interceptor: Literal["tcg", "memory"] = Field(
        default="tcg",
        description=(
            "what brings its guests' accesses: `tcg` is stock QEMU with our plugin; `memory` is guests that only "
            "echo, for trying things out"
        ),
    )
    socket: FilePath | None = Field(
        default=None, description="the socket to which the native half connects; STATE_DIR/NAME.sock, unless said"
    )
    spin_us: int = Field(
        default=200,
        ge=0,
        le=1000,
        description=(
            "how many microseconds to look for a guest's next access, without sleeping, when one has come. It "
            "costs processor time, and saves the guest waiting"
        ),
    )
    hide_registers: bool = Field(
        default=True,
        description=(
            "whether, while a console is in use, L1 sees none of its guest's registers that it does not need. "
            "Switch it off where guests are migrated away or returned to a snapshot: a snapshot that L1 takes "
            "meanwhile has zeros for them (docs/threat-model.md)"
        ),
    )
    guests: Annotated[list[GuestConfig], Field(alias="guest", min_length=1, max_length=1024)]

    @property
    def console_names(self) -> list[str]:
        """The names of the consoles of all its guests."""
        return [name for guest in self.guests for name in guest.console_names]


class SerialConfig(Table):
    """A real serial port.

    Only one program at a time may use a serial port, or each gets half of the bytes. While the server has the port,
    it keeps lock files as minicom, cu, ser2net and conserver do: /var/lock/LCK..ttyUSB0, with the process's number
    in it.

    If another program has such a file, or a lock by flock(2), the console is in state fault until that program has
    ended. If the server's user may not write to /var/lock, the server's log says so: give the user the folder's
    group.
    """

    device: str = Field(
        min_length=1,
        pattern=r"^(/|rfc2217://)",
        description="a device such as /dev/ttyUSB0, or rfc2217://HOST:PORT for a port of a terminal server",
    )
    baud: int = Field(default=115200, ge=50, le=4_000_000, description="bits in a second")
    bits: Literal[5, 6, 7, 8] = Field(default=8, description="data bits of a character")
    parity: Literal["none", "even", "odd", "mark", "space"] = Field(
        default="none", description="the parity bit of a character"
    )
    stop_bits: Literal[1, 2] = Field(default=1, description="stop bits after each character")
    flow: Literal["none", "rtscts", "xonxoff"] = Field(default="none", description="flow control")
    dtr: bool = Field(default=True, description="whether DTR is on while the port is open")
    rts: bool = Field(
        default=True, description="whether RTS is on while the port is open. With rtscts, the flow control decides"
    )


class VfioUserConfig(Table):
    """A serial card of ours in a guest of QEMU 10.1 or newer, or of another VMM that speaks vfio-user.

    Start the server before QEMU, and as the same user; `oobconsole qemu-options NAME` says what QEMU needs. QEMU
    aborts when its card disappears: never kill the process that has the socket while QEMU runs.
    """

    socket: FilePath | None = Field(
        default=None,
        description=(
            "the socket to which the VMM connects; STATE_DIR/NAME.vfio, unless said. A change takes effect once "
            "the VM was off"
        ),
    )
    bar: Literal["io", "memory"] = Field(
        default="io",
        description=(
            "where the card has its registers. Memory is faster, but QEMU itself has no such card. A change "
            "takes effect once the VM was off"
        ),
    )
    ports: Literal[1, 2, 4] = Field(
        default=1,
        description=(
            "how many ports the card has. Their consoles are NAME, NAME.port2, …. A change takes effect once the "
            "VM was off"
        ),
    )


class VmConfig(Table):
    """A guest without an untrusted hypervisor, or a real port: exactly one of `chardev`, `serial` and `vfio_user`.

    A line that cannot be reached is a console in state fault, with the reason and the time of the next attempt.

    A TCP connection whose other end is gone without a word, as after a loss of power, ends after 45 s. At
    tcp-listen: the first connection is the line, and a second one is refused. But if the first one does not answer
    when the second one comes, the second one takes its place.
    """

    name: Name = Field(description="the console's name")
    chardev: ChardevAddress | None = Field(
        default=None,
        description=(
            "the other end of QEMU's serial port: unix:PATH or tcp:HOST:PORT to connect to, or unix-listen:PATH "
            "or tcp-listen:HOST:PORT to wait at. Nothing encrypts TCP. What the guest prints while nobody is "
            "connected is lost, except with unix-listen: and reconnect-ms at QEMU, or wait=on"
        ),
    )
    serial: SerialConfig | None = Field(default=None, description="a real serial port")
    vfio_user: VfioUserConfig | None = Field(default=None, description="a serial card of ours")
    qmp: FilePath | None = Field(
        default=None, description="the socket of QEMU's monitor (QMP), for state, power, NMI and break"
    )
    console: ConsoleConfig | None = Field(
        default=None, description="how its console differs from what `[console]` says"
    )
    power: PowerConfig | None = Field(
        default=None, description="how it is switched on, off and reset, when there is no `qmp`"
    )

    @model_validator(mode="after")
    def _one_line(self) -> Self:
        if sum(line is not None for line in (self.chardev, self.serial, self.vfio_user)) != 1:
            raise ValueError("exactly one of chardev, serial and vfio_user is needed")
        return self

    @property
    def line(self) -> str | SerialConfig | VfioUserConfig:
        """Its line: the address of a `chardev`, or one of the others."""
        for line in (self.chardev, self.serial, self.vfio_user):
            if line is not None:
                return line
        raise ValueError(f"{self.name} has no line, although one was validated")

    @property
    def console_names(self) -> list[str]:
        """The names of the VM's consoles, one for each port."""
        ports = self.vfio_user.ports if self.vfio_user else 1
        return [self.name, *(f"{self.name}.port{number}" for number in range(2, ports + 1))]


class LibvirtConfig(Table):
    """A libvirt host. Each of its domains gets a console with the domain's name; a further port is `NAME.serial1`.

    It needs pip install 'oobconsole[libvirt]'. When libvirtd ends or hangs, only its own consoles are affected,
    until it answers again.
    """

    name: Name = Field(default="libvirt", description="the name of this host, where consoles are listed")
    uri: LibvirtUri = Field(
        description=(
            "the host's address as virsh takes it: qemu:///system, qemu:///session, "
            "qemu+ssh://root@host/system?no_tty=1, …. The server's user must be able to use it"
        )
    )
    domains: Annotated[list[str], BeforeValidator(one_or_more), Field(min_length=1, max_length=1000)] = Field(
        default_factory=lambda: ["*"], description="names, or patterns with * and ?, of the domains that get consoles"
    )
    prefix: Annotated[str, Field(max_length=20, pattern=r"^([A-Za-z0-9][A-Za-z0-9_.-]*)?$")] = Field(
        default="",
        description=(
            "what stands before the domains' names. It must be the same at hosts between which domains migrate"
        ),
    )
    console: ConsoleConfig | None = Field(
        default=None, description="how its console differs from what `[console]` says"
    )
