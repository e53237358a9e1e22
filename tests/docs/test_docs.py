"""What the documents say is so: modules, exit codes, examples, schemas, units and the web server's file."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import msgspec
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from mirror.cli.main import run
from mirror.cli.wheels import build_sdist, build_wheel
from mirror.config.load import load
from mirror.run.report import Exit, json_schema
from tests.docs.readme import ROOT, TEXT, blocks, commands, table
from tests.site import Site
from tests.world import World
from tests.world.clients import pip_install, uv_install
from tests.world.origins import LOOPBACK, free_port
from tests.world.processes import accepting, environment, running

NGINX = shutil.which("nginx") or "/usr/sbin/nginx"
JSON, HTML = (f"application/vnd.pypi.simple.v1+{kind}" for kind in ("json", "html"))
DOCUMENTS = {"toml.io", "json-schema.org", "in-toto.io"}  # what a reader is sent to, and the type of a statement


def test_the_architecture_names_every_module() -> None:
    """One line a module, and no line for a module that is gone."""
    named = set(
        re.findall(r"^\| `([a-z_/0-9]+\.py)` \|", (ROOT / "mirror" / "ARCHITECTURE.md").read_text(), re.MULTILINE)
    )
    present = {str(path.relative_to(ROOT / "mirror")) for path in (ROOT / "mirror").rglob("*.py")}
    assert named == {module for module in present if not module.endswith("__init__.py")}


def test_the_exit_codes_are_those_of_the_command() -> None:
    """The table, the enumeration and `--help` agree."""
    documented = {int(code): row["means"] for code, row in table("Exit codes").items()}
    assert documented.keys() == set(Exit)


def test_the_configuration_decodes(tmp_path: Path) -> None:
    """The README's example is a whole mirror.toml."""
    (tmp_path / "mirror.toml").write_text(blocks("toml")[0])
    settings = load(tmp_path / "mirror.toml")
    assert [index.name for index in settings.indexes] == ["firstindex", "secondindex"]
    assert [tree.name for tree in settings.trees] == ["firstindex", "secondindex", "all"]


def test_the_reports_schema_is_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """`mirror schema report` prints the committed file, and a real report fits it elsewhere."""
    assert run(["schema", "report"]) == 0
    committed = (ROOT / "configs" / "report.schema.json").read_text()
    assert committed == capsys.readouterr().out == json_schema().decode()


def test_a_report_fits_its_schema(site: Site, world: World) -> None:
    """With a refusal, a trouble and a held index in it."""
    import jsonschema  # type: ignore[import-untyped]

    good, bad = world.add_index("good"), world.add_index("bad")
    good.add(build_wheel("one", "1.0"))
    good.add(build_wheel("one", "1.1"), digests={"sha256": "0" * 64})
    good.add(build_wheel("one", "1.2"), url="ftp://127.0.0.1/one-1.2-py3-none-any.whl")
    site.configure(good, bad, tries=1)
    bad.rotate(password="another one")
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.index("good")["troubles"]
    assert outcome.index("good")["refused"]
    assert outcome.index("bad")["state"] == "held"
    schema = msgspec.json.decode((ROOT / "configs" / "report.schema.json").read_bytes())
    jsonschema.validate(outcome.report, schema)


def test_ci_runs_the_commands_of_the_readme() -> None:
    """The same lines, so that what a reader types is what is tested."""
    lines = [line.strip() for line in (ROOT / ".ci" / "run").read_text().splitlines()]
    for command in commands():
        assert command in lines


def test_every_file_that_the_readme_links_to_exists() -> None:
    """Relative links only, and all of them lead somewhere."""
    targets = re.findall(r"\]\(([^)#]+)", TEXT)
    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.system
def test_the_units_are_valid(tmp_path: Path) -> None:
    """systemd finds nothing to say about them, once the program is where they expect it."""
    for unit in (ROOT / "configs" / "systemd").iterdir():
        text = re.sub(r"^ExecStart=\S+", f"ExecStart={shutil.which('true')}", unit.read_text(), flags=re.MULTILINE)
        (tmp_path / unit.name).write_text(text)
    units = sorted(tmp_path.iterdir())
    assert [unit.suffix for unit in units] == [".service", ".timer"] * 2
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_programs_in_the_units_and_in_cron_take_their_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    """The command lines there parse: only their configuration is missing here."""
    services = "".join(path.read_text() for path in (ROOT / "configs" / "systemd").glob("*.service"))
    found = re.findall(r"^ExecStart=\S+ (.*)$", services, re.MULTILINE)
    cron = (ROOT / "configs" / "cron.d" / "index-mirror").read_text()
    lines = [*found, *re.findall(r"\$MIRROR ([^|;>]+)", cron.replace("$CONFIG", "/etc/index-mirror/mirror.toml"))]
    assert len(lines) == 7
    for line in lines:
        assert run([part.replace("/etc/index-mirror", "/nonexistent") for part in line.split()]) == 2
        assert "cannot be read" in capsys.readouterr().err


@pytest.mark.system
@pytest.mark.real
@pytest.mark.skipif(not Path(NGINX).exists(), reason="nginx is not installed")
@pytest.mark.skipif(os.geteuid() != 0, reason="nginx needs root for the log and spool directories it was built with")
def test_nginx_serves_what_a_run_published(site: Site, world: World, tmp_path: Path) -> None:
    """Content negotiation, types, validators, redirects, and installs through it."""
    index = world.add_index("first")
    wheel = build_wheel("one", "1.0+local.1", requires=["two"])
    index.add(wheel, core_metadata=True)
    index.add(build_sdist("two", "2.0"))
    site.configure(index, trees={"all": ["first"]})
    assert site.sync().code == 0
    with _nginx(tmp_path / "nginx", site.root / "public" / "current") as url, httpx.Client(trust_env=False) as client:
        for page in (f"{url}/all/simple/", f"{url}/first/simple/one/"):
            for accept, kind, type_ in (
                (JSON, "json", JSON),
                (f"{JSON}, {HTML};q=0.2, text/html;q=0.01", "json", JSON),
                ("application/vnd.pypi.simple.latest+json", "json", JSON),
                (HTML, "html", HTML),
                (f"{HTML}, text/html;q=0.5", "html", HTML),
                ("text/html", "html", "text/html; charset=utf-8"),
                ("*/*", "html", "text/html; charset=utf-8"),
            ):
                answer = client.get(page, headers={"Accept": accept})
                assert (answer.status_code, answer.headers["content-type"]) == (200, type_)
                assert answer.headers["vary"] == "Accept"
                assert answer.text.startswith("{" if kind == "json" else "<!DOCTYPE html>")
                again = client.get(page, headers={"Accept": accept, "If-None-Match": answer.headers["etag"]})
                assert (again.status_code, again.headers["vary"]) == (304, "Accept")
        file = site.files("all")[wheel.filename]
        address = httpx.URL(f"{url}/all/simple/one/").join(file["url"])
        answer = client.get(address)
        assert (answer.content, answer.headers["content-type"]) == (wheel.content, "application/zip")
        assert client.get(address, headers={"Range": "bytes=1-3"}).content == wheel.content[1:4]
        metadata = client.get(f"{address}.metadata")
        assert (metadata.content, metadata.headers["content-type"]) == (wheel.metadata, "text/plain; charset=utf-8")
        slashless = client.get(f"{url}/all/simple/one")
        assert (slashless.status_code, slashless.headers["location"]) == (301, "/all/simple/one/")
        for nothing in ("/", "/manifest.jsonl", "/all/", "/all/simple/three/", "/all/simple/one/index.html"):
            assert client.get(url + nothing).status_code == 404
        expected = {"one": "1.0+local.1", "two": "2.0"}
        assert pip_install(f"{url}/all/simple/", ["one"], tmp_path / "pip") == expected
        assert uv_install(f"{url}/first/simple/", ["one"], tmp_path / "uv") == expected


def test_every_url_is_an_examples_or_a_documents() -> None:
    """No registry and no other host of the world is named; recorded pages, the licence and drawings are as they are."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git work tree")
    url = re.compile(r"https?://(?:[^/\s\"']*@)?([\w.-]+\.(?:com|dev|io|net|org))\b")
    example = re.compile(r"(?:.*\.)?example\.(?:com|net|org)")
    named = {
        (name, host)
        for name in filter(None, listed.stdout.split("\0"))
        if not name.startswith("tests/simple/golden/") and not name.endswith(".svg") and (ROOT / name).is_file()
        for host in url.findall((ROOT / name).read_text(errors="replace"))
    }
    assert {(name, host) for name, host in named if host not in DOCUMENTS and not example.fullmatch(host)} == set()


def test_the_lock_is_free_of_addresses_and_complete() -> None:
    """Digests for everything, and nothing about where it comes from."""
    lock = (ROOT / "requirements-test.txt").read_text()
    assert "://" not in lock
    assert "--find-links" not in lock
    assert "-index" not in re.sub(r"--hash=\S+", "", lock)
    requirements = re.split(r"\n(?=\S)", lock.strip())
    assert all("--hash=sha256:" in requirement for requirement in requirements)
    pins = (Requirement(requirement.split("\\")[0]) for requirement in requirements)
    locked = {canonicalize_name(pin.name): pin.specifier for pin in pins}
    for asked in _asked():
        version = str(locked[canonicalize_name(asked.name)]).removeprefix("==")
        assert asked.specifier.contains(version), asked


def _asked() -> list[Requirement]:
    """What requirements-test.in and pyproject.toml ask for; the benchmark's extra is for people, not for the tests."""
    document = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = document.get("optional-dependencies", {})
    extras = [text for name, extra in optional.items() if name != "bench" for text in extra]  # bench/ has its README
    lines = (line.partition("#")[0].strip() for line in (ROOT / "requirements-test.in").read_text().splitlines())
    return [Requirement(text) for text in (*document["dependencies"], *extras, *filter(None, lines))]


@contextmanager
def _nginx(directory: Path, served: Path) -> Iterator[str]:
    """Run configs/nginx.conf with the two edits that it asks for; yields the URL."""
    directory.mkdir()
    port = free_port()
    text = (ROOT / "configs" / "nginx.conf").read_text()
    for pattern, line in (
        (r"listen 80;(?=\s+# EDIT)", f"listen {LOOPBACK}:{port};"),
        (r"root \S+;(?=\s+# EDIT)", f"root {served};"),
    ):
        text, count = re.subn(pattern, line, text)
        assert count == 1
    (directory / "nginx.conf").write_text(text)
    aside = f"daemon off; user root; pid {directory}/nginx.pid;"
    command = [NGINX, "-c", str(directory / "nginx.conf"), "-e", "stderr", "-g", aside]
    with running(command, log=directory / "log", env=environment(directory / "home"), ready=lambda: accepting(port)):
        yield f"http://{LOOPBACK}:{port}"
