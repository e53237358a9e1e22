"""Bounds: sizes, counts, retries, and how many requests travel at the same time (I13)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, overload

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Answer, Close, Drip, Raw, Reply, Request, World, faults
from tests.world.http1 import head
from tests.world.messages import Step

BIG, SMALL = build_wheel("one", "1.0", payload=50_000), build_wheel("one", "1.1")


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("framed", [True, False])
def test_a_file_above_the_limit_is_not_fetched(site: Site, world: World, announced: bool, framed: bool) -> None:
    """`max-file-size` holds whether page and server tell the size or not, and is asked about once."""
    index = world.add_index("first")
    index.add(BIG, size=announced)
    index.add(SMALL)
    if not framed:
        index.intercept(BIG.filename, [faults.chunked], forever=True)
    site.configure(index, max_file_size=40_000)
    outcome = site.sync()
    assert outcome.code == 3
    (trouble,) = outcome.index("first")["troubles"]
    assert (trouble["file"], trouble["reason"]) == (BIG.filename, "too-large")
    assert set(site.files("first")) == {SMALL.filename}
    assert len(world.requests(path_contains=BIG.filename)) <= 1
    site.configure(index)
    assert site.sync().code == 0
    assert set(site.files("first")) == {BIG.filename, SMALL.filename}


@pytest.mark.parametrize("key", ["max_page_size", "max_files_per_page"])
@pytest.mark.parametrize("form", ["json", "html"])
def test_a_page_above_the_limit_costs_its_project_only(site: Site, world: World, key: str, form: str) -> None:
    """`max-page-size` and `max-files-per-page` keep what is held of the project, and nothing else stops."""
    index = world.add_index("first", format=form)  # type: ignore[arg-type]
    index.add(SMALL)
    index.add(build_wheel("two", "1.0"))
    limit = {"max_page_size": 4_000, "max_files_per_page": 10}[key]
    keys: dict[str, Any] = {key: limit, "tries": 1}
    site.configure(index, **keys)
    assert site.sync().code == 0
    for number in range(30):
        index.add(build_wheel("one", f"2.{number}"))
    index.add(build_wheel("two", "1.1"))
    outcome = site.sync()
    assert outcome.code == 3
    (trouble,) = outcome.index("first")["troubles"]
    assert (trouble["project"], trouble["reason"] in {"too-large", "bad-page"}) == ("one", True)
    assert set(site.files("first")) == {SMALL.filename, "two-1.0-py3-none-any.whl", "two-1.1-py3-none-any.whl"}
    site.configure(index)
    assert site.sync().code == 0
    assert len(site.files("first")) == 33


def test_503_for_half_of_the_requests_succeeds_and_the_retries_are_counted(site: Site, world: World) -> None:
    """Fault 27: every file comes, and the report says how many tries it took."""
    index = world.add_index("first")
    for number in range(12):
        index.add(build_wheel("one", f"1.{number}"))
    index.intercept(".whl", [faults.status(503), faults.honest], forever=True)
    site.configure(index, concurrency=4, tries=8)
    outcome = site.sync()
    assert outcome.code == 0
    assert len(site.files("first")) == 12
    assert outcome.index("first")["retries"] == len(world.requests(status=503)) > 0
    assert outcome.index("first")["requests"] == len(world.log)


def test_half_of_many_requests_failing_is_told_honestly_and_made_good(site: Site, world: World) -> None:
    """Fault 27 beyond the budget of retries: what did not come is named one by one, and the next run has it."""
    index = world.add_index("first")
    for number in range(60):
        index.add(build_wheel("one", f"1.{number}"))
    broken = [True]
    index.intercept(
        lambda request: broken[0] and request.path.endswith(".whl"),
        [faults.status(503), faults.honest],
        forever=True,
    )
    site.configure(index, concurrency=8)
    outcome = site.sync()
    missing = {trouble["file"] for trouble in outcome.index("first")["troubles"]}
    assert (outcome.code, len(site.files("first"))) == (3 if missing else 0, 60 - len(missing))
    broken[0] = False
    world.clear()
    assert site.sync().code == 0
    assert len(site.files("first")) == 60
    assert len(world.requests(path_contains=".whl")) == len(missing)


def test_an_index_is_never_asked_more_at_once_than_its_concurrency(site: Site, world: World) -> None:
    """`concurrency` of an index bounds pages and files together, and is made use of."""
    first, second = world.add_index("first", latency=0.02), world.add_index("second", latency=0.02)
    for index in (first, second):
        for number in range(12):
            index.add(build_wheel(f"p{number}", "1.0"))
    site.configure(first, second, first={"concurrency": 2}, second={"concurrency": 5})
    assert site.sync().code == 0
    assert world.peaks["first"] == 2
    assert 2 < world.peaks["second"] <= 5


class _Counted(Sequence[Step]):
    """The steps of an honest answer, counting itself while it is on its way."""

    def __init__(self, active: dict[str, int], reply: Reply) -> None:
        self._active, self._reply = active, reply

    def __iter__(self) -> Iterator[Step]:
        active, body = self._active, self._reply.body
        active["now"] += 1
        active["most"] = max(active["most"], active["now"])
        yield head(self._reply)
        yield Drip(body[:20], 0.001)
        yield body[20:-1]
        active["now"] -= 1
        yield body[-1:]
        yield Close()

    @overload
    def __getitem__(self, index: int) -> Step: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Step]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return (head(self._reply), Close())[index]

    def __len__(self) -> int:
        return 2


def test_all_indexes_together_stay_below_the_concurrency_of_the_run(site: Site, world: World) -> None:
    """The `concurrency` at the top bounds the requests to all indexes, whatever each of them allows."""
    indexes = [world.add_index(f"i{number}") for number in range(4)]
    active = {"now": 0, "most": 0}

    def counted(_request: Request, reply: Reply) -> Answer:
        return Raw(_Counted(active, reply))

    for index in indexes:
        for number in range(6):
            index.add(build_wheel(f"p{number}", "1.0"))
        index.intercept("/", [counted], forever=True)
    site.configure(*indexes, top={"concurrency": 3}, concurrency=8)
    assert site.sync().code == 0
    assert active["most"] == 3


def test_a_page_of_a_million_links_is_refused_in_time(site: Site, world: World) -> None:
    """Fault 40: the bound on links is checked, and the other projects are mirrored."""
    index = world.add_index("first")
    index.add(SMALL)
    index.add(build_wheel("two", "1.0"))
    entry = {"filename": SMALL.filename, "url": "x", "hashes": {}}
    page = json.dumps({"meta": {"api-version": "1.0"}, "name": "one", "files": [entry] * 300_000}).encode()
    index.intercept("/simple/one/", [faults.status(200, body=page)], forever=True)
    site.configure(index, tries=1)
    outcome = site.sync()
    assert outcome.code == 3
    assert set(site.files("first")) == {"two-1.0-py3-none-any.whl"}
