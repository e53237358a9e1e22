"""One index of the world: what it holds, whom it lets in, and how a test makes it misbehave.

Every page is rendered when it is asked for, from what the index holds at that moment. A test may
change the index from its own thread while the server runs.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Literal, TypedDict

from tests.world import pages, serving
from tests.world.credentials import Credential, Ring
from tests.world.messages import Answer, Fault, Raw, Reply, Request
from tests.world.origins import Origin
from tests.world.pages import Held, Links
from tests.world.script import Script
from tests.world.shelf import Shelf


class Options(TypedDict, total=False):
    """How an index differs from the usual one; the defaults stand in `Index`."""

    path: str
    aliases: Sequence[str]
    files: str
    files_origin: Origin
    layout: Literal["flat", "hash"]
    file_links: Links
    format: Literal["json", "html", "both"]
    api_version: str
    listing: bool | int
    missing: int | str
    trailing: Literal["redirect", "serve", "missing"]
    username: str
    password: str | None
    token: str | None
    reject_credentials: bool
    anonymous_status: int
    wrong_status: int
    etags: bool | Literal["shared"]
    ranges: bool
    latency: float


class Index(Shelf):
    """A private package index. Its credential opens its pages and its files, and nothing else."""

    def __init__(self, name: str, origin: Origin, ring: Ring, options: Options) -> None:
        self.name = name
        self.origin = origin
        self.path = options.get("path", f"/{name}/simple").rstrip("/")
        self.prefixes = tuple(serving.canonical(p.rstrip("/")) for p in (self.path, *options.get("aliases", ())))
        files = options.get("files", f"/{name}/files").rstrip("/")
        super().__init__(files, hashed=options.get("layout") == "hash")
        self.files_origin = options.get("files_origin", origin)
        self.latency = options.get("latency", 0.0)
        self._options = options
        self._ring = ring
        self._script = Script()
        self.credential: Credential | None = None
        token = options.get("token")
        password = options.get("password", None if token else f"password-of-{name}")
        if token is not None or password is not None:
            self._authorise(Credential(options.get("username", "user"), password, token))

    @property
    def url(self) -> str:
        """The URL to configure, with its trailing slash."""
        return self.origin.at(self.path + "/")

    @property
    def claims(self) -> list[tuple[str, str]]:
        """The (origin, path prefix) pairs that belong to this index."""
        own = [(self.origin.name, prefix) for prefix in self.prefixes]
        return [*own, (self.files_origin.name, serving.canonical(self.files))]

    def rotate(
        self, *, password: str | None = None, token: str | None = None, username: str | None = None
    ) -> Credential:
        """Replace the credential; the old one gets 401 from now on and is still this index's."""
        old = self.credential or Credential("user")
        credential = Credential(username or old.username, password, token)
        self._authorise(credential)
        return credential

    def intercept(
        self,
        predicate: str | Callable[[Request], bool],
        answers: Iterable[Reply | Raw | Fault],
        *,
        forever: bool = False,
        authorised: bool = True,
    ) -> None:
        """Answer the next matching requests with these, one each, then normally again.

        A string matches where it is part of the path. With `forever` the answers go round. Only
        requests with the right credential count, unless `authorised` is false.
        """
        self._script.add(predicate, answers, forever=forever, authorised=authorised)

    def answer(self, request: Request, held: Held | None, *, metadata: bool = False) -> Answer:
        """Answer a request for a file of this index, or else for one of its pages."""
        refusal = self._refusal(request.header("authorization"))
        if request.method != "GET":
            reply = Reply(405, (("Allow", "GET"),))
        elif refusal is not None:
            reply = refusal
        elif held is not None:
            reply = self._file(request, held, metadata=metadata)
        else:
            reply = self._page(request)
        return self._script.apply(request, reply, permitted=refusal is None)

    def _authorise(self, credential: Credential) -> None:
        self._ring.add(self.name, credential)
        self.credential = credential

    def _refusal(self, value: str | None) -> Reply | None:
        if self.credential is None:
            refused = value is not None and self._options.get("reject_credentials", False)
            return _denied(401, "Basic", self.name) if refused else None
        if self.credential.matches(value):
            return None
        key = self._options.get("anonymous_status", 401)
        status = key if value is None else self._options.get("wrong_status", 401)
        return None if status == 200 else _denied(status, self.credential.challenge, self.name)

    def _file(self, request: Request, held: Held, *, metadata: bool) -> Reply:
        ranges = self._options.get("ranges", True)
        if metadata:
            if held.core_metadata in {False, "missing"}:
                return Reply(404)
            return serving.file(request, held.metadata, None, ranges=False)
        if held.redirect is not None:
            return Reply(302, (("Location", held.redirect),))
        etag = held.etag if self._options.get("etags", True) else None
        return serving.file(request, held.content, etag, ranges=ranges)

    def _page(self, request: Request) -> Reply:
        path = serving.canonical(request.path)
        prefix = max((p for p in self.prefixes if path.startswith(p)), key=len, default=None)
        if prefix is None:
            return Reply(404)
        name, _, rest = path[len(prefix) :].lstrip("/").partition("/")
        if rest or not (path.endswith("/") or self._options.get("trailing") == "serve"):
            if rest or self._options.get("trailing") == "missing":
                return Reply(404)
            return Reply(301, (("Location", request.path + "/"),))
        if not name:
            return self._listing(request)
        if name not in self.projects:
            missing = self._options.get("missing", 404)
            if isinstance(missing, int):
                return Reply(missing)
            return Reply(302, (("Location", f"{missing}{name}/"),))
        return self._project(request, name)

    def _listing(self, request: Request) -> Reply:
        listing = self._options.get("listing", True)
        if listing is not True:
            return Reply(404 if listing is False else listing)
        version = self._options.get("api_version", "1.1")
        return self._rendered(
            request,
            pages.listing_json(self.projects, version),
            pages.listing_html(self.projects, version),
        )

    def _project(self, request: Request, name: str) -> Reply:
        files, marker = self.offered(name)
        version = self._options.get("api_version", "1.1" if marker is None else "1.4")
        style = self._options.get("file_links", "relative")
        page = request.path if request.path.endswith("/") else request.path + "/"

        def href(held: Held) -> str:
            return pages.link(held, style=style, here=self.origin, there=self.files_origin, page=page)

        return self._rendered(
            request,
            pages.project_json(name, files, marker, href, version),
            pages.project_html(name, files, marker, href, version),
        )

    def _rendered(self, request: Request, as_json: str, as_html: str) -> Reply:
        kind = {"json": pages.JSON, "html": pages.PLAIN}.get(self._options.get("format", "json"))
        media_type = kind or pages.choose(request.header("accept"))
        body = (as_json if media_type == pages.JSON else as_html).encode()
        etags = self._options.get("etags", True)
        validated = as_json.encode() if etags == "shared" else media_type.encode() + body
        etag = f'"{hashlib.sha256(validated).hexdigest()[:32]}"' if etags else None
        return serving.page(request, body, media_type, etag)


def _denied(status: int, scheme: str, realm: str) -> Reply:
    challenge = (("WWW-Authenticate", f'{scheme} realm="{realm}"'),) if status == 401 else ()
    return Reply(status, challenge, b"denied")
