"""What to mirror, from the configuration to the rules of each index."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mirror.config.cutoffs import cutoff
from mirror.model.names import index_name, project_name
from mirror.plan.filters import Rules
from tests.config.helpers import Loaded, one

FIRST = index_name("first")
MACHINES = """
[[environment]]
name = "a"
python = "3.11"
platform = "win32"
[[environment]]
name = "b"
python = "3.14"
platform = "musllinux_1_2_aarch64"
implementation = "cp"
free-threaded = true
"""


def test_without_keys_everything_is_kept(loaded: Loaded) -> None:
    """And no fingerprint changes a page's key."""
    settings = loaded(one())
    assert settings.environments == ()
    assert settings.rules == {FIRST: Rules()}


def test_every_key_reaches_its_rule(loaded: Loaded) -> None:
    """An index's own keys win, one by one."""
    keys = """
    exclude = ["a", "b<2", "x-*"]
    wheels = "never"
    sdists = "fallback"
    latest = 3
    latest-prereleases = 0
    prereleases = "if-necessary"
    yanked = "drop"
    max-size = "1 MB"
    exclude-newer = "2 weeks"
    exclude-newer-package = { "A.b" = false, c = "2026-01-01" }
    """
    expected = Rules(
        exclude=("a", "b<2", "x-*"),
        wheels="never",
        sdists="fallback",
        latest=3,
        latest_prereleases=0,
        prereleases="if-necessary",
        yanked="drop",
        max_size=1_000_000,
        exclude_newer=timedelta(days=14),
        exclude_newer_package={project_name("a-b"): None, project_name("c"): datetime(2026, 1, 2, tzinfo=UTC)},
    )
    assert loaded(one(keys)).rules[FIRST] == expected
    assert loaded(one() + f"[defaults]\n{keys}").rules[FIRST] == expected
    own = loaded(one("latest = 1\nexclude-newer = false\nexclude = []") + f"[defaults]\n{keys}").rules[FIRST]
    assert (own.latest, own.exclude_newer, own.exclude, own.yanked) == (1, None, (), "drop")


@pytest.mark.parametrize(
    ("keys", "names"),
    [("", ["a", "b"]), ("environments = ['b']", ["b"]), ("environments = ['b', 'a']", ["b", "a"])],
)
def test_an_index_is_for_all_machines_that_are_named(loaded: Loaded, keys: str, names: list[str]) -> None:
    """Unless it names some of them."""
    settings = loaded(one(keys) + MACHINES)
    assert [machine.name for machine in settings.environments] == ["a", "b"]
    assert [machine.name for machine in settings.rules[FIRST].environments] == names
    assert settings.environments[1].tags[0].abi == "cp314t"


def test_an_index_can_be_for_any_machine(loaded: Loaded) -> None:
    """An empty list wins over the defaults."""
    assert loaded(one("environments = []") + MACHINES + "[defaults]\nenvironments = ['a']").rules == {FIRST: Rules()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *((text, timedelta(days=7)) for text in ("7 days", "7d", "7 d", "1 week", "1w", "168 hours", "10080 minutes")),
        *(("1 second", timedelta(seconds=1)), ("99999 s", timedelta(seconds=99_999)), ("1 day", timedelta(days=1))),
        ("2026-01-01", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-01T12:00:00Z", datetime(2026, 1, 1, 12, tzinfo=UTC)),
        ("2026-01-01T12:00:00+02:00", datetime(2026, 1, 1, 10, tzinfo=UTC)),
    ],
)
def test_ages_dates_and_moments(text: str, expected: datetime | timedelta) -> None:
    """A date means up to its end."""
    assert cutoff(text) == expected
