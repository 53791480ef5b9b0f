"""What differs between two configurations, and what of it may change while the server runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from oobconsole.app.reload import CHANGEABLE, differences
from oobconsole.config.load import load

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
    assert found == keys
    assert all(CHANGEABLE.fullmatch(key) for key in found) is may
    assert differences(configs[0], configs[0]) == []
