"""What can go wrong, as facts.

Every error that may reach a user derives from `MirrorError`, names the party that failed and carries
its facts as attributes; sentences are made in `__str__` and nowhere else. Foreign exceptions (httpx,
OSError, msgspec) are turned into these at the edge that raised them. No message carries a URL's path,
query or userinfo: a token can hide in each of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum


class MirrorError(Exception):
    """The base of every error that a user may see."""


class InvalidName(MirrorError, ValueError):
    """Text that is not a name of its kind (index, project, file or digest)."""

    def __init__(self, kind: str, text: str, why: str) -> None:
        super().__init__(kind, text, why)
        self.kind, self.text, self.why = kind, text, why

    def __str__(self) -> str:
        return f"{self.text[:120]!a} is not a valid {self.kind}: {self.why}"


class InvalidUrl(MirrorError, ValueError):
    """Text that is not an absolute http(s) URL we are willing to request. The text is not kept."""


class BadPage(MirrorError):
    """A project list or project page that does not mean what the specification says."""


class UnsupportedVersion(BadPage):
    """A page of a repository version whose major number is newer than 1 (PEP 629)."""


class BadMetadata(MirrorError):
    """Core metadata, or a pyproject.toml, that cannot be what a file of its project carries."""


class TooManyFiles(MirrorError):
    """Dependencies lead to more files than anybody can mean."""

    def __init__(self, most: int, chain: tuple[str, ...]) -> None:
        super().__init__(most, chain)
        self.most, self.chain = most, chain

    def __str__(self) -> str:
        advice = "narrow what is asked for, or filter the indexes"
        return f"the dependencies come to more than {self.most} files, last {' -> '.join(self.chain)}; {advice}"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a configuration: where, what, and what to write instead."""

    where: str
    what: str
    instead: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}; {self.instead}"


class ConfigError(MirrorError):
    """Everything that is wrong with a configuration, at once."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class SecretUnavailable(MirrorError):
    """A secret reference of one index could not be resolved. Carries no secret text."""


class Reason(StrEnum):
    """Why a request, file, project or index did not come to its end; the report's vocabulary."""

    REJECTED = "rejected-credentials"
    NO_CREDENTIALS = "no-credentials"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not-found"
    GONE = "gone"
    FORWARDED = "forwarded"
    REDIRECT = "bad-redirect"
    INSECURE = "insecure"
    UNREACHABLE = "unreachable"
    TLS = "tls"
    TIMEOUT = "timeout"
    STALLED = "stalled"
    BROKEN = "broken-transfer"
    SERVER_ERROR = "server-error"
    RATE_LIMITED = "rate-limited"
    STATUS = "unexpected-status"
    TOO_LARGE = "too-large"
    BAD_PAGE = "bad-page"
    VERSION = "unsupported-version"
    SIZE = "size-mismatch"
    DIGEST = "digest-mismatch"
    CONTENT = "not-a-distribution"
    CHANGED = "changed-upstream"
    SHRUNK = "shrunk"
    FAILING = "keeps-failing"
    INTERRUPTED = "interrupted"
    CONFIGURATION = "configuration"
    LOST = "lost-locally"
    NO_UPLOAD_TIME = "no-upload-time"
    NO_SPACE = "no-space"
    TIME = "time-is-up"
    DEFECT = "defect"


class Failure(MirrorError):
    """One try at one object of one index failed.

    `retryable` says whether the same request may succeed later in this run; `retry_after` is the wait
    in seconds that the server asked for; `busy` says that it has too much to do; `holds_index` says that
    nothing else of the index may be asked in this run.
    """

    def __init__(
        self,
        reason: Reason,
        what: str,
        *,
        retryable: bool = False,
        retry_after: float | None = None,
        busy: bool = False,
        holds_index: bool = False,
    ) -> None:
        super().__init__(reason, what)
        self.reason, self.what = reason, what
        self.retryable, self.retry_after, self.busy, self.holds_index = retryable, retry_after, busy, holds_index
        self.away = False
        """Whether another origin than the index's own failed; set by the session."""

    def __str__(self) -> str:
        return f"{self.reason}: {self.what}"


class StoreError(MirrorError):
    """The local disk refused something; the run cannot go on."""


class BundleError(MirrorError):
    """A bundle, a key or a file of trusted keys is not what it should be: nothing was published."""


class Busy(MirrorError):
    """Another run holds the root's lock."""


def causes(error: BaseException) -> Iterator[BaseException]:
    """`error` itself, then what it came of, and so on."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
