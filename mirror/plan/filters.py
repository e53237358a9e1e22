"""Which files of a project page are kept, and why: one small function for each rule.

The rules of a file look at nothing but the file, the rule and the time, so their order does not matter. The rules
of releases (`sdists = "fallback"`, `prereleases = "if-necessary"`, `latest`) come after them and look at what they
left; among these the order does not matter either. A yanked file is never a reason to drop another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Literal

import msgspec
from packaging.specifiers import InvalidSpecifier
from packaging.version import Version

from mirror.model.environment import Environment
from mirror.model.files import FileLink
from mirror.model.names import Distribution, ProjectName, distribution
from mirror.model.requirements import specifiers
from mirror.plan.environments import fits
from mirror.plan.select import Selection

Cutoff = datetime | timedelta
"""A moment, or an age: what was uploaded then or later, or is younger, is not taken."""
KEPT = "kept"
"""The rule of a file that no rule drops."""


class Rules(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """What of an index's pages is kept; the defaults keep everything."""

    exclude: tuple[str, ...] = ()
    """Names, globs and specifiers, already checked."""
    wheels: Literal["always", "never"] = "always"
    sdists: Literal["always", "never", "fallback"] = "always"
    """`fallback`: of a release that lacks a wheel for one of the environments. What is no wheel counts as an sdist."""
    environments: tuple[Environment, ...] = ()
    """The machines to keep files for; none: for all."""
    latest: int | None = None
    """Releases to keep, from 1; pre-releases apart."""
    latest_prereleases: int | None = None
    """Pre-releases to keep, from 0; None: as many as `latest`."""
    prereleases: Literal["allow", "disallow", "if-necessary"] = "allow"
    """`if-necessary`: only in a project that has nothing else."""
    yanked: Literal["keep", "drop"] = "keep"
    max_size: int | None = None
    """Bytes. A file whose size the index does not tell is kept."""
    exclude_newer: Cutoff | None = None
    exclude_newer_package: Mapping[ProjectName, Cutoff | None] = {}
    """Instead of `exclude_newer`, for these projects; None: no limit."""

    @cached_property
    def fingerprint(self) -> str:
        """The same for rules that decide alike at every moment; empty for those that keep everything."""
        if self == _EVERYTHING:
            return ""
        machines = [
            (one.python, one.exact, *map(str, one.tags), *sorted(one.markers.items())) for one in self.environments
        ]
        plain = {field: getattr(self, field) for field in self.__struct_fields__ if field != "environments"}
        return hashlib.sha256(msgspec.json.encode([plain, machines], order="deterministic")).hexdigest()

    @cached_property
    def excluded(self) -> Selection:
        """What `exclude` names."""
        return Selection(self.exclude)

    def limit(self, project: ProjectName) -> Cutoff | None:
        """The moment or age that `project` has to keep to."""
        return self.exclude_newer_package.get(project, self.exclude_newer)

    def cutoff(self, project: ProjectName, now: datetime) -> datetime | None:
        """The moment from which on nothing of `project` is taken."""
        limit = self.limit(project)
        return now - limit if isinstance(limit, timedelta) else limit


_EVERYTHING = Rules()


class Verdict(msgspec.Struct, frozen=True):
    """What is decided of one file, by which rule, and why."""

    link: FileLink
    kept: bool
    rule: str
    """The key of the configuration that decided, or `KEPT`."""
    why: str
    unknown: bool = False
    """Whether the index does not tell what the rule needs, so that nothing is known against the file."""


class _Item(msgspec.Struct, frozen=True):
    """A file with what its name says, and the environments whose tags it fits (an sdist: all)."""

    link: FileLink
    name: Distribution
    environments: tuple[Environment, ...]
    usable: tuple[Environment, ...]
    """Those of them that its Requires-Python admits."""

    @property
    def yanked(self) -> bool:
        return self.link.yanked is not False


_Why = str | None
"""Why a file is dropped; None: it is not."""


def judge(links: Sequence[FileLink], rules: Rules, now: datetime, *, legacy: bool = False) -> tuple[Verdict, ...]:
    """A verdict for each of `links`, which are of one project and have been read, in their order.

    `legacy` says that odd old names were allowed when they were read.
    """
    dropped: dict[int, Verdict] = {}
    left: dict[int, _Item] = {}
    cutoff = rules.cutoff(links[0].source.project, now) if links else None
    for place, link in enumerate(links):
        item = _item(link, rules, legacy=legacy)
        verdict = _file(item, rules) or _too_new(link, cutoff)
        if verdict is None:
            left[place] = item
        else:
            dropped[place] = verdict
    for key, decide in _OF_RELEASES:
        whys = decide(left, rules)
        dropped |= {place: Verdict(left[place].link, False, key, why) for place, why in whys.items()}
        left = {place: item for place, item in left.items() if place not in whys}
    return tuple(
        dropped[place] if place in dropped else Verdict(link, True, KEPT, _reason(left[place], rules))
        for place, link in enumerate(links)
    )


def next_change(links: Iterable[FileLink], rules: Rules, now: datetime) -> datetime | None:
    """The moment after which the same links may be judged otherwise because of the time alone; None: never."""
    moments: list[datetime] = []
    for link in links:
        age = rules.limit(link.source.project)
        if not isinstance(age, timedelta):
            continue
        uploaded = _uploaded(link)
        if uploaded is not None and now - age <= uploaded <= _LAST - age:
            moments.append(uploaded + age)
    return min(moments, default=None)


_LAST = datetime.max.replace(tzinfo=UTC)


def _item(link: FileLink, rules: Rules, *, legacy: bool) -> _Item:
    name = distribution(link.filename, link.source.project, legacy=legacy)
    environments = rules.environments
    if name.wheel and environments:
        environments = tuple(one for one in environments if fits(name.tags, one))
    return _Item(link, name, environments, tuple(one for one in environments if _admits(link.requires_python, one)))


def _file(item: _Item, rules: Rules) -> Verdict | None:
    """Why the first rule of files that drops it does so."""
    for key, rule in _OF_FILES:
        if why := rule(item, rules):
            return Verdict(item.link, False, key, why)
    return None


def _excluded(item: _Item, rules: Rules) -> _Why:
    if rules.exclude and rules.excluded.wants_version(item.name.project, item.name.version):
        return "an entry names it"
    return None


def _wheel(item: _Item, rules: Rules) -> _Why:
    return "it is a wheel" if item.name.wheel and rules.wheels == "never" else None


def _sdist(item: _Item, rules: Rules) -> _Why:
    return "it is no wheel" if not item.name.wheel and rules.sdists == "never" else None


def _machine(item: _Item, rules: Rules) -> _Why:
    if not rules.environments:
        return None
    if not item.environments:
        return f"its tags fit none of {_names(rules.environments)}"
    if not item.usable:
        return f"Requires-Python {item.link.requires_python} admits none of {_names(item.environments)}"
    return None


def _yank(item: _Item, rules: Rules) -> _Why:
    if rules.yanked == "keep" or not item.yanked:
        return None
    return f"yanked: {item.link.yanked}" if isinstance(item.link.yanked, str) else "yanked"


def _prerelease(item: _Item, rules: Rules) -> _Why:
    version = item.name.version
    if rules.prereleases == "disallow" and version is not None and version.is_prerelease:
        return f"{version} is a pre-release"
    return None


def _large(item: _Item, rules: Rules) -> _Why:
    size = item.link.size
    if rules.max_size is None or size is None or size <= rules.max_size:
        return None
    return f"{size} bytes are more than {rules.max_size}"


def _too_new(link: FileLink, cutoff: datetime | None) -> Verdict | None:
    """The cooldown fails closed: a file whose age nobody knows is not taken."""
    if cutoff is None:
        return None
    uploaded = _uploaded(link)
    if uploaded is None:
        return Verdict(link, False, "exclude-newer", "the index gives no upload time", unknown=True)
    if uploaded < cutoff:
        return None
    return Verdict(link, False, "exclude-newer", f"uploaded {link.upload_time}, cutoff {_text(cutoff)}")


_OF_FILES: tuple[tuple[str, Callable[[_Item, Rules], _Why]], ...] = (
    ("exclude", _excluded),
    ("wheels", _wheel),
    ("sdists", _sdist),
    ("environments", _machine),
    ("yanked", _yank),
    ("prereleases", _prerelease),
    ("max-size", _large),
)

_Items = Mapping[int, _Item]
_Whys = dict[int, str]


def _fallback(items: _Items, rules: Rules) -> _Whys:
    """Sdists of releases whose wheels fit every environment that the sdist is for."""
    if rules.sdists != "fallback":
        return {}
    wheels: dict[Version | None, list[_Item]] = {}
    for item in items.values():
        if item.name.wheel:
            wheels.setdefault(_release(item), []).append(item)
    whys: _Whys = {}
    for place, item in items.items():
        if item.name.wheel:
            continue
        others = [one for one in wheels.get(_release(item), ()) if item.yanked or not one.yanked]
        served = {one.name for wheel in others for one in wheel.usable}
        if others and all(one.name in served for one in item.usable):
            release = _release(item)
            fit = f"wheels of {release} fit {_names(item.usable)}"
            whys[place] = fit if item.usable else f"there are wheels of {release}"
    return whys


def _if_necessary(items: _Items, rules: Rules) -> _Whys:
    """Pre-releases of a project that has a final release."""
    if rules.prereleases != "if-necessary":
        return {}
    finals = [_release(item) for item in items.values() if not item.yanked and not _pre(item)]
    newest = max((version for version in finals if version is not None), default=None)
    if newest is None:
        return {}
    return {place: f"there is a final release, {newest}" for place, item in items.items() if _pre(item)}


def _latest(items: _Items, rules: Rules) -> _Whys:
    """What is older than the latest releases, final ones and pre-releases each by themselves."""
    whys: _Whys = {}
    for pre in (False, True):
        most = rules.latest_prereleases if pre and rules.latest_prereleases is not None else rules.latest
        if most is None:
            continue
        kind = {place: item for place, item in items.items() if _pre(item) is pre}
        counted = {release for item in kind.values() if not item.yanked and (release := _release(item)) is not None}
        oldest = sorted(counted, reverse=True)[:most]
        what = f"the latest {most} {'pre-releases' if pre else 'releases'}"
        for place, item in kind.items():
            release = _release(item)
            if release is None:
                whys[place] = "its name tells no version"
            elif not most or (len(oldest) == most and release < oldest[-1]):
                whys[place] = f"{release} is not among {what}"
    return whys


_OF_RELEASES: tuple[tuple[str, Callable[[_Items, Rules], _Whys]], ...] = (
    ("sdists", _fallback),
    ("prereleases", _if_necessary),
    ("latest", _latest),
)


def _pre(item: _Item) -> bool:
    return item.name.version is not None and item.name.version.is_prerelease


def _release(item: _Item) -> Version | None:
    """Its version without a local part: builds of one release are one release. None: a legacy name."""
    version = item.name.version
    return version if version is None or version.local is None else Version(version.public)


def _uploaded(link: FileLink) -> datetime | None:
    return datetime.fromisoformat(link.upload_time) if link.upload_time is not None else None


def _admits(requires_python: str | None, environment: Environment) -> bool:
    return requires_python is None or _admitted(requires_python, environment.python, environment.exact)


@lru_cache(maxsize=1024)
def _admitted(requires_python: str, python: str, exact: bool) -> bool:
    """Whether `python`, or else a patch release of it, is admitted. Installers ignore what they cannot read."""
    try:
        specifier = specifiers(requires_python)
    except InvalidSpecifier:
        return True
    if specifier.contains(python, prereleases=True) or exact:
        return specifier.contains(python, prereleases=True)
    try:
        return not specifier.is_disjoint(specifiers(f"=={python.rpartition('.')[0]}.*"))
    except ValueError:  # `===` compares text, and the text was compared
        return False


def _names(environments: Iterable[Environment]) -> str:
    return ", ".join(one.name for one in environments)


def _reason(item: _Item, rules: Rules) -> str:
    return f"fits {_names(item.usable)}" if rules.environments else "no rule drops it"


def _text(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
