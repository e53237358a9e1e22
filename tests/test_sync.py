"""The main job, and running it again: what is published follows the indexes, and nothing else moves."""

from __future__ import annotations

from mirror.cli.wheels import build_sdist, build_wheel
from tests.site import Site
from tests.world import World


def test_two_indexes_become_two_trees_and_a_second_night_changes_nothing(site: Site, world: World) -> None:
    """Every file arrives with its index's credential; unchanged pages cost one conditional request each."""
    first, second = world.add_index("first"), world.add_index("second", format="html")
    first.add(build_wheel("one", "1.0"), core_metadata=True)
    second.add(build_wheel("two", "2.0"))
    second.add(build_sdist("two", "2.0"), yanked="broken")
    site.configure(first, second, trees={"all": ["first", "second"]})

    assert site.sync().code == 0
    assert set(site.files("first")) == {"one-1.0-py3-none-any.whl"}
    assert site.files("second")["two-2.0.tar.gz"]["yanked"] == "broken"
    assert set(site.files("all")) == {"one-1.0-py3-none-any.whl", "two-2.0-py3-none-any.whl", "two-2.0.tar.gz"}
    assert not world.crossed()
    assert {line["index"] for line in site.manifest() if line["kind"] == "file"} == {"first", "second"}

    world.clear()
    again = site.sync()
    assert again.code == 0
    assert not again.report["published"]
    assert site.generation == 1
    assert world.not_modified() == len(world.log) == 4
    assert again.index("second")["files-kept"] == 2


def test_yanks_removals_and_additions_are_followed(site: Site, world: World) -> None:
    """A yank comes and goes, an unlisted file is withdrawn, a new one is fetched, and nothing else is."""
    index = world.add_index("first")
    for version in ("1.0", "1.1", "1.2"):
        index.add(build_wheel("one", version))
    site.configure(index)
    assert site.sync().code == 0

    index.yank("one-1.0-py3-none-any.whl", "bad metadata")
    index.remove("one-1.1-py3-none-any.whl")
    index.add(build_wheel("one", "1.3"))
    world.clear()
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.index("first")["withdrawn"] == ["one-1.1-py3-none-any.whl"]
    files = site.files("first")
    assert set(files) == {f"one-{version}-py3-none-any.whl" for version in ("1.0", "1.2", "1.3")}
    assert files["one-1.0-py3-none-any.whl"]["yanked"] == "bad metadata"
    assert [entry.path for entry in world.requests(path_contains=".whl")] == ["/first/files/one-1.3-py3-none-any.whl"]

    index.unyank("one-1.0-py3-none-any.whl")
    assert site.sync().code == 0
    assert "yanked" not in site.files("first")["one-1.0-py3-none-any.whl"]
    assert site.generation == 3
