"""The DSSE envelope of in-toto, with one signature, through securesystemslib.

Each envelope has one form, compact JSON with a newline, and nothing else is read: no bit of the file can change
unnoticed.
"""

from __future__ import annotations

import msgspec
from securesystemslib.dsse import Envelope

from mirror.errors import BundleError
from mirror.model.bundle import DSSE

_ENCODER = msgspec.json.Encoder(order="deterministic")


class _Signature(msgspec.Struct, forbid_unknown_fields=True):
    keyid: str
    sig: str


class _Envelope(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    payload: str
    payload_type: str
    signatures: tuple[_Signature]


def encoded(envelope: Envelope) -> bytes:
    """The bytes of the file that `envelope` has."""
    return _ENCODER.encode(envelope.to_dict()) + b"\n"


def parse(text: bytes) -> Envelope:
    """The envelope in `text`, which must be exactly what `encoded` writes. Proves nothing. Raises `BundleError`."""
    try:
        envelope = Envelope.from_dict(msgspec.to_builtins(msgspec.json.decode(text, type=_Envelope)))
    except (msgspec.DecodeError, ValueError):  # not this JSON, or not base64
        envelope = None
    if envelope is None or encoded(envelope) != text:
        raise BundleError(f"{DSSE}: is not a DSSE envelope as mirror export writes it; get the bundle again")
    return envelope
