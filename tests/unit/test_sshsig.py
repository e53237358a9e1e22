"""SSHSIG: one form of each signature, and nothing else is read; against ssh-keygen in tests/scenarios."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.sshsig import Signature, armored, fingerprint, key_blob, parse, signed_data
from mirror.errors import BundleError

KEY, SIGNATURE = bytes(range(32)), bytes(range(64))
NAMESPACE = "index-mirror-bundle"
TEXT = armored(KEY, SIGNATURE, NAMESPACE)
BEGIN, *LINES, END = TEXT.splitlines(keepends=True)
BLOB = base64.b64decode(b"".join(LINES))


def _other(blob: bytes, width: int = 70) -> bytes:
    text = base64.b64encode(blob)
    return BEGIN + b"".join(text[at : at + width] + b"\n" for at in range(0, len(text), width)) + END


def test_the_form_is_that_of_the_specification() -> None:
    """Field by field, as PROTOCOL.sshsig has them."""
    key = b"\0\0\0\x0bssh-ed25519\0\0\0\x20" + KEY
    fields = b"\0\0\0\x13index-mirror-bundle" + b"\0\0\0\0" + b"\0\0\0\x06sha512"
    assert key_blob(KEY) == key
    assert (
        b"SSHSIG\0\0\0\x01\0\0\0\x33" + key + fields + b"\0\0\0\x53\0\0\0\x0bssh-ed25519\0\0\0\x40" + SIGNATURE
    ) == BLOB
    assert signed_data(b"", NAMESPACE) == b"SSHSIG" + fields + b"\0\0\0\x40" + bytes.fromhex(
        "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce"
        "47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e"
    )
    assert [len(line) for line in LINES[:-1]] == [71] * (len(LINES) - 1)


def test_a_fingerprint_is_that_of_ssh_keygen() -> None:
    """What `ssh-keygen -l` said of this key."""
    assert fingerprint(KEY) == "SHA256:ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA"


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=64, max_size=64), st.text(max_size=300))
def test_what_is_written_is_read(key: bytes, signature: bytes, namespace: str) -> None:
    """Whatever the length of the last line."""
    assert parse(armored(key, signature, namespace)) == Signature(key, namespace, signature)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b"", id="empty"),
        pytest.param(TEXT[:-1], id="no final newline"),
        pytest.param(TEXT + b"\n", id="an empty line more"),
        pytest.param(b"\n" + TEXT, id="an empty line before"),
        pytest.param(TEXT.replace(b"\n", b"\r\n"), id="CRLF"),
        pytest.param(TEXT + TEXT, id="two signatures"),
        pytest.param(_other(BLOB, 76), id="lines of 76 characters"),
        pytest.param(_other(BLOB + b"\0"), id="trailing data"),
        pytest.param(_other(BLOB[:-1]), id="a signature of 63 bytes"),
        pytest.param(_other(BLOB.replace(b"\0\0\0\x01", b"\0\0\0\x02", 1)), id="version 2"),
        pytest.param(_other(BLOB.replace(b"sha512", b"sha256")), id="sha256"),
        pytest.param(_other(BLOB.replace(b"ssh-ed25519", b"ssh-ed25518")), id="another type of key"),
        pytest.param(_other(BLOB.replace(b"\0\0\0\0\0\0\0\x06", b"\0\0\0\x01r\0\0\0\x06")), id="reserved is not empty"),
        pytest.param(_other(BLOB.replace(NAMESPACE.encode(), b"\xff" * 19)), id="a namespace that is not UTF-8"),
        pytest.param(_other(BLOB.replace(b"\0\0\0\x13index", b"\xff\xff\xff\xffindex")), id="a namespace of 4 GiB"),
        pytest.param(BEGIN + b"A\n" + END, id="no base64"),
        pytest.param(armored(KEY, SIGNATURE, "n" * 4000), id="too large"),
    ],
)
def test_no_other_form_is_read(text: bytes) -> None:
    """Also where ssh-keygen would read it."""
    with pytest.raises(BundleError, match=r"^statement\.json\.sig: .*; get the bundle again$"):
        parse(text)


@given(st.binary(max_size=400) | st.binary(max_size=300).map(_other))
def test_hostile_bytes_are_refused(text: bytes) -> None:
    """Nothing but a BundleError, whatever came."""
    with pytest.raises(BundleError):
        parse(text)
