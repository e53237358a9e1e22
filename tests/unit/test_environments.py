"""Machines by name: the tags and markers that their installers have, on whatever machine this runs."""

from __future__ import annotations

import platform
import re
import sys

import pytest
from packaging.markers import Marker, default_environment
from packaging.tags import sys_tags

from mirror.errors import InvalidName
from mirror.model.names import distribution, filename, project_name
from mirror.plan.environments import environment, fits

HOST = [str(tag) for tag in sys_tags()]
GLIBC = re.search(r"manylinux_2_([0-9]+)_", " ".join(HOST))


@pytest.mark.skipif(
    GLIBC is None or platform.python_implementation() != "CPython" or sys.version_info.releaselevel != "final",
    reason="this machine is none that can be named",
)
def test_this_machine_by_name_is_this_machine() -> None:
    """The same tags in the same order as `sys_tags`, and the same markers, but for what no name tells."""
    assert GLIBC is not None
    threaded = HOST[0].partition("-")[2].startswith(f"cp3{sys.version_info.minor}t")
    found = environment(
        "here",
        platform.python_version(),
        f"manylinux_2_{GLIBC[1]}_{platform.machine()}",
        free_threaded=threaded,
    )
    assert [str(tag) for tag in found.tags] == HOST
    theirs = {key: value for key, value in default_environment().items() if key != "extra"}
    untold = {"platform_release": "", "platform_version": ""}
    assert found.markers == theirs | untold
    assert found.exact


FITTING = [
    ("3.11", "manylinux_2_28_x86_64", "cp311-cp311-manylinux_2_28_x86_64", True),
    ("3.11", "manylinux_2_28_x86_64", "cp311-cp311-manylinux_2_5_x86_64.manylinux1_x86_64", True),
    ("3.11", "manylinux_2_28_x86_64", "cp311-cp311-manylinux_2_29_x86_64", False),
    ("3.11", "manylinux_2_28_x86_64", "cp311-cp311-musllinux_1_1_x86_64", False),
    ("3.11", "manylinux_2_28_x86_64", "cp311-cp311-linux_x86_64", True),
    ("3.11", "manylinux_2_28_x86_64", "cp37-abi3-manylinux2014_x86_64", True),
    ("3.11", "manylinux_2_28_x86_64", "cp312-abi3-manylinux2014_x86_64", False),
    ("3.11", "manylinux_2_28_x86_64", "cp39-cp39-manylinux2014_x86_64", False),
    ("3.11", "manylinux_2_28_x86_64", "cp39-none-any", False),
    ("3.11", "manylinux_2_28_x86_64", "cp311-none-any", True),
    ("3.11", "manylinux_2_28_x86_64", "py2.py3-none-any", True),
    ("3.11", "manylinux_2_28_x86_64", "py312-none-any", False),
    ("3.11", "manylinux_2_28_x86_64", "py2-none-any", False),
    ("3.11", "manylinux2010_x86_64", "cp311-cp311-manylinux2010_x86_64", True),
    ("3.11", "manylinux2010_x86_64", "cp311-cp311-manylinux2014_x86_64", False),
    ("3.11", "manylinux1_i686", "cp311-cp311-manylinux1_i686", True),
    ("3.11", "manylinux2014_aarch64", "cp311-cp311-manylinux_2_17_aarch64", True),
    ("3.11", "manylinux_2_17_aarch64", "cp311-cp311-manylinux_2_5_aarch64", False),
    ("3.12", "musllinux_1_2_x86_64", "cp312-cp312-musllinux_1_1_x86_64", True),
    ("3.12", "musllinux_1_1_x86_64", "cp312-cp312-musllinux_1_2_x86_64", False),
    ("3.12", "musllinux_1_2_x86_64", "cp312-cp312-manylinux1_x86_64", False),
    ("3.12", "linux_armv7l", "cp312-cp312-linux_armv7l", True),
    ("3.12", "linux_x86_64", "cp312-cp312-manylinux1_x86_64", False),
    ("3.12", "macosx_14_0_arm64", "cp312-cp312-macosx_11_0_arm64", True),
    ("3.12", "macosx_14_0_arm64", "cp312-cp312-macosx_10_9_universal2", True),
    ("3.12", "macosx_14_0_arm64", "cp312-cp312-macosx_10_9_x86_64", False),
    ("3.12", "macosx_14_0_arm64", "cp312-cp312-macosx_15_0_arm64", False),
    ("3.12", "macosx_10_13_x86_64", "cp312-cp312-macosx_10_9_x86_64", True),
    ("3.12", "win_amd64", "cp312-cp312-win_amd64", True),
    ("3.12", "win_amd64", "cp312-cp312-win32", False),
    ("3.12", "win_arm64", "py3-none-win_arm64", True),
    ("3.10", "manylinux_2_28_x86_64 pp", "pp310-pypy310_pp73-manylinux_2_28_x86_64", True),
    ("3.10", "manylinux_2_28_x86_64 pp", "cp310-cp310-manylinux_2_28_x86_64", False),
    ("3.10", "manylinux_2_28_x86_64 pp", "pp3-none-any", True),
    ("3.10", "manylinux_2_28_x86_64 pp", "py3-none-any", True),
    ("3.14", "manylinux_2_28_x86_64 t", "cp314-cp314t-manylinux_2_28_x86_64", True),
    ("3.14", "manylinux_2_28_x86_64 t", "cp314-cp314-manylinux_2_28_x86_64", False),
    ("3.14", "manylinux_2_28_x86_64 t", "cp37-abi3-manylinux_2_28_x86_64", False),
    ("3.14", "manylinux_2_28_x86_64", "cp314-cp314t-manylinux_2_28_x86_64", False),
]


@pytest.mark.parametrize(("python", "machine", "wheel", "fitting"), FITTING)
def test_which_wheels_fit(python: str, machine: str, wheel: str, fitting: bool) -> None:
    """Older libraries, stable ABIs and pure Python do; other machines, and newer ones, do not."""
    name, _, kind = machine.partition(" ")
    implementation = "pp" if kind == "pp" else "cp"
    found = environment("x", python, name, implementation, free_threaded=kind == "t")
    assert fits(distribution(filename(f"a-1.0-{wheel}.whl"), project_name("a")).tags, found) is fitting


def test_nothing_comes_from_this_machine() -> None:
    """Every tag is of the machine that was named, and every marker is given."""
    for name, word in (("win_amd64", "win_amd64"), ("macosx_14_0_arm64", "macosx"), ("musllinux_1_2_s390x", "s390x")):
        found = environment("x", "3.12", name)
        assert {tag.platform for tag in found.tags if word not in tag.platform} == {"any"}
        assert found.markers.keys() == default_environment().keys() - {"extra"}


@pytest.mark.parametrize(
    ("python", "name", "implementation", "marker"),
    [
        ("3.12", "win_amd64", "cp", "os_name == 'nt' and sys_platform == 'win32' and platform_machine == 'AMD64'"),
        ("3.12", "win32", "cp", "platform_system == 'Windows' and platform_machine == 'x86'"),
        ("3.12", "win_arm64", "cp", "platform_machine == 'ARM64'"),
        ("3.12", "macosx_14_0_arm64", "cp", "sys_platform == 'darwin' and platform_machine == 'arm64'"),
        ("3.12", "macosx_10_13_x86_64", "cp", "platform_system == 'Darwin' and platform_machine == 'x86_64'"),
        ("3.12.4", "manylinux_2_28_aarch64", "cp", "python_full_version == '3.12.4' and platform_machine == 'aarch64'"),
        ("3.12", "musllinux_1_2_x86_64", "cp", "python_version == '3.12' and python_full_version == '3.12.0'"),
        ("3.12", "linux_ppc64le", "cp", "sys_platform == 'linux' and implementation_name == 'cpython'"),
        ("3.10", "manylinux_2_28_x86_64", "pp", "platform_python_implementation == 'PyPy'"),
        ("3.10", "manylinux_2_28_x86_64", "pp", "implementation_name == 'pypy' and python_version < '3.11'"),
    ],
)
def test_markers(python: str, name: str, implementation: str, marker: str) -> None:
    """As the interpreter there has them."""
    found = environment("x", python, name, implementation)
    assert Marker(marker).evaluate({**found.markers})
    assert found.exact is (python.count(".") == 2)


IMPOSSIBLE = [
    ("python", "2.7", "win_amd64", {}),
    ("python", "3", "win_amd64", {}),
    ("python", "3.011", "win_amd64", {}),
    ("python", "3.11rc1", "win_amd64", {}),
    ("python", "3.5", "manylinux_2_28_x86_64", {"implementation": "pp"}),
    ("platform", "3.11", "manylinux_2_16_aarch64", {}),
    ("platform", "3.11", "manylinux_2_4_x86_64", {}),
    ("platform", "3.11", "manylinux2010_aarch64", {}),
    ("platform", "3.11", "manylinux_3_1_x86_64", {}),
    ("platform", "3.11", "manylinux_2_28_sparc", {}),
    ("platform", "3.11", "musllinux_2_1_x86_64", {}),
    ("platform", "3.11", "macosx_10_15_arm64", {}),
    ("platform", "3.11", "macosx_10_3_x86_64", {}),
    ("platform", "3.11", "macosx_14_0_ppc", {}),
    ("platform", "3.11", "win_x86", {}),
    ("platform", "3.11", "any", {}),
    ("platform", "3.11", "", {}),
    ("implementation", "3.11", "win_amd64", {"implementation": "jy"}),
    ("free-threaded", "3.12", "win_amd64", {"free_threaded": True}),
    ("free-threaded", "3.13", "win_amd64", {"free_threaded": True, "implementation": "pp"}),
]


@pytest.mark.parametrize(("kind", "python", "name", "more"), IMPOSSIBLE)
def test_what_no_machine_can_be_is_refused(kind: str, python: str, name: str, more: dict[str, bool]) -> None:
    """With the key that is wrong."""
    with pytest.raises(InvalidName) as caught:
        environment("x", python, name, **more)  # type: ignore[arg-type]
    assert caught.value.kind == kind
