"""The key that signs: which files are taken for one, and that nothing is signed differently twice."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st

from mirror.bundle.signing import SigningKey
from mirror.errors import BundleError

PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OPENSSH = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
RSA = rsa.generate_private_key(65537, 2048).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
ECDSA = ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
PKCS8 = PRIVATE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _file(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


def test_a_key_signs_the_same_bytes_the_same_way(tmp_path: Path) -> None:
    """Known answers: a bundle that is made again in another year has the same files."""
    key = SigningKey.load(_file(tmp_path / "key", OPENSSH))
    assert key.public == "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNXx3chmQSVTG4"
    assert key.fingerprint == "SHA256:lbmsoA0yIEcEiVDRnMWuzm+nV+3ZEEpVIURqFoeSspg"
    assert key.sshsig(b"{}\n").splitlines()[-2] == b"44O6zDNpw9Y2J6LvBZqH9AzInIarEfgEz5NBwyfMgL"
    assert key.dsse(b"{}\n") == (
        b'{"payload":"e30K","payloadType":"application/vnd.in-toto+json","signatures":[{'
        b'"keyid":"63d00ee3cf4f5c61ad94efa696c68f13b608fe56ecea13fb144a6fd18e9235b9",'
        b'"sig":"C0m/S2hNu3sNfonCghqKEpKXPJ+SHEL6OzOmT5zXB88NjhgN/PC+NCc0tCEHkHYUH9sNWr8q81580jvE2Pq7AQ=="}]}\n'
    )


@pytest.mark.parametrize(
    ("content", "mode", "says"),
    [
        pytest.param(OPENSSH, 0o640, r"others can read it \(mode 0640\); run: chmod 600 ", id="readable by the group"),
        pytest.param(RSA, 0o600, "is not an ed25519 key; make one: ssh-keygen -t ed25519", id="RSA"),
        pytest.param(ECDSA, 0o600, "is not an ed25519 key; make one: ssh-keygen -t ed25519", id="ECDSA"),
        pytest.param(PKCS8, 0o600, "is not a private key in OpenSSH's format; make one: ssh-keygen", id="PKCS8"),
        pytest.param(b"ssh-ed25519 AAAA me\n", 0o600, "is not a private key in OpenSSH's format", id="the public key"),
        pytest.param(OPENSSH[:-80], 0o600, "is not a private key in OpenSSH's format", id="cut off"),
        pytest.param(b"", 0o600, "is not a private key in OpenSSH's format", id="empty"),
        pytest.param(OPENSSH + b"\n" * 65536, 0o600, "is larger than 65536 bytes; name the file", id="large"),
    ],
)
def test_what_is_no_such_key_is_refused(content: bytes, mode: int, says: str, tmp_path: Path) -> None:
    """One line that names the file and what to do."""
    path = _file(tmp_path / "key", content, mode)
    with pytest.raises(BundleError, match=rf"^{path}: {says}") as refused:
        SigningKey.load(path)
    assert "\n" not in str(refused.value)


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    """A FIFO does not hang the export."""
    os.mkfifo(tmp_path / "fifo", 0o600)
    for path, says in ((tmp_path, "a regular file"), (tmp_path / "fifo", "a regular file"), (tmp_path / "no", "read")):
        with pytest.raises(BundleError, match=rf"^{path}: (is not|cannot be) {says}"):
            SigningKey.load(path)


def test_systemd_says_itself_who_may_read_a_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its files have modes that show the mask of an access list."""
    path = _file(tmp_path / "key", OPENSSH, 0o440)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert SigningKey.load(path).fingerprint.startswith("SHA256:")


@given(st.data())
def test_a_changed_key_file_is_refused_or_another_key(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Nothing but a BundleError, whatever is in the file."""
    content = bytearray(data.draw(st.sampled_from([OPENSSH, RSA, ECDSA])))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path = _file(tmp_path_factory.getbasetemp() / "changed", bytes(content))
    told = ""
    try:
        told = SigningKey.load(path).public
    except BundleError as error:
        told = str(error)
    assert told.startswith((f"{path}: ", "ssh-ed25519 "))


def test_what_signs_is_not_loaded_by_other_commands() -> None:
    """It would cost each command a tenth of a second."""
    program = "import sys, mirror.cli.main; sys.exit(sorted(m for m in sys.modules if 'securesystems' in m) or None)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
