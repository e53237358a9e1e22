"""Signatures against the tools of others: ssh-keygen, and securesystemslib alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.serialization import load_ssh_public_key
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import Signature, SSlibKey

from mirror.bundle import sshsig
from mirror.bundle.signing import NAMESPACE, PAYLOAD_TYPE, SigningKey
from mirror.bundle.trust import Trust
from mirror.errors import BundleError

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed"),
]

STATEMENT = b'{"_type": "a statement", "predicate": {"identity": "lab"}}\n'
NOW = datetime(2026, 7, 1, 12, tzinfo=UTC)
BERLIN = "CET-1CEST,M3.5.0,M10.5.0/3"


class Desk(msgspec.Struct):
    """A folder with a key that signs, another one, and a statement with its two signatures."""

    path: Path
    key: SigningKey
    other: SigningKey
    sshsig: bytes
    dsse: bytes

    def keys(self, text: str) -> Path:
        """The file of allowed signers with `text`, in which `{key}` and `{other}` are the keys."""
        path = self.path / "keys"
        path.write_bytes(text.format(key=self.key.public, other=self.other.public).encode())
        return path

    def theirs(self, keys: Path, identity: str, statement: bytes, signature: bytes) -> bool:
        """Whether ssh-keygen takes `signature` for one by `identity`."""
        (self.path / "sig").write_bytes(signature)
        command: list[str | Path] = ["ssh-keygen", "-Y", "verify", "-f", keys, "-I", identity, "-n", NAMESPACE]
        command += ["-s", self.path / "sig", f"-Overify-time={NOW:%Y%m%d%H%M%S}Z"]
        return subprocess.run(command, input=statement, capture_output=True).returncode == 0

    def ours(self, keys: Path, identity: str) -> bool | None:
        """Whether we take the statement's signatures for ones by `identity`; None: the file is refused."""
        try:
            trust = Trust.load(keys)
        except BundleError:
            return None
        try:
            return trust.verify(STATEMENT, self.sshsig, self.dsse, NOW).admits(identity)
        except BundleError:
            return False


def _generate(path: Path, *options: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", "-f", path, *(options or ("-t", "ed25519", "-N", ""))], check=True)
    return path


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """With keys as ssh-keygen makes them."""
    path = tmp_path_factory.mktemp("desk")
    key, other = (SigningKey.load(_generate(path / name)) for name in ("key", "other"))
    return Desk(path, key, other, key.sshsig(STATEMENT), key.dsse(STATEMENT))


@pytest.fixture
def in_berlin() -> Iterator[None]:
    """A place with summer time."""
    before = os.environ.get("TZ")
    os.environ["TZ"] = BERLIN
    time.tzset()
    yield
    del os.environ["TZ"]
    if before is not None:
        os.environ["TZ"] = before
    time.tzset()


def test_the_names_of_a_key_are_those_of_ssh_keygen(desk: Desk) -> None:
    """The line of the public key, and the fingerprint."""
    assert (desk.path / "key.pub").read_text().startswith(f"{desk.key.public} ")
    shown = subprocess.run(["ssh-keygen", "-l", "-f", desk.path / "key"], capture_output=True, text=True, check=True)
    assert shown.stdout.split()[1] == desk.key.fingerprint


def test_ssh_keygen_signs_the_same_bytes(desk: Desk) -> None:
    """So an exporter may also sign by hand, with a key on a token."""
    command: list[str | Path] = ["ssh-keygen", "-Y", "sign", "-f", desk.path / "key", "-n", NAMESPACE]
    assert subprocess.run(command, input=STATEMENT, capture_output=True, check=True).stdout == desk.sshsig


@pytest.mark.parametrize("size", [1, 2, 3, 37, 38, 39, 40, 41, 300])
def test_every_length_of_the_last_line_is_read(desk: Desk, size: int) -> None:
    """Also a full one."""
    command: list[str | Path] = ["ssh-keygen", "-Y", "sign", "-f", desk.path / "key", "-n", "n" * size]
    signed = subprocess.run(command, input=STATEMENT, capture_output=True, check=True).stdout
    assert sshsig.parse(signed).namespace == "n" * size


def test_in_toto_readers_need_only_the_public_key(desk: Desk) -> None:
    """securesystemslib by itself, with nothing of ours."""
    key = SSlibKey.from_crypto(load_ssh_public_key((desk.path / "key.pub").read_bytes()))
    envelope = Envelope.from_dict(json.loads(desk.dsse))
    assert list(envelope.verify([key], 1).values()) == [key]
    assert (envelope.payload, envelope.payload_type) == (STATEMENT, PAYLOAD_TYPE)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ("-t", "ed25519", "-N", "a passphrase"),
            "is encrypted, and nobody is there to be asked; take the passphrase off",
        ),
        (("-t", "rsa", "-b", "2048", "-N", ""), "is not an ed25519 key; make one"),
        (("-t", "ecdsa", "-N", ""), "is not an ed25519 key; make one"),
        (("-t", "ecdsa", "-m", "PEM", "-N", ""), "is not a private key in OpenSSH's format; make one"),
    ],
)
def test_another_key_of_ssh_keygen_is_refused(options: tuple[str, ...], says: str, tmp_path: Path) -> None:
    """With what to do."""
    path = _generate(tmp_path / "another", *options)
    with pytest.raises(BundleError, match=f"^{path}: {says}"):
        SigningKey.load(path)


def test_the_passphrase_comes_off_as_we_say(tmp_path: Path) -> None:
    """The command of the message."""
    path = _generate(tmp_path / "locked", "-t", "ed25519", "-N", "a passphrase")
    subprocess.run(
        ["ssh-keygen", "-q", "-p", "-P", "a passphrase", "-N", "", "-f", path], check=True, capture_output=True
    )
    assert SigningKey.load(path).fingerprint.startswith("SHA256:")


def _flips(data: bytes) -> Iterator[bytes]:
    for bit in range(len(data) * 8):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        yield bytes(changed)


def test_no_bit_changes_unnoticed(desk: Desk) -> None:
    """Each bit of the three files; what is left alone is accepted."""
    trust = Trust.load(desk.keys("lab {key}\nlab {other}\n"))
    files = (STATEMENT, desk.sshsig, desk.dsse)
    assert trust.verify(*files, NOW).admits("lab")
    refused = 0
    for place, data in enumerate(files):
        for changed in _flips(data):
            altered = list(files)
            altered[place] = changed
            with pytest.raises(BundleError):
                trust.verify(altered[0], altered[1], altered[2], NOW)
            refused += 1
    assert refused == 8 * sum(map(len, files))


def test_an_auditor_with_ssh_keygen_sees_it_as_well(desk: Desk) -> None:
    """A sample of the bits of the statement, and of the characters of the signature."""
    keys = desk.keys("lab {key}\n")
    assert desk.theirs(keys, "lab", STATEMENT, desk.sshsig)
    for changed in list(_flips(STATEMENT))[::41]:
        assert not desk.theirs(keys, "lab", changed, desk.sshsig)
    start, end = desk.sshsig.index(b"\n") + 1, desk.sshsig.index(b"\n-----END")
    for place in range(start, end, 11):
        other = b"A" if desk.sshsig[place : place + 1] != b"A" else b"B"
        if desk.sshsig[place : place + 1] != b"\n":
            changed = desk.sshsig[:place] + other + desk.sshsig[place + 1 :]
            assert not desk.theirs(keys, "lab", STATEMENT, changed)


def test_an_auditor_with_securesystemslib_sees_it_as_well(desk: Desk) -> None:
    """Each bit of the payload, and each of the signature."""
    key = SSlibKey.from_crypto(load_ssh_public_key((desk.path / "key.pub").read_bytes()))
    right = Envelope.from_dict(json.loads(desk.dsse))
    signature = right.signatures[key.keyid]
    altered = [Envelope(payload, PAYLOAD_TYPE, right.signatures) for payload in _flips(STATEMENT)]
    altered += [
        Envelope(STATEMENT, PAYLOAD_TYPE, {key.keyid: Signature(key.keyid, changed.hex())})
        for changed in _flips(bytes.fromhex(signature.signature))
    ]
    for envelope in altered:
        with pytest.raises(VerificationError):
            envelope.verify([key], 1)


AGREED = {
    "one name": ("lab {key}\n", "lab", True),
    "without a final newline": ("lab {key}", "lab", True),
    "another name": ("lab {key}\n", "lab2", False),
    "in capitals": ("lab {key}\n", "LAB", False),
    "another key": ("lab {other}\n", "lab", False),
    "a list of names": ("a,lab,b {key}\n", "lab", True),
    "an empty name in the list": ("a,,lab {key}\n", "lab", True),
    "a star": ("*@example.org {key}\n", "lab@example.org", True),
    "a star for nothing": ("lab* {key}\n", "lab", True),
    "a question mark": ("la? {key}\n", "lab", True),
    "a question mark for nothing": ("lab? {key}\n", "lab", False),
    "a question mark for each byte": ("l?b {key}\n", "l\u00e4b", False),
    "two question marks for two bytes": ("l??b {key}\n", "l\u00e4b", True),
    "no brackets": ("la[b] {key}\n", "lab", False),
    "brackets as they are": ("la[b] {key}\n", "la[b]", True),
    "a negation": ("*,!lab {key}\n", "lab", False),
    "a negation first": ("!lab,* {key}\n", "lab", False),
    "a negation of others": ("*,!lab? {key}\n", "lab", True),
    "a negation alone": ("!other {key}\n", "lab", False),
    "two negations": ("*,!!lab {key}\n", "lab", True),
    "a negation in another line": ("!lab,* {key}\nlab {key}\n", "lab", True),
    "quoted names": ('"lab" {key}\n', "lab", True),
    "quoted names with a space": ('"the lab,lab" {key}\n', "the lab", True),
    "nobody": ('"" {key}\n', "lab", False),
    "a quoted hash": ('"#lab" {key}\n', "#lab", True),
    "spaces and tabs": (" \tlab \t {key} \t comment\n", "lab", True),
    "spaces around options": ('lab\tnamespaces="*"\t{key}\n', "lab", True),
    "CRLF": ("# a\r\n\r\nlab {key}\r\n", "lab", True),
    "CRLF after a comment": ("lab {key} me\r\n", "lab", True),
    "comments and empty lines": ("\n# lab\n  # lab\n\t\nlab {key} # a comment\n", "lab", True),
    "a comment like a key": ("lab {other} {key}\n", "lab", False),
    "a line of an UTF-8 name": ("l\u00e4b {key}\n", "l\u00e4b", True),
    "a byte order mark": ("\ufefflab {key}\n", "lab", False),
    "the second line": ("lab {other}\nlab {key}\n", "lab", True),
    "the same line twice": ("lab {key}\nlab {key}\n", "lab", True),
    "two lines of one key": ("a {key}\nlab {key}\n", "lab", True),
    "names as in the command": ("ssh-ed25519 {key}\n", "ssh-ed25519", True),
    "our namespace": ('lab namespaces="index-mirror-bundle" {key}\n', "lab", True),
    "one of several namespaces": ('lab namespaces="git,index-mirror-bundle" {key}\n', "lab", True),
    "a namespace of a pattern": ('lab namespaces="index-*" {key}\n', "lab", True),
    "another namespace": ('lab namespaces="git" {key}\n', "lab", False),
    "a refused namespace": ('lab namespaces="*,!index-mirror-*" {key}\n', "lab", False),
    "a space in a namespace": ('lab namespaces="git, index-mirror-bundle" {key}\n', "lab", False),
    "no namespace": ('lab namespaces="" {key}\n', "lab", False),
    "options in capitals": ('lab NameSpaces="git" {key}\n', "lab", False),
    "another line for our namespace": ('lab namespaces="git" {key}\nlab namespaces="index*" {key}\n', "lab", True),
    "names of one line, namespace of another": ('lab namespaces="git" {key}\nb {key}\n', "lab", False),
    "valid since a day": ('lab valid-after="20260630Z" {key}\n', "lab", True),
    "valid since this second": ('lab valid-after="20260701120000Z" {key}\n', "lab", True),
    "valid from the next second": ('lab valid-after="20260701120001Z" {key}\n', "lab", False),
    "valid to this second": ('lab valid-before="20260701120000Z" {key}\n', "lab", True),
    "valid to the second before": ('lab valid-before="20260701115959Z" {key}\n', "lab", False),
    "valid to this minute": ('lab valid-before="202607011200Z" {key}\n', "lab", True),
    "valid to this day": ('lab valid-before="20260701Z" {key}\n', "lab", False),
    "UTC by name": ('lab valid-after="20260701120001UTC" {key}\n', "lab", False),
    "utc in small letters": ('lab valid-before="20260701120000utc" {key}\n', "lab", True),
    "z in small letters": ('lab valid-before="20260701120000z" {key}\n', "lab", True),
    "between two times": ('lab valid-after="20260101Z",valid-before="20270101Z" {key}\n', "lab", True),
    "all options": ('lab valid-before="20270101Z",namespaces="i*",valid-after="20260101Z" {key}\n', "lab", True),
    "the far future": ('lab valid-before="99991231235959Z" {key}\n', "lab", True),
    "local time, an hour before summer time": ('lab valid-before="20260701130000" {key}\n', "lab", True),
    "local time, a second too early": ('lab valid-before="20260701125959" {key}\n', "lab", False),
    "local time of summer, which ssh-keygen never has": ('lab valid-after="20260701130001" {key}\n', "lab", False),
    "local time in the gap of spring": ('lab valid-after="20260329023000" {key}\n', "lab", True),
}
BOTH_REFUSE = {
    "empty": "",
    "no name": "{key}\n",
    "no key": "lab\n",
    "no key after the type": "lab ssh-ed25519\n",
    "a key that is cut": "lab ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA\n",
    "a key of another type": "lab ecdsa-sha2-nistp256 AAAAE2VjZHNh\n",
    "a type in capitals": "lab SSH-ED25519 AAAAC3NzaC1lZDI1NTE5AAAAIA\n",
    "an unknown option": "lab revoked {key}\n",
    "an unknown option with a value": 'lab expires="20270101" {key}\n',
    "a mark of known hosts": "@revoked lab {key}\n",
    "a revoked key as in authorized_keys": "lab @revoked {key}\n",
    "a certificate authority": "lab cert-authority {key}\n",
    "an option without quotes": "lab namespaces=index-mirror-bundle {key}\n",
    "an option without a value": "lab namespaces {key}\n",
    "an option without an end": 'lab namespaces="index-mirror-bundle {key}\n',
    "names without an end": '"lab {key}\n',
    "options apart": 'lab namespaces="*", valid-before="20270101Z" {key}\n',
    "options after the key's type": 'lab ssh-ed25519 namespaces="*" AAAA\n',
    "namespaces twice": 'lab namespaces="*",namespaces="*" {key}\n',
    "dates twice": 'lab valid-after="20260101",valid-after="20260101" {key}\n',
    "a comma at the end": 'lab namespaces="*", {key}\n',
    "a comma alone": "lab , {key}\n",
    "a date of ISO": 'lab valid-before="2027-01-01" {key}\n',
    "a date that is empty": 'lab valid-before="" {key}\n',
    "a date of ten digits": 'lab valid-before="2027010112" {key}\n',
    "a month that is none": 'lab valid-before="20271301" {key}\n',
    "an hour that is none": 'lab valid-before="202701012400" {key}\n',
    "the beginning of time": 'lab valid-after="19700101Z" {key}\n',
    "dates the wrong way round": 'lab valid-after="20260102Z",valid-before="20260101Z" {key}\n',
    "one date for both": 'lab valid-after="20260102Z",valid-before="20260102Z" {key}\n',
    "another zone": 'lab valid-before="20270101+01" {key}\n',
    "a form feed for a space": "lab\f{key}\n",
}
WE_REFUSE = {
    "a quote in the middle of names": 'l"ab" {key}\n',
    "nothing after quoted names": '"lab"{key}\n',
    "a backslash in an option": 'lab namespaces="*,\\"" {key}\n',
    "an empty option": 'lab ,namespaces="*" {key}\n',
    "30 February": 'lab valid-after="20260230Z" {key}\n',
    "a leap second": 'lab valid-before="20261231235960Z" {key}\n',
    "a line that ssh-keygen passes over": "lab\nlab {key}\n",
    "a line for certificates": "lab cert-authority {key}\nlab {key}\n",
    "a line for another type of key": "lab ecdsa-sha2-nistp256 AAAAE2VjZHNh\nlab {key}\n",
    "a carriage return in the middle": "lab\r{key}\n",
    "a vertical tab in the key": "lab {key}\v\n",
    "a thousand bytes of names": "lab," + "x" * 1000 + " {key}\n",
}


@pytest.mark.usefixtures("in_berlin")
@pytest.mark.parametrize(("text", "identity", "accepted"), AGREED.values(), ids=AGREED)
def test_a_line_means_what_it_means_to_ssh_keygen(desk: Desk, text: str, identity: str, accepted: bool) -> None:
    """Accepted by both, or by none."""
    keys = desk.keys(text)
    assert desk.theirs(keys, identity, STATEMENT, desk.sshsig) is accepted
    assert desk.ours(keys, identity) is accepted


@pytest.mark.parametrize("text", BOTH_REFUSE.values(), ids=BOTH_REFUSE)
def test_what_ssh_keygen_cannot_read_is_an_error(desk: Desk, text: str) -> None:
    """It passes over such a line, so that it trusts nobody."""
    keys = desk.keys(text)
    assert not desk.theirs(keys, "lab", STATEMENT, desk.sshsig)
    assert desk.ours(keys, "lab") is None


@pytest.mark.parametrize("text", WE_REFUSE.values(), ids=WE_REFUSE)
def test_what_we_refuse_beyond_that(desk: Desk, text: str) -> None:
    """ssh-keygen trusts the key all the same; who gets our error writes the line more plainly."""
    keys = desk.keys(text)
    assert desk.theirs(keys, "lab", STATEMENT, desk.sshsig)
    assert desk.ours(keys, "lab") is None


NAMES = st.sampled_from(["lab", "*", "l?b", "!lab", "!x", "", "x", "l*", '"lab"', '"x,lab"', "\u00e4", "#", "lab\\"])
OPTIONS = st.sampled_from(
    [
        *('namespaces="*"', 'namespaces="!*"', 'namespaces="index-*,git"', 'Namespaces="x y"', "cert-authority", ""),
        *('valid-after="2026"', 'valid-after="20260701Z"', 'valid-after="20260701140000"', 'valid-after="20270101"'),
        *('valid-before="20260701120000"', 'valid-before="202607011200Z"', 'valid-before="20261231Z"', "revoked"),
    ]
)
SPACES = st.sampled_from([" ", " ", " ", "\t", "  ", "\r"])
LINES = st.builds(
    "{0}{s}{1}{2}{key}{3}".format,
    st.lists(NAMES, min_size=1, max_size=3).map(",".join),
    st.lists(OPTIONS, max_size=2).map(",".join),
    SPACES,
    st.sampled_from(["", " me", "\r", '"', "\0", " \t"]),
    s=SPACES,
    key=st.sampled_from(["{key}", "{key}", "{key}", "{other}", "ssh-ed25519 AAAA"]),
)


@pytest.mark.usefixtures("in_berlin")
@settings(max_examples=150)
@given(text=st.lists(LINES, min_size=1, max_size=2).map("\n".join))
def test_whatever_the_lines_we_never_trust_more(desk: Desk, text: str) -> None:
    """Of a file that is accepted at all both say the same."""
    keys = desk.keys(text)
    ours = desk.ours(keys, "lab")
    if ours is not None:
        assert desk.theirs(keys, "lab", STATEMENT, desk.sshsig) is ours
