"""The key that signs a bundle, both ways: for ssh-keygen, and for readers of in-toto.

Signatures of ed25519 are deterministic: the same key and message give the same bytes. A key that others can read, or
that would have to be asked for, is refused.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_ssh_private_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import CryptoSigner

from mirror.bundle import dsse, sshsig
from mirror.config.private import Unfit, content
from mirror.errors import BundleError

NAMESPACE = "index-mirror-bundle"
PAYLOAD_TYPE = "application/vnd.in-toto+json"

_MOST = 64 * 1024  # bytes
_MAKE = "make one: ssh-keygen -t ed25519 -N '' -f FILE"


class SigningKey:
    """An ed25519 private key. It is never shown; what names it is public."""

    def __init__(self, private: Ed25519PrivateKey) -> None:
        public = private.public_key().public_bytes_raw()
        self._private, self._public = private, public
        self.public = f"{sshsig.KEY_TYPE.decode()} {base64.b64encode(sshsig.key_blob(public)).decode()}"
        """The line of the public key, without a comment."""
        self.fingerprint = sshsig.fingerprint(public)
        """The key as `ssh-keygen -l` names it."""

    @classmethod
    def load(cls, path: Path) -> SigningKey:
        """The key in `path`: OpenSSH's format, ed25519, not encrypted, for its owner's eyes only. Blocks.

        Raises `BundleError`.
        """
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")  # systemd's: it says itself who may read
        private = not (credentials and path.parent == Path(credentials))
        try:
            key = load_ssh_private_key(content(path, _MOST, private=private), None)
        except Unfit as error:
            raise BundleError(f"{path}: {error.what}; {error.instead}") from None
        except OSError as error:
            remedy = "name a file that the user of this program can read"
            raise BundleError(f"{path}: cannot be read ({error.strerror}); {remedy}") from error
        except TypeError:
            remedy = "take the passphrase off a copy with ssh-keygen -p -N '' -f COPY"
            raise BundleError(f"{path}: is encrypted, and nobody is there to be asked; {remedy}") from None
        except (ValueError, UnsupportedAlgorithm):
            raise BundleError(f"{path}: is not a private key in OpenSSH's format; {_MAKE}") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise BundleError(f"{path}: is not an ed25519 key; {_MAKE}")
        return cls(key)

    def sshsig(self, message: bytes) -> bytes:
        """What `ssh-keygen -Y sign -n index-mirror-bundle` writes for `message`."""
        signature = self._private.sign(sshsig.signed_data(message, NAMESPACE))
        return sshsig.armored(self._public, signature, NAMESPACE)

    def dsse(self, message: bytes) -> bytes:
        """The DSSE envelope of `message`, an in-toto statement."""
        envelope = Envelope(message, PAYLOAD_TYPE, {})
        envelope.sign(CryptoSigner(self._private))
        return dsse.encoded(envelope)
