"""The indexes of uv's configuration, usable as they are: `[[tool.uv.index]]`, or `[[index]]` of uv.toml.

`name`, `url` and `authenticate` mean what they mean to uv; every other key is uv's own business and is
not read. uv lets a URL hold a user name and password: they are taken out and made secret in the same
step that reads the URL, and the URL's text goes on without them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated
from urllib.parse import unquote_to_bytes, urlsplit

import msgspec
from msgspec import Meta

from mirror.config import decode, tables
from mirror.config.build import Entry
from mirror.config.problems import Place, Report
from mirror.config.sources import Userinfo
from mirror.model import urls
from mirror.model.index import Authenticate
from mirror.model.names import IndexName
from mirror.model.secret import Secret, remember


class _UvIndex(msgspec.Struct, rename="kebab"):
    """The keys of uv's that mean something here."""

    url: Annotated[str, Meta(description="the index's simple API", examples=["https://pypi.example.com/simple"])]
    authenticate: Annotated[Authenticate, Meta(description="auto, always or never", examples=["always"])]


def read(file: Path, report: Report) -> list[Entry] | None:
    """The indexes of `file` in its order; None when it cannot be read. Problems go to `report`."""
    document = decode.read_toml(file, report)
    if document is None:
        return None
    place = Place(file)
    if file.name == "pyproject.toml" or ("index" not in document and _below(document, "tool")):
        document = _below(_below(document, "tool"), "uv")
        place = place.at("tool").at("uv")
    place = place.at("index")
    raw = decode.array(document["index"], place, report) if "index" in document else []
    if not raw:
        report.add(place, "no index is configured here", f"add an [[{place.keys}]] with a name, or remove from-uv")
    usable = [item for item in enumerate(raw, 1) if not _passed_over(item[1], place.item(item[0]), report)]
    if raw and not usable:
        report.add(place, "none of its indexes can be mirrored", "give one of them a name and an http or https URL")
    return [_entry(item, number, place, report) for number, item in usable]


def _passed_over(raw: object, place: Place, report: Report) -> bool:
    """Whether uv can use this index and a mirror cannot: that is told, and no reason to leave out the others."""
    if not isinstance(raw, dict):
        return False
    url = raw.get("url")
    if raw.get("format", "simple") != "simple":
        what = "passed over: a flat index (a page of links, uv's find-links) is not an index of the simple API"
        report.warn(place, what, "give the URL of a simple API to have it mirrored")
    elif isinstance(url, str) and (url.startswith("file:") or "://" not in url):
        report.warn(place, "passed over: a folder is not an index that can be mirrored", "give an http or https URL")
    elif "name" not in raw:
        report.warn(place, "passed over: it has no name", "give it one to have it mirrored")
    else:
        return False
    return True


def _below(table: object, key: str) -> dict[str, object]:
    inner = table.get(key) if isinstance(table, dict) else None
    return inner if isinstance(inner, dict) else {}


def _entry(raw: object, number: int, array: Place, report: Report) -> Entry:
    place = array.item(number)
    name = tables.name(raw, place, report)
    if name is not None:
        place = array.at(name)
    values = decode.table(raw, _UvIndex, place, report, foreign=True)
    text, url_place = values.pop("url", None), place.at("url")
    if text is None and isinstance(raw, dict) and "url" not in raw:
        report.add(place, "the url is missing", 'add for example url = "https://pypi.example.com/simple"')
    literal = None
    if text is not None:
        text, literal = _split_userinfo(text)
    return Entry(
        name=name or IndexName("NAME"),
        named=name is not None,
        place=place,
        url_place=url_place,
        url=text,
        literal=literal,
        values=values,
    )


def _split_userinfo(text: str) -> tuple[str, Userinfo | None]:
    """The URL without its userinfo, and the userinfo."""
    if not urls.has_userinfo(text):
        return text, None
    parts = urlsplit(text)
    userinfo, _, _host = parts.netloc.rpartition("@")
    bare = text.replace(f"{userinfo}@", "", 1)
    user, _, password = userinfo.partition(":")
    username = unquote_to_bytes(user)
    if password:
        remember(password.encode())  # as it stands in the URL, beside its decoded form
        return bare, Userinfo(username, Secret(unquote_to_bytes(password)))
    remember(user.encode())
    remember(username)
    return bare, Userinfo(username) if username else None
