"""Real input: local PEP 503 trees, given by `MIRROR_REAL_TREES` (directories, separated by colons).

Each is served by nginx as a private index of one host with its own password, mirrored by one command
into one root, and installed from. The figures are printed: run with `-s`.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.world.clients import pip_install, uv_install
from tests.world.nginx import nginx, project

pytestmark = [pytest.mark.system, pytest.mark.real]
TREES = [Path(tree) for tree in os.environ.get("MIRROR_REAL_TREES", "").split(":") if tree]


@pytest.mark.skipif(len(TREES) < 2, reason="MIRROR_REAL_TREES names fewer than two trees")
def test_real_trees_on_one_host_are_mirrored_with_their_own_passwords_and_installed_from(tmp_path: Path) -> None:
    """Every file arrives, no pair of index and credential is crossed, and pip and uv install numpy and pandas."""
    served = [project(number, tree, "reader", f"password-of-{number}") for number, tree in enumerate(TREES, start=2177)]
    with nginx(tmp_path / "nginx", served, autoindex=True) as server:
        lines = [f'root = "{tmp_path / "root"}"']
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[1])}
        for number, tree in enumerate(served, start=1):
            lines += ["[[index]]", f'name = "index{number}"', f'url = "{server.index_url(tree)}"']
            environment |= {f"MIRROR_INDEX_INDEX{number}_USERNAME": "reader"}
            environment |= {f"MIRROR_INDEX_INDEX{number}_PASSWORD": tree.password}
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


def _password(location: str) -> str:
    return f"password-of-{location.split('/')[4]}"
