"""Versions, specifiers and requirements (PEP 440, PEP 508) that can be compared and evaluated, or are refused here.

`packaging` reads text that it later cannot compare or evaluate: numbers longer than Python converts, brackets deeper
than the stack, markers whose comparison is not defined. No honest tool writes such text, and it must not fail far from
where it was read.
"""

from __future__ import annotations

import re
from itertools import accumulate

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

_FLOOD = re.compile(r"[0-9]{101}")  # a version by date and time has 14 digits
_DEEPEST = 50
_PYTHON = "3.11.0"
_TRIAL = dict.fromkeys(("os_name", "sys_platform", "platform_machine", "platform_python_implementation"), "")
_TRIAL |= dict.fromkeys(("platform_system", "implementation_name"), "")
_TRIAL |= dict.fromkeys(("platform_release", "platform_version"), "no version")  # kernels seldom have one
_TRIAL |= {"python_version": "3.11", "python_full_version": _PYTHON, "implementation_version": _PYTHON, "extra": ""}
"""A machine on which every marker fails that fails on any: where this runs makes no difference."""


def version(text: str) -> Version:
    """`text` as a version. Raises `InvalidVersion`."""
    if _FLOOD.search(text):
        raise InvalidVersion("a number in it is too long")
    return Version(text)


def specifiers(text: str) -> SpecifierSet:
    """`text` as a specifier set. Raises `InvalidSpecifier`."""
    if _FLOOD.search(text):
        raise InvalidSpecifier("a number in it is too long")
    return SpecifierSet(text)


def requirement(text: str) -> Requirement:
    """`text` as a requirement whose marker has a value on every machine. Raises `InvalidRequirement`."""
    if _FLOOD.search(text):
        raise InvalidRequirement("a number in it is too long")
    if text.count("(") > _DEEPEST and max(accumulate((one == "(") - (one == ")") for one in text)) > _DEEPEST:
        raise InvalidRequirement("its brackets are nested too deeply")
    found = Requirement(text)
    if found.marker is not None:
        try:
            found.marker.evaluate(_TRIAL)
        except (ValueError, LookupError) as error:  # an undefined comparison, a variable of lock files only
            raise InvalidRequirement("its marker cannot be evaluated") from error
    return found
