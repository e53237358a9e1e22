"""I14: the digest first seen under a name stays, also after the file was withdrawn; what differs is set aside."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mirror.cli.wheels import Artifact, build_wheel
from tests.invariants import violations
from tests.site import Site
from tests.world import Index, World, faults

OLD = build_wheel("one", "1.0")
NEW = Artifact(OLD.filename, build_wheel("one", "1.0", payload=6_000).content, b"")
ACCEPT = ("--accept-changed", f"first/{OLD.filename}")


@pytest.fixture
def index(site: Site, world: World) -> Index:
    """One published index with the old file and another one."""
    index = world.add_index("first")
    index.add(OLD)
    index.add(build_wheel("one", "2.0"))
    site.configure(index)
    assert site.sync().code == 0
    return index


def _served(site: Site) -> str | None:
    file = site.files("first").get(OLD.filename)
    return None if file is None else file["hashes"]["sha256"]


def _facts(site: Site) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((site.root / "quarantine" / "first" / f"{OLD.filename}.json").read_text())
    return facts


def test_a_changed_file_is_set_aside_with_the_facts(site: Site, index: Index) -> None:
    """Fault 33: bytes and facts for a person to look at, outside of what is served; the message says what to do."""
    index.add(NEW)
    outcome = site.sync()
    assert outcome.code == 3
    assert " ".join(ACCEPT) in outcome.err
    assert _served(site) == OLD.sha256
    assert (site.root / "quarantine" / "first" / OLD.filename).read_bytes() == NEW.content
    facts = _facts(site)
    assert (facts["index"], facts["project"], facts["file"]) == ("first", "one", OLD.filename)
    assert (facts["reason"], facts["sha256"], facts["size"]) == ("changed-upstream", NEW.sha256, len(NEW.content))
    assert violations(site.root, started_after=True) == []


def test_a_person_can_accept_the_change(site: Site, index: Index) -> None:
    """Then the new bytes are published; older generations keep the old ones, and the next night is quiet."""
    index.add(NEW)
    assert site.sync().code == 3
    assert site.sync(*ACCEPT).code == 0
    assert _served(site) == NEW.sha256
    assert not (site.root / "quarantine" / "first" / OLD.filename).exists()
    assert site.sync().code == 0
    assert violations(site.root, started_after=True) == []


def test_a_change_that_cannot_be_had_keeps_the_old_file(site: Site, index: Index) -> None:
    """Accepted, and then the transfer fails: nothing is lost meanwhile."""
    index.add(NEW)
    index.intercept("one-1.0", [faults.status(404)])
    assert site.sync(*ACCEPT).code == 3
    assert _served(site) == OLD.sha256


@pytest.mark.parametrize("nights", [1, 3])
def test_a_file_that_comes_back_with_other_bytes_is_not_taken(site: Site, index: Index, nights: int) -> None:
    """Deleted and uploaded again: however long it was away."""
    index.remove(OLD.filename)
    assert site.sync().code == 0
    for night in range(nights):
        index.add(build_wheel("two", f"1.{night}"))
        assert site.sync().code == 0
    index.add(NEW)
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.index("first")["troubles"][0]["reason"] == "changed-upstream"
    assert _served(site) is None
    assert site.sync(*ACCEPT).code == 0
    assert _served(site) == NEW.sha256


def test_a_file_that_comes_back_as_it_was_is_not_fetched_again(site: Site, world: World, index: Index) -> None:
    """Its bytes are still there, and its digest is known even where the page names none."""
    index.remove(OLD.filename)
    assert site.sync().code == 0
    index.add(OLD, digests=())
    world.clear()
    assert site.sync().code == 0
    assert _served(site) == OLD.sha256
    assert world.requests(path_contains=".whl") == []


@pytest.mark.parametrize("announced", [False, True])
def test_metadata_that_rotted_meanwhile_does_not_come_back(site: Site, world: World, announced: bool) -> None:
    """A file that comes back is recalled, its metadata only if it is proven: else the wheel or the index has it."""
    index = world.add_index("first")
    index.add(OLD, core_metadata=announced)
    index.add(build_wheel("one", "2.0"))
    site.configure(index)
    assert site.sync().code == 0
    (metadata,) = (site.root / "public" / "packages" / "first").rglob(f"{OLD.filename}.metadata")
    content = metadata.read_bytes()
    index.remove(OLD.filename)
    assert site.sync().code == 0
    metadata.chmod(0o644)
    metadata.write_bytes(content[:-2] + b"!\n")
    index.add(OLD, core_metadata=announced)
    assert site.sync().code == 0
    assert metadata.read_bytes() == content
    assert violations(site.root, started_after=True) == []


def test_other_bytes_without_a_digest_are_found_out_when_they_come(site: Site, index: Index) -> None:
    """A page that names no digest cannot hide the change: what comes is compared with what was seen first."""
    index.remove(OLD.filename)
    assert site.sync().code == 0
    assert site.run("gc", "-c", str(site.config), "--keep", "1", "--grace", "0s").code == 0
    index.add(NEW, digests=(), size=False)
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.index("first")["troubles"][0]["reason"] == "changed-upstream"
    assert _served(site) is None
    assert _facts(site)["sha256"] == NEW.sha256


def test_pins_outlive_rollbacks_garbage_and_a_dropped_index(site: Site, world: World, index: Index) -> None:
    """Whatever happens to generations, the first digest is known."""
    other = world.add_index("other")
    other.add(build_wheel("two", "1.0"))
    index.remove(OLD.filename)
    site.configure(index, other)
    assert site.sync().code == 0
    arguments = ("-c", str(site.config))
    assert site.run("rollback", *arguments, "1").code == 0
    assert _served(site) == OLD.sha256
    assert site.sync().code == 0
    site.configure(other)
    assert site.sync().code == 0
    assert site.run("gc", *arguments, "--keep", "1", "--grace", "0s").code == 0
    index.add(NEW)
    site.configure(index, other)
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.index("first")["troubles"][0]["reason"] == "changed-upstream"
    assert _served(site) is None


def test_a_mismatch_is_set_aside_and_forgotten_when_the_file_is_right(site: Site, world: World) -> None:
    """The last wrong bytes of an archive are there to be looked at; the right ones make them worthless."""
    index = world.add_index("first")
    index.add(OLD)
    index.intercept(".whl", [faults.flipped_bit])
    site.configure(index, tries=1)
    assert site.sync().code == 3
    assert _facts(site)["reason"] == "digest-mismatch"
    place = site.root / "quarantine" / "first" / OLD.filename
    assert len(place.read_bytes()) == len(OLD.content)
    assert place.stat().st_mode & 0o777 == 0o400
    assert site.sync().code == 0
    assert not place.exists()


def test_of_a_page_in_place_of_a_file_only_the_facts_are_kept(site: Site, world: World) -> None:
    """Fault 10: a login page tells nobody anything, and might repeat a secret."""
    index = world.add_index("first")
    index.add(OLD)
    index.intercept(".whl", [faults.login_page])
    site.configure(index, tries=1)
    assert site.sync().code == 3
    assert _facts(site)["size"] > 0
    assert not (site.root / "quarantine" / "first" / OLD.filename).exists()


def test_only_a_configured_index_can_be_named(site: Site, index: Index) -> None:
    """Exit code 2, with the names that there are."""
    assert index.held
    done = site.run("sync", "-c", str(site.config), "--accept-changed", f"nobody/{OLD.filename}")
    assert done.code == 2
    assert "first" in done.err
    assert site.run("sync", "-c", str(site.config), "--accept-changed", "first/../x").code == 2


def test_status_counts_what_is_set_aside(site: Site, index: Index) -> None:
    """An operator sees it without looking for a directory."""
    index.add(NEW)
    assert site.sync().code == 3
    assert "1 in quarantine" in site.run("status", "-c", str(site.config)).out
