"""`mirror demo`: what a newcomer sees is true, and the commands that it prints work as they stand."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.world.processes import beside_python, environment

HERE = Path(__file__).parents[1]


def _demo(directory: Path) -> str:
    command = [sys.executable, "-m", "mirror", "demo", str(directory / "a folder")]
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(HERE), "HOME": str(directory)}
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=directory)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_each_index_sees_its_own_token_only(tmp_path: Path) -> None:
    """And the tokens themselves are not shown."""
    text = _demo(tmp_path)
    seen = [
        line.split() for line in text.splitlines() if line.startswith(("  blue ", "  green ")) and ".whl" not in line
    ]
    assert [(index, token) for index, token, _ in seen] == [("blue", "blue's"), ("green", "green's")]
    assert "blue-token" not in text


@pytest.mark.real
@pytest.mark.parametrize("tool", ["pip", "uv"])
def test_the_printed_commands_install(tmp_path: Path, tool: str) -> None:
    """Letter by letter, but for where to: both private projects and what they need arrive from the tree alone."""
    (line,) = [line for line in _demo(tmp_path).splitlines() if line.startswith(f"  {tool} ") and "file://" in line]
    target = tmp_path / "target"
    into = ["--target", str(target)]
    words = [*shlex.split(line), *(into if tool == "pip" else [*into, "--python", sys.executable])]
    command = [sys.executable, "-m", "pip", *words[1:]] if tool == "pip" else [str(beside_python("uv")), *words[1:]]
    env = environment(tmp_path / "home", PIP_CONFIG_FILE="/dev/null", UV_NO_CONFIG="1")
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in target.iterdir()} >= {"acme_api", "acme_models", "acme_core", "acme_features"}
