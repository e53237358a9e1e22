"""All indexes of a configuration by name: uv's, those of `mirror.toml`, and what the latter adds to the former.

Every name is there once, and no two of them share an environment variable (C9): `a-b` and `a_b` would
read each other's password.
"""

from __future__ import annotations

from pathlib import Path

from mirror.config import build, decode, tables
from mirror.config.build import Entry
from mirror.config.problems import Place, Report
from mirror.model.names import IndexName, variable_part

_NAMELESS = IndexName("NAME")  # stands in for a name that was refused, so that the other keys are still checked


def gather(
    uv_entries: list[Entry] | None, uv_file: Path | None, raw: object, place: Place, report: Report
) -> list[Entry]:
    """The indexes of `uv_entries` (None: uv's file could not be read) and of the array `raw` at `place`.

    An array item without a URL adds its keys to uv's index of that name. The result is in order, uv's
    first, and holds those with a refused name as well; `report` has their problems.
    """
    entries: list[Entry] = []
    seen: dict[IndexName, Entry] = {}
    for entry in uv_entries or ():
        _admit(entry, entries, seen, report)
    from_uv, extended = dict(seen), set[IndexName]()
    for number, item in enumerate(decode.array(raw, place, report), 1):
        entry = _own(item, place, number, report)
        bare = isinstance(item, dict) and "url" not in item
        if bare and entry.named and entry.name in from_uv and entry.name not in extended:
            base = from_uv[entry.name]
            base.place, base.values = entry.place, base.values | entry.values
            extended.add(entry.name)
            continue
        if bare and entry.name not in extended and uv_entries is not None:
            _url_missing(entry, list(from_uv), uv_file, report)
        _admit(entry, entries, seen, report)
    _one_variable_each(seen, report)
    return entries


def _own(item: object, array: Place, number: int, report: Report) -> Entry:
    name = tables.name(item, array.item(number), report)
    place = array.item(number) if name is None else array.at(name)
    values = tables.index(item, place, report)
    text, url_place = values.pop("url", None), place.at("url")
    if text is not None:
        text = build.url(text, name or _NAMELESS, url_place, report)
    return Entry(
        name=name or _NAMELESS, named=name is not None, place=place, url_place=url_place, url=text, values=values
    )


def _admit(entry: Entry, entries: list[Entry], seen: dict[IndexName, Entry], report: Report) -> None:
    entries.append(entry)
    if not entry.named:
        return
    if first := seen.get(entry.name):
        if first.place.file != entry.place.file:
            instead = "remove the url here to add keys to that index, or choose another name"
        else:
            instead = "choose another name for one of them"
        report.add(entry.place, f"an index of this name is at {first.place} already", instead)
    seen.setdefault(entry.name, entry)


def _url_missing(entry: Entry, from_uv: list[IndexName], uv_file: Path | None, report: Report) -> None:
    instead = 'add for example url = "https://gitlab.example.com/api/v4/projects/2177/packages/pypi/simple"'
    if uv_file is None:
        report.add(entry.place, "the url is missing", instead)
        return
    meant = decode.closest(entry.name, from_uv)
    what = f"the url is missing, and {uv_file} has no index of this name"
    report.add(entry.place, what, f"did you mean {meant!r}?" if meant else instead)


def _one_variable_each(seen: dict[IndexName, Entry], report: Report) -> None:
    owners: dict[str, IndexName] = {}
    for name, entry in seen.items():
        part = variable_part(name)
        owner = owners.setdefault(part, name)
        if owner != name:
            what = f"its environment variables MIRROR_INDEX_{part}_... are those of index {owner} too"
            report.add(entry.place, what, "choose names that differ in more than case and punctuation")
