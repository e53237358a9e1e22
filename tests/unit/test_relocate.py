"""Locks with the URLs of the mirrored trees: what is replaced, what stays, and what is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from mirror.locks.relocate import Place, Relocated, Relocation
from mirror.model.names import Digest

LOCKS = Path(__file__).parent / "locks"
A, B, C = ("a" * 64, "b" * 64, "c" * 64)
OUT, IN = "https://pypi.example.com", "https://mirror.example.com"


def _places(**trees: str) -> dict[Digest, list[Place]]:
    """By tree, the digests of its files, a letter each."""
    found: dict[Digest, list[Place]] = {}
    for tree, letters in trees.items():
        for letter in letters:
            place = Place(f"{IN}/{tree}/simple/", f"{IN}/{tree}/packages/{letter}")
            found.setdefault(Digest("sha256", letter * 64), []).append(place)
    return found


def _relocated(text: str, places: Mapping[Digest, Sequence[Place]]) -> Relocated:
    lock = Relocation(Path("a.lock"), text.encode())
    made = lock.to(places)
    assert made is not None, lock.problems
    return made


def _uv(*packages: tuple[str, str]) -> str:
    """A uv.lock of packages, each with its index and the letters of its files."""
    return "".join(
        f'[[package]]\nsource = {{ registry = "{OUT}/{index}" }}\nwheels = [\n'
        + "".join(f'  {{ url = "{OUT}/files/{x}-1.whl", hash = "sha256:{x * 64}" }}, # it\'s\n' for x in letters)
        + "]\n"
        for index, letters in packages
    )


@pytest.mark.parametrize(
    "name",
    ["made-by-uv.lock", "made-by-uv-forks.lock", "pylock-of-uv.toml", "pylock-of-pip.toml", "pylock-of-pdm.toml"],
)
def test_nothing_but_urls_changes_in_real_locks(name: str) -> None:
    """Every file found; what is not a URL is the same, letter by letter."""
    document = (LOCKS / name).read_bytes()
    lock = Relocation(LOCKS / name, document)
    digests = sorted(lock.wanted)
    places = {digest: [Place(f"{IN}/first/simple/", f"{IN}/{digest.hex}")] for digest in digests}
    made = lock.to(places)
    assert made is not None
    assert (made.missing, made.moved >= len(digests) > 0) == ((), True)
    url = re.compile(r"[a-z]+://[^\"']+")
    assert url.sub("", made.text) == url.sub("", document.decode())
    left = {found for found in url.findall(made.text) if not found.startswith(IN)}
    assert left == ({"file:///app/flat"} if "forks" in name else set())  # a folder, in which there are no URLs


def test_an_index_is_the_tree_that_has_the_most_of_its_files() -> None:
    """A file that two trees have is taken from the one of its index."""
    made = _relocated(_uv(("one", "ab"), ("two", "ac")), _places(second="abc", first="ab", third="c"))
    text = _uv(("one", "ab"), ("two", "ac")).replace(f'"{OUT}/two"', f'"{IN}/second/simple/"')
    text = text.replace(f'"{OUT}/one"', f'"{IN}/second/simple/"')
    for letter in "abc":
        text = text.replace(f'"{OUT}/files/{letter}-1.whl"', f'"{IN}/second/packages/{letter}"')
    assert made == Relocated(text, 4, ())


def test_a_file_that_only_another_tree_has_is_taken_from_there() -> None:
    """The digest says that it is the same file."""
    made = _relocated(_uv(("one", "abc")), _places(first="ab", second="c"))
    assert f'"{IN}/second/packages/c"' in made.text
    assert f'registry = "{IN}/first/simple/"' in made.text


def test_what_no_tree_has_keeps_its_urls_and_is_named() -> None:
    """With its index, if nothing of that was found."""
    made = _relocated(_uv(("one", "a"), ("two", "b")), _places(first="a"))
    assert (made.moved, made.missing) == (1, ("b-1.whl",))
    assert made.text.endswith(_uv(("two", "b")))


def test_the_index_of_a_requirement_follows() -> None:
    """uv compares it with what is configured."""
    lock = _uv(("one", "a")) + f'[package.metadata]\nrequires-dist = [{{ name = "x", index = "{OUT}/one" }}]\n'
    made = _relocated(lock, _places(first="a"))
    assert f'{{ name = "x", index = "{IN}/first/simple/" }}' in made.text


def test_any_digest_that_can_be_checked_finds_a_file() -> None:
    """One of several is enough; others are passed over."""
    lock = f"""
[[packages]]
wheels = [
  {{ url = '{OUT}/a', hashes = {{ md5 = 7, sha256 = "{A}", rot13 = "{B}" }} }},
  {{ url = '{OUT}/b', hashes = {{ rot13 = "{B}" }} }},
  {{ url = '{OUT}/c', hash = "{C}" }},
  {{ url = 'https://[', hash = "sha256:{C}" }},
]
"""
    relocation = Relocation(Path("pylock.toml"), lock.encode())
    assert relocation.wanted == {Digest("sha256", A), Digest("sha256", C)}
    made = relocation.to(_places(first="a"))
    assert made == Relocated(lock.replace(f"{OUT}/a", f"{IN}/first/packages/a"), 1, ("a file without a proper name",))


@pytest.mark.parametrize("name", ["made-by-poetry.lock", "made-by-pdm.lock"])
def test_a_lock_without_urls_is_told_apart(name: str) -> None:
    """There is nothing to rewrite in it."""
    (problem,) = Relocation(LOCKS / name, (LOCKS / name).read_bytes()).problems
    assert problem.what == "pins no URLs of files with digests"


def test_what_is_not_toml_is_told_once() -> None:
    """A requirements file, for example."""
    (problem,) = Relocation(Path("requirements.txt"), b"alpha==1.0 --hash=sha256:00\n").problems
    assert "is not TOML" in problem.what


def test_a_lock_whose_urls_cannot_be_found_in_its_text_is_refused() -> None:
    """Escaped in a way that no tool does: nothing is given out rather than something else."""
    lock = Relocation(Path("a.lock"), _uv(("one", "a")).replace("files/a", "files/\\u0061").encode())
    assert lock.to(_places(first="a")) is None
    (problem,) = lock.problems
    assert "cannot be replaced safely" in problem.what
