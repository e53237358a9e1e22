"""Words that the tests of the configuration share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mirror.config.settings import Settings
from mirror.errors import Problem

Write = Callable[..., Path]
Problems = Callable[..., list[Problem]]
Loaded = Callable[..., Settings]


def one(keys: str = "", url: str = "https://example.com/first/simple") -> str:
    """A configuration with one index, and `keys` in its table."""
    return f'root = "mirror"\n[[index]]\nname = "first"\nurl = "{url}"\n{keys}\n'
