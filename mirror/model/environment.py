"""A machine that files are for, by what installers look at: its tags and its markers."""

from __future__ import annotations

from functools import cached_property

import msgspec
from packaging.tags import Tag


class Environment(msgspec.Struct, frozen=True, dict=True):
    """One Python on one platform, as the configuration names it; `plan.environments` makes it."""

    name: str
    python: str
    """The full version: `3.11.0`."""
    tags: tuple[Tag, ...]
    """What its installers accept, the best first (PEP 425)."""
    markers: dict[str, str]
    """All environment markers of PEP 508 but `extra`, so that none is filled in from the machine that runs this."""
    exact: bool = True
    """Whether `python` is one release; otherwise any patch release of it is meant, and `python` is the first."""

    @cached_property
    def supported(self) -> frozenset[Tag]:
        """`tags`, to ask for one."""
        return frozenset(self.tags)
