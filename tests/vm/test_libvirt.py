"""Domains of a real libvirtd, with real QEMU, real Linux, the real OpenSSH client and virsh."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.stack.libvirtd import Libvirtd
from tests.stack.nested import PROMPT, L2Console
from tests.support.expect import Expect
from tests.support.pace import Deadline
from tests.support.server import Server
from tests.support.terminal import Terminal

pytestmark = pytest.mark.vm

PATIENCE = 30


@pytest.fixture
def libvirtd() -> Iterator[Libvirtd]:
    with Libvirtd() as running:
        yield running


@pytest.fixture
def server(libvirtd: Libvirtd) -> Iterator[Server]:
    with Server(f'[[libvirt]]\nname = "here"\nuri = "{libvirtd.uri}"\ndomains = "web*"\n') as running:
        yield running
        print(running.log.read_text()[-4000:])


def consoles(server: Server) -> dict[str, dict[str, Any]]:
    """Return what `ls` says about each console."""
    rows = map(json.loads, server.run("ls", "--json").stdout.splitlines())
    return {row["console"]: row for row in rows}


def eventually(seen: Callable[[], object], wanted: object) -> None:
    """Wait until somebody else has done something. There is no pause between two looks, because each look takes a
    while."""
    deadline = Deadline(PATIENCE)
    while (last := seen()) != wanted:
        assert deadline.left, f"waited {deadline} for {wanted!r}; seen last: {last!r}"


def states(server: Server) -> dict[str, str]:
    return {name: row["state"] for name, row in consoles(server).items()}


def test_a_domain_is_defined_runs_reboots_ends_and_is_undefined(server: Server, libvirtd: Libvirtd) -> None:
    eventually(lambda: states(server), {})
    libvirtd.define(libvirtd.xml("other"))
    libvirtd.define(libvirtd.xml("web1"))
    eventually(lambda: states(server), {"web1": "off"})
    assert consoles(server)["web1"]["reason"] == "web1 is shut off"
    with L2Console(server, "web1") as console, server.attach("events") as events:
        libvirtd.virsh("start", "web1")
        console.expect_told(rb"web1: the guest is started", timeout=PATIENCE)
        console.wake(90)
        assert b"Linux" in console.run("uname -a")
        text = console.run("seq 1 3000")
        assert text.replace(b"\r", b"").split() == [str(i).encode() for i in range(1, 3001)]
        libvirtd.virsh("reset", "web1")
        console.expect_told(rb"web1: the guest is reset", timeout=PATIENCE)
        console.expect(rb"L2 is ready", timeout=90)
        libvirtd.virsh("suspend", "web1")
        console.expect_told(rb"web1: the guest is paused", timeout=PATIENCE)
        libvirtd.virsh("resume", "web1")
        console.expect_told(rb"web1: the guest goes on", timeout=PATIENCE)
        libvirtd.virsh("destroy", "web1")
        console.expect_told(rb"web1: web1 is shut off: it was destroyed", timeout=PATIENCE)
        libvirtd.virsh("undefine", "web1")
        console.expect_told(rb"web1: web1 is gone: [^\n]*undefined", timeout=PATIENCE)
        assert states(server) == {"web1": "gone"}  # the console stays listed while somebody is attached
        events.expect(rb"state='gone'", timeout=PATIENCE)
    eventually(lambda: states(server), {})


def test_whoever_is_at_a_domain_that_is_defined_again_is_there_again(server: Server, libvirtd: Libvirtd) -> None:
    libvirtd.virsh("create", str(libvirtd.xml("web1")))  # such a domain is not persistent: it disappears when it ends
    eventually(lambda: states(server), {"web1": "live"})
    with L2Console(server, "web1") as console:
        console.wake(90)
        libvirtd.virsh("destroy", "web1")
        console.expect_told(rb"web1: web1 is gone: [^\n]*not persistent", timeout=PATIENCE)
        libvirtd.virsh("create", str(libvirtd.xml("web1")))
        console.expect(rb"L2 is ready", timeout=90)
        console.wake(20)
        assert b"Linux" in console.run("uname -a")


def test_power(server: Server, libvirtd: Libvirtd) -> None:
    libvirtd.define(libvirtd.xml("web1"))
    eventually(lambda: states(server), {"web1": "off"})
    with L2Console(server, "web1") as console:
        assert server.run("power", "web1", "on").returncode == 2  # nothing is switched without --yes
        refused = server.run("power", "web1", "reset", "--yes").stderr
        assert refused.startswith(b"oobconsole: reset of web1 failed: libvirt refuses: "), refused
        assert server.run("power", "web1", "on", "--yes").stdout == b"the guest is started\n"
        console.wake(90)
        assert server.run("power", "web1", "on", "--yes").stdout == b"the guest runs already\n"
        libvirtd.virsh("suspend", "web1")
        assert server.run("power", "web1", "on", "--yes").stdout == b"the guest goes on\n"
        assert server.run("power", "web1", "nmi", "--yes").stdout == b"an NMI is injected\n"
        assert server.run("power", "web1", "off", "--yes").stdout == b"the guest is asked to switch off\n"
        assert server.run("power", "web1", "reset", "--yes").stdout == b"the guest is reset\n"
        console.expect(rb"L2 is ready", timeout=90)
    audit = [json.loads(line) for line in (server.folder / "state" / "audit.jsonl").read_text().splitlines()]
    done = [(entry["action"], entry["user"]) for entry in audit if entry["kind"] == "power" and "result" in entry]
    assert done == [(action, "alice") for action in ("on", "on", "on", "nmi", "off", "reset")]


def test_who_else_has_the_console_and_force(server: Server, libvirtd: Libvirtd) -> None:
    server.stop()
    with server.config.open("a") as config:
        config.write('[[grant]]\nusers = ["bob"]\nrights = ["watch", "write"]\n')
    bob = server.make_key("bob")
    libvirtd.define(libvirtd.xml("web1"))
    libvirtd.virsh("start", "web1")
    other = Terminal(["virsh", "-c", libvirtd.uri, "console", "web1"])
    with other:
        other.expect(rb"Escape character", timeout=PATIENCE)
        server.start()
        eventually(lambda: states(server), {"web1": "fault"})
        reason = consoles(server)["web1"]["reason"]
        assert reason.startswith("another program has it open (")
        assert "Active console session exists" in reason
        assert "'attach --force web1', or ~r f, ends that one, with the right to force; the next attempt" in reason
        assert Expect(server.ssh("attach", "--force", "web1", user="bob", key=bob)).wait(10) == 3
        assert states(server) == {"web1": "fault"}
        with Expect(server.ssh("attach", "--force", "web1")) as console:
            eventually(lambda: states(server), {"web1": "live"})
            console.send(b"\n")
            console.expect(PROMPT, timeout=90)
        other.expect(rb"error: [^\n]*", timeout=PATIENCE)
    audit = map(json.loads, (server.folder / "state" / "audit.jsonl").read_text().splitlines())
    assert [entry["user"] for entry in audit if entry["kind"] == "forced"] == ["alice"]
    with Terminal(["virsh", "-c", libvirtd.uri, "console", "--force", "web1"]) as other:
        eventually(lambda: states(server), {"web1": "fault"})
        other.expect(rb"Escape character", timeout=PATIENCE)
        eventually(lambda: "another program has it" in consoles(server)["web1"]["reason"], True)
        with Terminal(server.ssh("web1", options=("-t", "-e", "none")), term="dumb") as person:
            person.expect(rb"web1 is fault", timeout=PATIENCE)
            person.send("\r~r")
            person.expect(rb"f take", timeout=PATIENCE)
            person.send("f")
            eventually(lambda: states(server), {"web1": "live"})
    with Terminal(["virsh", "-c", libvirtd.uri, "console", "--force", "web1"]) as other:
        eventually(lambda: states(server), {"web1": "fault"})
    eventually(lambda: states(server), {"web1": "live"})  # the console becomes live by itself when virsh is gone


def test_libvirtd_that_ends_and_comes_back(server: Server, libvirtd: Libvirtd) -> None:
    for name in ("web1", "web2"):
        libvirtd.define(libvirtd.xml(name))
        libvirtd.virsh("start", name)
    eventually(lambda: states(server), {"web1": "live", "web2": "live"})
    with L2Console(server, "web1") as console:
        console.wake(90)
        libvirtd.stop()
        found = console.expect_told(rb"web1: libvirt at [^\n]+\n", timeout=PATIENCE)[0]
        assert b"if it runs, goes on without us" in found
        eventually(lambda: states(server), {"web1": "fault", "web2": "fault"})
        refused = server.run("power", "web1", "reset", "--yes")
        assert refused.returncode == 1
        assert b"is not connected" in refused.stderr
        libvirtd.start()
        eventually(lambda: states(server), {"web1": "live", "web2": "live"})
        console.wake(20)
        assert b"Linux" in console.run("uname -a")


def test_a_libvirtd_that_hangs_costs_its_own_consoles_only(libvirtd: Libvirtd) -> None:
    libvirtd.define(libvirtd.xml("web1"))
    libvirtd.virsh("start", "web1")
    memory = '[[machine]]\nname = "mem"\ninterceptor = "memory"\n[[machine.guest]]\nname = "echo1"\n'
    with Server(f'{memory}[[libvirt]]\nuri = "{libvirtd.uri}"\n') as server:
        eventually(lambda: states(server), {"echo1": "live", "web1": "live"})
        libvirtd.hang()
        with L2Console(server, "web1") as console, server.attach("echo1") as echo:
            deadline = Deadline(40)
            for i in range(20):
                console.send(b"typed at a libvirtd that hangs\n" * 100)
                echo.send(f"line {i}\n")
                echo.expect(rf"line {i}\r?\n", timeout=2)
            console.expect_told(rb"libvirtd has not answered for 20 s", timeout=60)
            assert deadline.left, f"it took more than {deadline}"
            eventually(lambda: states(server), {"echo1": "live", "web1": "fault"})
            libvirtd.go_on()
            eventually(lambda: states(server), {"echo1": "live", "web1": "live"})
        libvirtd.hang()
        assert server.stop() == 0
        libvirtd.go_on()


def test_a_guest_that_does_not_read_keeps_no_other_from_it(server: Server, libvirtd: Libvirtd) -> None:
    for name in ("web1", "web2"):
        libvirtd.define(libvirtd.xml(name))
        libvirtd.virsh("start", name)
    eventually(lambda: states(server), {"web1": "live", "web2": "live"})
    with L2Console(server, "web1") as stuck, L2Console(server, "web2") as free:
        stuck.wake(90)
        free.wake(90)
        libvirtd.virsh("suspend", "web1")
        stuck.send(b"#" * (256 << 10))
        for i in range(20):
            assert free.run(f"echo {i}") == f"{i}\n".encode()
        libvirtd.virsh("destroy", "web1")
        stuck.expect_told(rb"web1: web1 is shut off", timeout=PATIENCE)
        libvirtd.virsh("start", "web1")
        stuck.expect(rb"L2 is ready", timeout=90)
        stuck.expect(PROMPT, timeout=20, fail=rb"#####")  # what was typed before must not reach this run


def test_ports_of_other_kinds(server: Server, libvirtd: Libvirtd) -> None:
    unix = f"<serial type='unix'><source mode='bind' path='{libvirtd.folder}/two'/></serial>"
    file = f"<serial type='file'><source path='{libvirtd.folder}/three'/></serial>"
    virtio = "<console type='pty'><target type='virtio'/></console>"
    libvirtd.define(libvirtd.xml("web1", devices=("<serial type='pty'/>", unix, file, virtio)))
    libvirtd.define(libvirtd.xml("web2", devices=()))
    libvirtd.virsh("start", "web1")
    libvirtd.virsh("start", "web2")
    wanted = {
        "web1": "live",
        "web1.serial1": "live",
        "web1.serial2": "fault",
        "web1.console1": "live",
        "web2": "fault",
    }
    eventually(lambda: states(server), wanted)
    rows = consoles(server)
    assert "of type 'file', which nobody can attach to" in rows["web1.serial2"]["reason"]
    assert "has no serial port and no console" in rows["web2"]["reason"]
    with L2Console(server, "web1") as first, server.attach("web1.serial1") as second:
        first.wake(90)
        first.run("echo over COM2 >/dev/ttyS1")
        second.expect(rb"over COM2", timeout=PATIENCE)


def test_live_migration(libvirtd: Libvirtd) -> None:
    with Libvirtd() as there:
        hosts = f'[[libvirt]]\nname = "a"\nuri = "{libvirtd.uri}"\n[[libvirt]]\nname = "b"\nuri = "{there.uri}"\n'
        with Server(hosts) as server:
            libvirtd.virsh("create", str(libvirtd.xml("web1")))
            eventually(lambda: [(r["state"], r["machine"]) for r in consoles(server).values()], [("live", "a")])
            with L2Console(server, "web1") as console:
                console.wake(90)
                console.run("X=moved")
                line = f"unix://{there.folder}/migration"
                words = ("migrate", "--live", "web1", "--desturi", there.uri, "--migrateuri", line)
                libvirtd.virsh(*words)
                console.expect_told(rb"arrived here by migration", timeout=PATIENCE)
                eventually(lambda: [(r["state"], r["machine"]) for r in consoles(server).values()], [("live", "b")])
                console.wake(20)
                assert console.run("echo $X") == b"moved\n"


def test_a_domain_that_moves_to_another_host_keeps_its_console(libvirtd: Libvirtd) -> None:
    """A domain has the same UUID at two hosts, and then ends at the first host."""
    ident = str(uuid.uuid4())
    with Libvirtd() as there:
        hosts = f'[[libvirt]]\nname = "a"\nuri = "{libvirtd.uri}"\n[[libvirt]]\nname = "b"\nuri = "{there.uri}"\n'
        with Server(hosts) as server:

            def where() -> list[tuple[str, str, str]]:
                return [(name, row["state"], row["machine"]) for name, row in consoles(server).items()]

            libvirtd.virsh("create", str(libvirtd.xml("web1", ident=ident)))
            eventually(where, [("web1", "live", "a")])
            with L2Console(server, "web1") as console:
                console.wake(90)
                there.virsh("create", str(there.xml("web1", ident=ident)))
                console.expect_told(rb"web1: the guest is started", timeout=PATIENCE)
                assert where() == [("web1", "live", "a")]
                libvirtd.virsh("destroy", "web1")
                eventually(where, [("web1", "live", "b")])
                console.wake(90)
                assert b"Linux" in console.run("uname -a")
                libvirtd.stop()
                there.virsh("destroy", "web1")
                console.expect_told(rb"web1: web1 is gone", timeout=PATIENCE)
