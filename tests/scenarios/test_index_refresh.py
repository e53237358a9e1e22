"""Scenario 15, C8: a token that expires in the middle of a run, with many workers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from mirror.cli.wheels import build_wheel
from tests.site import Site
from tests.world import Answer, Index, Reply, Request, World

FILES = 12


class Vault:
    """A command that prints the secret that a file holds, and appends to a log how often it was asked."""

    def __init__(self, directory: Path) -> None:
        self.secret, self.log = directory / "secret", directory / "asked"
        self.program = directory / "vault.py"
        self.program.write_text(
            "import pathlib, sys\n"
            f"with open({str(self.log)!r}, 'a') as log: log.write('x')\n"
            f"text = pathlib.Path({str(self.secret)!r}).read_text()\n"
            "sys.exit(1) if text == 'sealed' else print(text)\n"
        )

    @property
    def asked(self) -> int:
        """How often the secret was looked up."""
        return len(self.log.read_text())

    def reference(self, **more: Any) -> dict[str, Any]:
        """What to write into the configuration."""
        return {"command": [sys.executable, str(self.program)], **more}


def _expiring(index: Index, vault: Vault, after: int, new: str) -> None:
    """From the `after`th file request on, the old token is expired, and the vault has `new`."""
    seen = [0]

    def expire(_request: Request, reply: Reply) -> Answer:
        seen[0] += 1
        if seen[0] == after:
            index.rotate(token="token-two")
            vault.secret.write_text(new)
        return reply

    index.intercept(".whl", [expire], forever=True)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    """A vault with the first token."""
    vault = Vault(tmp_path)
    vault.secret.write_text("token-one")
    return vault


@pytest.mark.parametrize("workers", [1, 8])
def test_a_token_that_expires_is_refreshed_once_for_all_workers(
    site: Site, world: World, vault: Vault, workers: int
) -> None:
    """One refresh, all files come, and the rejected value is never sent after the refresh."""
    first, other = world.add_index("first", token="token-one", latency=0.02), world.add_index("other")
    for number in range(FILES):
        first.add(build_wheel("one", f"1.{number}"))
    other.add(build_wheel("two", "1.0"))
    _expiring(first, vault, 4, "token-two")
    site.configure(first, other, credentials=False, concurrency=workers, first={"token": vault.reference()})
    site.authorise(other)
    outcome = site.sync()
    assert outcome.code == 0
    assert len(site.files("first")) == FILES
    assert vault.asked == 2  # at the start, and once for all who met the 401
    assert len(world.requests(status=401)) <= workers
    assert not world.crossed()
    values = [entry.header("authorization") for entry in world.requests(owner="first")]
    assert values[-1] == "Bearer token-two"
    assert all(value is not None for value in values)


@pytest.mark.parametrize("secret", ["token-one", "token-bad", "sealed"])
def test_a_refresh_that_fails_holds_the_index_and_nothing_else(
    site: Site, world: World, vault: Vault, secret: str
) -> None:
    """The same value again, a new wrong one, or no answer: held; nothing withdrawn; the others complete (C8, I5)."""
    site.canaries |= {"token-bad"}
    first, other = world.add_index("first", token="token-one", latency=0.01), world.add_index("other")
    first.add(build_wheel("one", "0.1"))
    first.add(build_wheel("one", "0.2"))
    other.add(build_wheel("two", "1.0"))
    site.configure(first, other, credentials=False, concurrency=4, first={"token": vault.reference()})
    site.authorise(other)
    assert site.sync().code == 0
    asked = vault.asked
    first.remove("one-0.1-py3-none-any.whl")
    for number in range(FILES):
        first.add(build_wheel("one", f"1.{number}"))
    other.add(build_wheel("two", "1.1"))
    world.clear()
    _expiring(first, vault, 3, secret)
    outcome = site.sync()
    assert outcome.code == 3
    assert outcome.index("first")["state"] == "held"
    assert outcome.index("first")["reason"] in {"rejected-credentials", "no-credentials"}
    assert outcome.index("first")["files-withdrawn"] == 0
    assert outcome.index("other")["state"] == "complete"
    assert set(site.files("first")) == {"one-0.1-py3-none-any.whl", "one-0.2-py3-none-any.whl"}
    assert set(site.files("other")) == {"two-1.0-py3-none-any.whl", "two-1.1-py3-none-any.whl"}
    assert vault.asked - asked == 2
    rejected = [entry.header("authorization") for entry in world.requests(owner="first", status=401)]
    assert rejected.count("Bearer token-bad") <= 4
    assert None not in rejected

    vault.secret.write_text("token-two")
    world.clear()
    assert site.sync().code == 0
    assert len(site.files("first")) == FILES + 1
    assert len(world.requests(owner="first", path_contains=".whl")) <= FILES - 2


def test_a_wrong_password_is_tried_once(site: Site, world: World) -> None:
    """C8: a rejected secret that has no fresher value is not sent a second time, and the index is held."""
    first, other = world.add_index("first"), world.add_index("other")
    first.add(build_wheel("one", "1.0"))
    other.add(build_wheel("two", "1.0"))
    site.configure(first, other)
    first.rotate(password="only the server knows")
    outcome = site.sync()
    assert outcome.code == 3
    assert (outcome.index("first")["state"], outcome.index("first")["reason"]) == ("held", "rejected-credentials")
    assert len(world.requests(owner="first")) == 1
    assert outcome.index("other")["state"] == "complete"


def test_a_token_with_a_short_life_is_renewed_before_it_ends(site: Site, world: World, vault: Vault) -> None:
    """`ttl`: a secret close to its end is looked up again without waiting for a 401."""
    first = world.add_index("first", token="token-one", latency=0.3)
    first.add(build_wheel("one", "1.0"))
    site.configure(first, credentials=False, first={"token": vault.reference(ttl=0.5)})
    assert site.sync().code == 0
    assert vault.asked > 1
    assert not world.requests(status=401)


def test_a_token_that_expires_twice_is_refreshed_twice(site: Site, world: World, vault: Vault) -> None:
    """A secret that the server took and that expired later is no wrong one: a long run may need several."""
    first = world.add_index("first", token="token-one")
    for number in range(FILES):
        first.add(build_wheel("one", f"1.{number}"))
    seen = [0]

    def expire(_request: Request, reply: Reply) -> Answer:
        seen[0] += 1
        if seen[0] in (3, 6, 9):
            first.rotate(token=f"token-{seen[0]}")
            vault.secret.write_text(f"token-{seen[0]}")
        return reply

    first.intercept(".whl", [expire], forever=True)
    site.configure(first, credentials=False, concurrency=2, first={"token": vault.reference()})
    assert site.sync().code == 0
    assert vault.asked == 4
    assert len(site.files("first")) == FILES
