"""The resolved choice: what uv takes, with its rules on pre-releases, yanks, indexes and the order of the roots."""

from __future__ import annotations

from functools import partial

import pytest

from mirror.plan.known import Closure
from mirror.plan.resolve import resolve
from tests.unit.shelf import FIRST, LINUX, SECOND, WINDOWS, Shelf, chosen, roots


def _resolved(shelf: Shelf, *texts: str) -> Closure:
    return shelf.settle(roots(*texts), resolve)


def _versions(shelf: Shelf, *texts: str) -> dict[str, str]:
    closure = _resolved(shelf, *texts)
    assert closure.unmet == ()
    return {name: versions[0] for name, versions in chosen(closure).items()}


def _shelf() -> Shelf:
    shelf = Shelf()
    shelf.add("alpha", "1.0", ["beta", 'gamma; sys_platform == "linux"'])
    for version in ("1.0", "1.0+cu121", "2.0", "3.0b1"):
        shelf.add("gamma", version, yanked="broken" if version == "2.0" else False)
    shelf.add("beta", "1.0", ["gamma<1.5", 'delta; extra == "x"'], extras=["x"])
    shelf.add("beta", "2.0", ["gamma>=1.5,<3", 'delta; extra == "x"', 'beta[x]; extra == "all"'], extras=["x", "all"])
    shelf.add("delta", "1.0", ["alpha"])
    shelf.add("only", "1.0a1")
    shelf.add("only", "1.0a2")
    shelf.add("piny", "1.0", ["gamma==2.0"])
    shelf.add("needs-pre", "1.0", ["gamma>=3.0b1"])
    return shelf


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["gamma"], {"gamma": "1.0+cu121"}),
        (["gamma==1.0"], {"gamma": "1.0+cu121"}),
        (["gamma==2.0"], {"gamma": "2.0"}),
        (["gamma>=1.0a1,<9"], {"gamma": "1.0+cu121"}),
        (["gamma>=2.5"], {"gamma": "3.0b1"}),
        (["only"], {"only": "1.0a2"}),
        (["needs-pre"], {"needs-pre": "1.0", "gamma": "3.0b1"}),
        (["beta[all]", "gamma==2.0"], {"beta": "2.0", "gamma": "2.0", "delta": "1.0", "alpha": "1.0"}),
        (["beta"], {"beta": "1.0", "gamma": "1.0+cu121"}),
        (["alpha"], {"alpha": "1.0", "beta": "1.0", "gamma": "1.0+cu121"}),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, list) else "",
)
def test_one_release_of_each_project(texts: list[str], expected: dict[str, str]) -> None:
    """The newest final one that is not yanked, unless something says otherwise."""
    assert _versions(_shelf(), *texts) == expected


def test_the_first_root_gets_what_it_wants() -> None:
    """Of two that cannot both have their newest; the older metadata that this needs is asked for."""
    shelf = Shelf()
    for version in ("1.0", "2.0"):
        shelf.add("big", version, [f"base=={version}"])
        shelf.add("mid", version, [f"base=={'1.0' if version == '2.0' else '2.0'}"])
        shelf.add("base", version)
    assert _versions(shelf, "big", "mid") == {"big": "2.0", "mid": "1.0", "base": "2.0"}
    assert _versions(shelf, "mid", "big") == {"mid": "2.0", "big": "1.0", "base": "1.0"}


def test_what_stands_against_a_solution_is_said() -> None:
    """Requirements that nothing meets, and those that exclude each other, with their chains."""
    shelf = _shelf()
    yanked = "root -> piny 1.0 -> gamma==2.0 (linux): all of it on index first that fits is yanked"
    assert [str(unmet) for unmet in _resolved(shelf, "piny").unmet] == [yanked]
    closure = _resolved(shelf, "gamma<1.5", "needs-pre")
    assert [str(unmet) for unmet in closure.unmet] == [
        "root -> gamma<1.5 (linux): it conflicts with root -> needs-pre 1.0 -> gamma>=3.0b1",
        "root -> needs-pre 1.0 -> gamma>=3.0b1 (linux): it conflicts with root -> gamma<1.5",
    ]
    assert (closure.files, closure.complete) == ({}, False)


def test_what_only_a_release_that_is_passed_over_needs_may_be_unread() -> None:
    """`c` came up, was never read, and is when it is said what stands against a solution."""
    shelf = Shelf()
    shelf.add("a", "1.0")
    shelf.add("b", "1.1", ["a>=1.1"])
    shelf.add("b", "2.0rc1", ["b==1.0", "c"])
    unmet = _resolved(shelf, "b").unmet
    assert {found.requirement for found in unmet} == {"a>=1.1", "b==1.0", "c"}


@pytest.mark.parametrize("broken", ["Requires-Dist: b (>=", "Requires-Python: 3.8"])
def test_a_release_with_metadata_that_cannot_be_read_is_passed_over(broken: str) -> None:
    """As by uv and pip, which take an older one; the superset has both."""
    shelf = Shelf()
    shelf.add("a", "1.0", ["c"])
    shelf.add("a", "2.0", ["d"], header=broken)
    shelf.add("only", "1.0", header=broken)
    shelf.add("c", "1.0")
    shelf.add("d", "1.0")
    assert _versions(shelf, "a") == {"a": "1.0", "c": "1.0"}
    assert chosen(shelf.settle(roots("a"))) == {"a": ["1.0", "2.0"], "c": ["1.0"], "d": ["1.0"]}
    why = "index first has no file of it that fits this Python and can be read in full, as the files themselves say"
    assert [str(unmet) for unmet in _resolved(shelf, "only").unmet] == [f"root -> only (linux): {why}"]


def test_each_environment_has_a_solution_of_its_own() -> None:
    """All files of the chosen release that it can use; the files of all together are wanted."""
    shelf = Shelf()
    shelf.add("a", "1.0", ["c"], ending="cp312-cp312-win_amd64.whl")
    shelf.add("a", "2.0", ["b"], ending="cp311-cp311-manylinux_2_17_x86_64.whl")
    shelf.add("a", "2.0", ["b"], ending="cp311-abi3-linux_x86_64.whl")
    shelf.add("a", "3.0", python=">=3.13")
    for name in "bc":
        shelf.add(name, "1.0")
    closure = shelf.settle(roots("a", 'c<1; sys_platform == "darwin"'), resolve, environments=[LINUX, WINDOWS])
    found = [
        "1.0-cp312-cp312-win_amd64.whl",
        "2.0-cp311-abi3-linux_x86_64.whl",
        "2.0-cp311-cp311-manylinux_2_17_x86_64.whl",
    ]
    assert (chosen(closure), closure.unmet) == ({"a": found, "b": ["1.0"], "c": ["1.0"]}, ())


def test_a_search_without_end_is_given_up() -> None:
    """And said."""
    closure = _shelf().settle(roots("alpha"), partial(resolve, max_rounds=1))
    assert [str(unmet) for unmet in closure.unmet] == ["root -> alpha (linux): no answer after 1 rounds"]
    assert not closure.complete


def test_the_index_that_a_root_names_counts_for_its_project() -> None:
    """Also where something else needs it."""
    shelf = Shelf()
    shelf.add("a", "1.0", ["b"])
    shelf.add("b", "1.0")
    shelf.add("b", "2.0", index=SECOND)
    wanted = roots("b", index=SECOND) + roots("b", index=FIRST) + roots("a")
    assert chosen(shelf.settle(wanted, resolve)) == {"a": ["1.0"], "second/b": ["2.0"]}
