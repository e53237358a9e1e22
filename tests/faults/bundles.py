"""Faults 79 to 88: bundles that were changed, lost a part, are signed wrongly, or come at the wrong time."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mirror.bundle.volumes import BLOCK
from mirror.errors import BundleError
from mirror.model.bundle import DSSE, LISTS, SSHSIG, STATEMENT, SUMS, moment, moment_text
from mirror.run.show import show
from tests import gap
from tests.faults import forgeries
from tests.faults.border import VOLUME, Border, Crossing, nothing, refused, spoilt, variants
from tests.faults.fault import ABSORBED, Fault
from tests.site import Outcome

_SEAL = (STATEMENT, SSHSIG, DSSE)
_SMALL = (*_SEAL, SUMS, *LISTS)
_DAY = 86_400


def _flipped(name: str, *, every_bit: bool = False) -> Crossing:
    """One bit of a file of the bundle, the first that a pattern finds: in each byte of a small file, or in many."""

    def run(border: Border) -> Outcome:
        path = next(iter(sorted(border.bundle.glob(name))))
        content = path.read_bytes()
        for place in _places(content, path):
            for bit in range(8) if every_bit else (place % 8,):
                _put(path, place, content[place] ^ 1 << bit)
                with pytest.raises(BundleError):
                    show(border.bundle, border.trust, None, datetime.now(UTC), lambda _had, _total: None)
            _put(path, place, content[place])
        _put(path, len(content) // 2, content[len(content) // 2] ^ 1)
        return border.imports()

    return Crossing(
        play=nothing, run=run, says=r"; (copy|get) (it|the bundle) again|were refused", volumes="tar" in name
    )


def _places(content: bytes, path: Path) -> Iterable[int]:
    """Each byte of a small file; of a blob or volume the ends, many of a header and its padding, and some others."""
    size = len(content)
    if path.name in _SMALL:
        return range(size)
    headers = [found.start() - 257 for found in re.finditer(b"ustar", content)]
    near = {place for start in headers for place in range(max(0, start - 40), start + BLOCK, 3)}
    return sorted({*range(40), *range(size - 40, size), *range(0, size, 487), *near})


def _put(path: Path, place: int, value: int) -> None:
    with path.open("r+b") as file:
        file.seek(place)
        file.write(bytes([value]))


def _cut(name: str) -> Callable[[Border], object]:
    return lambda border: os.truncate(_one(border, name), _one(border, name).stat().st_size // 2)


def _emptied(name: str) -> Callable[[Border], object]:
    return lambda border: os.truncate(_one(border, name), 0)


def _longer(name: str, by: int = 1) -> Callable[[Border], object]:
    """More zeros, which take no space of a disk."""
    return lambda border: os.truncate(_one(border, name), _one(border, name).stat().st_size + by)


def _gone(name: str) -> Callable[[Border], object]:
    return lambda border: _one(border, name).unlink()


def _no_volume(border: Border) -> None:
    for path in border.bundle.glob("blobs.tar.*"):
        path.unlink()


def _one(border: Border, name: str) -> Path:
    """The largest file of the bundle that a pattern finds."""
    return max(border.bundle.glob(name), key=lambda path: path.stat().st_size)


def _lengths(name: str, says: str, **keys: Any) -> dict[str, Crossing]:
    kinds = {"cut": _cut(name), "emptied": _emptied(name), "longer": _longer(name), "vast": _longer(name, 1 << 36)}
    short = name.strip("*/").replace("blobs/*/", "") or "blob"
    return variants(says, {f"{short}-{kind}": change for kind, change in kinds.items()}, **keys)


def _swapped(border: Border) -> None:
    first, second, spare = (border.bundle / f"blobs.tar.{name}" for name in ("001", "002", "spare"))
    first.rename(spare)
    second.rename(first)
    spare.rename(second)


def _from_another(name: str) -> Callable[[Border], object]:
    """A file of the full bundle, which is signed as well."""
    return lambda border: shutil.copy(border.pristine.full / name, border.bundle / name)


def _volume_of_another(border: Border) -> None:
    volume = border.bundle / "blobs.tar.001"
    done = subprocess.run(["tar", "-c", "-C", border.pristine.full, "blobs"], check=True, capture_output=True)
    volume.write_bytes(done.stdout[:VOLUME].ljust(VOLUME, b"\0"))


def _signed_by(seal: Iterable[str], *, trusted: str = "") -> Callable[[Border], None]:
    """These files of the seal are of another key, which is `trusted` for that identity, or not at all."""

    def change(border: Border) -> None:
        other = gap.make_key(border.tools / "other")
        if trusted:
            border.signers.write_text(border.key.line() + other.line(trusted))
        text = (border.bundle / STATEMENT).read_bytes()
        sealed = {SSHSIG: other.loaded.sshsig(text), DSSE: other.loaded.dsse(text)}
        for name in seal:
            (border.bundle / name).write_bytes(sealed[name])

    return change


def _by_ssh_keygen(*arguments: str) -> Callable[[Border], object]:
    """ssh-keygen signs the statement with the right key and these arguments."""

    def change(border: Border) -> None:
        sign = ["ssh-keygen", "-Y", "sign", "-f", str(border.key.path), *arguments]
        text = (border.bundle / STATEMENT).read_bytes()
        done = subprocess.run(sign, input=text, check=True, capture_output=True)
        (border.bundle / SSHSIG).write_bytes(done.stdout)

    return change


def _under_rsa(border: Border) -> None:
    key = border.tools / "rsa"
    subprocess.run(["ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", str(key)], check=True)
    text = (border.bundle / STATEMENT).read_bytes()
    sign = ["ssh-keygen", "-Y", "sign", "-f", str(key), "-n", "index-mirror-bundle"]
    (border.bundle / SSHSIG).write_bytes(subprocess.run(sign, input=text, check=True, capture_output=True).stdout)


def _two_signatures(border: Border) -> None:
    """Both are right; but who reads only the first, or only the last, sees something else."""
    name = border.bundle / SSHSIG
    name.write_bytes(name.read_bytes() * 2)


def _payload_type(border: Border) -> None:
    name = border.bundle / DSSE
    text = name.read_bytes()
    assert b"vnd.in-toto+json" in text
    name.write_bytes(text.replace(b"vnd.in-toto+json", b"vnd.in-toto.json"))


def _trusting(options: str, principals: str = gap.OUTSIDE) -> Callable[[Border], object]:
    """The key's line among the allowed signers is this."""
    return lambda border: border.signers.write_text(border.key.line(principals, options))


def _at(time: timedelta, expires: timedelta) -> Callable[[Border], None]:
    """The bundle says to be made, and to expire, so long from now; and the right key says so."""

    def change(predicate: dict[str, Any]) -> None:
        now = datetime.now(UTC).replace(microsecond=0)
        made = now + time
        times = {"time": moment_text(made), "expires": moment_text(now + expires)}
        predicate.update({"sequence": int(made.timestamp()), **times})

    return forgeries.said(change)


def _imported_before(border: Border) -> Outcome:
    """The right bundle comes first, and then once more what came before."""
    done = gap.import_(border.site, border.good)
    assert done.code == 0, done.err
    return border.imports()


def _older(border: Border) -> None:
    shutil.rmtree(border.bundle)
    shutil.copytree(border.pristine.full, border.bundle)


def _old_time(border: Border) -> None:
    """The same content, in a bundle that says to be older than the last that was imported."""
    past = border.sequence - 2 * _DAY
    times = {"sequence": past, "time": moment_text(datetime.fromtimestamp(past, UTC))}
    forgeries.said(lambda predicate: predicate.update(times))(border)


def _another_of_the_second(border: Border) -> None:
    """A bundle of the same second as the one that was imported, with another content."""
    _older(border)
    times = {name: gap.predicate(border.good)[name] for name in ("sequence", "time", "expires")}
    forgeries.said(lambda predicate: predicate.update(times))(border)


def _sequence_of(time: str) -> Callable[[dict[str, Any]], None]:
    """The sequence that belongs to a time."""
    seconds = int(moment(time).timestamp())
    return lambda predicate: predicate.update({"sequence": seconds, "time": time, "expires": time})


_CHANGED = "not what was signed|is no signature of|is not (an ed25519|a DSSE)|about something else|at most|blobs have"
_TAR = "has \\d+ bytes where volumes have|copy it again|cannot be imported|copy what is missing"
_NO_STATEMENT = "statement.json is (no statement that this version|not written as its content is).*cannot be imported"
_FILES = "the files below blobs have \\d+ bytes|blobs/.*were refused"

FAULTS = (
    Fault(
        79,
        "one bit of a bundle changed, anywhere",
        {
            STATEMENT: _flipped(STATEMENT, every_bit=True),
            SSHSIG: _flipped(SSHSIG, every_bit=True),
            **{name: _flipped(name) for name in (DSSE, SUMS, *LISTS)},
            "blob": _flipped("blobs/b*/*"),
            "metadata": _flipped("blobs/5*/*"),
            **{name: _flipped(name) for name in ("blobs.tar.001", "blobs.tar.002", "blobs.tar.003")},
        },
    ),
    Fault(
        80,
        "a file of a bundle cut, emptied, longer, or vast",
        {
            **{name: case for file in _SMALL for name, case in _lengths(file, _CHANGED).items()},
            **_lengths("blobs/*/*", _FILES),
            **_lengths("blobs.tar.001", _TAR, volumes=True),
            **_lengths("blobs.tar.003", _TAR, volumes=True),
        },
    ),
    Fault(
        81,
        "a missing file, blob or volume",
        {
            **{name: refused(f"{name} is missing.*copy", _gone(name)) for name in _SMALL},
            "blob": refused(r"blobs/../[0-9a-f]{64} is missing; copy", _gone("blobs/*/*")),
            "folder": refused(
                r"blobs/../[0-9a-f]{64} is missing; copy", lambda b: shutil.rmtree(_one(b, "blobs/*/*").parent)
            ),
            "blobs": refused(
                r"(blobs/../[0-9a-f]{64} is missing(, |; copy)){4}", lambda b: shutil.rmtree(b.bundle / "blobs")
            ),
            **{
                name: refused(f"{name} is missing; copy", _gone(name), volumes=True)
                for name in ("blobs.tar.001", "blobs.tar.002", "blobs.tar.003")
            },
            "volumes": refused(
                "blobs.tar.001 is missing, blobs.tar.002 is missing, blobs.tar.003 is missing; copy",
                _no_volume,
                volumes=True,
            ),
            "everything": refused("no directory that can be read", lambda b: shutil.rmtree(b.bundle)),
        },
    ),
    Fault(
        82,
        "volumes in another order, or of another bundle",
        {
            "swapped": refused("not what an export writes there", _swapped, volumes=True),
            "first": refused("not what an export writes there", _volume_of_another, volumes=True),
            "lists": refused("not what was signed", _from_another("manifest.jsonl.gz")),
            "sums": refused("at most \\d+ belong there|not what was signed", _from_another(SUMS)),
            "statement": refused("no signature of statement.json", _from_another(STATEMENT)),
            "envelope": refused("about something else", _from_another(DSSE)),
            "signature": refused("no signature of statement.json", _from_another(SSHSIG)),
        },
    ),
    Fault(
        83,
        "a signature by another key, or for another namespace",
        {
            "unknown-key": refused("which .*signers does not have", _signed_by((SSHSIG, DSSE))),
            "envelope-by-unknown-key": refused("not signed by the key that signed", _signed_by((DSSE,))),
            "envelope-by-another": refused("not signed by the key", _signed_by((DSSE,), trusted=gap.OUTSIDE)),
            "sshsig-by-another": refused("not signed by the key", _signed_by((SSHSIG,), trusted=gap.OUTSIDE)),
            "both-by-another": Crossing(play=spoilt(_signed_by((SSHSIG, DSSE), trusted=gap.OUTSIDE)), codes=ABSORBED),
            "namespace-file": refused(
                "signs for the namespace 'file'", _by_ssh_keygen("-n", "file"), needs=("ssh-keygen",)
            ),
            "namespace-longer": refused(
                "signs for the namespace 'index-mirror-bundle-v2'",
                _by_ssh_keygen("-n", "index-mirror-bundle-v2"),
                needs=("ssh-keygen",),
            ),
            "hash": refused(
                "is not an ed25519 signature",
                _by_ssh_keygen("-n", "index-mirror-bundle", "-O", "hashalg=sha256"),
                needs=("ssh-keygen",),
            ),
            "right-by-ssh-keygen": Crossing(
                play=spoilt(_by_ssh_keygen("-n", "index-mirror-bundle")), codes=ABSORBED, needs=("ssh-keygen",)
            ),
            "rsa": refused("is not an ed25519 signature", _under_rsa, needs=("ssh-keygen",)),
            "twice": refused("is not an ed25519 signature", _two_signatures),
            "payload-type": refused("about something else|not signed by", _payload_type),
        },
    ),
    Fault(
        84,
        "an identity or a key that is not admitted, or no longer",
        {
            "other-identity": refused("not by one of mirror@outside", _trusting("", "someone@else")),
            "negated": refused("not by one of mirror@outside", _trusting("", "*,!mirror@outside")),
            "key-of-another-identity": refused(
                "not by one of mirror@outside", _signed_by((SSHSIG, DSSE), trusted="someone@else")
            ),
            "renamed": refused(
                "not by one of someone@else",
                forgeries.said(lambda predicate: predicate.update(identity="someone@else")),
            ),
            "another-side": refused(
                "this root follows mirror@outside",
                lambda border: (
                    _trusting("", "*")(border),
                    forgeries.said(lambda predicate: predicate.update(identity="someone@else"))(border),
                ),
            ),
            "valid-before": refused("may not sign for", _trusting('valid-before="20200101Z"')),
            "valid-after": refused("may not sign for", _trusting('valid-after="20990101Z"')),
            "namespaces": refused("may not sign for", _trusting('namespaces="git"')),
            "no-signers": refused("names no key", lambda border: border.signers.write_text("# nobody\n")),
            "certificates": refused("certificates", _trusting("cert-authority")),
        },
    ),
    Fault(
        85,
        "an expired bundle",
        {
            "long-ago": refused("expired on", _at(timedelta(days=-1), timedelta(hours=-1))),
            "before-it-was-made": refused("expired on", _at(timedelta(), timedelta(days=-400))),
        },
    ),
    Fault(
        86,
        "a bundle of the future, whose sequence would shut out all others",
        {
            "two-days": refused("in the future", _at(timedelta(days=2), timedelta(days=9))),
            "year-9999": refused("in the future", forgeries.said(_sequence_of("9999-12-31T23:59:59Z"))),
            "sequence-2-to-53": refused("cannot be imported", forgeries.member("sequence", str(2**53))),
            "sequence-2-to-53-less-1": refused("cannot be imported", forgeries.member("sequence", str(2**53 - 1))),
            "sequence-2-to-64": refused("cannot be imported", forgeries.member("sequence", str(2**64))),
            "sequence-1": refused("cannot be imported", forgeries.member("sequence", "1")),
            "an-hour": Crossing(play=spoilt(_at(timedelta(hours=1), timedelta(days=9))), codes=ABSORBED),
        },
    ),
    Fault(
        87,
        "an older bundle, or the same again",
        {
            "replayed": Crossing(
                play=nothing, run=_imported_before, says="imported already, on .*nothing to do", again=True
            ),
            "older": refused(
                "one of .* was imported already; import only newer", _older, again=True, run=_imported_before
            ),
            "first-again": refused("imported already, on .*nothing to do", _older),
            "older-content": refused("import only newer ones", _old_time),
            "same-second": refused("import only newer ones", _another_of_the_second, run=_imported_before, again=True),
        },
    ),
    Fault(
        88,
        "a statement that no export writes",
        variants(
            _NO_STATEMENT,
            {
                "empty": forgeries.written(lambda _: b""),
                "no-json": forgeries.written(lambda _: b"\xff\xfe{}"),
                "null": forgeries.written(lambda _: b"null\n"),
                "nested": forgeries.written(lambda _: b"[" * 500_000),
                "nested-member": forgeries.replaced('"predicateType"', f'"x": {"[" * 300_000}, "predicateType"'),
                "nested-value": forgeries.replaced('"required": 4', f'"required": {"[" * 300_000}'),
                "unknown-member": forgeries.replaced('"required"', '"also": 1, "required"'),
                "member-twice": forgeries.replaced('"required"', '"required": 5,\n    "required"'),
                "type-twice": forgeries.replaced(
                    '"subject"', '"_type": "https://in-toto.io/Statement/v1",\n  "subject"'
                ),
                "other-type": forgeries.replaced("Statement/v1", "Statement/v2"),
                "other-predicate": forgeries.replaced("bundle:v1", "bundle:v2"),
                "other-subject": forgeries.replaced('"name": "SHA256SUMS"', '"name": "../SHA256SUMS"'),
                "two-subjects": forgeries.replaced(
                    '"subject": [', f'"subject": [{{"name": "SHA256SUMS", "digest": {{"sha256": "{"0" * 64}"}}}},'
                ),
                "compact": forgeries.written(lambda text: text.replace(b"\n", b"").replace(b"  ", b"") + b"\n"),
                "escaped": forgeries.replaced('"identity"', '"\\u0069dentity"'),
                "after-the-end": forgeries.written(lambda text: text + b"\n"),
                "bom": forgeries.written(lambda text: b"\xef\xbb\xbf" + text),
                "nul-at-the-end": forgeries.written(lambda text: text + b"\0"),
                "nan": forgeries.member("required", "NaN"),
                "infinity": forgeries.member("required", "Infinity"),
                "float": forgeries.member("required", "4.0"),
                "exponent": forgeries.member("required", "4e0"),
                "text": forgeries.member("required", '"4"'),
                "negative": forgeries.member("required", "-1"),
                "negative-zero": forgeries.member("withdrawn", "-0"),
                "huge": forgeries.member("required", "9" * 4000),
                "huger": forgeries.member("required", "9" * 500_000),
                "large-exponent": forgeries.member("required", "1e999999999"),
                "volume-0": forgeries.member("volume-size", "0"),
                "volume-negative": forgeries.member("volume-size", "-512"),
                "year-0": forgeries.member("time", '"0000-01-01T00:00:00Z"'),
                "february-30": forgeries.member("expires", '"2027-02-30T00:00:00Z"'),
                "leap-second": forgeries.member("expires", '"2027-06-30T23:59:60Z"'),
                "hour-24": forgeries.member("expires", '"2027-06-30T24:00:00Z"'),
                "offset": forgeries.member("expires", '"2027-06-30T00:00:00+00:00"'),
                "fraction": forgeries.member("expires", '"2027-06-30T00:00:00.5Z"'),
                "other-digits": forgeries.member("expires", '"٢٠٢٧-06-30T00:00:00Z"'),
                "other-time": forgeries.member("time", '"2026-01-01T00:00:00Z"'),
                "identity-empty": forgeries.member("identity", '""'),
                "identity-wildcard": forgeries.member("identity", '"*"'),
                "identity-path": forgeries.member("identity", '"../outside"'),
                "identity-newline": forgeries.member("identity", '"mirror@outside\\n"'),
                "generation-0": forgeries.replaced('"generation": 2', '"generation": 0'),
                "generation-vast": forgeries.replaced('"generation": 2', f'"generation": {10**9}'),
                "digest-upper": forgeries.written(
                    lambda text: text[:200] + text[200:].replace(b'"manifest": "', b'"manifest": "A', 1)
                ),
            },
        )
        | {
            "vast": refused(
                "has \\d+ bytes, and at most 1048576 belong there",
                forgeries.written(lambda text: text + b" " * (1 << 20)),
            ),
            "volume-1": refused(
                "volumes of 1 bytes are too small",
                forgeries.said(lambda predicate: predicate.update({"volume-size": 1})),
            ),
            "volume-vast": refused(
                "blobs.tar.001 is missing",
                forgeries.said(lambda predicate: predicate.update({"volume-size": 2**53 - 1})),
            ),
            "volumes-in-plenty": refused(
                "cut into \\d+ volumes",
                forgeries.said(
                    lambda predicate: predicate.update(
                        {"volume-size": 512, "carried": {"count": 4, "bytes": 2**53 - 1}}
                    )
                ),
            ),
        },
    ),
)
