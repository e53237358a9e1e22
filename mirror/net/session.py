"""One index's session: every request in that index's name goes through here, with its credential or none.

No function takes a URL together with a credential or an index: a session belongs to one index, and
`Sessions.of(link)` finds the one that a link's source names. Redirects, the 401 refresh, waiting and
retrying are done here; what may follow a redirect or carry the credential is decided in `policy`.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from time import monotonic
from typing import Self, TypeVar

import anyio
import msgspec

from mirror import __version__
from mirror.errors import BadPage, Failure, Reason, UnsupportedVersion
from mirror.model.files import FileBody, FileLink, Partial, Piece, Validators
from mirror.model.index import Index
from mirror.model.names import IndexName, ProjectName
from mirror.model.urls import Url
from mirror.net.answers import (
    Answer,
    OtherPart,
    body_span,
    divisible,
    expect_ok,
    expect_part,
    expect_tail,
    strong_validator,
    validators_of,
)
from mirror.net.authenticator import Authenticator, Resolve, Secrets, proxy_login
from mirror.net.body import Body, Sink, decoded
from mirror.net.division import Division
from mirror.net.policy import REDIRECTS, Hop, first_hop, next_hop
from mirror.net.traffic import Lane, Traffic
from mirror.net.transport import TROUBLES, failure_of, get, open_transport, timeouts
from mirror.plan.parts import LEAST, Part, Parts
from mirror.plan.retry import Budget

T = TypeVar("T")

PAGE_ACCEPT = "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01"
Header = tuple[bytes, bytes]
_USER_AGENT: Header = (b"User-Agent", f"index-mirror/{__version__}".encode())
_WHOLE: tuple[Header, ...] = ((b"Accept", b"*/*"), (b"Accept-Encoding", b"identity"))
_STOP_FORWARDING = "have its server stop that, or set follow-forwarding = true to mirror what it leads to"
_OF_PAGES = frozenset({b"If-None-Match", b"If-Modified-Since"})
"""Conditions that tell a stranger what the index said; If-Range says only what joins two parts of a file."""
_MAX_METADATA = 16 * 1024 * 1024
_NOT_OF_ONE_PIECE = frozenset({Reason.DIGEST, Reason.SIZE})
"""What comes of parts of two versions, as two servers behind one name may have: then a file is asked for in one."""
_LARGE_PAGE = 1 << 18  # bytes; reading one takes longer than a hop to a thread


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """A page as received, at the address that it came from in the end."""

    url: Url
    body: bytes
    content_type: str | None
    validators: Validators


class FilePart(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of a file from `at` on, as a server sent them: no digest vouches for them. `size` is that of the file."""

    at: int
    content: bytes
    size: int
    validator: str | None


class Session:
    """All traffic of one index."""

    def __init__(
        self,
        index: Index,
        resolve: Resolve,
        traffic: Traffic,
        ending: anyio.Event,
        login: tuple[bytes, bytes] | None = None,
    ) -> None:
        """`login` is the user name and password for the index's proxy.

        Raises `Failure` when the configured certificates cannot be used.
        """
        self.index = index
        self.budget = Budget(index.limits)
        self._authenticator = Authenticator(index, resolve)
        self._transport = open_transport(index, login)
        self._timeouts = timeouts(index)
        self._reading = traffic.reading
        self._lane = Lane(traffic, index.limits)
        self._received = self._lane.meter(self._rest)
        self._ending = ending
        self._quiet_until = 0.0

    async def start(self) -> None:
        """Look the credentials up, if that was not done yet; no request is made. Raises `Failure`."""
        await self._authenticator.start()

    async def close(self) -> None:
        """Close all connections."""
        self._lane.close()
        await self._transport.aclose()

    @property
    def authentication(self) -> str:
        """`anonymous`, `basic` or `bearer`: what a person may be told."""
        return self._authenticator.kind

    @property
    def account(self) -> str:
        """As whom pages are asked for: part of a cached page's key, without any secret."""
        return self._authenticator.account

    def project_url(self, project: ProjectName | None) -> Url:
        """The address of a project page; None: of the project list."""
        return self.index.url if project is None else self.index.url.child(project)

    async def page(self, project: ProjectName | None, validators: Validators, read: Callable[[Page], T]) -> T | None:
        """What `read` makes of a project page (None: the project list), or None when it is unchanged.

        A page that `read` finds broken (`BadPage`) is asked for again: it may have been cut. Raises `Failure`.
        """
        return await self._persist(lambda: self._page(self.project_url(project), validators, read))

    async def fetch(self, link: FileLink, sink: Sink[T]) -> T:
        """Have `sink` take the file behind `link`; a try that broke off is gone on with. Raises `Failure`."""
        divide = True

        async def once() -> T:
            nonlocal divide
            try:
                return await self._file(link, sink, divide=divide)
            except Failure as failure:
                divide &= failure.reason not in _NOT_OF_ONE_PIECE
                raise

        return await self._persist(once)

    async def metadata(self, link: FileLink) -> bytes:
        """The core metadata file beside `link` (PEP 658). Raises `Failure`."""
        return await self._persist(lambda: self._metadata(link))

    async def tail(self, link: FileLink, most: int) -> FilePart | None:
        """The last `most` bytes of the file behind `link`, or None where no parts are sent. Raises `Failure`."""
        return await self._persist(lambda: self._tail(link, most))

    async def part(self, link: FileLink, start: int, stop: int, tail: FilePart) -> FilePart | None:
        """The bytes from `start` to before `stop` of the file that `tail` ends, or None if there is another by now.

        Raises `Failure`.
        """
        return await self._persist(lambda: self._part(link, start, stop, tail))

    async def _page(self, url: Url, validators: Validators, read: Callable[[Page], T]) -> T | None:
        headers = [(b"Accept", PAGE_ACCEPT.encode()), (b"Accept-Encoding", b"gzip")]
        if validators.etag is not None:
            headers.append((b"If-None-Match", _bytes(validators.etag)))
        if validators.last_modified is not None:
            headers.append((b"If-Modified-Since", _bytes(validators.last_modified)))
        async with await self._get(url, headers, stay=not self.index.follow_forwarding) as answer:
            if answer.status == 304:
                if validators.conditional and not answer.hop.away:
                    return None
                raise Failure(Reason.BROKEN, f"{answer.hop.url.origin} answers 304 to a question without a condition")
            expect_ok(answer, self.index)
            body = await self._content(answer, self.index.limits.max_page_size)
        fresh = validators_of(answer, body)
        if fresh.digest == validators.digest:
            return None
        content_type = answer.fields.get("content-type")
        page = Page(url=answer.hop.url, body=body, content_type=content_type, validators=fresh)
        understood = partial(_understood, read, page)
        small = len(body) < _LARGE_PAGE
        result = understood() if small else await anyio.to_thread.run_sync(understood, limiter=self._reading)
        if isinstance(result, Failure):
            try:
                raise result
            finally:
                del result  # this frame holds a large page, and would be held by the failure for as long as itself
        return result

    async def _content(self, answer: Answer, largest: int) -> bytes:
        return await decoded(answer, self._body(answer, largest), largest)

    def _body(self, answer: Answer, largest: int, at: int = 0) -> Body:
        return Body(answer, self.index.limits, largest, self._received, at=at)

    async def _file(self, link: FileLink, sink: Sink[T], *, divide: bool) -> T:
        try:
            return await self._rest_of(link, sink, await sink.partial(), divide=divide)
        except OtherPart:
            await sink.forget()
            return await self._rest_of(link, sink, None, divide=False)

    async def _rest_of(self, link: FileLink, sink: Sink[T], begun: Partial | None, *, divide: bool) -> T:
        """The file behind `link`, or the rest of it. Raises `OtherPart` when that cannot be had."""
        headers = _WHOLE if begun is None else _range(b"%d-" % begun.size, begun.validator)
        async with await self._get(link.url, headers) as answer:
            start, size = body_span(answer, begun)
            if start == 0:
                expect_ok(answer, self.index)
            if not link.digests and answer.coding != "identity":
                what = f"{answer.hop.url.origin} compresses a file that no digest vouches for, and was asked not to"
                raise Failure(Reason.CONTENT, what)
            validator = strong_validator(answer) or (begun.validator if begun is not None and start else None)

            async def receive(pieces: AsyncIterator[Piece]) -> T:
                return await sink.receive(FileBody(start=start, size=size, validator=validator, pieces=pieces))

            if answer.status == 416:
                return await receive(_nothing())
            body = self._body(answer, self.index.limits.max_file_size - start, start)
            if divide and size is not None and size - start >= LEAST and self._divisible(link, answer):
                parts = Parts(start, size)
                ask = partial(self._ask, link, size, validator)
                return await Division(parts, self._lane, ask, self._spare, self._heed).bring(body, receive)
            return await receive(body)

    def _divisible(self, link: FileLink, answer: Answer) -> bool:
        return not self.index.http2 and bool(link.digests) and divisible(answer)

    @asynccontextmanager
    async def _ask(self, link: FileLink, size: int, validator: str | None, part: Part) -> AsyncIterator[Body]:
        """The body of `part` of the file behind `link`. Raises `OtherPart` when a server sends anything else."""
        headers = _range(b"%d-%d" % (part.at, part.asked - 1), validator)
        await self._quiet()
        async with await self._get(link.url, headers) as answer:
            expect_part(answer, self.index, part, size, validator)
            yield self._body(answer, part.asked - part.at)

    def _spare(self) -> bool:
        """Whether one more request may be made at once that could as well not be made."""
        return self._lane.spare and monotonic() >= self._quiet_until

    async def _metadata(self, link: FileLink) -> bytes:
        async with await self._get(link.url.with_suffix(".metadata"), _WHOLE) as answer:
            expect_ok(answer, self.index)
            return await self._content(answer, _MAX_METADATA)

    async def _tail(self, link: FileLink, most: int) -> FilePart | None:
        async with await self._get(link.url, _range(b"-%d" % most, None)) as answer:
            try:
                at, size = expect_tail(answer, self.index, most)
            except OtherPart:
                return None
            content = await self._all_of(self._body(answer, size - at), size - at)
            return FilePart(at=at, content=content, size=size, validator=strong_validator(answer))

    async def _part(self, link: FileLink, start: int, stop: int, tail: FilePart) -> FilePart | None:
        wanted = Part(at=start, end=stop, asked=stop)
        try:
            async with self._ask(link, tail.size, tail.validator, wanted) as body:
                content = await self._all_of(body, stop - start)
        except OtherPart:
            return None
        return FilePart(at=start, content=content, size=tail.size, validator=tail.validator)

    async def _all_of(self, body: Body, size: int) -> bytes:
        content = b"".join([piece async for _, piece in body])
        if len(content) != size:
            what = f"{self.index.url.origin} sends {len(content)} bytes as a part of {size}"
            raise Failure(Reason.BROKEN, what, retryable=True)
        return content

    async def _persist(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Run `operation` until it succeeds or the budget says to give up."""
        attempt = 0
        while True:
            attempt += 1
            try:
                await self._turn()
                with self._lane.request():
                    result = await operation()
            except Failure as failure:
                wait = self._heed(failure, attempt)
                if wait is not None and not self._ending.is_set():
                    await self._pause(wait)
                elif self.budget.gave_up(failure):
                    what = f"requests keep failing, last: {failure}"
                    raise Failure(Reason.FAILING, what, holds_index=True) from failure
                else:
                    raise
            else:
                self.budget.succeeded()
                return result

    def _heed(self, failure: Failure, attempt: int = 1) -> float | None:
        """Charge the budget for one more try, and be quiet for as long as the server asks; the seconds to wait."""
        if failure.retry_after is not None:
            pause = min(failure.retry_after, self.index.limits.retry_after_cap)
            self._quiet_until = max(self._quiet_until, monotonic() + pause)
        return self.budget.wait(attempt, failure, random.random())  # noqa: S311 - jitter, not a secret

    async def _pause(self, seconds: float) -> None:
        """Wait, unless the run is to end: then nothing is worth waiting for. Raises `Failure`."""
        with anyio.move_on_after(seconds):
            await self._ending.wait()
            raise Failure(Reason.INTERRUPTED, "the run ended before its turn came")

    async def _rest(self, seconds: float) -> None:
        """Read nothing for a while; when the run is to end, what is under way comes to its end unhindered."""
        with anyio.move_on_after(seconds):
            await self._ending.wait()

    async def _quiet(self) -> None:
        """Wait until the index may be asked at all. Raises `Failure`."""
        while (seconds := self._quiet_until - monotonic()) > 0:
            await self._pause(seconds)

    async def _turn(self) -> None:
        """Wait for a slot of this index and of the run, once the index may be asked at all."""
        while True:
            await self._quiet()
            if (early := self._lane.due(self.budget.requests, monotonic())) > 0:
                await self._pause(early)
            await self._lane.take()
            if monotonic() >= self._quiet_until:
                return
            self._lane.free()

    async def _get(self, url: Url, headers: Sequence[Header], *, stay: bool = False) -> Answer:
        """The answer to a GET after redirects and at most one refreshed 401; its body is still to be read.

        With `stay`, a redirect off the index's origins is a failure, and nobody there learns the name (C6).
        """
        hop = first_hop(self.index, url)
        rejections = 0
        while True:
            epoch, authorization = await self._authenticator.header(hop)
            self.budget.asked()
            answer = await self._send(hop, headers, authorization)
            rejected = answer.status == 401 and answer.authenticated
            if not rejected and answer.status not in REDIRECTS:
                if answer.authenticated and answer.status < 400:
                    self._authenticator.accepted(epoch)
                return answer
            async with answer:
                if rejected:
                    rejections += 1
                    if rejections > 1:
                        raise Failure(Reason.REJECTED, "the refreshed secret was rejected as well", holds_index=True)
                else:
                    hop = next_hop(self.index, hop, answer.fields.get("location"))
                    if stay and hop.away:
                        what = f"the page is forwarded to {hop.url.origin}, which is not this index; {_STOP_FORWARDING}"
                        raise Failure(Reason.FORWARDED, what, holds_index=True)
            if rejected:
                await self._authenticator.rejected(epoch)

    async def _send(self, hop: Hop, headers: Sequence[Header], authorization: bytes | None) -> Answer:
        sent = [_USER_AGENT, *headers]
        if hop.away:
            sent = [header for header in sent if header[0] not in _OF_PAGES]
        if authorization is not None:
            sent.append((b"Authorization", authorization))
        try:
            response = await self._transport.handle_async_request(get(hop.url, sent, self._timeouts))
        except Failure as failure:  # a proxy's
            failure.away = hop.away
            raise
        except TROUBLES as error:
            ours = failure_of(hop.url.origin, error)
            ours.away = hop.away
            raise ours from error
        return Answer(hop, response, authenticated=authorization is not None)


def _range(part: bytes, validator: str | None) -> tuple[Header, ...]:
    """The headers that ask for `part` of a file, if it is still the one with `validator`."""
    asked = (*_WHOLE, (b"Range", b"bytes=%b" % part))
    return asked if validator is None else (*asked, (b"If-Range", _bytes(validator)))


def _bytes(value: str) -> bytes:
    """A header's value as it is sent."""
    return value.encode("latin-1", "replace")


def _understood(read: Callable[[Page], T], page: Page) -> T | Failure:
    """What `read` makes of `page`, or why it is none. It is not raised here, so that nothing holds a large page."""
    try:
        return read(page)
    except UnsupportedVersion as error:
        return Failure(Reason.VERSION, str(error), holds_index=True)
    except BadPage as error:
        return Failure(Reason.BAD_PAGE, str(error), retryable=True)


async def _nothing() -> AsyncIterator[Piece]:
    """The pieces of no body."""
    return
    yield 0, b""


class Sessions:
    """The sessions of a run, one for each index; the only way from a link to the network is through its source."""

    def __init__(self, indexes: Iterable[Index], secrets: Secrets, traffic: Traffic, ending: anyio.Event) -> None:
        """Once `ending` is set, no session waits for anything any more."""
        self._indexes = {index.name: index for index in indexes}
        self._secrets, self._traffic, self._ending = secrets, traffic, ending
        self._opening = {name: anyio.Lock() for name in self._indexes}
        self._open: dict[IndexName, Session] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for name in tuple(self._open):
            await self.close(name)

    async def open(self, name: IndexName) -> Session:
        """The session of index `name`, made for whoever asks first and still to be started.

        Raises `Failure` when its certificates or its proxy's password cannot be had.
        """
        if name not in self._indexes:
            raise Failure(Reason.CONFIGURATION, "its index is not configured any more")
        index = self._indexes[name]
        async with self._opening[name]:
            if name not in self._open:
                login = await proxy_login(index, self._secrets)
                session = Session(index, self._secrets.credential, self._traffic, self._ending, login)
                self._open[name] = session
        return self._open[name]

    def of(self, link: FileLink) -> Session:
        """The session of the index that `link` was found on; it is open."""
        return self._open[link.source.index]

    def requests(self, name: IndexName) -> tuple[int, int]:
        """How many requests were made of index `name`, and how many of them were tried again."""
        budget = self._open[name].budget if name in self._open else None
        return (budget.requests, budget.retries) if budget else (0, 0)

    async def close(self, name: IndexName) -> None:
        """Close the session of index `name`, if there is one, and its connections."""
        session = self._open.pop(name, None)
        if session is not None:
            with anyio.CancelScope(shield=True):
                await session.close()
