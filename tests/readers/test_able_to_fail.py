"""The readers are known to notice: each thing that they are there for is done wrong once, and reported."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.readers.clients import Installer, Reader
from tests.readers.nights import PROJECTS, Nights, number_of, wheel
from tests.readers.pages import JSON, PLAIN
from tests.readers.states import States
from tests.readers.switches import watching
from tests.readers.web import PROGRAM, Web, web
from tests.site import Site
from tests.world import World
from tests.world.clients import uv_install

needs_nginx = pytest.mark.skipif(not Path(PROGRAM).exists(), reason="nginx is not installed")
_NIGHTS = 4  # the last of them withdraws the first version


@pytest.fixture
def states() -> States:
    """What clients may see."""
    return States()


@pytest.fixture
def nights(site: Site, world: World, states: States) -> Nights:
    """The mirror before the night that withdraws version 1.1 of every project."""
    nights = Nights(site, world, states)
    for _ in range(_NIGHTS - 1):
        nights.publish()
    return nights


@pytest.fixture
def plain(site: Site, nights: Nights) -> Iterator[Web]:
    """nginx without a cache: the check of a page's age is exact."""
    assert nights.number == _NIGHTS - 1
    with web(site.directory / "web", site.root, cache=False) as served:
        yield served


class Slow:
    """Something that happens once, while a reader waits between a page and the page's files."""

    def __init__(self, nights: Nights, *, keep: int, grace: int) -> None:
        self.collected: int | None = None
        self._nights, self._keep, self._grace = nights, keep, grace

    def __call__(self, _project: str) -> None:
        """The first time only: a night that withdraws a file of the page, then `mirror gc`."""
        if self.collected is None:
            self._nights.publish()
            self.collected = self._nights.collect(keep=self._keep, grace=self._grace)


@needs_nginx
@pytest.mark.system
@pytest.mark.parametrize("cache", [True, False])
class TestFault76:
    """A reader that is slower than a night and its garbage collection."""

    def test_without_a_grace_period_a_slow_reader_misses_a_file(
        self, site: Site, nights: Nights, states: States, cache: bool
    ) -> None:
        """What it misses is what was withdrawn, and nothing else."""
        slow = Slow(nights, keep=1, grace=0)
        with (
            web(site.directory / "web", site.root, cache=cache) as served,
            closing(Reader(served, states, JSON, slow)) as reader,
        ):
            reader.cycle()
        assert slow.collected
        missed = [problem.rpartition("/")[2] for problem in reader.problems if "alpha" in problem]
        gone = wheel("alpha", 1)
        assert missed == [f"{gone}: status 404", f"{gone}.metadata: status 404"]

    def test_within_the_grace_period_the_same_reader_has_everything(
        self, site: Site, nights: Nights, states: States, cache: bool
    ) -> None:
        """The withdrawn file is on no page any more and is served all the same."""
        slow = Slow(nights, keep=1, grace=3_600)
        with (
            web(site.directory / "web", site.root, cache=cache) as served,
            closing(Reader(served, states, JSON, slow)) as reader,
        ):
            reader.cycle()
            asked = {Path(seen.uri).name for seen in served.logged()}
        assert slow.collected == 0
        assert wheel("alpha", 1) in asked
        assert wheel("alpha", 1) not in site.files("all")
        assert reader.problems == []


@needs_nginx
@pytest.mark.system
@pytest.mark.parametrize("accept", [JSON, PLAIN])
class TestWrongAnswers:
    """What is published is changed behind the mirror's back."""

    @pytest.fixture
    def reader(self, plain: Web, states: States, accept: str) -> Iterator[Reader]:
        """One that had everything right before."""
        with closing(Reader(plain, states, accept)) as reader:
            reader.cycle()
            assert reader.problems == []
            yield reader

    def test_other_bytes_are_noticed(self, site: Site, reader: Reader) -> None:
        """One bit of one file."""
        (path,) = (site.root / "public" / "packages").rglob(wheel("beta", 2))
        content = bytearray(path.read_bytes())
        content[-1] ^= 1
        path.chmod(0o644)
        path.write_bytes(content)
        reader.cycle()
        (problem,) = reader.problems
        assert wheel("beta", 2) in problem
        assert "other bytes" in problem

    def test_a_mix_of_two_generations_is_noticed(self, site: Site, reader: Reader, nights: Nights) -> None:
        """One file of the generation before on the page of this one: every link works, and no state was ever so."""
        nights.publish()
        before, after = (
            site.root / "gen" / f"{number:06}" / "all" / "simple" / "gamma" for number in (_NIGHTS - 1, _NIGHTS)
        )
        old = json.loads((before / "index.v1_json").read_text())["files"]
        page = json.loads((after / "index.v1_json").read_text())
        _replace(after / "index.v1_json", json.dumps(page | {"files": [*old[:1], *page["files"]]}))
        lines = (before / "index.html").read_text().splitlines()
        anchor = next(line for line in lines if wheel("gamma", 1) in line)
        _replace(after / "index.html", (after / "index.html").read_text().replace("<body>", f"<body>{anchor}"))
        reader.cycle()
        (problem,) = reader.problems
        assert problem.startswith("gamma is as no generation ever was")

    def test_a_project_list_that_never_was_is_noticed(self, site: Site, reader: Reader) -> None:
        """One project less."""
        simple = site.root / "public" / "current" / "all" / "simple"
        page = json.loads((simple / "index.v1_json").read_text())
        _replace(simple / "index.v1_json", json.dumps(page | {"projects": page["projects"][:-1]}))
        lines = (simple / "index.html").read_text().splitlines()
        _replace(simple / "index.html", "\n".join(line for line in lines if PROJECTS[-1] not in line))
        reader.cycle()
        (problem,) = reader.problems
        assert problem.startswith("the project list is as no generation ever was")

    def test_half_a_page_is_noticed(self, site: Site, reader: Reader) -> None:
        """The first bytes of it, with status 200."""
        place = site.root / "public" / "current" / "all" / "simple" / "gamma"
        for name in ("index.html", "index.v1_json"):
            _replace(place / name, (place / name).read_text()[:-10])
        reader.cycle()
        (problem,) = reader.problems
        assert "gamma/ cannot be read" in problem

    def test_a_switch_back_is_noticed(self, site: Site, reader: Reader, nights: Nights) -> None:
        """Every page and the list are right, and of a generation that was over before they were asked for."""
        nights.publish()
        current = site.root / "public" / "current"
        fresh = site.directory / "fresh"
        fresh.symlink_to(f"../gen/{_NIGHTS - 1:06}")
        fresh.replace(current)
        reader.cycle()
        assert len(reader.problems) == len(PROJECTS)
        assert all(f"is of generation {_NIGHTS - 1}, {_NIGHTS} was served" in problem for problem in reader.problems)


@needs_nginx
@pytest.mark.system
@pytest.mark.real
class TestInstallers:
    """What they end with, and what they end up with."""

    @pytest.mark.parametrize("wrong", ["missing", "old"])
    def test_a_failed_or_an_outdated_install_is_noticed(
        self, site: Site, nights: Nights, states: States, plain: Web, wrong: str
    ) -> None:
        """The newest file is gone; or the generation before is served again."""
        uv = Installer(uv_install, plain, states, site.directory / "uv", frozenset(PROJECTS), number_of)
        uv.cycle()
        assert uv.problems == []
        nights.publish()
        if wrong == "missing":
            (path,) = (site.root / "public" / "packages").rglob(wheel("gamma", _NIGHTS))
            path.unlink()
        else:
            fresh = site.directory / "fresh"
            fresh.symlink_to(f"../gen/{_NIGHTS - 1:06}")
            fresh.replace(site.root / "public" / "current")
        uv.cycle()
        (problem,) = uv.problems
        assert ("404" if wrong == "missing" else f"while generations {_NIGHTS} to {_NIGHTS} were served") in problem


class TestSwitches:
    """The kernel's record of `public/current`."""

    def test_a_rename_is_what_is_expected(self, tmp_path: Path) -> None:
        """As often as it happens."""
        _link(tmp_path / "current")
        with watching(tmp_path) as switches:
            for expected in (1, 2):
                _link(tmp_path / "fresh")
                (tmp_path / "fresh").replace(tmp_path / "current")
                switches.look()
                assert (switches.renames, switches.problems) == (expected, [])

    def test_a_moment_without_the_name_is_noticed(self, tmp_path: Path) -> None:
        """However short it was."""
        _link(tmp_path / "current")
        with watching(tmp_path) as switches:
            (tmp_path / "current").unlink()
            _link(tmp_path / "current")
            switches.look()
        assert switches.renames == 0
        assert switches.problems == [
            "public/current was gone for a moment",
            "public/current was made in its place, not renamed",
        ]


def _link(path: Path) -> None:
    path.symlink_to("../gen/000001")


def _replace(path: Path, text: str) -> None:
    """Other content under this name alone: pages are hard links."""
    aside = path.with_name("aside")
    aside.write_text(text)
    aside.replace(path)
