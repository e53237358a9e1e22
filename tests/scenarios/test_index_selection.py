"""What is wanted of an index, PEP 792 markers, and runs that only look."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import httpx
import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from tests.site import Site
from tests.world import Index, World


@pytest.fixture
def index(world: World) -> Index:
    """Three projects with two versions each, and a pre-release."""
    index = world.add_index("first")
    for name in ("acme-a", "acme-b", "one"):
        for version in ("1.0", "2.0"):
            index.add(build_wheel(name, version))
    index.add(build_wheel("one", "3.0rc1"))
    return index


@pytest.mark.parametrize(
    ("projects", "wanted"),
    [
        (["one"], {"one-1.0", "one-2.0", "one-3.0rc1"}),
        (["ONE>=2.0,<3"], {"one-2.0"}),
        (["one>=2.0,<4"], {"one-2.0", "one-3.0rc1"}),
        (["one==1.0", "one==2.0"], {"one-1.0", "one-2.0"}),
        (["acme-*"], {"acme_a-1.0", "acme_a-2.0", "acme_b-1.0", "acme_b-2.0"}),
        (["Acme.?", "one<2"], {"acme_a-1.0", "acme_a-2.0", "acme_b-1.0", "acme_b-2.0", "one-1.0"}),
        (["acme-*", "acme-a==1.0"], {"acme_a-1.0", "acme_a-2.0", "acme_b-1.0", "acme_b-2.0"}),
    ],
)
def test_names_globs_and_specifiers_choose(site: Site, index: Index, projects: list[str], wanted: set[str]) -> None:
    """Entries add up, names normalise, a pre-release counts by its version; only what is wanted is fetched."""
    site.configure(index, projects=projects)
    assert site.sync().code == 0
    names = {f"{name}-py3-none-any.whl" for name in wanted}
    assert set(site.files("first")) == names
    assert {Path(entry.path).name for entry in site.world.requests(path_contains="/files/")} == names


@pytest.mark.parametrize("entry", ["One_>=2", "one[extra]", "one; python_version < '3'", "one @ https://x/", "a/b", ""])
def test_an_entry_that_means_nothing_is_a_configuration_error(site: Site, index: Index, entry: str) -> None:
    """A wish that cannot be read is refused as a whole, before anything is asked."""
    httpx.get(site.world.fallback.url, trust_env=False)  # the world is up before it is left again
    site.configure(index, projects=["one", entry])
    outcome = site.run("sync", "-c", str(site.config))
    assert outcome.code == 2
    assert "projects" in outcome.err
    assert not site.root.exists()


def test_a_changed_selection_is_followed_at_once(site: Site, index: Index) -> None:
    """Pages that did not change are judged anew: nothing hides behind a 304, nothing held is fetched twice."""
    site.configure(index, projects=["one==1.0", "acme-a"])
    assert site.sync().code == 0
    assert len(site.files("first")) == 3
    site.configure(index, projects=["one", "acme-*"])
    assert site.sync().code == 0
    assert len(site.files("first")) == 7
    site.configure(index, projects=["one<3", "acme-*"])
    outcome = site.sync()
    assert outcome.code == 0
    assert outcome.index("first")["withdrawn"] == ["one-3.0rc1-py3-none-any.whl"]
    site.configure(index, projects=["one==2.0", "acme-*"])
    assert site.sync().code == 0
    assert {name for name in site.files("first") if name.startswith("one")} == {"one-2.0-py3-none-any.whl"}
    site.configure(index)
    assert site.sync().code == 0
    assert len(site.files("first")) == 7
    paths = [entry.path for entry in site.world.requests(path_contains="/files/")]
    assert len(paths) == len(set(paths)) == 7


def test_a_narrowed_selection_of_names_withdraws_the_rest(site: Site, index: Index) -> None:
    """The operator's own word removes: what is no longer wanted goes, or the run says how to confirm it."""
    site.configure(index)
    assert site.sync().code == 0
    site.configure(index, projects=["one", "acme-a"])
    assert site.sync().code == 0
    assert site.projects("first") == ["acme-a", "one"]


def test_a_project_that_the_index_does_not_have_is_named(site: Site, index: Index) -> None:
    """A name in `projects` that leads nowhere is in the report, and the others are mirrored."""
    site.configure(index, projects=["one", "nowhere"])
    outcome = site.sync()
    assert outcome.code == 3
    (trouble,) = outcome.index("first")["troubles"]
    assert (trouble["project"], trouble["reason"]) == ("nowhere", "not-found")
    assert site.projects("first") == ["one"]


def test_markers_come_and_go(site: Site, index: Index) -> None:
    """PEP 792: quarantine takes the files from the page, archiving keeps them; no download is needed to go back."""
    site.configure(index)
    assert site.sync().code == 0
    before = site.page("first", "one")
    site.world.clear()
    index.status("quarantined", "malware & <more>", project="one")
    assert site.sync().code == 0
    page = site.page("first", "one")
    assert page["files"] == []
    assert page["meta"]["api-version"] == "1.4"
    assert page["project-status"] == {"status": "quarantined", "reason": "malware & <more>"}
    html = (site.root / "public/current/first/simple/one/index.html").read_text()
    assert 'content="malware &amp; &lt;more&gt;"' in html
    assert "one-1.0" not in html
    index.status("archived", None, project="one")
    assert site.sync().code == 0
    page = site.page("first", "one")
    assert page["project-status"] == {"status": "archived"}
    assert page["files"] == before["files"]
    index.status(None, project="one")
    assert site.sync().code == 0
    assert site.page("first", "one") == before
    assert not site.world.requests(path_contains="/files/")


def test_quarantining_everything_is_followed_without_being_asked(site: Site, index: Index) -> None:
    """A marker is a clear word: it needs nobody's acceptance, however much it takes away."""
    site.configure(index)
    assert site.sync().code == 0
    index.status("quarantined")
    outcome = site.sync()
    assert outcome.code == 0
    assert site.files("first") == {}
    index.status(None)
    assert site.sync().code == 0
    assert len(site.files("first")) == 7


def _everything(site: Site) -> dict[str, str]:
    """What is on disk below the root, but for the lock and empty directories of work."""
    found = {}
    for folder, _, files in os.walk(site.root):
        for name in files:
            path = Path(folder, name)
            found[str(path.relative_to(site.root))] = hashlib.sha256(path.read_bytes()).hexdigest()
    found.pop("lock", None)
    return found


@pytest.mark.parametrize("before", [False, True])
def test_a_dry_run_changes_nothing(site: Site, index: Index, before: bool) -> None:
    """`--dry-run` says what a run would fetch and withdraw, asks for no file, and leaves the disk as it was."""
    site.configure(index)
    if before:
        assert site.sync().code == 0
    index.remove("one-1.0-py3-none-any.whl")
    index.add(build_wheel("one", "4.0"))
    index.add(build_sdist("new", "1.0"), core_metadata=True)
    disk = _everything(site)
    site.world.clear()
    outcome = site.sync("--dry-run")
    assert outcome.code == 0
    assert _everything(site) == disk
    assert list((site.root / "tmp").iterdir()) == []
    assert not site.world.requests(path_contains="/files/")
    assert outcome.report["dry-run"] is True
    assert not outcome.report["published"]
    assert outcome.index("first")["to-fetch"] == (2 if before else 8)
    assert outcome.index("first")["to-fetch-bytes"] > 0
    if before:
        assert outcome.index("first")["withdrawn"] == ["one-1.0-py3-none-any.whl"]
    real = site.sync()
    assert real.index("first")["files-fetched"] == outcome.index("first")["to-fetch"]
    assert real.index("first")["withdrawn"] == outcome.index("first")["withdrawn"]
