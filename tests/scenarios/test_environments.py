"""Which wheels fit a machine that was named: as pip and uv decide it for a machine that is not this one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from mirror.cli.wheels import build_wheel
from mirror.model.names import distribution, filename, project_name
from mirror.plan.environments import environment, fits
from tests.world.processes import environment as clean

ASKED = [
    ("3.12", "manylinux_2_28_x86_64"),
    ("3.9", "manylinux2014_aarch64"),
    ("3.12", "musllinux_1_2_x86_64"),
    ("3.12", "win_amd64"),
    ("3.13", "macosx_13_0_arm64"),
]
UV = {
    "manylinux_2_28_x86_64": "x86_64-manylinux_2_28",
    "manylinux2014_aarch64": "aarch64-manylinux2014",
    "musllinux_1_2_x86_64": "x86_64-unknown-linux-musl",
    "win_amd64": "x86_64-pc-windows-msvc",
    "macosx_13_0_arm64": "aarch64-apple-darwin",
}
"""Their names at uv."""
OFFERED = [
    *("cp312-cp312-manylinux_2_28_x86_64", "cp312-cp312-manylinux_2_29_x86_64", "cp37-abi3-manylinux2010_x86_64"),
    *("cp39-cp39-manylinux2014_aarch64", "cp39-cp39-manylinux_2_18_aarch64", "py3-none-any", "py2-none-any"),
    *("cp312-cp312-musllinux_1_1_x86_64", "cp312-cp312-musllinux_1_3_x86_64", "cp312-none-any", "cp311-none-any"),
    *(
        "cp312-cp312-win_amd64",
        "cp312-cp312-win32",
        "cp38-abi3-win_amd64",
        "py3-none-win_amd64",
        "cp313-abi3-win_amd64",
    ),
    *("cp313-cp313-macosx_11_0_arm64", "cp313-cp313-macosx_14_0_arm64", "cp313-cp313-macosx_10_13_universal2"),
    *("cp313-cp313t-macosx_11_0_arm64", "cp313-cp313-macosx_10_13_x86_64"),
]


def _uv(folder: Path, python: str, name: str) -> str:
    """What uv resolves the projects to."""
    command = [
        *(sys.executable, "-m", "uv", "pip", "compile", "--no-config", "--offline", "--no-index", "--no-cache"),
        *("--find-links", str(folder), "--python-version", python, "--python-platform", UV[name]),
        *("--no-header", "--no-annotate", "-q", str(folder / "requirements.in")),
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=clean(folder)).stdout


def _pip(folder: Path, python: str, name: str) -> str:
    """What pip resolves them to; of Linux it has to be told every older platform."""
    platforms = dict.fromkeys(tag.platform for tag in environment("x", python, name).tags if tag.platform != "any")
    command = [
        *(sys.executable, "-m", "pip", "install", "--isolated", "--no-index", "--dry-run", "--quiet", "--report", "-"),
        *("--find-links", str(folder), "--only-binary", ":all:", "--target", str(folder / "target"), "--no-deps"),
        *("--implementation", "cp", "--python-version", python, "-r", str(folder / "requirements.in")),
        *(part for one in platforms for part in ("--platform", one)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=clean(folder))
    chosen = [item["metadata"] for item in json.loads(done.stdout)["install"]]
    return "\n".join(f"{item['name']}=={item['version']}" for item in chosen)


@pytest.mark.real
@pytest.mark.parametrize("resolve", [_uv, _pip])
@pytest.mark.parametrize(("python", "name"), ASKED)
def test_installers_take_what_fits_and_nothing_else(
    tmp_path: Path, python: str, name: str, resolve: Callable[[Path, str, str], str]
) -> None:
    """Every project has one wheel that may fit, and an older one for everybody."""
    machine = environment("x", python, name)
    expected = set()
    for number, tags in enumerate(OFFERED):
        project = f"p{number}"
        (tmp_path / f"{project}-1.0-py2.py3-none-any.whl").write_bytes(build_wheel(project, "1.0").content)
        path = tmp_path / f"{project}-2.0-{tags}.whl"
        path.write_bytes(build_wheel(project, "2.0").content)
        fitting = fits(distribution(filename(path.name), project_name(project)).tags, machine)
        expected.add(f"{project}=={'2.0' if fitting else '1.0'}")
    (tmp_path / "requirements.in").write_text("\n".join(f"p{number}" for number in range(len(OFFERED))))
    assert set(resolve(tmp_path, python, name).split()) == expected
