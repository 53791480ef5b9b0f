"""What the SSH front is told by the core: everything that it needs of the configuration, and of the files it names.

The front can read no file. The core reads them, finds out that they can be used, and passes on what they hold; that
is understood once more where it is needed.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

#: How bytes are written in JSON: each byte is the character of its number.
_BYTES: Final = "latin-1"


@dataclass(frozen=True, slots=True)
class Settings:
    """As `[server]` has them.

    Attributes:
        host_key: the private host key, in OpenSSH's format.
        host_certificate: what its file holds; None: there is none.
        user_ca: the same.
        revoked_keys: the same.
        files: the paths of these three, by their names, for messages.
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
        """As the content of a frame."""
        return json.dumps(asdict(self)).encode()


def decode(data: bytes) -> Settings:
    """The settings in a frame, which the core has made."""
    fields = json.loads(data)
    return Settings(**fields | {"penalties_exempt": tuple(fields["penalties_exempt"])})


def as_text(data: bytes) -> str:
    """What a file holds, as a text of the settings."""
    return data.decode(_BYTES)


def as_bytes(text: str) -> bytes:
    """The other way round."""
    return text.encode(_BYTES)
