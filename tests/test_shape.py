"""The shape of the code is part of the promise: types that must not fit, and doors that only one module opens."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "mirror"
BEFORE = """\
from mirror.model.files import FileLink, Partial, Project, Source
from mirror.model.holding import held_project
from mirror.model.names import Filename, IndexName, ProjectName, filename, index_name, project_name
from mirror.model.urls import Url, url
from mirror.model.files import FileBody
from mirror.net.session import Session, Sessions
from mirror.store.generations import Generations

page: Url = url("https://host/")
source = Source(index=index_name("a"), project=project_name("b"), page_url=page)
project = Project(index=index_name("a"), name=project_name("b"))
link = FileLink(source=source, url=page, filename=filename("b-1.0.tar.gz"))
class Sink:
    async def partial(self) -> Partial | None: ...
    async def forget(self) -> None: ...
    async def receive(self, body: FileBody) -> None: ...
async def fetch(session: Session, sessions: Sessions) -> None:
    await session.fetch(link, Sink())
    sessions.of(link)
"""
WRONG = {
    "a link without a source": 'FileLink(url=page, filename=filename("b-1.0.tar.gz"))',
    "a link whose source is a URL": 'FileLink(source=page, url=page, filename=filename("b-1.0.tar.gz"))',
    "a source that is changed": "link.source = source",
    "a URL where a link belongs": "async def wrong(session: Session) -> None:\n    await session.fetch(page, Sink())",
    "a URL where a session is looked up": "def wrong(sessions: Sessions) -> None:\n    sessions.of(page)",
    "an index beside a link": 'def wrong(sessions: Sessions) -> None:\n    sessions.of(link, index_name("a"))',
    "a str where an index name belongs": 'name: IndexName = "a"',
    "a str where a project name belongs": 'Source(index=index_name("a"), project="b", page_url=page)',
    "a str where a file name belongs": "FileLink(source=source, url=page, filename='b-1.0.tar.gz')",
    "a str where a URL belongs": 'Source(index=index_name("a"), project=project_name("b"), page_url="https://host/")',
    "a project name where an index name belongs": 'index: IndexName = project_name("b")',
    "links where receipts are published": "held_project(project, [link])",
    "links instead of holdings": "def wrong(g: Generations) -> None:\n    g.publish('run', [], [link], {}, None)",
}


@pytest.fixture(scope="module")
def complaints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What mypy says to each snippet, and to the beginning that all share."""
    directory = tmp_path_factory.mktemp("snippets")
    snippets = {"right": "", **WRONG}
    paths = {}
    for number, (name, text) in enumerate(snippets.items()):
        paths[name] = directory / f"snippet_{number}.py"
        paths[name].write_text(f"{BEFORE}\n{text}\n")
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--strict",
        "--cache-dir",
        str(directory / "cache"),
        *map(str, paths.values()),
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=PACKAGE.parent)
    lines = done.stdout.splitlines()
    return {
        name: "\n".join(line for line in lines if line.startswith((str(path), path.name)) or path.name in line)
        for name, path in paths.items()
    }


def test_the_right_use_of_the_types_is_accepted(complaints: dict[str, str]) -> None:
    """So that the complaints below are about what they say."""
    assert "error" not in complaints["right"]


@pytest.mark.parametrize("name", WRONG)
def test_types_refuse(name: str, complaints: dict[str, str]) -> None:
    """What would lose the source of a link, or pass text as a name, does not type-check."""
    assert "error" in complaints[name]


def _modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).as_posix(), ast.parse(path.read_text())


def _callers(name: str) -> set[str]:
    """The modules that call something called `name`."""
    found = set()
    for module, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and name in (
                getattr(node.func, "attr", None),
                getattr(node.func, "id", None),
            ):
                found.add(module)
    return found


def test_only_the_authenticator_and_the_configuration_open_secrets() -> None:
    """C10: one door on each side."""
    assert {module for module in _callers("reveal") if not module.startswith("config/")} == {"net/authenticator.py"}


def test_only_the_store_makes_receipts() -> None:
    """Unverified bytes have no type that publishing takes."""
    assert _callers("Receipt") == {"store/admit.py"}
    assert _callers("Staged") <= {"store/admit.py", "run/files.py"}


def test_no_client_of_httpx_is_ever_made() -> None:
    """Client-level credentials, redirects, cookies and logging cannot happen."""
    for name in ("AsyncClient", "Client", "stream", "BasicAuth", "NetRCAuth"):
        assert not _callers(name) & {module for module, _ in _modules() if module.startswith("net/")}, name


def test_no_function_takes_a_url_together_with_an_index_or_a_credential() -> None:
    """Two arguments that must agree are never passed; policy and cache keys only judge, they fetch nothing."""
    judges = {"first_hop", "page_key"}
    for module, tree in _modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name not in judges:
                kinds = {ast.unparse(argument.annotation) for argument in node.args.args if argument.annotation}
                pair = "Url" in kinds and kinds & {"Index", "IndexName", "Credential", "Secret"}
                assert not pair or module == "simple/parse.py", f"{module}:{node.name}"


def test_only_the_command_line_prints_or_exits() -> None:
    """Everything else tells by events and exceptions."""
    for name in ("print", "exit"):
        assert all(module.startswith("cli/") for module in _callers(name)), name
