"""The project's own configs/nginx.conf, run as it stands on a port of its own, with `open_file_cache` or without."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.world.origins import LOOPBACK, free_port
from tests.world.processes import accepting, environment, running

PROGRAM = shutil.which("nginx") or "/usr/sbin/nginx"
CONFIG = Path(__file__).parents[2] / "configs" / "nginx.conf"
STALE = 2
"""For how many seconds the cache may show what is not there any more: `open_file_cache_valid`, and one more, because
nginx's clock counts whole ones."""

_CACHE = f"open_file_cache max=1000 inactive=20s; open_file_cache_valid {STALE - 1}s;"
_LOG = """log_format facts escape=json '{"status":$status,"agent":"$http_user_agent","uri":"$request_uri"}';"""
_SCRATCH = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@dataclass(frozen=True, slots=True)
class Logged:
    """One line of the access log."""

    status: int
    agent: str
    uri: str


@dataclass(frozen=True, slots=True)
class Web:
    """A running nginx."""

    port: int
    directory: Path
    stale: int
    """For how many seconds it may show an old page."""

    def index_url(self, tree: str) -> str:
        """What an installer is given."""
        return f"http://{LOOPBACK}:{self.port}/{tree}/simple/"

    def logged(self) -> list[Logged]:
        """Every request so far."""
        lines = (self.directory / "access.log").read_text().splitlines()
        return [Logged(**json.loads(line)) for line in lines]


@contextmanager
def web(directory: Path, root: Path, *, cache: bool) -> Iterator[Web]:
    """Serve the mirror's `root` as configs/nginx.conf says, until the block ends."""
    directory.mkdir(parents=True)
    port = free_port()
    scratch = " ".join(f"{kind}_temp_path {directory}/{kind};" for kind in _SCRATCH)
    added = f"{_LOG} access_log {directory}/access.log facts; {scratch} {_CACHE if cache else ''}"
    text = CONFIG.read_text()
    for pattern, line in (
        (r"listen 80;(?=\s+# EDIT)", f"listen {LOOPBACK}:{port};"),
        (r"root \S+;(?=\s+# EDIT)", f"root {root}/public/current;"),
        (r"^http \{$", f"http {{ {added}"),
    ):
        before, *rest = re.split(pattern, text, flags=re.MULTILINE)
        assert len(rest) == 1, pattern
        text = before + line + rest[0]
    (directory / "nginx.conf").write_text(text)
    aside = f"daemon off; user root; pid {directory}/nginx.pid;"
    command = [PROGRAM, "-c", str(directory / "nginx.conf"), "-e", "stderr", "-g", aside]
    with running(command, log=directory / "log", env=environment(directory / "home"), ready=lambda: accepting(port)):
        yield Web(port, directory, STALE if cache else 0)
