"""What is taken from a domain's XML, whoever wrote it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oobconsole.config.schema import console_name
from oobconsole.config.table import NAME
from oobconsole.libvirt.domain import PORTS_MAX, Port, host_of, ports_of
from oobconsole.lines.chardev import parse
from oobconsole.verbs import VERBS


def ports(devices: str, host: str = "") -> tuple[Port, ...]:
    return ports_of(f"<domain><devices>{devices}</devices></domain>", host)


def one(devices: str, host: str = "") -> Port:
    (port,) = ports(devices, host)
    return port


PTY = "<serial type='pty'><alias name='serial0'/></serial>"
FIRST_CONSOLE = "<console type='pty'><target type='serial' port='0'/><alias name='serial0'/></console>"


class TestPorts:
    def test_the_first_console_repeats_the_first_serial_port(self) -> None:
        assert one(PTY + FIRST_CONSOLE) == Port("serial0", device="serial0")

    def test_a_console_that_is_none_of_the_serial_ports(self) -> None:
        virtio = "<console type='pty'><target type='virtio' port='1'/></console>"
        found = ports(PTY + "<serial type='pty'/>" + FIRST_CONSOLE + virtio)
        assert [(port.name, port.device) for port in found] == [
            ("serial0", "serial0"),
            ("serial1", "serial1"),
            ("console1", "console1"),
        ]
        assert one(virtio).name == "console0"

    def test_a_console_without_serial_ports(self) -> None:
        assert one("<console type='pty'/>") == Port("console0", device="console0")

    def test_an_alias_of_the_users_own(self) -> None:
        assert one("<serial type='pty'><alias name='ua-mine'/></serial>").device == "ua-mine"

    @pytest.mark.parametrize(
        ("source", "host", "address"),
        [
            ("<serial type='unix'><source mode='bind' path='/run/a'/></serial>", "", "unix:/run/a"),
            (
                "<serial type='tcp'><source mode='bind' host='127.0.0.1' service='99'/></serial>",
                "",
                "tcp:127.0.0.1:99",
            ),
            ("<serial type='tcp'><source mode='bind' host='0.0.0.0' service='99'/></serial>", "", "tcp:127.0.0.1:99"),
            ("<serial type='tcp'><source mode='bind' host='0.0.0.0' service='99'/></serial>", "kvm2", "tcp:kvm2:99"),
            ("<serial type='tcp'><source mode='bind' host='::' service='99'/></serial>", "", "tcp:[::1]:99"),
        ],
    )
    def test_sockets(self, source: str, host: str, address: str) -> None:
        port = one(source, host)
        assert (port.address, port.device, port.trouble) == (address, "", "")
        assert str(parse(port.address))

    @pytest.mark.parametrize(
        ("source", "host", "trouble"),
        [
            ("", "", "has no serial port and no console"),
            ("<serial type='file'><source path='/a'/></serial>", "", "of type 'file', which nobody can attach to"),
            ("<serial type='unix'/>", "", "which nobody can attach to"),
            ("<serial type='unix'><source mode='bind'/></serial>", "", "has not said yet which UNIX socket"),
            ("<serial type='unix'><source mode='bind' path='/a'/></serial>", "kvm2", "a UNIX socket on kvm2"),
            (
                "<serial type='unix'><source mode='connect' path='/a'/></serial>",
                "",
                r'a \[\[vm\]\] with chardev = "unix-listen:/a"',
            ),
            (
                "<serial type='tcp'><source mode='connect' host='1.2.3.4' service='9'/></serial>",
                "",
                'chardev = "tcp-listen:1.2.3.4:9"',
            ),
            (
                "<serial type='tcp'><source mode='bind' host='127.0.0.1' service='9'/></serial>",
                "kvm2",
                "of kvm2, out of reach",
            ),
            (
                "<serial type='tcp'><source mode='bind' host='h' service='9'/><protocol type='telnet'/></serial>",
                "",
                "speaks telnet over TCP",
            ),
            (
                "<serial type='tcp'><source mode='bind' host='h' service='9' tls='yes'/></serial>",
                "",
                "speaks TLS over TCP",
            ),
            ("<serial type='tcp'><source mode='bind' host='h' service='²'/></serial>", "", "no port number"),
            ("<serial type='tcp'><source mode='bind' host='h' service='99999999'/></serial>", "", "no port number"),
        ],
    )
    def test_what_nobody_can_attach_to_says_why(self, source: str, host: str, trouble: str) -> None:
        port = one(source, host)
        assert re.search(trouble, port.trouble), port
        assert (port.device, port.address) == ("", "")

    def test_there_are_only_so_many(self) -> None:
        assert len(ports("<serial type='pty'/>" * 1000)) == PORTS_MAX

    @pytest.mark.parametrize("xml", ["", "<domain", "<domain>" * 1000, "\0", "<a>&lol;</a>"])
    def test_what_is_no_xml(self, xml: str) -> None:
        with pytest.raises(ValueError, match="cannot be read"):
            ports_of(xml, "")

    @given(st.text(), st.text(), st.text())
    def test_whatever_a_source_says_is_an_address_or_a_reason(self, path: str, host: str, service: str) -> None:
        def quoted(text: str) -> str:
            return "".join(f"&#{ord(c)};" if c >= " " and not 0xD800 <= ord(c) <= 0xDFFF else "?" for c in text)

        source = f"<source mode='bind' path='{quoted(path)}' host='{quoted(host)}' service='{quoted(service)}'/>"
        for kind in ("unix", "tcp"):
            try:
                port = one(f"<serial type='{kind}'>{source}</serial>")
            except ValueError:
                continue  # characters that XML does not have
            assert bool(port.address) != bool(port.trouble)
            if port.address:
                assert str(parse(port.address))


@pytest.mark.parametrize(
    ("uri", "host"),
    [
        ("qemu:///system", ""),
        ("qemu+unix:///session?socket=/run/x", ""),
        ("test:///default", ""),
        ("qemu+tcp://localhost/system", ""),
        ("qemu+ssh://root@kvm2/system?no_tty=1", "kvm2"),
        ("qemu+tls://kvm2.example:16514/system", "kvm2.example"),
    ],
)
def test_host_of_a_uri(uri: str, host: str) -> None:
    assert host_of(uri) == host


UUID = "6f2c3f5e-6a0e-4c53-9d1a-7f3f0d7d3f01"


@pytest.mark.parametrize(
    ("domain", "name"),
    [
        ("web1", "web1"),
        ("web 1", "web_1-6f2c3f5e"),
        ("-v", "v-6f2c3f5e"),
        ("ls", "ls-6f2c3f5e"),
        ("été", "t_-6f2c3f5e"),
        ("x" * 60, "x" * 28 + "-6f2c3f5e"),
        ("日本", "6f2c3f5e"),
    ],
)
def test_a_console_has_its_domains_name_as_far_as_that_can_be_one(domain: str, name: str) -> None:
    assert console_name(domain, UUID) == name


@given(st.text())
def test_every_domain_has_a_name(domain: str) -> None:
    for unique in (False, True):
        name = console_name(domain, UUID, unique=unique)
        assert NAME.fullmatch(f"{name}.console15")
        assert name not in VERBS
