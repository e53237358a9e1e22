"""One table of `mirror.toml` at a time: its values checked as far as they can be without the others.

What comes out is by attribute name and of the type that the rest of the loader wants: sizes are bytes,
references are `sources` types, origins are `Origin`. A wrong value is reported and left out, so its
default stands in for it while the other checks go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from mirror.config import decode
from mirror.config.cutoffs import cutoff
from mirror.config.durations import duration
from mirror.config.problems import Place, Report
from mirror.config.rates import rate, requests
from mirror.config.schema import (
    EXPIRES,
    GRACE,
    KEEP,
    SCAN_TIMEOUT,
    Configuration,
    ExportTable,
    ImportTable,
    IndexTable,
    RetentionTable,
    SecretTable,
    Shared,
)
from mirror.config.settings import Exporting, Intake, Retention
from mirror.config.sizes import size, volume_size
from mirror.config.sources import FromCommand, FromEnv, FromFile, FromSystemd, Reference
from mirror.errors import InvalidName, InvalidUrl
from mirror.model import urls
from mirror.model.index import BESIDE_TREES
from mirror.model.names import IndexName, ProjectName, index_name, project_name
from mirror.model.secret import remember, remember_userinfo
from mirror.model.urls import Origin
from mirror.plan.filters import Cutoff
from mirror.plan.select import Selection

Values = dict[str, Any]
Refine = Callable[[Any, Place, Report], Any]

_MEANINGLESS = "remove it: it is uv's key and means nothing to a mirror"
_UV_KEYS = dict.fromkeys(
    ("explicit", "default", "publish-url", "format", "ignore-error-codes", "cache-control"),
    _MEANINGLESS,
)
_ONE_INDEX = "write it in the [[index]] that it belongs to, not for all of them"
_NOT_SHARED = dict.fromkeys(
    ("name", "url", "username", "password", "token", "netrc", "keyring", "credential-origins", "credential-paths"),
    _ONE_INDEX,
)
_PARTS = {"client_cert": ("client_key",), "proxy": ("proxy_username", "proxy_password")}
DIRECT = "direct"
"""The value of `proxy` that stands for none."""
_PROXIES = ("http", "https", "socks5", "socks5h")
_PROXY_EXAMPLE = 'write for example proxy = "http://proxy.example.com:3128", or "direct" for none'
_PORT = re.compile(r":[0-9]+/?$")
_SOCKS_BYTES = 255  # RFC 1929
_MINUTE, _DAY, _CENTURY = 60.0, 86_400.0, 36_525 * 86_400.0
_SOURCES = ("file", "systemd", "command", "env")
_REFERENCE_EXAMPLE = (
    '{ file = "/etc/index-mirror/name.secret" }, { systemd = "…" }, { command = ["…"] } or { env = "…" }'
)


def top(raw: object, place: Place, report: Report) -> Values:
    """The values of the keys before all tables; the tables and paths are as they were written."""
    by_hand = ("defaults", "index", "tree", "retention", "export", "import", "environment", "locks", "sources")
    return _refined(decode.table(raw, Configuration, place, report, by_hand=by_hand), place, report)


def shared(raw: object, place: Place, report: Report) -> Values:
    """The values of `[defaults]`."""
    values = decode.table(raw, Shared, place, report, by_hand=("proxy-password",), remedies=_NOT_SHARED)
    return _whole(_refined(values, place, report), values, place, report)


def retention(raw: object, place: Place, report: Report) -> Retention:
    """The values of `[retention]`."""
    values = decode.table(raw, RetentionTable, place, report)
    return Retention(keep=values.get("keep", KEEP), grace=duration(values.get("grace", GRACE)))


def exporting(raw: object, place: Place, report: Report) -> Exporting:
    """The values of `[export]`."""
    values = _refined(decode.table(raw, ExportTable, place, report), place, report)
    return Exporting(
        identity=values.get("identity"),
        sign=values.get("sign"),
        expires=values.get("expires", duration(EXPIRES)),
        volume_size=values.get("volume_size"),
    )


def intake(raw: object, place: Place, report: Report) -> Intake:
    """The values of `[import]`."""
    values = _refined(decode.table(raw, ImportTable, place, report), place, report)
    return Intake(
        trust=values.get("trust"),
        scan=values.get("scan", ()),
        scan_timeout=values.get("scan_timeout", duration(SCAN_TIMEOUT)),
        max_age=values.get("max_age"),
    )


def index(raw: object, place: Place, report: Report) -> Values:
    """The values of one `[[index]]` table, except for its name, which `name` reads."""
    by_hand = ("name", "password", "token", "proxy-password")
    values = decode.table(raw, IndexTable, place, report, by_hand=by_hand, remedies=_UV_KEYS)
    values.pop("name", None)
    return _whole(_refined(values, place, report), values, place, report)


def over(defaults: Values, own: Values) -> Values:
    """The index's `own` values before the `defaults`.

    A key and a password belong to the certificate and the proxy in their own table: an index that names others
    does not get them.
    """
    replaced = {part for whole, parts in _PARTS.items() if whole in own for part in parts}
    return {key: value for key, value in defaults.items() if key not in replaced} | own


def name(raw: object, place: Place, report: Report) -> IndexName | None:
    """The `name` of a table, or None when it has no usable one, which is reported."""
    text = raw.get("name") if isinstance(raw, dict) else None
    if text is None:
        if isinstance(raw, dict):
            report.add(place, "the name is missing", 'add for example name = "firstindex"')
        return None
    try:
        found = index_name(text)
    except InvalidName as error:
        report.add(place.at("name"), "is not a usable name", error.why)
    except TypeError:
        report.add(place.at("name"), "expected text", 'write for example name = "firstindex"')
    else:
        if found.lower() not in BESIDE_TREES:
            return found
        report.add(place.at("name"), f"{found.lower()} is the name of a file beside the trees", "choose another name")
    return None


def path(value: str, place: Place, report: Report) -> Path | None:
    """`value` as an absolute path, relative to the file at `place`; a leading `~` is the home folder."""
    try:
        return place.file.parent.absolute() / Path(value).expanduser()
    except RuntimeError:
        report.add(place, "the home folder that ~ stands for is unknown", "write the path without ~")
        return None


def _refined(values: Values, place: Place, report: Report) -> Values:
    refined: Values = {}
    for key, value in values.items():
        refine = _REFINE.get(key)
        found = value if refine is None else refine(value, place.at(_key(key)), report)
        if found is not None:
            refined[key] = found
    return refined


def _whole(refined: Values, written: Values, place: Place, report: Report) -> Values:
    """`refined`, after a look that nothing stands there without what it belongs to."""
    for whole, parts in _PARTS.items():
        for part in parts:
            if part in written and whole not in written:
                what = f"belongs to {_key(whole)}, which is not in this table"
                report.add(place.at(_key(part)), what, f"write {_key(whole)} beside it, or remove it")
    if "proxy" in written and ("proxy_username" in written) != ("proxy_password" in written):
        what = "has a user name or a password for the proxy, and not both"
        report.add(place, what, "write proxy-username and proxy-password, or neither")
    username, proxy = refined.get("proxy_username"), refined.get("proxy")
    if username is not None and proxy == DIRECT:
        what = "goes to no proxy"
        report.add(place.at("proxy-username"), what, "remove proxy-username and proxy-password")
    elif username is not None and isinstance(proxy, Origin):
        socks = proxy.scheme.startswith("socks")
        if len(username.encode()) > _SOCKS_BYTES if socks else ":" in username:
            what = f"is longer than {_SOCKS_BYTES} bytes" if socks else "has a colon, which HTTP Basic cannot carry"
            report.add(place.at("proxy-username"), what, "ask for another account at the proxy")
    return refined


def _key(attribute: str) -> str:
    return attribute.replace("_", "-")


def _proxy(text: str, place: Place, report: Report) -> Origin | str | None:
    """`DIRECT`, or where the proxy is. Userinfo is reported and never repeated."""
    if text == DIRECT:
        return DIRECT
    if urls.has_userinfo(text):
        remember_userinfo(text)
        what = "the URL holds a user name or password"
        report.add(place, what, "remove it, change that password, and write proxy-username and proxy-password")
        return None
    scheme, _, rest = text.partition("://")
    try:
        found = urls.url(f"http://{rest}") if scheme.lower() in _PROXIES else None
    except InvalidUrl:
        found = None
    if found is None or found.path != "/" or found.query is not None or "#" in text or _PORT.search(rest) is None:
        report.add(place, "is not scheme, host and port of a proxy", _PROXY_EXAMPLE)
        return None
    return Origin(scheme.lower(), found.origin.host, found.origin.port)


def _plain(read: Callable[[Any], Any]) -> Refine:
    """`read` for values whose form was checked with their type."""
    return lambda value, _place, _report: read(value)


def _projects(entries: list[str], place: Place, report: Report) -> tuple[str, ...] | None:
    """The entries, when every one of them is right (a part of a wish would mirror the wrong thing)."""
    before = len(report.problems)
    for number, entry in enumerate(entries, 1):
        try:
            Selection([entry])
        except InvalidName as error:
            report.add(place.item(number), f"is not a valid {error.kind}", error.why)
    return tuple(entries) if len(report.problems) == before else None


def _cutoff(value: bool | str, place: Place, report: Report) -> Cutoff | Literal[False] | None:
    """False for no limit: None would be a value that is left out."""
    if isinstance(value, bool):
        if value:
            report.add(place, "is no limit", 'write for example "7 days", "2026-01-01", or false for none')
        return False
    try:
        return cutoff(value)
    except ValueError:
        what = "is a day that does not exist, or more than a hundred years"
        report.add(place, what, 'write for example "7 days" or "2026-01-01"')
        return None


def _cutoffs(values: dict[str, bool | str], place: Place, report: Report) -> dict[ProjectName, Cutoff | None]:
    found: dict[ProjectName, Cutoff | None] = {}
    for name, value in values.items():
        limit = _cutoff(value, place.at(name), report)
        try:
            found[project_name(name)] = limit or None
        except InvalidName as error:
            report.add(place.at(name), f"is not a valid {error.kind}", error.why)
    return found


def _volume_size(value: int | str, place: Place, report: Report) -> int | None:
    try:
        return volume_size(value)
    except ValueError as error:
        report.add(place, str(error), 'write for example "4GB"')
        return None


def _lasting(least: float, most: float, what: str, example: str) -> Refine:
    """Times from `least` to `most` seconds."""

    def refine(value: float | str, place: Place, report: Report) -> float | None:
        found = duration(value)
        if least <= found <= most:
            return found
        report.add(place, f"is not {what}", f'write for example "{example}"')
        return None

    return refine


def _command(words: list[str], place: Place, report: Report) -> tuple[str, ...] | None:
    """The words of a command; one that was written for a shell is told, because none would divide it."""
    if len(words) > 1 or not any(character.isspace() for character in words[0]):
        return tuple(words)
    instead = 'write each word as an item of its own: scan = ["clamdscan", "--fdpass", "-"]'
    report.add(place, "is one word with spaces, and no shell divides it", instead)
    return None


def _origins(texts: list[str], place: Place, report: Report) -> frozenset[Origin]:
    origins: set[Origin] = set()
    for number, text in enumerate(texts, 1):
        origin = _bare_origin(text)
        if origin is None:
            what, instead = (
                "is not a bare https origin",
                'write scheme, host and port only: "https://files.example.com"',
            )
            report.add(place.item(number), what, instead)
        elif not origin.secure:
            what = "is plain http, where credentials would travel in clear"
            report.add(place.item(number), what, "write an https origin, or remove it")
        else:
            origins.add(origin)
    return frozenset(origins)


def _bare_origin(text: str) -> Origin | None:
    try:
        found = urls.url(text)
    except InvalidUrl:
        return None
    bare = found.path == "/" and not any(mark in text for mark in "@?#")
    return found.origin if bare else None


def _paths(texts: list[str], place: Place, report: Report) -> tuple[str, ...]:
    paths: list[str] = []
    for number, text in enumerate(texts, 1):
        try:
            found = urls.url(f"https://localhost{text}") if text.startswith("/") else None
        except InvalidUrl:
            found = None
        if found is None or found.tricky or any(mark in text for mark in "?#") or "/." in text:
            what = "is not an absolute path without encoded dots and slashes"
            report.add(place.item(number), what, 'write for example "/api/v4/projects/2177"')
        else:
            paths.append(found.path)
    return tuple(paths)


def _reference(raw: object, place: Place, report: Report) -> Reference | None:
    if isinstance(raw, str):
        remember(raw.encode())
        key = place.keys.rpartition(".")[2]
        what = "a secret is written by reference, never as text"
        report.add(place, what, f"write {key} = {_REFERENCE_EXAMPLE}, and change the secret that stood here")
        return None
    before = len(report.problems)
    values = decode.table(raw, SecretTable, place, report)
    if len(report.problems) > before or not isinstance(raw, dict):
        return None
    if sum(source in raw for source in _SOURCES) != 1:
        report.add(place, "needs exactly one of file, systemd, command and env", f"write {_REFERENCE_EXAMPLE}")
        return None
    if "ttl" in raw and "command" not in raw:
        report.add(place.at("ttl"), "belongs to a command", "remove it")
    match values:
        case {"file": text}:
            found = path(text, place.at("file"), report)
            return None if found is None else FromFile(found)
        case {"systemd": credential}:
            return FromSystemd(credential)
        case {"command": argv}:
            return FromCommand(tuple(argv), values.get("ttl"))
        case _:
            return FromEnv(values["env"])


_REFINE: Mapping[str, Refine] = {
    "projects": _projects,
    "exclude": _projects,
    "max_size": _plain(size),
    "exclude_newer": _cutoff,
    "exclude_newer_package": _cutoffs,
    "max_rate": _plain(rate),
    "max_requests": _plain(requests),
    "max_page_size": _plain(size),
    "max_file_size": _plain(size),
    "min_free": _plain(size),
    "ca_file": path,
    "client_cert": path,
    "client_key": path,
    "proxy": _proxy,
    "proxy_password": _reference,
    "credential_origins": _origins,
    "credential_paths": _paths,
    "password": _reference,
    "token": _reference,
    "sign": path,
    "expires": _lasting(_MINUTE, _CENTURY, "from a minute to a hundred years", EXPIRES),
    "volume_size": _volume_size,
    "trust": path,
    "scan": _command,
    "scan_timeout": _lasting(1.0, _DAY, "from a second to a day", SCAN_TIMEOUT),
    "max_age": _lasting(_MINUTE, _CENTURY, "from a minute to a hundred years", "7d"),
}
