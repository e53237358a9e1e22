"""Origins: a scheme, a loopback host and a port, and the certificates behind the https ones.

A port is chosen by binding it, so two origins never share one. Sockets listen before the method
that makes them returns: a client may connect at once.
"""

import datetime as dt
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

import trustme

Tls: TypeAlias = bool | Literal["expired", "wrong-host", "self-signed"]

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class Origin:
    """One place that requests may go to."""

    name: str
    scheme: str
    port: int
    host: str = LOOPBACK

    @property
    def url(self) -> str:
        """The origin without a path: `http://127.0.0.1:8000`."""
        return f"{self.scheme}://{self.host}:{self.port}"

    def at(self, path: str, *, host: str | None = None) -> str:
        """The URL of a path here, under another host name (`localhost`) when given."""
        return f"{self.scheme}://{host or self.host}:{self.port}{path}"


class Authority:
    """A private certificate authority, written to a file that clients can trust."""

    def __init__(self, directory: Path) -> None:
        self._ca = trustme.CA()
        self.pem = directory / "ca.pem"
        self._ca.cert_pem.write_to_path(str(self.pem))

    def context(self, tls: Tls, *, http2: bool = False) -> ssl.SSLContext:
        """A server context whose certificate is good, or bad in the way that `tls` names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
        issuer = trustme.CA() if tls == "self-signed" else self._ca
        names = ["elsewhere.invalid"] if tls == "wrong-host" else [LOOPBACK, "localhost", "index.invalid"]
        expiry = dt.datetime(2020, 1, 1, tzinfo=dt.UTC) if tls == "expired" else None
        issuer.issue_cert(*names, not_after=expiry).configure_cert(context)
        return context


def listen() -> socket.socket:
    """A listening loopback socket on a free port."""
    sock = socket.create_server((LOOPBACK, 0), backlog=512)
    sock.setblocking(False)
    return sock


def free_port() -> int:
    """A port that was free a moment ago, for a server that cannot be handed a socket."""
    with socket.create_server((LOOPBACK, 0)) as sock:
        return int(sock.getsockname()[1])


class Deaf:
    """A port that accepts no connection: its backlog is full from the start."""

    def __init__(self) -> None:
        self._sock = socket.socket()
        self._sock.bind((LOOPBACK, 0))
        self._sock.listen(0)
        self.origin = Origin("deaf", "http", int(self._sock.getsockname()[1]))
        self._fillers = [socket.socket() for _ in range(2)]
        for filler in self._fillers:
            filler.setblocking(False)
            filler.connect_ex((LOOPBACK, self.origin.port))

    def close(self) -> None:
        """Free the port."""
        for sock in (*self._fillers, self._sock):
            sock.close()
