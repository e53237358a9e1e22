"""From one index's values to the `Index` and its `SecretSources`: the rules that need several keys at once.

An `Entry` is an index in the making, with the place that each problem is reported at. Nothing is
returned for an entry with a problem; the caller raises them all together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from mirror.config.problems import Place, Report
from mirror.config.sources import SecretSources, Userinfo
from mirror.config.tables import DIRECT, Values, over
from mirror.errors import InvalidUrl
from mirror.model import urls
from mirror.model.index import Authenticate, Index, Limits
from mirror.model.names import IndexName, variable_part
from mirror.model.secret import Reach, remember_userinfo
from mirror.model.urls import Origin, Url

_URL_EXAMPLE = 'write for example url = "https://gitlab.example.com/api/v4/projects/2177/packages/pypi/simple"'
_LIMITS = tuple(item.name for item in msgspec.structs.fields(Limits))
_SAME = (
    *("authenticate", "projects", "http2", "ca_file", "client_cert", "client_key"),
    *("follow_forwarding", "upgrade_http", "legacy_filenames"),
)


@dataclass(slots=True, kw_only=True)
class Entry:
    """An index in the making."""

    name: IndexName
    named: bool = True
    """False: the name was refused, and `name` stands in for it in messages."""
    place: Place
    url_place: Place
    url: str | None
    """As it is written, without userinfo; None: not written, or reported already."""
    literal: Userinfo | None = None
    values: Values = field(default_factory=dict)
    """Its own keys, checked one by one."""


def url(text: str, name: IndexName, place: Place, report: Report) -> str | None:
    """The URL of an index in `mirror.toml`, when it has no userinfo, which is reported but never repeated."""
    if not urls.has_userinfo(text):
        return text
    remember_userinfo(text)
    variables = f"MIRROR_INDEX_{variable_part(name)}"
    instead = (
        f"remove it, change that password, and set {variables}_USERNAME and {variables}_PASSWORD, or {variables}_TOKEN"
    )
    report.add(place, "the URL holds a user name or password", instead)
    return None


def index(entry: Entry, defaults: Values, report: Report) -> tuple[Index, SecretSources] | None:
    """The index that `entry` describes, its own values before the `defaults`."""
    values = over(defaults, entry.values)
    found = _url(entry, report)
    sources = _sources(entry, values, report)
    if found is None:
        return None
    proxy = values.get("proxy")
    if proxy == DIRECT:
        proxy = None
    _clear_text(entry, found, values, sources, proxy, report)
    made = Index(
        name=entry.name,
        url=found,
        reach=_reach(entry, found, values, report),
        proxy=proxy,
        limits=Limits(**{key: values[key] for key in _LIMITS if key in values}),
        **{key: values[key] for key in _SAME if key in values},
    )
    return made, sources


def _url(entry: Entry, report: Report) -> Url | None:
    if entry.url is None:
        return None
    try:
        found = urls.url(entry.url)
    except InvalidUrl as error:
        report.add(entry.url_place, str(error), _URL_EXAMPLE)
        return None
    if "?" in entry.url or "#" in entry.url:
        what = "the URL of an index has no query and no fragment"
        report.add(entry.url_place, what, "end it with the path; give a token by reference")
    return found if found.path.endswith("/") else Url(found.origin, f"{found.path}/")


def _sources(entry: Entry, values: Values, report: Report) -> SecretSources:
    if "password" in values and "token" in values:
        what = "has both a password and a token"
        report.add(entry.place, what, "keep password for HTTP Basic, or token for HTTP Bearer")
    elif "username" in values and "token" in values:
        what = "a token is sent as HTTP Bearer, without the user name"
        report.add(entry.place.at("username"), what, "remove username, or write password in place of token")
    return SecretSources(
        username=values.get("username"),
        password=values.get("password"),
        token=values.get("token"),
        literal=entry.literal,
        netrc=values.get("netrc", False),
        keyring=values.get("keyring", False),
        allow_insecure=values.get("allow_insecure", False),
        service=entry.url or "",
        proxy_username=values.get("proxy_username"),
        proxy_password=values.get("proxy_password"),
    )


def _clear_text(
    entry: Entry, found: Url, values: Values, sources: SecretSources, proxy: Origin | None, report: Report
) -> None:
    """C4: an index over plain http has no credentials, unless the operator says that this is fine.

    Through a proxy it has none at all: the proxy would read them, and "this machine" would be the proxy's.
    """
    wish = values.get("authenticate", Authenticate.AUTO)
    asked = wish is Authenticate.ALWAYS or (wish is Authenticate.AUTO and sources.configured)
    if proxy is not None and any(origin.scheme != "https" for origin in values.get("credential_origins", ())):
        what = "has a plain-http origin, and the proxy would read the credentials"
        report.add(entry.place.at("credential-origins"), what, 'write https origins, or proxy = "direct"')
    if asked and proxy is not None and found.origin.scheme != "https":
        what = "the proxy would read the credentials, over plain http"
        report.add(entry.url_place, what, 'write an https URL, or proxy = "direct"')
    elif asked and not found.origin.secure and not sources.allow_insecure:
        what = "credentials would travel in clear over plain http"
        report.add(entry.url_place, what, "write an https URL, or allow-insecure = true if that network may read them")


def _reach(entry: Entry, found: Url, values: Values, report: Report) -> Reach:
    paths: tuple[str, ...] | None = values.get("credential_paths")
    if values.get("credential_scope", "origin") == "origin":
        if paths is not None:
            what = "means nothing while credentials go to the whole origin"
            report.add(entry.place.at("credential-paths"), what, 'add credential-scope = "path", or remove it')
        paths = None
    else:
        if found.tricky:
            what = "an encoded dot or slash in the URL's path never matches a path, so no credentials would be sent"
            report.add(entry.url_place, what, 'write the numeric id, or credential-scope = "origin"')
        paths = paths or (found.path,)
    return Reach(origin=found.origin, others=values.get("credential_origins", frozenset()), paths=paths)
