"""Where one index's credentials come from: references only, and nothing here can be printed open.

These are values that loading makes and resolving follows. The single secret that a configuration can
hold itself, the userinfo of a URL in uv's configuration, is a `Secret` from the moment it is read.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from mirror.model.secret import Secret


@dataclass(frozen=True, slots=True)
class FromFile:
    """A file that only its owner can read."""

    path: Path

    def __str__(self) -> str:
        return f"file {self.path}"


@dataclass(frozen=True, slots=True)
class FromSystemd:
    """A credential that systemd hands to the unit (`LoadCredential=`)."""

    name: str

    def __str__(self) -> str:
        return f"systemd credential {self.name}"


@dataclass(frozen=True, slots=True)
class FromCommand:
    """What a program prints. `ttl` is in seconds, None when unknown. Arguments may be secret: not shown."""

    argv: tuple[str, ...] = field(repr=False)
    ttl: float | None = None

    def __str__(self) -> str:
        return f"command {self.argv[0]}"


@dataclass(frozen=True, slots=True)
class FromEnv:
    """An environment variable of the user's own naming."""

    variable: str

    def __str__(self) -> str:
        return f"environment variable {self.variable}"


Reference = FromFile | FromSystemd | FromCommand | FromEnv


@dataclass(frozen=True, slots=True)
class Userinfo:
    """What stood before the host in a URL. Without a password the user name is the secret."""

    username: bytes = field(repr=False)
    password: Secret | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSources:
    """All places that one index's credentials may come from, beside the environment."""

    username: str | None = None
    password: Reference | None = None
    token: Reference | None = None
    literal: Userinfo | None = None
    netrc: bool = False
    keyring: bool = False
    allow_insecure: bool = False
    """Whether credentials may go to this index over plain http (C4)."""
    service: str = field(default="", repr=False)
    """The index URL as it was written, without userinfo: a keyring's service name. Never for output."""
    proxy_username: str | None = None
    proxy_password: Reference | None = None

    @property
    def configured(self) -> bool:
        """Whether the configuration itself asks for credentials."""
        return self.username is not None or any((self.password, self.token, self.literal, self.netrc, self.keyring))
