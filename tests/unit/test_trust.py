"""Whom an operator trusts: the lines of the file, and each way in which two signatures are not right."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle import sshsig
from mirror.bundle.signing import NAMESPACE, SigningKey
from mirror.bundle.trust import Signer, Trust
from mirror.errors import BundleError

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY, OTHER = SigningKey(PRIVATE), SigningKey(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
STATEMENT = b'{"_type": "a statement", "predicate": {}}\n'
SSHSIG, DSSE = KEY.sshsig(STATEMENT), KEY.dsse(STATEMENT)


def _trust(path: Path, text: str) -> Trust:
    (path / "keys").write_text(text)
    return Trust.load(path / "keys")


def _sign(message: bytes, namespace: str) -> bytes:
    public = PRIVATE.public_key().public_bytes_raw()
    return sshsig.armored(public, PRIVATE.sign(sshsig.signed_data(message, namespace)), namespace)


def test_a_signer_speaks_for_the_principals_of_all_lines_that_hold_now(tmp_path: Path) -> None:
    """A line that has ended gives nothing, and a negated pattern speaks for its own line only."""
    trust = _trust(
        tmp_path,
        "# the exporters\n\n"
        f"lab-*,!lab-9 {KEY.public} the first\n"
        f'lab-9? namespaces="git,index-*",valid-after="20260101Z" {KEY.public}\n'
        f'old valid-before="20260101Z" {KEY.public}\n'
        f"other {OTHER.public}\n",
    )
    signer = trust.verify(STATEMENT, SSHSIG, DSSE, NOW)
    assert signer.fingerprint == KEY.fingerprint
    admitted = [name for name in ("lab-1", "lab-9", "lab-91", "old", "other", "LAB-1", "") if signer.admits(name)]
    assert admitted == ["lab-1", "lab-91"]


def test_nobody_is_nobody() -> None:
    """ssh-keygen asks for an identity, and so a star is at least somebody."""
    assert [name for name in ("", "a") if Signer("SHA256:", (b"*",)).admits(name)] == ["a"]


def test_a_key_is_valid_to_the_end_of_its_last_second(tmp_path: Path) -> None:
    """As it is for ssh-keygen, whose clock has whole seconds."""
    trust = _trust(tmp_path, f'me valid-before="20261123120000Z" {KEY.public}\n')
    assert trust.verify(STATEMENT, SSHSIG, DSSE, NOW.replace(microsecond=999_999)).admits("me")


def test_a_pattern_of_many_stars_is_quickly_tried() -> None:
    """Without trying every way in which the stars could fit."""
    assert not Signer("SHA256:", (b"*a" * 300 + b"b",)).admits("a" * 5000)


@pytest.mark.parametrize(
    ("files", "line", "says"),
    [
        pytest.param((SSHSIG[:-1], DSSE), "{key}", "statement.json.sig: is not an ed25519 signature", id="form"),
        pytest.param(
            (_sign(STATEMENT, "file"), DSSE),
            "{key}",
            "statement.json.sig: signs for the namespace 'file'; sign with ssh-keygen -Y sign -n index-mirror-bundle",
            id="namespace",
        ),
        pytest.param(
            (OTHER.sshsig(STATEMENT), DSSE),
            "{key}",
            f"statement.json.sig: is by the key {OTHER.fingerprint}, which {{path}} does not have; add the key",
            id="unknown key",
        ),
        pytest.param(
            (SSHSIG, DSSE),
            'valid-before="20261123115959Z" {key}',
            f"statement.json.sig: is by the key {KEY.fingerprint}, which may not sign for index-mirror-bundle at "
            "2026-11-23 12:00:00+0000; see namespaces, valid-after and valid-before in {path} line 1",
            id="expired key",
        ),
        pytest.param(
            (KEY.sshsig(STATEMENT + b"\n"), DSSE),
            "{key}",
            "statement.json.sig: is no signature of statement.json as it is here; get the bundle again",
            id="another statement",
        ),
        pytest.param((SSHSIG, b"{}"), "{key}", "statement.dsse.json: is not a DSSE envelope", id="no envelope"),
        pytest.param(
            (SSHSIG, DSSE[:-1] + b" \n"), "{key}", "statement.dsse.json: is not a DSSE envelope", id="a space"
        ),
        pytest.param(
            (SSHSIG, KEY.dsse(STATEMENT + b"\n")),
            "{key}",
            "statement.dsse.json: is about something else than statement.json; get the bundle again",
            id="an envelope of another statement",
        ),
        pytest.param(
            (SSHSIG, DSSE.replace(b"in-toto+json", b"in-toto+yaml")),
            "{key}",
            "statement.dsse.json: is about something else than statement.json",
            id="another type",
        ),
        pytest.param(
            (SSHSIG, OTHER.dsse(STATEMENT)),
            "{key}\nother {other}",
            "statement.dsse.json: is not signed by the key that signed statement.json.sig; get the bundle again",
            id="two trusted keys",
        ),
        pytest.param(
            (SSHSIG, KEY.dsse(STATEMENT * 100)),
            "{key}",
            "statement.dsse.json: is larger than an envelope of statement.json",
            id="a large envelope",
        ),
    ],
)
def test_what_is_not_right_is_told_by_file(files: tuple[bytes, bytes], line: str, says: str, tmp_path: Path) -> None:
    """Each in one line, with what to do."""
    trust = _trust(tmp_path, "me " + line.format(key=KEY.public, other=OTHER.public))
    with pytest.raises(BundleError) as refused:
        trust.verify(STATEMENT, *files, NOW)
    assert str(refused.value).startswith(says.format(path=tmp_path / "keys"))
    assert "\n" not in str(refused.value)


def _changed(change: Callable[[dict[str, object]], object]) -> bytes:
    envelope = json.loads(DSSE)
    change(envelope)
    return json.dumps(envelope, separators=(",", ":")).encode() + b"\n"


SIGNATURE = json.loads(DSSE)["signatures"][0]


@pytest.mark.parametrize(
    "dsse",
    [
        pytest.param(_changed(lambda e: e.update(more=1)), id="a field more"),
        pytest.param(_changed(lambda e: e.pop("payloadType")), id="a field less"),
        pytest.param(_changed(lambda e: e.update(payload=7)), id="a payload that is a number"),
        pytest.param(_changed(lambda e: e.update(payload="\u00e9")), id="a payload that is no base64"),
        pytest.param(_changed(lambda e: e.update(payload="e30")), id="a payload that ends too early"),
        pytest.param(_changed(lambda e: e.update(signatures=[])), id="no signature"),
        pytest.param(_changed(lambda e: e.update(signatures=[SIGNATURE, SIGNATURE])), id="two signatures"),
        pytest.param(_changed(lambda e: e.update(signatures=[{**SIGNATURE, "more": 1}])), id="an unknown field in it"),
        pytest.param(_changed(lambda e: e.update(signatures=[{**SIGNATURE, "keyid": "me"}])), id="another keyid"),
        pytest.param(_changed(lambda e: e.update(signatures=[{**SIGNATURE, "sig": ""}])), id="an empty signature"),
        pytest.param(_changed(lambda e: e.update(signatures=[{**SIGNATURE, "sig": "AAAA"}])), id="a short signature"),
        pytest.param(DSSE.replace(b'"payload"', b'"payload":"","payload"', 1), id="a field twice"),
        pytest.param(DSSE.replace(b"application/", b"application\\/"), id="an escape"),
        pytest.param(b"[" * 900, id="deep"),
        pytest.param(b"\xff" + DSSE, id="not UTF-8"),
    ],
)
def test_another_envelope_is_refused(dsse: bytes, tmp_path: Path) -> None:
    """Also one that says the same in another way."""
    with pytest.raises(BundleError, match=r"^statement\.dsse\.json: "):
        _trust(tmp_path, f"me {KEY.public}").verify(STATEMENT, SSHSIG, dsse, NOW)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{key}", "line 2 is not IDENTITY [OPTIONS] ssh-ed25519 KEY"),
        ("me ssh-rsa AAAAB3NzaC1yc2E=", "line 2 is not IDENTITY [OPTIONS] ssh-ed25519 KEY (other types of keys"),
        ("me cert-authority {key}", "line 2 is about certificates, which are not supported"),
        ('me revoked="x" {key}', "line 2 has an unknown option, 'revoked'"),
        ("me namespaces {key}", "line 2 has an unknown option, 'namespaces'"),
        ('me namespaces="a",Namespaces="b" {key}', "line 2 has namespaces twice"),
        ('me valid-after="2026" {key}', "line 2 has the time '2026', which is not YYYYMMDD[HHMM[SS]][Z]"),
        ('me valid-after="20261301" {key}', "line 2 has the time '20261301', which is not"),
        ('me valid-after="19700101Z" {key}', "line 2 has the time '19700101Z', which is not"),
        (
            'me valid-after="20260102",valid-before="20260101" {key}',
            "line 2 has a valid-before that is not after its valid-after",
        ),
    ],
)
def test_a_line_that_is_not_understood_is_told(line: str, says: str, tmp_path: Path) -> None:
    """With its number, in one line."""
    with pytest.raises(BundleError) as refused:
        _trust(tmp_path, f"me {KEY.public}\n{line.format(key=KEY.public)}\n")
    assert str(refused.value).startswith(f"{tmp_path / 'keys'}: {says}")
    assert str(refused.value).endswith("; correct or remove it")


def test_a_file_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    """Missing, a directory, too large, or without a key."""
    with pytest.raises(BundleError, match=r"cannot be read \(No such file or directory\); name a file of allowed"):
        Trust.load(tmp_path / "missing")
    with pytest.raises(BundleError, match="is not a regular file"):
        Trust.load(tmp_path)
    with pytest.raises(BundleError, match="is larger than 1048576 bytes"):
        _trust(tmp_path, "#" * 1048577)
    with pytest.raises(BundleError, match="names no key; add a line: IDENTITY ssh-ed25519 KEY"):
        _trust(tmp_path, "# nobody\n\n")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the properties, which share it."""
    return tmp_path_factory.mktemp("trust")


PIECES = [
    b"me",
    b" ",
    b"\t",
    b"\r\n",
    b"\n",
    b"#",
    b'"',
    b",",
    b"!",
    b"*",
    b"\0",
    b'namespaces="',
    b'valid-after="2026',
]


@given(st.binary(max_size=200) | st.lists(st.sampled_from([*PIECES, KEY.public.encode()]), max_size=12).map(b"".join))
def test_any_bytes_are_trust_or_told(folder: Path, text: bytes) -> None:
    """Nothing but a BundleError, whatever is in the file."""
    (folder / "keys").write_bytes(text)
    told = f"{folder / 'keys'}: "
    try:
        Trust.load(folder / "keys")
    except BundleError as error:
        told = str(error)
    assert told.startswith(f"{folder / 'keys'}: ")


@st.composite
def _mutations(draw: st.DrawFn, right: bytes) -> bytes:
    """Other bytes than `right`: some replaced, cut out, doubled or put in."""
    start = draw(st.integers(0, len(right)))
    end = draw(st.integers(start, min(len(right), start + 40)))
    middle = draw(
        st.binary(max_size=40) | st.just(right[start:end] * 2) | st.sampled_from([b'"', b"\\u0000", b"=", b"{"])
    )
    changed = right[:start] + middle + right[end:]
    return changed if changed != right else right[:-1]


@given(_mutations(SSHSIG) | st.binary(max_size=400), _mutations(DSSE) | st.binary(max_size=400))
def test_hostile_signatures_are_refused(folder: Path, sshsig: bytes, dsse: bytes) -> None:
    """Nothing but a BundleError, whatever came."""
    trust = _trust(folder, f"me {KEY.public}")
    for files in ((STATEMENT, sshsig, DSSE), (STATEMENT, SSHSIG, dsse), (b"", SSHSIG, DSSE)):
        with pytest.raises(BundleError):
            trust.verify(*files, NOW)


def test_none_of_these_is_refused_for_another_reason(tmp_path: Path) -> None:
    """What all tests above change is right before."""
    assert _sign(STATEMENT, NAMESPACE) == SSHSIG
    assert _changed(dict.copy) == DSSE
    assert _trust(tmp_path, f"me {KEY.public}").verify(STATEMENT, SSHSIG, DSSE, NOW).admits("me")
