"""Debian's nginx: static trees behind Basic authentication, over HTTP/1.1, TLS or HTTP/2.

Each tree is one project of a GitLab-shaped host, with a user and a password of its own. The access
log keeps what came in Authorization; `Nginx.seen` decodes it to (location, user) pairs.
"""

import base64
import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import trustme

from mirror.cli.wheels import Artifact
from tests.world.origins import LOOPBACK, free_port
from tests.world.processes import accepting, environment, running

PYPI = "/api/v4/projects/{project}/packages/pypi"


@dataclass(frozen=True, slots=True)
class Tree:
    """A directory to serve at a location, and who may read it (everyone when `username` is None)."""

    location: str
    directory: Path
    username: str | None = None
    password: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """One line of the access log. `password` is what Basic carried, None without Authorization."""

    location: str
    user: str | None
    password: str | None
    status: int
    uri: str
    protocol: str


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running server."""

    url: str
    access_log: Path
    trees: tuple[Tree, ...] = ()
    ca_pem: Path | None = None

    def base(self, tree: Tree) -> str:
        """The URL of a tree's location, without a trailing slash."""
        return self.url + tree.location

    def index_url(self, tree: Tree) -> str:
        """The URL of the index in a tree, with its slash."""
        return self.base(tree) + "/simple/"

    def seen(self) -> list[Seen]:
        """Every request so far, each with the location that it fell into ("" for none)."""
        return [self._read(line) for line in self.access_log.read_text().splitlines()]

    def pairs(self) -> set[tuple[str, str | None]]:
        """The (location, user) pairs that came."""
        return {(entry.location, entry.user) for entry in self.seen()}

    def _read(self, line: str) -> Seen:
        fields = json.loads(line)
        fitting = [t.location for t in self.trees if fields["uri"].startswith(t.location + "/")]
        user = password = None
        if fields["authorization"]:
            _, _, token = fields["authorization"].partition(" ")
            user, _, password = base64.b64decode(token).decode().partition(":")
        return Seen(
            max(fitting, key=len, default=""),
            user,
            password,
            int(fields["status"]),
            fields["uri"],
            fields["protocol"],
        )


def project(number: int | str, directory: Path, username: str | None, password: str = "") -> Tree:
    """A tree at the place of a GitLab project's package index."""
    return Tree(PYPI.format(project=number), directory, username, password)


def write_tree(directory: Path, artifacts: Mapping[str, Sequence[Artifact]]) -> Path:
    """Write a static tree: `simple/<name>/index.html` and `files/<file>`, with relative links."""
    files = directory / "files"
    files.mkdir(parents=True, exist_ok=True)
    for name, releases in artifacts.items():
        links = []
        for artifact in releases:
            (files / artifact.filename).write_bytes(artifact.content)
            href = f"../../files/{artifact.filename}#sha256={artifact.sha256}"
            links.append(f'<a href="{href}">{artifact.filename}</a>')
        _write_page(directory / "simple" / name, links)
    _write_page(directory / "simple", [f'<a href="{name}/">{name}</a>' for name in artifacts])
    return directory


@contextlib.contextmanager
def nginx(
    directory: Path,
    trees: Sequence[Tree] = (),
    *,
    tls: bool = False,
    http2: bool = False,
    autoindex: bool = False,
    extra: str = "",
) -> Iterator[Nginx]:
    """Serve the trees until the block ends. `extra` is written into the server block as it is.

    With `autoindex`, nginx lists a directory that has no page.
    """
    directory.mkdir(parents=True, exist_ok=True)
    port = free_port()
    handle = Nginx(
        f"{'https' if tls else 'http'}://{LOOPBACK}:{port}",
        directory / "access.log",
        tuple(trees),
        directory / "ca.pem" if tls else None,
    )
    if tls:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(directory / "ca.pem"))
        authority.issue_cert(LOOPBACK, "localhost").private_key_and_cert_chain_pem.write_to_path(
            str(directory / "server.pem")
        )
    config = directory / "nginx.conf"
    config.write_text(
        _config(
            directory, port, trees, tls=tls, http2=http2, extra=f"autoindex {'on' if autoindex else 'off'};\n{extra}"
        )
    )
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    command: list[str | Path] = [program, "-p", f"{directory}/", "-e", "error.log", "-c", config]
    env = environment(directory / "home")
    pid = directory / "nginx.pid"  # written after the port is open

    def ready() -> bool:
        return accepting(port) and pid.exists() and bool(pid.read_text())

    with running(command, log=directory / "output.log", env=env, ready=ready):
        yield handle


def _write_page(directory: Path, links: Sequence[str]) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    body = "".join(f"{link}<br>\n" for link in links)
    page = f"<!DOCTYPE html>\n<html><head><title>Index</title></head><body>\n{body}</body></html>\n"
    (directory / "index.html").write_text(page)


def _config(directory: Path, port: int, trees: Sequence[Tree], *, tls: bool, http2: bool, extra: str) -> str:
    locations = "\n".join(_location(directory, number, tree) for number, tree in enumerate(trees))
    listen = f"{LOOPBACK}:{port}" + (" ssl" if tls else "") + (" http2" if http2 else "")
    certificate = "ssl_certificate server.pem; ssl_certificate_key server.pem;" if tls else ""
    scratch = "\n".join(
        f"  {kind}_temp_path {directory}/scratch-{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    fields = (
        '{"user":"$remote_user","authorization":"$http_authorization","uri":"$request_uri",'
        '"status":"$status","protocol":"$server_protocol"}'
    )
    return f"""
daemon off;
user root;
worker_processes 1;
pid {directory}/nginx.pid;
events {{ worker_connections 512; }}
http {{
  types {{ text/html html; }}
  default_type application/octet-stream;
{scratch}
  log_format facts escape=json '{fields}';
  access_log {directory}/access.log facts;
  server {{
    listen {listen};
    server_name localhost;
    {certificate}
{locations}
{extra}
  }}
}}
"""


def _location(directory: Path, number: int, tree: Tree) -> str:
    guard = ""
    if tree.username is not None:
        passwords = directory / f"passwords-{number}"
        passwords.write_text(f"{tree.username}:{{PLAIN}}{tree.password}\n")
        guard = f'auth_basic "tree {number}"; auth_basic_user_file {passwords};'
    return f"""
    location {tree.location}/ {{
      {guard}
      alias {tree.directory}/;
    }}"""
