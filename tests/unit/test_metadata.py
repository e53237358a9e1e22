"""Requirements out of metadata: line by line, repaired as uv does, and of an sdist only what no build can change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import InvalidRequirement, Requirement

from mirror.cli.wheels import build_sdist, build_wheel
from mirror.errors import BadMetadata
from mirror.model.names import project_name
from mirror.plan.metadata import Dependencies, build_requirements, dependencies, source_dependencies

DEMO = project_name("demo")


def _metadata(*lines: str, version: str = "2.1") -> bytes:
    return "\n".join([f"Metadata-Version: {version}", "Name: Demo", "Version: 1.0", *lines, "", "text"]).encode()


def _requires(found: Dependencies | None) -> list[str]:
    assert found is not None
    return [str(requirement) for requirement in found.requires]


def test_core_metadata_says_what_a_wheel_needs() -> None:
    """Requirements in their order, each once; extras normalised; no notes where all is well."""
    lines = ("Requires-Dist: b>=1", 'Requires-Dist: c; extra == "x-y"', "Requires-Dist: b>=1", "Provides-Extra: X_Y")
    found = dependencies(_metadata(*lines, "Requires-Python: >=3.8"), DEMO)
    assert _requires(found) == ["b>=1", 'c; extra == "x-y"']
    assert found.extras == {"x-y"}
    assert found.requires_python == ">=3.8"
    assert found.notes == ()
    wheel = build_wheel("demo", "1.0", requires=["b>=1"], requires_python=">=3.9")
    assert _requires(dependencies(wheel.metadata, DEMO)) == ["b>=1"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("e (>=7.2.0<8.0.0)", "e>=7.2.0,<8.0.0"),
        ("j (!=~5.0,>=4.12)", "j!=5.0.*,>=4.12"),
        ("j (!=~5,>=4.12)", "j!=5.*,>=4.12"),
        ("t (>=1.9.*)", "t>=1.9"),
        ("p (>=2.7,!=3.0*,!=3.1*)", "p>=2.7,!=3.0.*,!=3.1.*"),
        ("b>=1.3.0,<1.4.0',", "b>=1.3.0,<1.4.0"),
        ("d>dev", "d>0.0.0dev"),
        ("t>=9.0.0a1.0", "t>=9.0.0a1"),
        ('n ">=1.19"; python_version >= "3.7"', 'n>=1.19; python_version >= "3.7"'),
    ],
)
def test_what_is_not_a_specifier_is_repaired(text: str, meant: str) -> None:
    """As uv reads it, and that is said."""
    with pytest.raises(InvalidRequirement):
        Requirement(text)
    found = dependencies(_metadata(f"Requires-Dist: {text}"), DEMO)
    assert found.requires == (Requirement(meant),)
    assert [note.startswith(ascii(text)) for note in found.notes] == [True]


HUGE = "1" * 5000


@pytest.mark.parametrize(
    "text",
    [
        "???",
        "a" * 20_000,
        "a; " + "(" * 5000 + "os_name",
        f"a>={HUGE}",
        f'a; python_version >= "{HUGE}"',
        'a; os_name ~= "posix"',
        'a; "x" in extras',
        'a; python_version ~= "3"',
        'a; os_name == "nt" or "1" ~= platform_release',
        'a; "1" === platform_release',
    ],
)
def test_what_nobody_can_read_hides_nothing_else(text: str) -> None:
    """It is left out with a note."""
    found = dependencies(_metadata(f"Requires-Dist: {text}", "Requires-Dist: b"), DEMO)
    assert _requires(found) == ["b"]
    assert [note.endswith("cannot be read and is left out") for note in found.notes] == [True]
    assert found.unreadable


def test_brackets_may_be_many_but_not_deep() -> None:
    """Tools join markers of many machines."""
    many = " or ".join(['(os_name == "nt" and sys_platform == "win32")'] * 60)
    assert len(dependencies(_metadata(f"Requires-Dist: a; {many}"), DEMO).requires) == 1


def test_an_sdist_with_a_metadata_version_that_is_none_says_nothing_for_certain() -> None:
    """Nor does it break anything."""
    assert source_dependencies(_metadata("Requires-Dist: b", version=HUGE), None, DEMO) is None


@pytest.mark.parametrize(
    "text",
    [
        "b @ https://u:s3cr3t@h/x y.whl ; bad",
        "b @ https://u:s3 cr3t/s3cr3t@h/x",
        "b @ git+https://s3cr3t@h/x y",
        "b @ https://h/x y?token=s3cr3t",
    ],
)
def test_notes_have_no_secret(text: str) -> None:
    """What stands before a URL's host or after its path is not shown."""
    (note,) = dependencies(_metadata(f"Requires-Dist: {text}"), DEMO).notes
    assert "cannot be read" in note
    assert "//h/x" in note
    assert "cr3t" not in note


def test_a_requires_python_that_cannot_be_read_admits_all() -> None:
    """Repaired if that helps; one that is there twice is none."""
    repaired = dependencies(_metadata("Requires-Python: >=3.6.*"), DEMO)
    assert repaired.requires_python == ">=3.6"
    assert not repaired.unreadable
    lost = dependencies(_metadata("Requires-Python: 3.8"), DEMO)
    assert (lost.requires_python, lost.unreadable) == (None, True)
    huge = dependencies(_metadata(f"Requires-Python: >={HUGE}"), DEMO)
    assert (huge.requires_python, len(huge.notes)) == (None, 1)
    twice = dependencies(_metadata("Requires-Python: >=3.8", "Requires-Python: >=3.9"), DEMO)
    assert (twice.requires_python, twice.notes) == (None, ("its field requires-python cannot be read",))


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<!DOCTYPE html><title>Sign in</title>",
        b"Metadata-Version: 2.1\nName: other\nVersion: 1.0\n",
        _metadata(*(f"Requires-Dist: p{number}" for number in range(20_001))),
    ],
    ids=["empty", "page", "other", "flood"],
)
def test_what_is_not_metadata_of_the_project_is_refused(raw: bytes) -> None:
    """A login page, or another project's, says nothing about this one."""
    with pytest.raises(BadMetadata):
        dependencies(raw, DEMO)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(raw: bytes) -> None:
    """Whatever stands behind the first lines."""
    assert dependencies(_metadata()[:-6] + raw, DEMO).extras is not None


PROJECT = b"""
[build-system]
requires = ["hatchling>=1", "x>=1.*"]
[project]
name = "Demo"
requires-python = ">=3.8"
dependencies = ["b>=1"]
[project.optional-dependencies]
X_Y = ["c", 'd; os_name == "posix" or os_name == "nt"', "e @ https://host/e;v=1.whl ; os_name == 'nt'"]
"""


def test_static_metadata_of_an_sdist_counts() -> None:
    """PKG-INFO from version 2.2 on, unless its own Dynamic takes that back (PEP 643)."""
    static = _metadata("Requires-Dist: b", "Dynamic: License", version="2.2")
    assert _requires(source_dependencies(static, None, DEMO)) == ["b"]
    for field in ("Requires-Dist", "provides-extra"):
        raw = _metadata("Requires-Dist: b", f"Dynamic: {field}", version="2.2")
        assert source_dependencies(raw, None, DEMO) is None
    for version in ("2.1", "new"):
        assert source_dependencies(_metadata(version=version), None, DEMO) is None
    sdist = build_sdist("demo", "1.0", requires=["b"])
    assert source_dependencies(sdist.metadata, None, DEMO) is None


def test_pyproject_counts_where_pkg_info_does_not() -> None:
    """With its extras as markers; nothing that it calls dynamic."""
    found = source_dependencies(_metadata(), PROJECT, DEMO)
    assert _requires(found) == [
        "b>=1",
        'c; extra == "x-y"',
        'd; (os_name == "posix" or os_name == "nt") and extra == "x-y"',
        'e @ https://host/e;v=1.whl ; os_name == "nt" and extra == "x-y"',
    ]
    assert found is not None
    assert found.extras == {"x-y"}
    assert (str(found.requires_python), found.notes) == (">=3.8", ())
    assert _requires(source_dependencies(None, b'[project]\nname = "demo"', DEMO)) == []
    for dynamic in ('["dependencies"]', '["optional-dependencies"]', '"dependencies"'):
        text = b'[project]\nname = "demo"\ndynamic = ' + dynamic.encode()
        assert source_dependencies(None, text, DEMO) is None
    assert source_dependencies(None, None, DEMO) is None
    assert source_dependencies(None, b"[project]", DEMO) is None


@pytest.mark.parametrize(
    "text",
    [
        b"\xff",
        b"[project",
        b"project = 1",
        b'[project]\nname = "other"',
        b'[project]\nname = "demo"\ndependencies = "b"',
        b'[project]\nname = "demo"\ndependencies = [1]',
        b'[project]\nname = "demo"\noptional-dependencies = []',
        b"a = " + b"[" * 5000,
        f"a = {HUGE}".encode(),
    ],
)
def test_a_broken_pyproject_is_refused(text: bytes) -> None:
    """It is no answer to what the file needs."""
    with pytest.raises(BadMetadata):
        source_dependencies(None, text, DEMO)


def test_what_a_build_needs() -> None:
    """`build-system.requires`, or what PEP 517 says where there is none."""
    requires, notes = build_requirements(PROJECT)
    assert [str(requirement) for requirement in requires] == ["hatchling>=1", "x>=1"]
    assert len(notes) == 1
    for nothing in (None, b"", b"[build-system]"):
        assert [str(requirement) for requirement in build_requirements(nothing)[0]] == ["setuptools>=40.8.0"]
    assert build_requirements(b"[build-system]\nrequires = []") == ((), ())
    with pytest.raises(BadMetadata):
        build_requirements(b"build-system = 1")
