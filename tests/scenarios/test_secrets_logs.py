"""The libraries below write log records too, for whoever listens at the level DEBUG (C10, C11)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import World, faults
from tests.world.nginx import nginx, project, write_tree

_WHEEL, _OTHER = build_wheel("demo", "1.0"), build_wheel("other", "1.0")
_TOKEN = "tok-in-a-path-4f9a"


@pytest.mark.parametrize("place", ["userinfo", "path", "query"])
@pytest.mark.parametrize("target", ["home", "presigned"])
def test_no_log_record_holds_a_location(site: Site, world: World, place: str, target: str) -> None:
    """Where a redirect leads is as secret as the signature in it, at every level of every logger."""
    site.canaries.add(_TOKEN)
    a = world.add_index("a")
    store = world.main if target == "home" else world.origin("store")
    path = f"/{_TOKEN}/x.whl" if place == "path" else "/x.whl"
    query = f"?sig={_TOKEN}" if place == "query" else ""
    owner = "a" if target == "home" else None
    url = world.route(store, path, faults.status(200, body=_WHEEL.content), owner=owner)
    if place == "userinfo":
        url = url.replace("://", f"://{_TOKEN}:x@")
    a.add(_WHEEL, redirect=url + query)
    site.configure(a)
    outcome = site.sync("-v")
    assert (outcome.code, world.crossed()) == (0, [])
    assert set(site.files("a")) == {_WHEEL.filename}


@pytest.mark.system
@pytest.mark.skipif(not (shutil.which("nginx") or Path("/usr/sbin/nginx").exists()), reason="nginx is not installed")
@pytest.mark.parametrize("http2", [True, False])
def test_no_log_record_holds_a_request(site: Site, tmp_path: Path, http2: bool) -> None:
    """Neither paths with tokens in them nor Authorization are logged, with HTTP/2's header tables or without."""
    site.canaries |= {_TOKEN, "pass-of-nginx", "dG9rZW46cGFzcy1vZi1uZ2lueA=="}
    tree = project(_TOKEN, write_tree(tmp_path / "tree", {"demo": [_WHEEL]}), "token", "pass-of-nginx")
    with nginx(tmp_path / "nginx", [tree], tls=True, http2=http2) as server:
        lines = [f'root = "{site.root}"', "[[index]]", 'name = "a"', f'url = "{server.index_url(tree)}"']
        lines += [f'ca-file = "{server.ca_pem}"', f"http2 = {str(http2).lower()}"]
        site.config.write_text("\n".join(lines))
        site.environ = {"MIRROR_INDEX_A_USERNAME": "token", "MIRROR_INDEX_A_PASSWORD": "pass-of-nginx"}
        outcome = site.sync("-v")
        assert outcome.code == 0
        seen = server.seen()
    assert {(entry.location, entry.user, entry.status) for entry in seen} == {(tree.location, "token", 200)}
    assert {entry.protocol for entry in seen} == {"HTTP/2.0" if http2 else "HTTP/1.1"}
    assert set(site.files("a")) == {_WHEEL.filename}
