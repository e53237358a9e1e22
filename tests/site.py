"""A mirror under test: a root, a `mirror.toml` made from a world's indexes, and the real command line.

Every run through a `Site` is searched for the world's secrets afterwards, by value and in the forms they
take on the wire: in both outputs, in every log record at every level, and in every file and file name
below the root. So each test that uses it is a canary test as well. A blocking call on the event loop fails it too.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from blockbuster import blockbuster_ctx

from mirror.cli.main import run
from mirror.model import secret
from mirror.model.names import index_name, variable_part
from tests.world import Index, World
from tests.world.origins import free_port
from tests.world.processes import accepting, environment, running

QUICK: dict[str, Any] = {
    "tries": 2,
    "concurrency": 2,
    "stall_timeout": 0.3,
    "connect_timeout": 0.5,
    "retry_after_cap": 0.05,
}
"""Keys of an index that soon gives a faulty server up."""


@dataclass
class Outcome:
    """What one run of the command came to."""

    code: int
    out: str
    err: str
    report: dict[str, Any] = field(default_factory=dict)

    def index(self, name: str) -> dict[str, Any]:
        """The report of one index."""
        return next(entry for entry in self.report["indexes"] if entry["name"] == name)


def forget_secrets() -> None:
    """Have nothing scrubbed that was known before."""
    secret._known.clear()
    secret._longest_first.clear()


class Site:
    """One root below `directory`, mirroring indexes of `world`."""

    def __init__(self, directory: Path, world: World) -> None:
        self.directory, self.world = directory, world
        self.root = directory / "root"
        self.config = directory / "mirror.toml"
        self.environ: dict[str, str] = {}
        self.canaries: set[str] = set()

    def configure(
        self,
        *indexes: Index,
        trees: Mapping[str, Sequence[str]] = {},
        credentials: bool = True,
        top: Mapping[str, Any] = {},
        **keys: Any,
    ) -> None:
        """Write `mirror.toml` for `indexes`; `keys` go to every index, `name_key=...` dicts are per index.

        A key that is the name of an index, with a mapping, is for that index only. With `credentials`, each
        index's secret is put into the environment of the runs.
        """
        only = {index.name: keys.pop(index.name, {}) for index in indexes}
        lines = [_toml("root", str(self.root)), *(_toml(key, value) for key, value in top.items())]
        for index in indexes:
            settings = {"name": index.name, "url": index.url} | keys | only[index.name]
            if index.origin.scheme == "https" and "ca-file" not in settings:
                settings["ca-file"] = str(self.world.ca_pem)
            lines += ["[[index]]", *(_toml(key.replace("_", "-"), value) for key, value in settings.items())]
            if credentials:
                self.authorise(index)
        for name, members in trees.items():
            lines += ["[[tree]]", _toml("name", name), _toml("indexes", list(members))]
        self.config.write_text("\n".join(lines) + "\n")

    def authorise(self, index: Index) -> None:
        """Put the index's present credential into the environment of later runs."""
        prefix = f"MIRROR_INDEX_{variable_part(index_name(index.name))}_"
        for name in ("USERNAME", "PASSWORD", "TOKEN"):
            self.environ.pop(prefix + name, None)
        credential = index.credential
        if credential is None:
            return
        if credential.token is not None:
            self.environ[prefix + "TOKEN"] = credential.token
        else:
            self.environ[prefix + "USERNAME"] = credential.username
            self.environ[prefix + "PASSWORD"] = credential.password or ""

    def sync(self, *arguments: str) -> Outcome:
        """`mirror sync` in this process."""
        report = self.directory / "report.json"
        report.unlink(missing_ok=True)
        outcome = self.run("sync", "-c", str(self.config), "--report", str(report), *arguments)
        if report.exists():
            outcome.report = json.loads(report.read_text())
            self._search("the report", report.read_bytes(), self._forms())
        return outcome

    def run(self, *arguments: str) -> Outcome:
        """The command line in this process, then the search for secrets."""
        out, err, log = io.StringIO(), io.StringIO(), io.StringIO()
        forget_secrets()  # a run begins like a new process
        with (
            _environment(self.environ),
            _logging_to(log),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            blockbuster_ctx("mirror"),
        ):
            try:
                code = run(arguments)
            except SystemExit as exit_:
                code = exit_.code if isinstance(exit_.code, int) else 1
        outcome = Outcome(code, out.getvalue(), err.getvalue())
        self.search(outcome.out, outcome.err, log.getvalue())
        assert "Traceback" not in outcome.err or "-v" in arguments
        return outcome

    def command(self, *arguments: str) -> list[str]:
        """The command line for a process of its own; give it `process_environment`."""
        return [sys.executable, "-m", "mirror", *arguments]

    @property
    def process_environment(self) -> dict[str, str]:
        """The environment for a process of its own."""
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
        here = str(Path(__file__).parents[1])
        return kept | {"HOME": str(self.directory), "PYTHONPATH": here} | self.environ

    def process(self, *arguments: str, umask: int = -1) -> Outcome:
        """The command line in a process of its own, then the search for secrets."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.process_environment,
            capture_output=True,
            text=True,
            cwd=self.directory,
            umask=umask,
        )
        self.search(done.stdout, done.stderr)
        return Outcome(done.returncode, done.stdout, done.stderr)

    def search(self, *texts: str) -> None:
        """Fail if a secret of the world, or a canary, is in one of `texts` or anywhere below the root."""
        forms = self._forms()
        for number, text in enumerate(texts):
            self._search(f"output {number}", text.encode("utf-8", "surrogateescape"), forms)
        self.search_below(self.root)

    def search_below(self, directory: Path) -> None:
        """Fail if a secret of the world, or a canary, is anywhere below `directory`."""
        forms, seen = self._forms(), set[int]()
        for folder, folders, files in os.walk(directory):
            for name in (*folders, *files):
                self._search(f"the name {name}", os.fsencode(name), forms)
            for path in (Path(folder, name) for name in files):
                inode = path.lstat().st_ino
                if inode not in seen:  # most files have several names
                    seen.add(inode)
                    content = os.fsencode(path.readlink()) if path.is_symlink() else path.read_bytes()
                    self._search(str(path), content, forms)

    def _search(self, where: str, content: bytes, forms: set[bytes]) -> None:
        for form in forms:
            assert form not in content, f"a secret ({form!r}) is in {where}"

    def _forms(self) -> set[bytes]:
        forms: set[bytes] = set()
        for index in self.world.indexes.values():
            if index.credential is not None:
                forms |= {index.credential.authorization.partition(" ")[2].encode(), index.credential.secret.encode()}
        values = self.canaries | {form.decode("utf-8", "surrogateescape") for form in forms}
        for value in values:
            raw = value.encode("utf-8", "surrogateescape")
            forms |= {raw, quote(raw, safe="").encode(), base64.b64encode(raw)}
        return {form for form in forms if len(form) > 5}

    def page(self, tree: str, project: str | None = None) -> dict[str, Any]:
        """A published page, as JSON."""
        directory = self.root / "public" / "current" / tree / "simple"
        page: dict[str, Any] = json.loads((directory / (project or "") / "index.v1_json").read_text())
        return page

    def projects(self, tree: str) -> list[str]:
        """The names that a tree lists."""
        return [project["name"] for project in self.page(tree)["projects"]]

    def files(self, tree: str) -> dict[str, dict[str, Any]]:
        """Every file that a tree publishes, by file name, after checking that its bytes are there."""
        found: dict[str, dict[str, Any]] = {}
        for project in self.projects(tree):
            directory = self.root / "public" / "current" / tree / "simple" / project
            for file in self.page(tree, project)["files"]:
                path = Path(os.path.normpath(directory / file["url"].replace("%2B", "+")))
                assert path.stat().st_size == file["size"]
                found[file["filename"]] = file
        return found

    @property
    def generation(self) -> int | None:
        """The number of the published generation."""
        current = self.root / "public" / "current"
        return int(current.readlink().name) if current.is_symlink() else None

    def manifest(self) -> list[dict[str, Any]]:
        """The lines of the published manifest."""
        path = self.root / "public" / "current" / "manifest.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()]


@contextlib.contextmanager
def served(site: Site, *, port: int | None = None, directory: Path | None = None) -> Iterator[str]:
    """What a site published (or `directory`), behind `python -m http.server`: the URL that its trees lie below."""
    port, directory = port or free_port(), directory or site.root / "public" / "current"
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(directory)]
    log = site.directory / f"http-{port}.log"
    with running(command, log=log, env=environment(site.directory / "home"), ready=lambda: accepting(port)):
        yield f"http://127.0.0.1:{port}"


@contextlib.contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _logging_to(stream: io.StringIO) -> Iterator[None]:
    """Every record of every logger, at every level."""
    handler, root = logging.StreamHandler(stream), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(1)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def _toml(key: str, value: object) -> str:
    return f"{key} = {_value(value)}"


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_value(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_value(item) for item in value) + "]"
    return json.dumps(value)
