"""No credential ever crosses, whatever the indexes look like (INDEXES: a property over random topologies).

Up to fifty indexes share hosts: nested roots, shared stores, files inside another index's tree, links
into each other's trees, redirects within and without. Every link that is listed by one index but lies
in another's place is marked with its lister, so that the servers' log tells (lister, credential) pairs.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Index, Origin, World

ROOTS = (
    "/i{n}/simple",
    "/r/simple/i{n}",
    "/r/simple/i{n}/simple",
    "/r/i{n}/x/y",
    "/api/v4/projects/{n}/packages/pypi/simple",
)
STORES = ("/i{n}/files", "/store", "/r/simple/i{n}-files", "/r/simple", "/api/v4/projects/{n}/packages/pypi/files")
Away = Literal["none", "own-redirect", "presigned", "into-neighbour", "neighbour-redirect", "foreign-link"]


@dataclass(frozen=True)
class Plan:
    """One index of a topology."""

    host: int
    root: str
    store: str
    links: Literal["relative", "absolute", "host-relative"]
    format: Literal["json", "html"]
    access: Literal["basic", "bearer", "open", "rejects"]
    away: Away


PLANS = st.builds(
    Plan,
    host=st.integers(0, 1),
    root=st.sampled_from(ROOTS),
    store=st.sampled_from(STORES),
    links=st.sampled_from(("relative", "absolute", "host-relative")),
    format=st.sampled_from(("json", "html")),
    access=st.sampled_from(("basic", "basic", "bearer", "open", "rejects")),
    away=st.sampled_from(
        ("none", "none", "own-redirect", "presigned", "into-neighbour", "neighbour-redirect", "foreign-link")
    ),
)
FEW = st.lists(PLANS, min_size=2, max_size=8)
TOPOLOGIES = st.integers(0, 9).flatmap(lambda n: st.lists(PLANS, min_size=50, max_size=50) if n == 9 else FEW)
ARTIFACTS = [build_wheel(f"pkg{number}", "1.0") for number in range(50)]


@settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
@given(TOPOLOGIES)
def test_no_credential_crosses_in_any_topology(plans: list[Plan]) -> None:
    """Each request carries the credential of the index that listed its link, or none."""
    with World() as world, tempfile.TemporaryDirectory() as directory:
        hosts = (world.main, world.origin("second"))
        indexes = [_add(world, number, plan, hosts[plan.host]) for number, plan in enumerate(plans)]
        blocked = {index.name for number, index in enumerate(indexes) if not _fill(world, number, plans, indexes)}
        site = Site(Path(directory), world)
        site.configure(*indexes, concurrency=4)
        outcome = site.sync()
        event(f"indexes: {len(plans)}, exit code: {outcome.code}")
        crossed = [
            entry
            for entry in world.log
            if entry.credential is not None and entry.credential != (_lister(entry.query) or entry.owner)
        ]
        assert not crossed
        assert not [entry for entry in world.log if entry.exposed - {_lister(entry.query) or entry.owner}]
        for number, index in enumerate(indexes):
            if index.name not in blocked:
                assert outcome.index(index.name)["state"] == "complete", outcome.index(index.name)
                assert set(site.files(index.name)) == {ARTIFACTS[number].filename}


def _add(world: World, number: int, plan: Plan, host: Origin) -> Index:
    secret: dict[str, str | None] = {"password": f"password-number-{number}"}
    if plan.access == "bearer":
        secret = {"token": f"token-number-{number}"}
    elif plan.access in ("open", "rejects"):
        secret = {"password": None}
    return world.add_index(
        f"i{number}",
        origin=host,
        path=plan.root.format(n=number),
        files=plan.store.format(n=number),
        layout="hash",
        file_links=plan.links,
        format=plan.format,
        username="same-user",
        reject_credentials=plan.access == "rejects",
        **secret,  # type: ignore[arg-type]
    )


def _fill(world: World, number: int, plans: list[Plan], indexes: list[Index]) -> bool:
    """Put one wheel on index `number`; whether it can be fetched under its rules."""
    plan, index, artifact = plans[number], indexes[number], ARTIFACTS[number]
    neighbour = indexes[(number + 1) % len(indexes)]
    mark = f"?lister={index.name}"
    elsewhere = neighbour.files_origin.at(f"{neighbour.files}/{artifact.sha256}/{artifact.filename}{mark}")
    match plan.away:
        case "none":
            index.add(artifact)
        case "own-redirect":
            place = index.add(
                artifact, at=f"moved/{artifact.filename}", redirect="../final/" + artifact.filename + mark
            )
            index.add(artifact, at=f"final/{artifact.filename}", url=place.path)
        case "presigned":
            target = world.presigned(world.fallback, f"/signed/{number}/{artifact.filename}", artifact.content)
            index.add(artifact, redirect=target + mark)
        case "foreign-link":
            target = world.presigned(world.fallback, f"/signed/{number}/{artifact.filename}", artifact.content)
            index.add(artifact, url=target + mark)
        case "into-neighbour":
            index.add(artifact, url=elsewhere)
            return False
        case "neighbour-redirect":
            index.add(artifact, redirect=elsewhere)
            return False
    return True


def _lister(query: str) -> str | None:
    return query.partition("lister=")[2] or None
