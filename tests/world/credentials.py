"""Who a request claims to be, and whose secrets it carries.

A credential matches byte for byte or not at all. The ring remembers every credential that an
index ever had, so that a rotated one is still recognised as its own, and it looks for secrets in
every other part of a request too: the target, cookies, headers of any name.
"""

import base64
from dataclasses import dataclass
from urllib.parse import quote, unquote

from tests.world.messages import Request

UNKNOWN = "?"
_SHORTEST = 4


@dataclass(frozen=True, slots=True)
class Credential:
    """A user name and a password (Basic), or a token (Bearer)."""

    username: str = ""
    password: str | None = None
    token: str | None = None

    @property
    def secret(self) -> str:
        """The part that must never be seen elsewhere."""
        return self.token if self.token is not None else self.password or ""

    @property
    def authorization(self) -> str:
        """The exact value of the Authorization header, in UTF-8 (RFC 7617, RFC 6750)."""
        if self.token is not None:
            return f"Bearer {self.token}"
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()

    @property
    def challenge(self) -> str:
        """The scheme to name in WWW-Authenticate."""
        return "Bearer" if self.token is not None else "Basic"

    def matches(self, value: str | None) -> bool:
        """Whether this header value is this credential. Only the scheme's case is free."""
        if value is None:
            return False
        scheme, _, rest = value.partition(" ")
        own_scheme, _, own = self.authorization.partition(" ")
        return scheme.lower() == own_scheme.lower() and rest == own


class Ring:
    """Every credential of every index, by index name, old ones included."""

    def __init__(self) -> None:
        self._known: tuple[tuple[str, Credential], ...] = ()

    def add(self, name: str, credential: Credential) -> None:
        """Remember that the index has, or had, this credential."""
        self._known = (*self._known, (name, credential))

    def identify(self, value: str | None, owner: str | None) -> str | None:
        """Name the index whose credential this is; when several share it, the owner first."""
        if value is None:
            return None
        names = [name for name, credential in self._known if credential.matches(value)]
        if owner in names:
            return owner
        return names[0] if names else UNKNOWN

    def exposed(self, request: Request) -> frozenset[str]:
        """Name the indexes whose secrets stand in the request, outside of Authorization."""
        others = (value for key, value in request.headers if key != "authorization")
        texts = [request.target, unquote(request.target), *others]
        texts.extend(_decoded(value) for value in texts[2:])
        found = set()
        for name, credential in self._known:
            if len(credential.secret) < _SHORTEST:
                continue
            forms = {
                credential.secret,
                quote(credential.secret, safe=""),
                credential.authorization.partition(" ")[2],
            }
            if any(form in text for form in forms for text in texts):
                found.add(name)
        return frozenset(found)


def _decoded(value: str) -> str:
    scheme, _, rest = value.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(rest, validate=True).decode()
    except ValueError:
        return ""
