"""What differs between two configurations, and what of it may change while the server runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from oobconsole.app import build
from oobconsole.app.reload import differences
from oobconsole.config.guests import ConsoleConfig
from oobconsole.config.load import load
from oobconsole.config.schema import AuditConfig, Config, ServerConfig
from oobconsole.config.table import RELOADABLE, Table, is_reloadable
from oobconsole.events import Events
from oobconsole.guests.directory import Directory
from oobconsole.libvirt.guests import DomainSource

TEXT = """
[server]
state_dir = "state"
authorized_keys = "keys"
max_startups = "10:30:100"
[console]
share = false
[[grant]]
users = "alice"
rights = "all"
[[machine]]
name = "rack.7"
interceptor = "memory"
[[machine.guest]]
name = "web1"
console = { escape = "~" }
[[machine.guest]]
name = "web2"
[[vm]]
name = "db2"
chardev = "tcp:127.0.0.1:9"
console = { idle_minutes = 1 }
[[libvirt]]
uri = "test:///default"
console = { idle_minutes = 3 }
"""


@pytest.mark.parametrize(
    ("before", "after", "keys", "may"),
    [
        ("10:30:100", "10:30:60", ["server.max_startups"], True),
        ("share = false", "share = true", ["console.share"], True),
        ("share = false", "rows = 30", ["console.rows"], False),
        ('users = "alice"', 'users = "bob"', ["grant"], True),
        ("[[grant]]", '[[group]]\nname = "ops"\nmembers = ["bob"]\n[[grant]]', ["group"], True),
        ("[[grant]]", '[[alert]]\nname = "a"\npattern = "x"\nurl = "http://h"\n[[grant]]', ["alert"], True),
        ("[console]", "max_alerts = 5\n[console]", ["server.max_alerts"], True),
        ('escape = "~"', 'escape = "^"', ["console.escape"], True),
        ('escape = "~"', "columns = 90", ["console.columns"], False),
        ('console = { escape = "~" }\n', "", [], True),
        ('console = { escape = "~" }\n', 'uarts = ["com1", "com2"]\n', ["machine.rack.7.guest.web1.uarts"], False),
        ('name = "web2"', 'name = "web3"', ["machine.rack.7.guest"], False),
        ('name = "web2"', 'name = "web2"\nconsole = { rows = 9 }', ["console.rows"], False),
        ('name = "rack.7"', 'name = "rack8"', ["machine"], False),
        ("idle_minutes = 1", "idle_minutes = 2", ["console.idle_minutes"], True),
        ("idle_minutes = 3", "idle_minutes = 4", ["console.idle_minutes"], True),
        ("test:///default", "test:///other", ["libvirt.libvirt.uri"], False),
        ("[console]", "[audit]\nsyslog = true\n[console]", ["audit.syslog"], False),
        ('state_dir = "state"', 'state_dir = "other"', ["server.state_dir"], False),
        ('state_dir = "state"', 'state_dir = "state"\nlisten = "127.0.0.1:1"', ["server.listen"], False),
        ('state_dir = "state"', 'state_dir = "state"\nhost_key = "k"', ["server.host_key"], False),
        ('state_dir = "state"', 'state_dir = "state"\nscrollback_kib = 8', ["server.scrollback_kib"], False),
    ],
)
def test_differences(tmp_path: Path, before: str, after: str, keys: list[str], may: bool) -> None:
    (tmp_path / "keys").mkdir()
    assert before in TEXT
    configs = []
    for text in (TEXT, TEXT.replace(before, after)):
        (tmp_path / "c.toml").write_text(text)
        configs.append(load(tmp_path / "c.toml"))
    found = differences(configs[0], configs[1])
    assert [difference.key for difference in found] == keys
    assert all(difference.reloadable for difference in found) is may
    assert differences(configs[0], configs[0]) == []


def test_each_source_gives_its_guests_the_settings_that_are_theirs(tmp_path: Path) -> None:
    """Whoever applied a configuration had to know libvirt's hosts from other sources."""
    (tmp_path / "keys").mkdir()
    directory = Directory(Events())
    for text in (TEXT, TEXT.replace("share = false", "share = true").replace("idle_minutes = ", "idle_minutes = 1")):
        (tmp_path / "c.toml").write_text(text)
        config = load(tmp_path / "c.toml")
        if not directory.sources:
            build.directory_of(config, directory, None)
        directory.configure(config)
    settings = [console.settings for console in directory.consoles()]
    assert [console.name for console in directory.consoles()] == ["db2", "web1", "web2"]
    assert [(each.share, each.idle_minutes, each.escape) for each in settings] == [
        (True, 11, "~"),
        (True, 0, "~"),
        (True, 0, "~"),
    ]
    (host,) = [source for source in directory.sources if isinstance(source, DomainSource)]
    assert (host.settings.share, host.settings.idle_minutes) == (True, 13)


def reloadable(table: type[Table]) -> set[str]:
    return {field.alias or name for name, field in table.model_fields.items() if is_reloadable(field)}


def test_the_page_about_access_lists_what_is_reloadable() -> None:
    """The schema alone decides. The page is for people, and has to say the same."""
    page = (Path(__file__).parents[3] / "docs" / "access.md").read_text()
    listed = re.search(r"What takes effect at a reload\?\n(.*?)\n\nAll else", page, re.DOTALL)
    assert listed is not None
    named = set(re.findall(r"`(\w+)`", listed[1])) - {"console"}
    tables = set(re.findall(r"`\[\[(\w+)\]\]`", listed[1]))
    assert named == reloadable(ServerConfig) | reloadable(ConsoleConfig)
    assert tables == reloadable(Config)


def test_a_new_key_brings_its_own_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    configs = []
    for text in (TEXT, TEXT.replace("[console]", "[audit]\nsyslog = true\n[console]")):
        (tmp_path / "c.toml").write_text(text)
        configs.append(load(tmp_path / "c.toml"))
    monkeypatch.setattr(AuditConfig.model_fields["syslog"], "json_schema_extra", RELOADABLE)
    assert differences(*configs) == [("audit.syslog", True)]
