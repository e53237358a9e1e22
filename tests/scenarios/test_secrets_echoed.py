"""An index knows its own secret, and may say it again: it goes into no page, state, report or line (C10)."""

from __future__ import annotations

import json

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Fault, Index, Reply, World

_WHEEL, _OTHER = build_wheel("demo", "1.0"), build_wheel("other", "1.0")
_SECRET = "alpha-secret-77"


def _index(world: World, secret: str = _SECRET) -> Index:
    index = world.add_index("a", password=secret, format="both")
    index.add(_OTHER)
    return index


def _mirrored(site: Site, world: World, index: Index, codes: tuple[int, ...] = (0,), *, apart: bool = False) -> None:
    """Two nights and a look, at `-v`; `Site` searches everything after each, escaped forms too.

    `apart`: in processes of their own, where nobody listens to what the libraries log about headers.
    """
    assert index.credential is not None
    written = ascii(index.credential.secret)[1:-1]
    site.canaries |= {written, json.dumps(written)[1:-1], json.dumps(index.credential.secret)[1:-1]}
    site.configure(index, tries=1)
    run, report = site.process if apart else site.run, site.directory / "report.json"
    for _ in range(2):
        outcome = run("sync", "-v", "-c", str(site.config), "--report", str(report))
        assert outcome.code in codes, outcome.err
        site.search(report.read_text())
    assert world.crossed() == []
    assert _OTHER.filename in site.files("a")
    assert run("check", "-v", "-c", str(site.config)).code in (0, 1)


def test_in_the_reason_of_a_yank(site: Site, world: World) -> None:
    """The yank is carried over, with what is left of its reason."""
    index = _index(world)
    index.add(_WHEEL, yanked=f"use {_SECRET} to get the fixed one")
    _mirrored(site, world, index)
    assert site.files("a")[_WHEEL.filename]["yanked"]


def test_in_the_reason_of_a_status(site: Site, world: World) -> None:
    """The status marker is carried over, with what is left of its reason."""
    index = _index(world)
    index.add(_WHEEL)
    index.status("archived", f"see https://user:{_SECRET}@pypi.example.com/", project="demo")
    _mirrored(site, world, index)
    assert site.page("a", "demo")["project-status"]["status"] == "archived"


@pytest.mark.parametrize("header", ["ETag", "Last-Modified", "Content-Type", "Set-Cookie"])
def test_in_a_header_of_a_page(site: Site, world: World, header: str) -> None:
    """Validators are kept between runs; one that holds the secret is not worth it."""
    index = _index(world)
    index.add(_WHEEL)
    value = f'text/html; x="{_SECRET}"' if header == "Content-Type" else f'"{_SECRET}"'
    fault: Fault = lambda _request, reply: reply.with_headers((header, value))  # noqa: E731
    index.intercept("/simple/demo/", [fault], forever=True)
    _mirrored(site, world, index, (0, 3), apart=True)


@pytest.mark.parametrize("secret", [_SECRET, 'quo"ted\\secret', "sécrét-ü-77", "percent%2Fsecret"])
@pytest.mark.parametrize("place", ["file", "project", "content-type", "version"])
def test_in_a_name_that_is_refused(site: Site, world: World, secret: str, place: str) -> None:
    """What is refused is named to the operator, without the secret, whatever characters that has."""
    index = _index(world, secret)
    index.add(_WHEEL)
    entry = {"filename": f"{secret}.whl" if place == "file" else "x.whl", "url": "x.whl", "hashes": {}}
    version = f"1.{secret}" if place == "version" else "1.1"
    page = {"meta": {"api-version": version}, "name": "demo", "versions": [], "files": [entry]}
    kind = (
        "application/vnd.pypi.simple.v1+json"
        if place != "content-type"
        else f"image/{secret}".encode().decode("latin-1")
    )
    index.intercept("/simple/demo/", [Reply(200, (("Content-Type", kind),), json.dumps(page).encode())], forever=True)
    if place == "project":
        names = [{"name": "demo"}, {"name": "other"}, {"name": f"!{secret}!"}]
        listing = json.dumps({"meta": {"api-version": "1.1"}, "projects": names}).encode()
        reply = Reply(200, (("Content-Type", "application/vnd.pypi.simple.v1+json"),), listing)
        index.intercept(lambda request: request.path.endswith("/simple/"), [reply], forever=True)
    _mirrored(site, world, index, (3,), apart=place == "content-type")
