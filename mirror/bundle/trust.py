"""The keys that an operator trusts, and what they vouch for.

The file is ssh-keygen's ALLOWED SIGNERS, so that `ssh-keygen -Y verify` and we read the same one. What is accepted here
ssh-keygen accepts, and what it refuses is refused here. It passes over a line that it cannot read; here such a line is
an error, and so are certificates and other types of keys.
"""

from __future__ import annotations

import base64
import math
import re
import time
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey

from mirror.bundle import dsse as envelopes
from mirror.bundle import sshsig as signatures
from mirror.bundle.signing import NAMESPACE, PAYLOAD_TYPE
from mirror.config.private import Unfit, content
from mirror.errors import BundleError
from mirror.model.bundle import DSSE, SSHSIG, STATEMENT

_MOST = 1024 * 1024  # bytes of the file
# Each pattern list has at most 1000 bytes: ssh-keygen takes one pattern of 1023 for none.
_SETTING = rb'[A-Za-z-]+(?:="[^"\\\x00-\x1f]{0,1000}")?'
_LINE = re.compile(
    rb'(?:"(?P<quoted>[^"\x00-\x1f]{0,1000})"|(?P<plain>[^"\x00-\x20]{1,1000}))[ \t]+'
    rb"(?:(?P<options>" + _SETTING + rb"(?:," + _SETTING + rb")*)[ \t]+)?"
    rb"ssh-ed25519[ \t]+(?P<key>AAAAC3NzaC1lZDI1NTE5AAAAI[A-Za-z0-9+/]{43})(?:[ \t].*)?",
    re.DOTALL,
)
_OPTION = re.compile(rb'([A-Za-z-]+)(?:="([^"]*)")?')
_TIME = re.compile(r"([0-9]{8}(?:[0-9]{4}(?:[0-9]{2})?)?)(Z|UTC)?", re.IGNORECASE)


class Signer(msgspec.Struct, frozen=True):
    """The key that signed, and whom it may speak for."""

    fingerprint: str
    """As `ssh-keygen -l` shows it."""
    principals: tuple[bytes, ...]
    """The pattern lists of the lines that trust the key now."""

    def admits(self, identity: str) -> bool:
        """Whether a line that trusts the key now has a principal for `identity`."""
        name = identity.encode(errors="surrogatepass")
        return bool(name) and any(_matches(name, patterns) for patterns in self.principals)


class _Line(msgspec.Struct, frozen=True):
    number: int
    principals: bytes
    public_key: bytes
    namespaces: bytes
    after: float
    before: float

    def allows(self, namespace: str, now: float) -> bool:
        """Whether the key may sign in `namespace` at `now`, in seconds since 1970."""
        return _matches(namespace.encode(), self.namespaces) and self.after <= int(now) <= self.before


class Trust:
    """The lines of one file of allowed signers."""

    def __init__(self, path: Path, lines: tuple[_Line, ...]) -> None:
        self._path, self._lines = path, lines

    @classmethod
    def load(cls, path: Path) -> Trust:
        """Read `path`, a regular file. Blocks. Raises `BundleError` with the line that is wrong."""
        try:
            data = content(path, _MOST, private=False)
        except Unfit as error:
            raise BundleError(f"{path}: {error.what}; {error.instead}") from None
        except OSError as error:
            remedy = "name a file of allowed signers"
            raise BundleError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
        lines = []
        for number, raw in enumerate(data.split(b"\n"), 1):
            text = raw.removesuffix(b"\r").strip(b" \t")
            if text and not text.startswith(b"#"):
                try:
                    lines.append(_line(number, text))
                except _Wrong as error:
                    raise BundleError(f"{path}: line {number} {error}; correct or remove it") from None
        if not lines:
            raise BundleError(f"{path}: names no key; add a line: IDENTITY ssh-ed25519 KEY")
        return cls(path, tuple(lines))

    def verify(self, statement: bytes, sshsig: bytes, dsse: bytes, now: datetime) -> Signer:
        """The trusted key that made both signatures of `statement`, given the bytes of the bundle's three files.

        `now` has a time zone. Raises `BundleError` with the file that is not right.
        """
        signature = signatures.parse(sshsig)
        fingerprint = signatures.fingerprint(signature.public_key)
        if signature.namespace != NAMESPACE:
            remedy = f"sign with ssh-keygen -Y sign -n {NAMESPACE}"
            raise BundleError(f"{SSHSIG}: signs for the namespace {signature.namespace[:120]!a}; {remedy}")
        known = [line for line in self._lines if line.public_key == signature.public_key]
        if not known:
            remedy = "add the key if it is the exporter's, told by another way than the bundle's"
            raise BundleError(f"{SSHSIG}: is by the key {fingerprint}, which {self._path} does not have; {remedy}")
        valid = [line for line in known if line.allows(NAMESPACE, now.timestamp())]
        if not valid:
            where = f"{self._path} line {', '.join(str(line.number) for line in known)}"
            what = f"is by the key {fingerprint}, which may not sign for {NAMESPACE} at {now:%Y-%m-%d %H:%M:%S%z}"
            raise BundleError(f"{SSHSIG}: {what}; see namespaces, valid-after and valid-before in {where}")
        key = Ed25519PublicKey.from_public_bytes(signature.public_key)
        try:
            key.verify(signature.signature, signatures.signed_data(statement, NAMESPACE))
        except InvalidSignature:
            raise BundleError(f"{SSHSIG}: is no signature of {STATEMENT} as it is here; get the bundle again") from None
        _check_envelope(statement, dsse, key)
        return Signer(fingerprint, tuple(line.principals for line in valid))


def _check_envelope(statement: bytes, dsse: bytes, key: Ed25519PublicKey) -> None:
    if len(dsse) > 2 * len(statement) + 1024:  # a third more in base64, and the rest
        raise BundleError(f"{DSSE}: is larger than an envelope of {STATEMENT}; get the bundle again")
    envelope = envelopes.parse(dsse)
    if envelope.payload != statement or envelope.payload_type != PAYLOAD_TYPE:
        raise BundleError(f"{DSSE}: is about something else than {STATEMENT}; get the bundle again")
    try:
        envelope.verify([SSlibKey.from_crypto(key)], 1)
    except VerificationError:
        what = f"is not signed by the key that signed {SSHSIG}"
        raise BundleError(f"{DSSE}: {what}; get the bundle again") from None


class _Wrong(Exception):
    """What is wrong with one line."""


def _line(number: int, text: bytes) -> _Line:
    match = _LINE.fullmatch(text)
    if match is None:
        raise _Wrong("is not IDENTITY [OPTIONS] ssh-ed25519 KEY (other types of keys are not supported)")
    options: dict[str, str] = {}
    for found in _OPTION.finditer(match["options"] or b""):
        name, value = found[1].decode().lower(), found[2]
        if name == "cert-authority":
            raise _Wrong("is about certificates, which are not supported")
        if name not in ("namespaces", "valid-after", "valid-before") or value is None:
            raise _Wrong(f"has an unknown option, {name[:120]!a}")
        if name in options:
            raise _Wrong(f"has {name} twice")
        options[name] = value.decode(errors="surrogateescape")
    after = _seconds(options["valid-after"]) if "valid-after" in options else 0
    before = _seconds(options["valid-before"]) if "valid-before" in options else math.inf
    if before <= after:
        raise _Wrong("has a valid-before that is not after its valid-after")
    return _Line(
        number=number,
        principals=match["quoted"] if match["plain"] is None else match["plain"],
        public_key=base64.b64decode(match["key"])[-32:],
        namespaces=options.get("namespaces", "*").encode(errors="surrogateescape"),
        after=after,
        before=before,
    )


def _seconds(text: str) -> float:
    """A time as ssh-keygen has it, in seconds since 1970; without Z or UTC it is local, and never summer time."""
    match = _TIME.fullmatch(text)
    digits = match[1].ljust(14, "0") if match else ""
    try:
        moment = datetime.strptime(digits, "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        local = time.mktime((*moment.timetuple()[:6], 0, 0, 0))
    except (ValueError, OverflowError):
        seconds = 0.0
    else:
        seconds = moment.timestamp() if match and match[2] else local
    if seconds <= 0:
        raise _Wrong(f"has the time {text[:40]!a}, which is not YYYYMMDD[HHMM[SS]][Z] after 1970")
    return seconds


def _matches(name: bytes, patterns: bytes) -> bool:
    """Whether the pattern list admits `name`; a negated pattern that fits outweighs all others."""
    admitted = False
    for pattern in patterns.split(b","):
        plain = pattern.removeprefix(b"!")
        if fnmatchcase(name, plain.replace(b"[", b"[[]")):
            if plain != pattern:
                return False
            admitted = True
    return admitted
