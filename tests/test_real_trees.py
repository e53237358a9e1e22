"""Real input: local PEP 503 trees, given by `MIRROR_REAL_TREES` (directories, separated by colons).

Each is served by nginx as a private index of one host with its own password, mirrored by one command
into one root, and installed from. Then the dependencies of ten projects are followed over all of them, and what was
chosen is checked by `tests/unmet.py`; and all of it crosses an air gap. The figures are printed: run with `-s`.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from mirror.cli.wheels import build_wheel
from tests import unmet
from tests.world.clients import pip_install, uv_install
from tests.world.nginx import Nginx, Tree, nginx, project

pytestmark = [pytest.mark.system, pytest.mark.real]
TREES = [Path(tree) for tree in os.environ.get("MIRROR_REAL_TREES", "").split(":") if tree]
WELL_KNOWN = [
    *("jupyterlab", "transformers", "celery", "pandas", "scikit-learn", "fastapi", "django", "requests", "black"),
    *("torch", "sphinx", "streamlit", "dask", "spacy", "pytest", "matplotlib", "boto3", "sqlalchemy", "flask"),
]
MACHINE = {"name": "servers", "python": "3.11.9", "platform": "manylinux_2_28_x86_64"}
MARKERS = {
    "os_name": "posix",
    "sys_platform": "linux",
    "platform_system": "Linux",
    "platform_machine": "x86_64",
    "platform_release": "",
    "platform_version": "",
    "platform_python_implementation": "CPython",
    "implementation_name": "cpython",
    "implementation_version": "3.11.9",
    "python_version": "3.11",
    "python_full_version": "3.11.9",
}


@pytest.mark.skipif(len(TREES) < 2, reason="MIRROR_REAL_TREES names fewer than two trees")
def test_real_trees_on_one_host_are_mirrored_with_their_own_passwords_and_installed_from(tmp_path: Path) -> None:
    """Every file arrives, no pair of index and credential is crossed, and pip and uv install numpy and pandas."""
    served = [project(number, tree, "reader", f"password-of-{number}") for number, tree in enumerate(TREES, start=2177)]
    with nginx(tmp_path / "nginx", served, autoindex=True) as server:
        environment, indexes = _indexes(server, served)
        lines = [f'root = "{tmp_path / "root"}"', *(line for lines in indexes for line in lines)]
        names = [f'"index{number}"' for number in range(1, len(served) + 1)]
        lines += ["[[tree]]", 'name = "all"', f"indexes = [{', '.join(names)}]"]
        (tmp_path / "mirror.toml").write_text("\n".join(lines))
        for night in ("first", "second"):
            began, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
            command = [sys.executable, "-m", "mirror", "sync", "-c", str(tmp_path / "mirror.toml")]
            done = subprocess.run(command, env=environment, capture_output=True, text=True)
            seconds, now = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
            print(f"{night} night: {seconds:.1f} s, {cpu:.1f} CPU s, peak {now.ru_maxrss / 1024:.0f} MiB")
            print(done.stderr[-2000:])
            assert done.returncode == 0, done.stderr
        crossed = [seen for seen in server.seen() if seen.password != _password(seen.location)]
        assert not crossed
        print(f"requests {len(server.seen())}, pairs {sorted(server.pairs(), key=str)}, crossed {len(crossed)}")
    wheels = {path.name for tree in TREES for path in (tree / "files").glob("*.whl")}
    packages = tmp_path / "root" / "public" / "packages"
    mirrored = {path.name: path.stat().st_size for path in packages.rglob("*.whl")}
    print(f"files {len(mirrored)}, bytes {sum(mirrored.values())}")
    assert set(mirrored) == wheels
    index = f"file://{tmp_path / 'root' / 'public' / 'current' / 'all' / 'simple'}/"
    for install, target in ((pip_install, "pip"), (uv_install, "uv")):
        installed = install(index, ["numpy", "pandas"], tmp_path / target)
        assert {"numpy", "pandas"} <= set(installed)


@pytest.mark.skipif(len(TREES) < 2, reason="MIRROR_REAL_TREES names fewer than two trees")
def test_ten_projects_and_all_that_they_need_are_chosen_from_real_trees(tmp_path: Path) -> None:
    """A second opinion on what was chosen, and on all there is, comes to the same files and the same unmet needs."""
    homes = {root: number for root in WELL_KNOWN for number in _owners(root)[:1]}
    roots = dict(list(homes.items())[:10])
    assert len(roots) == 10
    served = [project(number, tree, "reader", f"password-of-{number}") for number, tree in enumerate(TREES, start=2177)]
    with nginx(tmp_path / "nginx", served, autoindex=True) as server:
        environment, indexes = _indexes(server, served)
        lines = [f'root = "{tmp_path / "root"}"', "dependencies = true"]
        for number, index in enumerate(indexes):
            own = [root for root, home in roots.items() if home == number]
            lines += [*index, f"projects = {json.dumps(own)}"]
        lines += ["[[environment]]", *(f"{key} = {json.dumps(value)}" for key, value in MACHINE.items())]
        (tmp_path / "mirror.toml").write_text("\n".join(lines))
        report, plan = tmp_path / "report.json", tmp_path / "plan.json"
        command = [sys.executable, "-m", "mirror", "sync", "--dry-run", "-q", "-c", str(tmp_path / "mirror.toml")]
        began = time.monotonic()
        with subprocess.Popen([*command, "--report", str(report), "--plan", str(plan)], env=environment) as process:
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - began
        requests = len(server.seen())
        assert not [seen for seen in server.seen() if seen.password != _password(seen.location)]
    told: dict[str, Any] = json.loads(report.read_text())
    indexed = dict(zip([f"index{number}" for number in range(1, len(TREES) + 1)], TREES, strict=True))
    chosen = {
        indexed[index["name"]] / "files" / file["filename"]
        for index in json.loads(plan.read_text())["indexes"]
        for file in index["fetch"]
    }
    size, listed = sum(path.stat().st_size for path in chosen), {entry["requirement"] for entry in told["unmet"]}
    print(f"roots {' '.join(roots)}\nfiles {len(chosen)}, bytes {size}, requests {requests}, unmet {sorted(listed)}")
    cpu, peak = used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(f"{seconds:.1f} s, {cpu:.1f} CPU s, peak {peak:.0f} MiB, notes {told['notes']}")
    assert process.returncode == (3 if listed else 0)
    assert told["dependencies-read"]
    tags = unmet.cpython(11, unmet.manylinux(28))
    owned = {
        path
        for number, tree in enumerate(TREES)
        for path in (tree / "files").glob("*.whl")
        if _owners(canonicalize_name(path.name.partition("-")[0]))[0] == number
    }
    assert chosen
    assert unmet.walk(chosen, roots, tags, MARKERS) == (listed, chosen)
    assert unmet.walk(owned, roots, tags, MARKERS) == (listed, chosen)


@pytest.mark.skipif(len(TREES) < 2, reason="MIRROR_REAL_TREES names fewer than two trees")
def test_real_trees_cross_the_gap_and_a_delta_is_no_larger_than_what_changed(tmp_path: Path) -> None:
    """In full as files and in volumes of two sizes, then what ten projects changed: at most 1 % more than its bytes."""
    root, sizes = tmp_path / "root", {"1GB": 10**9, "4GiB": 4 << 30}
    config, night = tmp_path / "mirror.toml", tmp_path / "night.toml"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "key")], check=True)
    public = " ".join((tmp_path / "key.pub").read_text().split()[:2])
    (tmp_path / "signers").write_text(f"outside {public}\n")
    gap = '[export]\nidentity = "outside"\nsign = "key"\n[import]\ntrust = "signers"'
    config.write_text(f'root = "{root}"\n{gap}\n')
    names = {canonicalize_name(path.name.partition("-")[0]) for path in (TREES[0] / "files").glob("*.whl")}
    late = sorted(names)[:: len(names) // 10][:10]
    served = [project(number, tree, "reader", f"password-of-{number}") for number, tree in enumerate(TREES, start=2177)]
    with nginx(tmp_path / "nginx", served, autoindex=True) as server:
        environment, indexes = _indexes(server, served)
        indexes[0].append(f"exclude = {json.dumps(late)}")
        night.write_text("\n".join([f'root = "{root}"', *(line for lines in indexes for line in lines)]))
        _timed("night without ten projects", ["sync", "-q", "-c", str(night)], environment)
        _timed("export in full, files", ["export", str(tmp_path / "full"), "-c", str(config)])
        for name in sizes:
            command = ["export", str(tmp_path / f"full-{name}"), "--volume-size", name, "-c", str(config)]
            _timed(f"export in full, {name} volumes", command)
        night.write_text(night.read_text().replace(indexes[0][-1], ""))
        _timed("night with ten projects more", ["sync", "-q", "-c", str(night)], environment)
    for name, size in sizes.items():
        volumes = sorted((tmp_path / f"full-{name}").glob("blobs.tar.*"))
        assert {volume.stat().st_size for volume in volumes[:-1]} == {size}
        _timed(f"import into an empty root, {name}", _import(tmp_path, f"full-{name}", f"inside-{name}"))
        assert _published(tmp_path / f"inside-{name}" / "gen" / "000001") == _published(root / "gen" / "000001")
    _timed("import into an empty root, files", _import(tmp_path, "full", "inside"))
    _timed("export of the delta", ["export", str(tmp_path / "delta"), "--since", "1", "-c", str(config)])
    before = {path.name for path in (tmp_path / "inside" / "store").rglob("*")}
    _timed("import of the delta", _import(tmp_path, "delta", "inside"))
    assert _published(tmp_path / "inside" / "gen" / "000002") == _published(root / "gen" / "000002")
    fresh = [path for path in (tmp_path / "inside" / "store").rglob("*") if path.is_file() and path.name not in before]
    changed, delta = sum(path.stat().st_size for path in fresh), _size(tmp_path / "delta")
    print(f"{len(fresh)} blobs, {changed} bytes changed; the delta has {delta}, {delta / changed - 1:.2%} more")
    assert 0 < changed <= delta <= changed * 1.01
    tree = f"file://{tmp_path / 'inside' / 'public' / 'current'}"
    for install, target in ((pip_install, "pip"), (uv_install, "uv")):
        installed = install(
            [f"{tree}/index1/simple/", f"{tree}/index2/simple/"], ["numpy", "pandas"], tmp_path / target
        )
        assert {"numpy", "pandas"} <= set(installed)


def test_the_second_opinion_tells_what_is_missing(tmp_path: Path) -> None:
    """By marker, extra, specifier and Requires-Python; a release's own extras are its own."""
    built = [
        build_wheel("app", "1.0", requires=["app[all]", 'never; sys_platform == "win32"', 'tool>1; extra == "all"']),
        build_wheel("app", "2.0", requires=["lib>=2", 'more; extra == "all"', "new"]),
        build_wheel("lib", "1.0"),
        build_wheel("new", "1.0", requires_python=">=3.12"),
        build_wheel("tool", "1.0"),
    ]
    for artifact in built:
        (tmp_path / artifact.filename).write_bytes(artifact.content)
    tags = unmet.cpython(11, unmet.manylinux(28))
    lacking, reached = unmet.walk(tmp_path.glob("*.whl"), ["app"], tags, MARKERS)
    assert lacking == {"lib>=2", "new", "tool>1"}
    assert {path.name for path in reached} == {artifact.filename for artifact in built[:2]}


def _indexes(server: Nginx, served: list[Tree]) -> tuple[dict[str, str], list[list[str]]]:
    """The environment with the passwords of all indexes, and the lines of the table of each."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])}
    tables = []
    for number, tree in enumerate(served, start=1):
        tables.append(["[[index]]", f'name = "index{number}"', f'url = "{server.index_url(tree)}"'])
        environment[f"MIRROR_INDEX_INDEX{number}_USERNAME"] = "reader"
        environment[f"MIRROR_INDEX_INDEX{number}_PASSWORD"] = tree.password
    return environment, tables


def _owners(name: str) -> list[int]:
    """The numbers of the trees that have the project."""
    return [number for number, tree in enumerate(TREES) if (tree / "simple" / name).is_dir()]


def _password(location: str) -> str:
    return f"password-of-{location.split('/')[4]}"


def _timed(what: str, arguments: list[str], environment: dict[str, str] | None = None) -> None:
    """Run the command, which has to succeed, and print what it took."""
    began = time.monotonic()
    command = [sys.executable, "-m", "mirror", *arguments]
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds, cpu, peak = time.monotonic() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024
    print(f"{what}: {seconds:.1f} s, {cpu:.1f} CPU s, peak {peak:.0f} MiB")
    assert process.returncode == 0, what


def _import(directory: Path, bundle: str, root: str) -> list[str]:
    return [
        "import",
        "-q",
        str(directory / bundle),
        "-c",
        str(directory / "mirror.toml"),
        "--root",
        str(directory / root),
    ]


def _published(generation: Path) -> dict[str, bytes]:
    """All pages and lists of a generation."""
    return {str(path.relative_to(generation)): path.read_bytes() for path in generation.rglob("*") if path.is_file()}


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
