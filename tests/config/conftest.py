"""Configurations on a real disk, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from mirror.config.load import load
from mirror.errors import ConfigError, Problem
from tests.config.helpers import Loaded, Problems, Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file below the test's folder."""

    def write(text: str, name: str = "mirror.toml", mode: int = 0o600) -> Path:
        file = tmp_path / name
        file.write_text(dedent(text), encoding="utf-8")
        file.chmod(mode)
        return file

    return write


@pytest.fixture
def loaded(write: Write) -> Loaded:
    """The settings of a text."""
    return lambda text: load(write(text))


@pytest.fixture
def problems(write: Write) -> Problems:
    """What is wrong with a text, without the file's name."""

    def problems(text: str) -> list[Problem]:
        file = write(text)
        with pytest.raises(ConfigError) as caught:
            load(file)
        start = f"{file}: "
        assert all(problem.where.startswith(str(file)) for problem in caught.value.problems)
        return [Problem(p.where.removeprefix(start), p.what, p.instead) for p in caught.value.problems]

    return problems
