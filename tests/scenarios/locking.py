"""A project that two private indexes are locked for, and the tools that are run in it, with no settings but its own."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote

from mirror.cli.wheels import build_sdist, build_wheel
from tests.world import Index, World
from tests.world.processes import environment

HERE = f"cp{sys.version_info.major}{sys.version_info.minor}"


def fill(world: World) -> tuple[Index, Index]:
    """Two private indexes: a project that needs one of the other index, each with a release that is not wanted."""
    first, second = world.add_index("first"), world.add_index("second")
    for artifact in (
        build_wheel("alpha", "1.0", requires=["beta<2"]),
        build_sdist("alpha", "1.0", requires=["beta<2"]),
    ):
        first.add(artifact)
    first.add(build_wheel("alpha", "0.9"))
    foreign = f"beta-1.2-{HERE}-{HERE}-win_amd64.whl"
    for artifact in (build_wheel("beta", "1.2"), build_sdist("beta", "1.2"), build_wheel("beta", "2.0")):
        second.add(artifact)
    second.add(dataclasses.replace(build_wheel("beta", "1.2", payload=5), filename=foreign))
    return first, second


def with_login(index: Index) -> str:
    """The URL of an index with its credentials, as pip and PDM take them."""
    assert index.credential is not None
    userinfo = f"{quote(index.credential.username)}:{quote(index.credential.password or '')}"
    return index.url.replace("://", f"://{userinfo}@")


class Project:
    """A folder with a pyproject.toml, and the tools that are run in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        self._home = folder / "home"
        self._target = folder / "target"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(self._target)], check=True)

    def run(self, *command: str | Path, **settings: str) -> str:
        """Run a tool here, which succeeds; what it printed."""
        done = self.attempt(*command, **settings)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def attempt(self, *command: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run a tool here."""
        ours = {
            "VIRTUAL_ENV": str(self._target),
            "UV_PROJECT_ENVIRONMENT": str(self._target),
            "UV_PYTHON_DOWNLOADS": "never",
            "UV_CACHE_DIR": str(self._home / "uv"),
            "POETRY_CACHE_DIR": str(self._home / "poetry"),
            "POETRY_CONFIG_DIR": str(self._home / "poetry-config"),
            "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
            "PDM_IGNORE_SAVED_PYTHON": "1",
            "PDM_CHECK_UPDATE": "0",
            "PDM_CACHE_DIR": str(self._home / "pdm"),
            "PDM_NON_INTERACTIVE": "1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_NO_CACHE_DIR": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        }
        env = environment(self._home, **(ours | settings))
        return subprocess.run(
            command,
            cwd=self.folder,
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
        )

    def forget(self) -> None:
        """Remove what the tools keep: caches and settings."""
        self._home = self.folder / "other-home"

    def write(self, name: str, text: str) -> None:
        """Write a file of the project."""
        (self.folder / name).write_text(text)

    def replace(self, name: str, texts: Mapping[str, str]) -> None:
        """Replace every occurrence of the keys of `texts` in a file of the project."""
        file = self.folder / name
        text = file.read_text()
        for old, new in texts.items():
            assert old in text, old
            text = text.replace(old, new)
        file.write_text(text)

    @property
    def packages(self) -> Path:
        """Where the environment's packages are."""
        return self._target / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def pyproject(sources: str) -> str:
    """A project that needs alpha, with the tables of its tool."""
    return f"""
[project]
name = "app"
version = "0"
requires-python = ">=3.11"
dependencies = ["alpha"]
{sources}
"""


def login(index: Index, prefix: str) -> dict[str, str]:
    """The variables with an index's credentials, as uv and poetry take them."""
    assert index.credential is not None
    name = f"{prefix}_{index.name.upper()}"
    return {f"{name}_USERNAME": index.credential.username, f"{name}_PASSWORD": index.credential.password or ""}
