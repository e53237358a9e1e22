"""The plan of a night: made by a dry run, read by a person, and applied as it was, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from tests.scenarios.test_limits import gated, running
from tests.site import Site
from tests.world import Index, World, faults
from tests.world.messages import Hang, Raw

MACHINE = {"name": "prod", "python": "3.11", "platform": "manylinux_2_28_x86_64"}
OLD, NEW = build_wheel("one", "1.0"), build_wheel("one", "2.0")
OTHER = build_wheel("two", "1.0")


@pytest.fixture
def index(site: Site, world: World) -> Index:
    """An index with two projects, one file of which is published already and gone upstream."""
    index = world.add_index("first")
    index.add(OLD)
    index.add(OTHER)
    site.configure(index)
    assert site.sync().code == 0
    index.remove(OLD.filename)
    index.add(NEW)
    return index


def _plan(site: Site) -> tuple[Path, dict[str, Any]]:
    """A plan, in its file and read."""
    path = site.directory / "plan.json"
    outcome = site.sync("--dry-run", "--plan", str(path))
    assert outcome.code == 0
    assert "would fetch 1 files of 1 projects" in outcome.err
    assert f"would withdraw {OLD.filename}" in outcome.err
    return path, json.loads(path.read_text())


def test_a_plan_says_what_would_happen_and_happens(site: Site, index: Index) -> None:
    """Files by name, size and digest and no URL; each page is asked for once when it is applied."""
    path, plan = _plan(site)
    assert index.url not in path.read_text()
    (planned,) = plan["indexes"]
    assert planned["fetch"] == [
        {"project": "one", "filename": NEW.filename, "size": len(NEW.content), "digest": f"sha256={NEW.sha256}"}
    ]
    assert (planned["projects"], planned["keep"], planned["withdraw"]) == (2, 1, [OLD.filename])
    assert plan["generation"] == 1
    site.world.clear()
    outcome = site.sync("--plan", str(path))
    assert outcome.code == 0
    assert outcome.report["generation"] == 2
    assert set(site.files("first")) == {NEW.filename, OTHER.filename}
    assert outcome.index("first")["files-fetched"] == 1
    pages = [entry.path for entry in site.world.requests(path_contains="/simple/")]
    assert sorted(pages) == sorted(set(pages))
    again = site.sync("--plan", str(path))
    assert again.code == 1
    assert "generation 2 is published, not 1" in again.err
    assert again.report["generation"] == 2


def _grown(index: Index) -> None:
    index.add(build_sdist("three", "1.0"))


def _replaced(index: Index) -> None:
    index.remove(NEW.filename)
    index.add(build_wheel("one", "2.0", requires=["other"]))


def _shrunk(index: Index) -> None:
    index.remove(NEW.filename)
    index.add(OLD)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_grown, "three-1.0.tar.gz would now also be fetched"),
        (_replaced, f"{NEW.filename} would no longer be fetched"),
        (_shrunk, f"{OLD.filename} would no longer be withdrawn"),
    ],
)
def test_a_plan_of_another_world_is_refused(
    site: Site, index: Index, change: Callable[[Index], None], said: str
) -> None:
    """What differs is named, no file is asked for, and what is published stays."""
    path, _ = _plan(site)
    change(index)
    site.world.clear()
    outcome = site.sync("--plan", str(path))
    assert outcome.code == 1
    assert said in outcome.err
    assert "make a new plan" in outcome.err
    assert not site.world.requests(path_contains="/files/")
    assert set(site.files("first")) == {OLD.filename, OTHER.filename}
    assert outcome.report["generation"] == 1
    assert site.sync().code == 0


def test_a_plan_of_another_configuration_is_refused(site: Site, index: Index) -> None:
    """Even where the same files would come of it: a tree, for example, is not in the plan."""
    path, _ = _plan(site)
    site.configure(index, trees={"all": ["first"]})
    site.world.clear()
    outcome = site.sync("--plan", str(path))
    assert (outcome.code, outcome.report["generation"]) == (1, 1)
    assert "the configuration is another one" in outcome.err
    assert not site.world.requests()


def test_another_address_in_the_file_of_uv_is_another_configuration(site: Site, world: World, index: Index) -> None:
    """Although `mirror.toml` stays the same to the letter."""
    site.configure(index)
    uv = site.directory / "uv.toml"
    site.config.write_text(f'root = "{site.root}"\nfrom-uv = "uv.toml"\n')
    uv.write_text(f'[[index]]\nname = "first"\nurl = "{index.url}"\n')
    path, _ = _plan(site)
    uv.write_text(f'[[index]]\nname = "first"\nurl = "{index.url}other/"\n')
    world.clear()
    outcome = site.sync("--plan", str(path))
    assert outcome.code == 1
    assert "the configuration is another one" in outcome.err
    assert not world.requests()
    uv.write_text(f'[[index]]\nname = "first"\nurl = "{index.url}"\n')
    assert site.sync("--plan", str(path)).code == 0


def test_another_content_of_a_lock_is_another_configuration(site: Site, index: Index) -> None:
    """The same lock, written anew, is not."""
    lock = site.directory / "requirements.txt"
    lock.write_text(f"one==2.0 --hash=sha256:{NEW.sha256}\n")
    site.configure(index, top={"locks": ["requirements.txt"]})
    path = site.directory / "plan.json"
    assert site.sync("--dry-run", "--plan", str(path)).code == 0
    lock.write_text(f"two==1.0 --hash=sha256:{OTHER.sha256}\n")
    outcome = site.sync("--plan", str(path))
    assert outcome.code == 1
    assert "the configuration is another one" in outcome.err
    lock.write_text(f"one==2.0 --hash=sha256:{NEW.sha256}\n")
    assert site.sync("--plan", str(path)).code == 0


def test_a_plan_that_could_not_be_compared_is_not_applied(
    site: Site, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time was up in the first look: nothing new is published, not even what is known by then."""
    path, _ = _plan(site)
    monkeypatch.setattr("mirror.run.sync.DRAIN", 0.0)
    index.intercept("/simple/two/", [Raw((Hang(),))], forever=True)
    outcome = site.sync("--plan", str(path), "--max-duration", "1s")
    assert outcome.code == 1
    assert "the time was up before the plan was compared" in outcome.err
    assert outcome.report["generation"] == site.generation == 1


def test_a_signal_before_the_comparison_keeps_its_exit_code(site: Site, index: Index) -> None:
    """And nothing new is published."""
    path, _ = _plan(site)
    gate = site.world.gate()
    index.intercept("/simple/two/", [gated(gate)])
    with running(site, gate, "--plan", str(path)) as process:
        process.terminate()
        assert process.stderr is not None
        assert any("stopping" in line for line in process.stderr)
        gate.open()
        assert process.wait(60) == 143
    assert site.generation == 1


def test_the_time_of_the_plan_is_the_time_of_the_night(site: Site, world: World) -> None:
    """A cooldown lets no more and no less through than when the plan was made."""
    index = world.add_index("first")
    uploaded = datetime.now(UTC) - timedelta(days=7, hours=1)
    index.add(NEW, upload_time=f"{uploaded:%Y-%m-%dT%H:%M:%SZ}")
    site.configure(index, first={"exclude-newer": "7 days"})
    path = site.directory / "plan.json"
    assert site.sync("--dry-run", "--plan", str(path)).code == 0
    plan = json.loads(path.read_text())
    made = datetime.fromisoformat(plan["made"])
    assert len(plan["indexes"][0]["fetch"]) == 1
    path.write_text(json.dumps(plan | {"made": f"{made - timedelta(days=1):%Y-%m-%dT%H:%M:%SZ}"}))
    outcome = site.sync("--plan", str(path))
    assert outcome.code == 1
    assert f"{NEW.filename} would no longer be fetched" in outcome.err
    path.write_text(json.dumps(plan))
    assert site.sync("--plan", str(path)).code == 0


def test_a_plan_knows_what_cannot_be_had(site: Site, world: World) -> None:
    """An index that is down is in the plan as such; when it is back, that is another world."""
    index = world.add_index("first", token="right")
    index.add(NEW)
    site.configure(index, credentials=False, authenticate="always")
    path = site.directory / "plan.json"
    assert site.sync("--dry-run", "--plan", str(path)).code == 1
    assert json.loads(path.read_text())["indexes"][0]["reason"] == "no-credentials"
    site.authorise(index)
    outcome = site.sync("--plan", str(path))
    assert outcome.code == 1
    assert "it can change, and in the plan no-credentials" in outcome.err


@pytest.mark.usefixtures("index")
def test_a_plan_goes_to_standard_output(site: Site) -> None:
    """As JSON and nothing else; what is said for people goes to standard error."""
    outcome = site.run("sync", "-c", str(site.config), "--dry-run", "--plan", "-")
    assert outcome.code == 0
    assert json.loads(outcome.out)["indexes"][0]["withdraw"] == [OLD.filename]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "cannot be read"),
        ("{", "it is no plan"),
        ("[]", "it is no plan"),
        pytest.param('{"x":' + "[" * 200_000, "it is no plan", id="deep"),
        ('{"made": "2026-02-30T00:00:00Z", "configuration": ""}', "it is no plan"),
        ('{"format": 9, "made": "2026-02-03T00:00:00Z", "configuration": ""}', "of format 9"),
    ],
)
@pytest.mark.usefixtures("index")
def test_what_is_no_plan_is_refused(site: Site, content: str | None, said: str) -> None:
    """Exit code 2, and nothing is asked of any index."""
    path = site.directory / "plan.json"
    if content is not None:
        path.write_text(content)
    site.world.clear()
    outcome = site.sync("--plan", str(path))
    assert outcome.code == 2
    assert said in outcome.err
    assert "make a plan with mirror sync --dry-run" in outcome.err
    assert not site.world.requests()


def _lost(site: Site, first: Index, second: Index) -> str:
    site.configure(first, second)
    assert site.sync().code == 0
    next(site.root.rglob(OLD.filename)).unlink()
    return "lost-locally"


def _misses(site: Site, first: Index, second: Index) -> str:
    (site.directory / "requirements.txt").write_text(f"one==1.0 --hash=sha256:{'0' * 64}\n")
    site.configure(first, second, top={"locks": ["requirements.txt"]})
    return "not-found"


def _unlisted(site: Site, first: Index, second: Index) -> str:
    top = {"dependencies": True, "environment": [MACHINE]}
    site.configure(first, second, top=top, first={"projects": ["one"]}, second={"projects": ["tw*"]})
    second.intercept(lambda request: request.path.endswith("/simple/"), [faults.status(403)], forever=True)
    return "forbidden"


@pytest.mark.parametrize("trouble", [_lost, _misses, _unlisted])
def test_trouble_before_the_night_is_part_of_the_plan(
    site: Site, world: World, trouble: Callable[[Site, Index, Index], str]
) -> None:
    """What is lost on the disk, and what locks and dependencies met, is the same when the plan is applied."""
    first, second = world.add_index("first"), world.add_index("second")
    first.add(OLD)
    second.add(OTHER)
    reason = trouble(site, first, second)
    path = site.directory / "plan.json"
    site.sync("--dry-run", "--plan", str(path))
    content = path.read_text()
    assert reason in content
    plan = json.loads(content)
    for planned in plan["indexes"]:
        planned["troubles"] = []
    path.write_text(json.dumps(plan))
    outcome = site.sync("--plan", str(path))
    assert outcome.code == 1
    assert f"{reason} (only now)" in outcome.err
    path.write_text(content)
    outcome = site.sync("--plan", str(path))
    assert outcome.code == 3
    assert outcome.report["error"] is None


def test_what_nothing_meets_is_part_of_the_plan(site: Site, world: World) -> None:
    """A dependency that is unmet only now was not reviewed."""
    index = world.add_index("first")
    index.add(build_wheel("one", "1.0", requires=["lacking"]))
    top = {"dependencies": True, "environment": [MACHINE]}
    site.configure(index, top=top, projects=["one"])
    path = site.directory / "plan.json"
    assert site.sync("--dry-run", "--plan", str(path)).code == 3
    plan = json.loads(path.read_text())
    (unmet,) = plan["unmet"]
    path.write_text(json.dumps(plan | {"unmet": []}))
    outcome = site.sync("--plan", str(path))
    assert outcome.code == 1
    assert f"unmet: {unmet} (only now)" in outcome.err
    path.write_text(json.dumps(plan))
    assert site.sync("--plan", str(path)).code == 3
    assert site.generation == 1
