"""The settings that the SSH front gets from the core: all that it needs of the configuration, and of the files that
the configuration names.

The front cannot read files. The core reads them, checks that they can be used, and passes on their contents. The
front parses the contents again.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

#: How bytes are written in JSON: each byte becomes the character of the same number.
_BYTES: Final = "latin-1"


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of the section `[server]`.

    Attributes:
        host_key: the private host key, in OpenSSH's format.
        host_certificate: the contents of that file; None: there is none.
        user_ca: the contents of that file; None: there is none.
        revoked_keys: the contents of that file; None: there is none.
        files: the paths of these three files, by the names of the settings, for messages.
    """

    host_key: str
    login_grace_s: int
    max_auth_tries: int
    max_connections: int
    max_connections_per_source: int
    max_startups: str
    penalties: bool
    penalties_exempt: tuple[str, ...]
    host_certificate: str | None
    user_ca: str | None
    revoked_keys: str | None
    files: dict[str, str]

    def encode(self) -> bytes:
        """Return the settings as the content of a frame."""
        return json.dumps(asdict(self)).encode()


def decode(data: bytes) -> Settings:
    """Return the settings that the content of a frame holds. The core has made it, so it is not checked."""
    fields = json.loads(data)
    return Settings(**fields | {"penalties_exempt": tuple(fields["penalties_exempt"])})


def as_text(data: bytes) -> str:
    """Return the bytes of a file as a text for the settings."""
    return data.decode(_BYTES)


def as_bytes(text: str) -> bytes:
    """Return the bytes of a file from a text of the settings."""
    return text.encode(_BYTES)
