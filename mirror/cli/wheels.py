"""Small distributions, built in memory.

The same arguments give the same bytes, on any machine: every timestamp is fixed and nothing is
compressed. What comes out is a real distribution: installers take the wheels, RECORD holds the
right digests, and the sdists build without a network because they carry their own build backend.
"""

import base64
import gzip
import hashlib
import io
import re
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

_ZIP_EPOCH = (1980, 1, 1, 0, 0, 0)
_TAR_EPOCH = 315_532_800  # the same moment, 1980-01-01, in seconds

_BACKEND = '''\
"""The build backend of this one project: it packs the module, and needs nothing."""

import base64
import hashlib
import pathlib
import zipfile

STEM = {stem!r}
MODULE = {module!r}
WHEEL = {wheel!r}


def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    here = pathlib.Path(__file__).parent
    info = STEM + ".dist-info/"
    files = [path for path in sorted((here / MODULE).iterdir()) if path.is_file()]
    entries = {{f"{{MODULE}}/{{path.name}}": path.read_bytes() for path in files}}
    entries[info + "METADATA"] = (here / "PKG-INFO").read_bytes()
    entries[info + "WHEEL"] = WHEEL.encode()
    lines = []
    for name, data in entries.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{{name}},sha256={{digest}},{{len(data)}}")
    lines.append(info + "RECORD,,")
    entries[info + "RECORD"] = ("\\n".join(lines) + "\\n").encode()
    filename = STEM + "-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(wheel_directory, filename), "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return filename
'''

_WHEEL_FILE = "Wheel-Version: 1.0\nGenerator: mirror\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


@dataclass(frozen=True)
class Artifact:
    """One file of a release: its name, its bytes, and its core metadata (METADATA or PKG-INFO)."""

    filename: str
    content: bytes
    metadata: bytes

    @cached_property
    def sha256(self) -> str:
        """The lower-case hexadecimal SHA-256 of the content."""
        return hashlib.sha256(self.content).hexdigest()


def build_wheel(
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    requires_python: str | None = None,
    payload: int = 0,
) -> Artifact:
    """Build a `py3-none-any` wheel whose module says its `__version__`.

    `payload` adds that many incompressible bytes as package data. `version` must be normalised
    (PEP 440); `name` is escaped as the binary distribution format asks.
    """
    module = _module(name)
    metadata = _metadata(name, version, requires, requires_python)
    info = f"{module}-{version}.dist-info"
    entries = {
        **_sources(module, version, payload),
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": _WHEEL_FILE.encode(),
    }
    entries[f"{info}/RECORD"] = _record(entries, f"{info}/RECORD")
    return Artifact(f"{module}-{version}-py3-none-any.whl", _zip(entries.items()), metadata)


def build_sdist(
    name: str,
    version: str,
    *,
    requires: Sequence[str] = (),
    requires_python: str | None = None,
    payload: int = 0,
) -> Artifact:
    """Build a `.tar.gz` source distribution of the module that `build_wheel` would pack."""
    module = _module(name)
    stem = f"{module}-{version}"
    metadata = _metadata(name, version, requires, requires_python)
    backend = _BACKEND.format(stem=stem, module=module, wheel=_WHEEL_FILE)
    entries = {
        "PKG-INFO": metadata,
        "pyproject.toml": _pyproject(name, version, requires, requires_python),
        "_backend.py": backend.encode(),
        **_sources(module, version, payload),
    }
    content = _tar_gz((f"{stem}/{path}", data) for path, data in entries.items())
    return Artifact(f"{stem}.tar.gz", content, metadata)


def _module(name: str) -> str:
    return re.sub(r"[-_.]+", "_", name).lower()


def _sources(module: str, version: str, payload: int) -> dict[str, bytes]:
    sources = {f"{module}/__init__.py": f'__version__ = "{version}"\n'.encode()}
    if payload:
        seed = f"{module} {version}".encode()
        sources[f"{module}/payload.bin"] = hashlib.shake_128(seed).digest(payload)
    return sources


def _metadata(name: str, version: str, requires: Sequence[str], requires_python: str | None) -> bytes:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines.append(f"Summary: {name} {version}")
    if requires_python is not None:
        lines.append(f"Requires-Python: {requires_python}")
    lines.extend(f"Requires-Dist: {requirement}" for requirement in requires)
    return ("\n".join(lines) + "\n").encode()


def _pyproject(name: str, version: str, requires: Sequence[str], requires_python: str | None) -> bytes:
    lines = [
        "[build-system]",
        "requires = []",
        'build-backend = "_backend"',
        'backend-path = ["."]',
        "",
        "[project]",
        f'name = "{name}"',
        f'version = "{version}"',
    ]
    if requires_python is not None:
        lines.append(f'requires-python = "{requires_python}"')
    if requires:
        lines.append("dependencies = [")
        lines.extend(f"    {_toml(requirement)}," for requirement in requires)
        lines.append("]")
    return ("\n".join(lines) + "\n").encode()


def _toml(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _record(entries: Mapping[str, bytes], own_path: str) -> bytes:
    lines = []
    for path, data in entries.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        lines.append(f"{path},sha256={digest},{len(data)}")
    lines.append(f"{own_path},,")
    return ("\n".join(lines) + "\n").encode()


def _zip(entries: Iterable[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path, data in entries:
            member = zipfile.ZipInfo(path, _ZIP_EPOCH)
            member.create_system = 3
            member.external_attr = 0o100644 << 16
            archive.writestr(member, data)
    return buffer.getvalue()


def _tar_gz(entries: Iterable[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with (
        gzip.GzipFile("", "wb", 0, buffer, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
    ):
        for path, data in entries:
            member = tarfile.TarInfo(path)
            member.size = len(data)
            member.mtime = _TAR_EPOCH
            member.mode = 0o644
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()
