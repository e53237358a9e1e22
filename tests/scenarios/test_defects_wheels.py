"""Odd wheels are files like any other, and what is said of a file's metadata is true in every generation."""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mirror.cli.wheels import Artifact, build_wheel
from tests.site import Site
from tests.world import World

_ODD, _FINE = build_wheel("odd", "1.0"), build_wheel("fine", "1.0")
_DIRECTORY, _METADATA = b"PK\x01\x02", b"Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n" + b"Classifier: x\n" * 80


def _packed(method: int = zipfile.ZIP_DEFLATED) -> bytearray:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("odd-1.0.dist-info/METADATA", _METADATA)
    return bytearray(buffer.getvalue())


def _damaged(method: int) -> bytearray:
    """The compressed METADATA, not its headers, is garbage from its first byte on."""
    content = _packed(method)
    start, end = content.index(b"METADATA") + len(b"METADATA"), content.index(_DIRECTORY)
    content[start:end] = b"\xff" * (end - start)
    return content


def _damaged_late(method: int) -> bytearray:
    """The compressed METADATA begins well."""
    content = _packed(method)
    middle = (content.index(b"METADATA") + 8 + content.index(_DIRECTORY)) // 2
    content[middle] ^= 0xFF
    return content


def _version_needed() -> bytearray:
    content = _packed()
    content[4] = content[content.index(_DIRECTORY) + 6] = 255
    return content


def _wild_offset(offset: int) -> bytearray:
    content = _packed()
    struct.pack_into("<L", content, content.index(_DIRECTORY) + 42, offset)
    return content


def _encrypted() -> bytearray:
    content = _packed()
    content[6] |= 1
    content[content.index(_DIRECTORY) + 8] |= 1
    return content


def _unknown_method() -> bytearray:
    content = _packed()
    struct.pack_into("<H", content, 8, 99)
    struct.pack_into("<H", content, content.index(_DIRECTORY) + 10, 99)
    return content


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: _damaged(zipfile.ZIP_LZMA), id="lzma"),
        pytest.param(lambda: _damaged(zipfile.ZIP_BZIP2), id="bzip2"),
        pytest.param(lambda: _damaged(zipfile.ZIP_DEFLATED), id="deflate"),
        pytest.param(lambda: _damaged_late(zipfile.ZIP_LZMA), id="lzma-late"),
        pytest.param(lambda: _damaged_late(zipfile.ZIP_BZIP2), id="bzip2-late"),
        pytest.param(lambda: _damaged_late(zipfile.ZIP_DEFLATED), id="deflate-late"),
        pytest.param(_version_needed, id="version-25.5"),
        pytest.param(lambda: _wild_offset(0x7FFFFFFF), id="offset-beyond"),
        pytest.param(lambda: _wild_offset(0xFFFFFFFE), id="offset-last"),
        pytest.param(lambda: _wild_offset(7), id="offset-inside"),
        pytest.param(_encrypted, id="encrypted"),
        pytest.param(_unknown_method, id="method-99"),
    ],
)
def test_a_wheel_that_cannot_be_read_is_mirrored_without_metadata(
    site: Site, world: World, make: Callable[[], bytearray]
) -> None:
    """Its bytes are those that its index vouches for, so they are published; its neighbour never notices."""
    odd, fine = world.add_index("odd"), world.add_index("fine")
    content = bytes(make())
    odd.add(Artifact(_ODD.filename, content, b""))
    fine.add(_FINE)
    site.configure(odd, fine)
    outcome = site.sync()
    assert outcome.code == 0, outcome.err
    assert set(site.files("fine")) == {_FINE.filename}
    file = site.files("odd")[_ODD.filename]
    assert file["hashes"] == {"sha256": hashlib.sha256(content).hexdigest()}
    assert "core-metadata" not in file
    assert not list(site.root.rglob(f"{_ODD.filename}.metadata"))
    assert not site.sync().report["published"]


def test_the_same_wheel_unharmed_has_its_metadata(site: Site, world: World) -> None:
    """It is the damage that costs the metadata, not the way in which these wheels are made."""
    odd = world.add_index("odd")
    odd.add(Artifact(_ODD.filename, bytes(_packed()), b""))
    site.configure(odd)
    assert site.sync().code == 0
    digest = hashlib.sha256(_METADATA).hexdigest()
    assert site.files("odd")[_ODD.filename]["core-metadata"] == {"sha256": digest}


def _advertised(site: Site) -> dict[int, str]:
    """By generation, the metadata digest that its page says of the odd wheel; each that of the bytes served there."""
    found: dict[int, str] = {}
    for generation in sorted((site.root / "gen").iterdir()):
        page = generation / "odd" / "simple" / "odd" / "index.v1_json"
        if not page.exists():
            continue
        for file in json.loads(page.read_text())["files"]:
            if file["filename"] == _ODD.filename and file.get("core-metadata"):
                served = Path(os.path.normpath(page.parent / (file["url"] + ".metadata")))
                digest = hashlib.sha256(served.read_bytes()).hexdigest()
                assert file["core-metadata"] == {"sha256": digest}, f"generation {generation.name}"
                assert f"sha256={digest}" in page.with_name("index.html").read_text()
                found[int(generation.name)] = digest
    return found


@pytest.mark.parametrize("first", ["index", "wheel"])
@pytest.mark.parametrize("change", ["longer", "shorter", "same length", "none"])
def test_metadata_first_seen_under_a_file_stays(site: Site, world: World, first: str, change: str) -> None:
    """Offered, withdrawn and offered with other metadata: every generation's digest is that of what is served."""
    second = {
        "longer": _ODD.metadata + b"X-Fixed: 1\n",
        "shorter": _ODD.metadata[:-4],
        "same length": _ODD.metadata.replace(b"1.0", b"1.1"),
        "none": _ODD.metadata,
    }[change]
    odd = world.add_index("odd")
    odd.add(build_wheel("odd", "2.0"))
    odd.add(_ODD, core_metadata=first == "index")
    site.configure(odd)
    assert site.sync().code == 0
    digest = hashlib.sha256(_ODD.metadata).hexdigest()
    assert _advertised(site) == {1: digest}
    odd.remove(_ODD.filename)
    assert site.sync().code == 0
    assert _ODD.filename not in site.files("odd")
    odd.add(Artifact(_ODD.filename, _ODD.content, second), core_metadata=True)
    for _night in range(2):
        assert site.sync().code in {0, 3}
        assert _advertised(site) == {1: digest, 3: digest}
