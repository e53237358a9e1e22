"""`mirror demo`: two private indexes on one loopback port, mirrored with one command and shown.

Both indexes have the same user name and different tokens, and their files lie in one store outside
both index paths: the case that installers get wrong. The server refuses every other token and keeps a
record of which one each index saw.
"""

from __future__ import annotations

import argparse
import base64
import shlex
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from mirror.cli.output import say, showing, summary
from mirror.cli.wheels import Artifact, build_wheel
from mirror.config.load import load
from mirror.run.night import night
from mirror.run.sync import Options

_USER = "reader"
_TOKENS = {"blue": "blue-token-8f3c1d", "green": "green-token-27ab90"}
_CONFIG = """\
root = "mirror"
{indexes}
[[tree]]            # a merged tree: for each project, the first index that has it
name = "all"
indexes = ["blue", "green"]
"""
_INDEX = """
[[index]]
name = "{name}"
url = "http://127.0.0.1:{port}/{name}/simple/"
username = "{user}"
password = {{ file = "{name}.token" }}
"""


@dataclass
class _Upstream:
    """What the embedded server offers: by index its projects, by path its files, and who asked with what."""

    projects: dict[str, dict[str, list[Artifact]]]
    seen: dict[tuple[str, str], int] = field(default_factory=dict)

    def store_path(self, index: str, artifact: Artifact) -> str:
        """Where a file lies: one store for both indexes, outside their paths."""
        return f"/store/{artifact.sha256[:16]}-{index[0]}/{artifact.filename}"

    def answer(self, path: str, token: str | None) -> tuple[int, bytes]:
        """Status and body for a request with `token`."""
        for index, projects in self.projects.items():
            pages = {f"/{index}/simple/": "".join(f'<a href="{name}/">{name}</a>\n' for name in projects).encode()}
            files: dict[str, bytes] = {}
            for name, artifacts in projects.items():
                links = []
                for artifact in artifacts:
                    location = self.store_path(index, artifact)
                    files[location] = artifact.content
                    links.append(f'<a href="{location}#sha256={artifact.sha256}">{artifact.filename}</a>\n')
                pages[f"/{index}/simple/{name}/"] = "".join(links).encode()
            body = files.get(path) or pages.get(path)
            if body is not None:
                sent = "no token" if token is None else next((f"{n}'s" for n, t in _TOKENS.items() if t == token), "?")
                self.seen[index, sent] = self.seen.get((index, sent), 0) + 1
                if token != _TOKENS[index]:
                    return 401, b""
                return 200, body if path in files else b"<!DOCTYPE html>\n<html><body>\n" + body + b"</body></html>\n"
        return 404, b""


def _offer() -> _Upstream:
    blue = [
        build_wheel("acme-core", "1.0.0"),
        build_wheel("acme-core", "1.1.0", payload=200_000),
        build_wheel("acme-api", "2.0.0", requires=["acme-core>=1.1"]),
        build_wheel("acme-common", "1.0.0"),
    ]
    green = [
        build_wheel("acme-models", "0.3.0", requires=["acme-features"], payload=500_000),
        build_wheel("acme-features", "0.3.1"),
        build_wheel("acme-common", "9.9.9"),
    ]
    projects: dict[str, dict[str, list[Artifact]]] = {}
    for index, artifacts in (("blue", blue), ("green", green)):
        for artifact in artifacts:
            name = artifact.filename.partition("-")[0].replace("_", "-")
            projects.setdefault(index, {}).setdefault(name, []).append(artifact)
    return _Upstream(projects)


@contextmanager
def _serving(upstream: _Upstream) -> Iterator[int]:
    """Serve `upstream` on a free loopback port; yields the port."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, body = upstream.answer(self.path, _token(self.headers))
            self.send_response(status)
            if status == 401:
                self.send_header("WWW-Authenticate", 'Basic realm="demo"')
            is_page = self.path.endswith("/")
            self.send_header("Content-Type", "text/html" if is_page else "application/octet-stream")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's word
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _token(headers: Message) -> str | None:
    kind, _, value = (headers.get("Authorization") or "").partition(" ")
    if kind != "Basic":
        return None
    return base64.b64decode(value).decode().partition(":")[2]


def demo_command(options: argparse.Namespace) -> int:
    """Mirror the two embedded indexes into a directory, then show what happened and how to install from it."""
    directory = options.directory or Path(tempfile.mkdtemp(prefix="mirror-demo-"))
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    upstream = _offer()
    with _serving(upstream) as port:
        config = _write_configuration(directory, port)
        print(f"Two private indexes, blue and green, on 127.0.0.1:{port}: one user name, two tokens, one file store.")
        print(f"$ mirror sync -c {shlex.quote(str(config))}")
        with showing(quiet=options.quiet, verbose=options.verbose) as observer:
            report = night(load(config), Options(), observer)
    say(summary(report))
    if report.exit_code != 0:
        return report.exit_code
    served = directory / "mirror" / "public" / "current"
    tree = f"{served.as_uri()}/all/simple/"
    print("\nWhich token each index saw (requests for its pages and files):")
    for (index, sent), count in sorted(upstream.seen.items()):
        print(f"  {index:6} {sent:8} {count}")
    print("\nWhat was mirrored:")
    for index, projects in upstream.projects.items():
        print(f"  {index:6} {', '.join(a.filename for artifacts in projects.values() for a in artifacts)}")
    print(f"\nThe tree 'all' shows acme-common of blue only, because blue comes first in {config}.")
    print("\nInstall from it, with no other index:")
    print(f"  pip install --index-url {tree} acme-api acme-models")
    print(f"  uv pip install --default-index {tree} acme-api acme-models")
    print(f"or serve it: python3 -m http.server --bind 127.0.0.1 --directory {shlex.quote(str(served))} 8000")
    print("  pip install --index-url http://127.0.0.1:8000/all/simple/ acme-api acme-models")
    return report.exit_code


def _write_configuration(directory: Path, port: int) -> Path:
    for name, token in _TOKENS.items():
        file = directory / f"{name}.token"
        file.touch(mode=0o600)
        file.write_text(token)
    indexes = "".join(_INDEX.format(name=name, port=port, user=_USER) for name in _TOKENS)
    config = directory / "mirror.toml"
    config.write_text(_CONFIG.format(indexes=indexes))
    return config
