"""The upstream's part: what an index offers, and the ways in which it can be ill, one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias

from mirror.cli.wheels import Artifact, build_wheel
from tests.machine.model import File, Offer, Page
from tests.site import Site
from tests.world import Answer, Close, Fault, Gate, Index, Raw, Reply, Request, faults, serving
from tests.world.http1 import head
from tests.world.pages import JSON, Held

Where: TypeAlias = Literal["files", "pages", "list", "everything"]


@dataclass(frozen=True)
class Ailment:
    """How an index fails: where, with which answers, and which reasons a report may give for it."""

    name: str
    where: Where
    fault: Fault
    reasons: frozenset[str]


def _answer(reply: Reply) -> Fault:
    return lambda _request, _reply: reply


def _cut(_request: Request, reply: Reply) -> Answer:
    """Half of the body, and the end of the connection: what came can be gone on with."""
    return Raw([head(reply), reply.body[: len(reply.body) // 2], Close()])


_BROKEN = {"broken-transfer", "unreachable"}
_FAULTS: tuple[tuple[str, Where, Fault, set[str]], ...] = (
    ("503", "files", _answer(faults.status(503)), {"server-error"}),
    ("404", "files", _answer(faults.status(404)), {"not-found"}),
    ("cut", "files", _cut, _BROKEN),
    ("almost", "files", faults.length_above, _BROKEN),
    ("reset", "files", faults.reset_in_body, _BROKEN),
    ("half", "files", faults.no_length_cut, {"size-mismatch", "digest-mismatch", "broken-transfer"}),
    ("flipped", "files", faults.flipped_bit, {"digest-mismatch"}),
    ("503", "pages", _answer(faults.status(503)), {"server-error"}),
    ("404", "pages", _answer(faults.status(404)), {"not-found"}),
    ("reset", "pages", faults.reset_in_body, _BROKEN),
    ("half", "pages", faults.no_length_cut, {"bad-page", "broken-transfer"}),
    ("login", "pages", faults.login_page, {"bad-page"}),
    ("empty", "pages", faults.empty, {"bad-page"}),
    ("503", "list", _answer(faults.status(503)), {"server-error"}),
    ("403", "list", _answer(faults.status(403)), {"forbidden", "not-found"}),
    ("404", "list", _answer(faults.status(404)), {"not-found"}),
    ("half", "list", faults.no_length_cut, {"bad-page", "broken-transfer"}),
    ("login", "list", faults.login_page, {"bad-page"}),
    ("empty", "list", faults.empty, {"bad-page"}),
    ("503", "everything", _answer(faults.status(503)), {"server-error"}),
    ("403", "everything", _answer(faults.status(403)), {"forbidden"}),
    ("reset", "everything", faults.reset_at_once, _BROKEN),
)
AILMENTS: Mapping[str, Ailment] = {
    f"{where}-{name}": Ailment(f"{where}-{name}", where, fault, frozenset(reasons))
    for name, where, fault, reasons in _FAULTS
}


REJECTS, FORWARDS = "rejects credentials", "forwards pages"
ILLS = (REJECTS, FORWARDS, *AILMENTS)
"""Every way of falling ill."""


@dataclass
class Moment:
    """A request, counted from now over all indexes, and those after it: they wait at `gate` for good."""

    left: int
    gate: Gate
    in_body: bool

    def come(self) -> bool:
        """Count one request, and say whether it is to wait."""
        self.left -= 1
        return self.left <= 0

    def answer(self, reply: Reply) -> Answer:
        """Nothing, or the half of `reply`, and then the gate."""
        begun = [head(reply), reply.body[: len(reply.body) // 2]] if self.in_body else []
        return Raw([*begun, self.gate])


class Upstream:
    """One index of the world, with what ails it and what it hides."""

    def __init__(self, index: Index, site: Site) -> None:
        self.index, self._site = index, site
        self.ailment: Ailment | None = None
        self.only: str | None = None
        """The one project whose pages or files fail, if not all do."""
        self.rejects = False
        """Whether its password was changed, and nobody told the mirror."""
        self.hidden: list[Held] = []
        """What vanished at once, and may come back."""
        self.moment: Moment | None = None
        index.intercept(self._fails, [self._fail], forever=True)

    @property
    def healthy(self) -> bool:
        """Whether all of it is served as it is."""
        return self.ailment is None and not self.rejects

    @property
    def pages_answer(self) -> bool:
        """Whether its list, and every page on it, is served as it is."""
        if self.rejects or self.ailment is None:
            return not self.rejects
        hit = [project for project in self.index.projects if self.only in {None, project}]
        return self.ailment.where == "files" or (self.ailment.where == "pages" and not hit)

    @property
    def reasons(self) -> set[str]:
        """What a report may say of its troubles."""
        reasons = set(self.ailment.reasons) if self.ailment is not None else set()
        return reasons | ({"rejected-credentials"} if self.rejects else set())

    @property
    def offer(self) -> Offer:
        """What it has, whether it answers or not."""
        offer = {}
        for project in self.index.projects:
            files, marker = self.index.offered(project)
            quarantined = marker is not None and marker.status == "quarantined"
            shown = {held.filename: File(sha256(held), held.yanked or False) for held in files}
            offer[project] = Page(shown, quarantined)
        return offer

    def put(self, artifact: Artifact, yanked: bool | str | None = None) -> None:
        """Offer a file, in the place of another of its name; what is announced of it follows from its name."""
        digest = "md5" if "-1.3-" in artifact.filename else "sha256"
        metadata = not artifact.filename.startswith("plain")
        self.index.add(artifact, digests=[digest], core_metadata=metadata, yanked=yanked)

    def fall_ill(self, how: str, only: str | None) -> None:
        """Fail in this way; with `only`, where it is about pages or files, for one project."""
        if how == REJECTS:
            self._reject()
        else:
            self.ailment, self.only = self._forwards() if how == FORWARDS else AILMENTS[how], only

    def heal(self) -> None:
        """Answer as it should, and have the mirror know the credential."""
        self.ailment, self.rejects = None, False
        self._site.authorise(self.index)

    def hide(self, files: list[Held]) -> None:
        """Have `files` vanish."""
        self.hidden += files
        for held in files:
            self.index.remove(held.filename)

    def show(self) -> None:
        """Have what vanished come back, unless something else took its name since."""
        here = {held.filename for held in self.index.held}
        for held in self.hidden:
            if held.filename not in here:
                self.put(Artifact(held.filename, held.content, held.metadata), held.yanked)
        self.hidden.clear()

    def named(self, path: str) -> Held | None:
        """The file that a request for this path means; None for pages and metadata."""
        return self.index.at(serving.canonical(path))

    def _reject(self) -> None:
        """Change the password or token, and tell nobody."""
        old = self.index.credential
        assert old is not None
        self._site.canaries.add(old.secret)
        fresh = f"changed-{len(self._site.canaries)}-of-{self.index.name}"
        if old.token is not None:
            self.index.rotate(token=fresh)
        else:
            self.index.rotate(password=fresh)
        self.rejects = True

    def _forwards(self) -> Ailment:
        """Project pages are sent on to the public index, which must never be asked (C6)."""
        public = self._site.world.fallback

        def fault(request: Request, _reply: Reply) -> Answer:
            return faults.redirect(public.at(f"/simple/{request.path.rstrip('/').rpartition('/')[2]}/"))

        return Ailment(FORWARDS, "pages", fault, frozenset({"forwarded"}))

    def _fails(self, request: Request) -> bool:
        if self.moment is not None and self.moment.come():
            return True
        return self.ailment is not None and self._hits(self.ailment.where, request)

    def _fail(self, request: Request, reply: Reply) -> Answer:
        if self.moment is not None and self.moment.left <= 0:
            return self.moment.answer(reply)
        assert self.ailment is not None
        if reply.status == 304:  # it has no body to be spoiled, and an ill index is ill in any case
            reply = Reply(200, (("Content-Type", JSON),), b"{}")
        return self.ailment.fault(request, reply)

    def _hits(self, where: Where, request: Request) -> bool:
        path = serving.canonical(request.path)
        if where == "everything":
            return True
        if where == "list":
            return path == self.index.path + "/"
        if self.only is not None and self.only not in path:
            return False
        if where == "files":
            return path.startswith(self.index.files + "/")
        return path.startswith(self.index.path + "/") and path != self.index.path + "/"


@cache
def artifact(project: str, version: int, edition: int) -> Artifact:
    """A small wheel; another edition is another size of the same release."""
    return build_wheel(project, f"1.{version}", payload=64 + 32 * edition)


def editions(filename: str) -> Callable[[int], Artifact]:
    """The artifacts that can stand under this file name."""
    project, version = filename.split("-")[:2]
    return lambda edition: artifact(project, int(version.partition(".")[2]), edition)


def sha256(held: Held) -> str:
    """The digest of a file's bytes."""
    return hashlib.sha256(held.content).hexdigest()
