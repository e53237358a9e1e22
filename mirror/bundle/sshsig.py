"""SSHSIG, OpenSSH's format of detached signatures (PROTOCOL.sshsig): ed25519 and sha512 only, without I/O.

Each signature has one form, the bytes that `ssh-keygen -Y sign` writes, and nothing else is read: no bit of the file
can change unnoticed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib

import msgspec

from mirror.errors import BundleError
from mirror.model.bundle import SSHSIG

KEY_TYPE = b"ssh-ed25519"

_BEGIN, _END = b"-----BEGIN SSH SIGNATURE-----\n", b"-----END SSH SIGNATURE-----\n"
_MAGIC, _VERSION, _HASH = b"SSHSIG", (1).to_bytes(4, "big"), b"sha512"
_WIDTH = 70  # characters of a line of base64
_KEY, _SIGNATURE = 32, 64  # bytes
_MOST = 4096  # bytes; ours have 314


class Signature(msgspec.Struct, frozen=True):
    """Who says to have signed, for what, and the ed25519 signature over `signed_data`."""

    public_key: bytes
    namespace: str
    signature: bytes


def key_blob(public_key: bytes) -> bytes:
    """An ed25519 public key as SSH writes it on the wire, and in base64 into files."""
    return _string(KEY_TYPE) + _string(public_key)


def fingerprint(public_key: bytes) -> str:
    """The key as `ssh-keygen -l` names it: `SHA256:` and base64 without padding."""
    return "SHA256:" + base64.b64encode(hashlib.sha256(key_blob(public_key)).digest()).decode().rstrip("=")


def signed_data(message: bytes, namespace: str) -> bytes:
    """What the ed25519 signature is made over."""
    digest = hashlib.sha512(message).digest()
    return _MAGIC + _string(namespace.encode()) + _string(b"") + _string(_HASH) + _string(digest)


def armored(public_key: bytes, signature: bytes, namespace: str) -> bytes:
    """The bytes of the file that `ssh-keygen -Y sign` writes."""
    blob = (
        _before_namespace(public_key)
        + _string(namespace.encode())
        + _string(b"")
        + _string(_HASH)
        + _string(_string(KEY_TYPE) + _string(signature))
    )
    text = base64.b64encode(blob)
    lines = [text[start : start + _WIDTH] + b"\n" for start in range(0, len(text), _WIDTH)]
    return b"".join([_BEGIN, *lines, _END])


def parse(text: bytes) -> Signature:
    """The signature in `text`, which must be exactly what `armored` writes. Raises `BundleError`."""
    if len(text) <= _MOST:
        try:
            blob = base64.b64decode(text.removeprefix(_BEGIN).removesuffix(_END))
            start = len(_before_namespace(bytes(_KEY)))
            public_key = blob[start - _KEY : start]
            size = int.from_bytes(blob[start : start + 4], "big")
            namespace = blob[start + 4 : start + 4 + size].decode()
        except (binascii.Error, UnicodeDecodeError):
            pass
        else:
            signature = blob[-_SIGNATURE:]
            if armored(public_key, signature, namespace) == text:
                return Signature(public_key, namespace, signature)
    raise BundleError(f"{SSHSIG}: is not an ed25519 signature as ssh-keygen -Y sign writes it; get the bundle again")


def _before_namespace(public_key: bytes) -> bytes:
    return _MAGIC + _VERSION + _string(key_blob(public_key))


def _string(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data
