"""The look inside a distribution: right about what is whole, and never more than a look at what is not."""

from __future__ import annotations

import bz2
import io
import lzma
import tarfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.cli.wheels import Artifact, build_sdist, build_wheel
from mirror.store.wheel import Hole, core_metadata, metadata_in_parts, whole

WHEEL, SDIST = build_wheel("demo", "1.0", payload=300), build_sdist("demo", "1.0", payload=300)
METADATA = b"Metadata-Version: 2.1\nName: demo\nVersion: 1.0\n" + b"Classifier: x\n" * 40


def _packed(method: int) -> bytes:
    """A wheel whose members are compressed with `method`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("demo/__init__.py", "x = 1\n" * 50)
        archive.writestr("demo-1.0.dist-info/METADATA", METADATA)
    return buffer.getvalue()


def _tar(unpacked: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo("demo-1.0/PKG-INFO")
        member.size = len(unpacked)
        archive.addfile(member, io.BytesIO(unpacked))
    return buffer.getvalue()


SAMPLES: dict[str, tuple[str, bytes]] = {
    "wheel": (WHEEL.filename, WHEEL.content),
    "deflated": (WHEEL.filename, _packed(zipfile.ZIP_DEFLATED)),
    "lzma": (WHEEL.filename, _packed(zipfile.ZIP_LZMA)),
    "bzip2": (WHEEL.filename, _packed(zipfile.ZIP_BZIP2)),
    "zip": ("demo-1.0.zip", _packed(zipfile.ZIP_DEFLATED)),
    "tar.gz": (SDIST.filename, SDIST.content),
    "tgz": ("demo-1.0.tgz", SDIST.content),
    "tar.bz2": ("demo-1.0.tar.bz2", bz2.compress(_tar(METADATA))),
    "tar.xz": ("demo-1.0.tar.xz", lzma.compress(_tar(METADATA))),
}
PREFIXED = ["wheel", "deflated", "zip", "tar.gz", "tgz", "tar.bz2", "tar.xz"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a file to look into lies; every example overwrites it."""
    return tmp_path_factory.mktemp("wheel") / "file"


def test_names_in_any_encoding_hide_no_metadata() -> None:
    """A member whose name is bytes of no known encoding lies beside the one that is read."""
    odd = _packed(zipfile.ZIP_DEFLATED).replace(b"demo/__init__.py", b"demo/\xe9\xff\x81nit__.py")
    assert odd.count(b"\xe9\xff\x81") == 2
    assert core_metadata(odd, WHEEL.filename) == METADATA


@pytest.mark.parametrize("kind", SAMPLES)
def test_a_whole_file_is_whole(place: Path, kind: str) -> None:
    """Every kind of archive that is taken is recognised as it is."""
    name, content = SAMPLES[kind]
    place.write_bytes(content)
    assert whole(place, name)


@pytest.mark.parametrize("kind", PREFIXED)
def test_no_beginning_of_an_archive_is_whole(place: Path, kind: str) -> None:
    """Cut anywhere, by one byte or by all, it is not the archive that its name says."""
    name, content = SAMPLES[kind]
    place.write_bytes(content)
    with place.open("r+b") as file:
        for length in range(len(content) - 1, -1, -1):
            file.truncate(length)
            assert not whole(place, name), f"the first {length} of {len(content)} bytes"


def test_a_wheel_cut_behind_a_wheel_that_it_carries_is_not_whole(place: Path) -> None:
    """A stored wheel inside has an end of its own, which is not the end of the one around it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"demo/bundled/{WHEEL.filename}", WHEEL.content)
        archive.writestr("demo-1.0.dist-info/METADATA", METADATA)
    content = buffer.getvalue()
    end = content.index(WHEEL.content) + len(WHEEL.content)
    place.write_bytes(content)
    assert whole(place, WHEEL.filename)
    assert core_metadata(place, WHEEL.filename) == METADATA
    place.write_bytes(content[:end])
    assert not whole(place, WHEEL.filename)


@given(
    kind=st.sampled_from(sorted(SAMPLES)),
    changes=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), max_size=6),
    keep=st.one_of(st.none(), st.integers(0, 1 << 20)),
    tail=st.binary(max_size=4),
)
def test_no_damage_makes_a_look_fail(
    place: Path, kind: str, changes: list[tuple[int, int]], keep: int | None, tail: bytes
) -> None:
    """Whatever bytes are changed, cut or added: an answer, never an exception."""
    name, content = SAMPLES[kind]
    damaged = bytearray(content)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    if keep is not None:
        del damaged[keep % len(damaged) :]
    place.write_bytes(damaged + tail)
    assert isinstance(whole(place, name), bool)
    assert isinstance(core_metadata(place, name), bytes | None)


@pytest.mark.parametrize("kind", ["wheel", "deflated", "lzma", "bzip2", "zip"])
def test_no_single_byte_of_a_wheels_structure_makes_a_look_fail(place: Path, kind: str) -> None:
    """Every byte of every header and of the directory, at its extremes."""
    name, content = SAMPLES[kind]
    directory = content.index(b"PK\x01\x02")
    starts = [position for position in range(directory) if content.startswith(b"PK\x03\x04", position)]
    positions = {start + offset for start in starts for offset in range(60)} | set(range(directory, len(content)))
    for position in sorted(positions):
        for value in (0, 1, 0x40, 0xFF):
            place.write_bytes(content[:position] + bytes([value]) + content[position + 1 :])
            assert isinstance(whole(place, name), bool)
            assert isinstance(core_metadata(place, name), bytes | None)


@given(st.binary(max_size=200), st.sampled_from([name for name, _ in SAMPLES.values()]))
def test_noise_is_nothing(place: Path, content: bytes, name: str) -> None:
    """Bytes that nobody packed are neither whole nor described."""
    place.write_bytes(content)
    assert not whole(place, name)
    assert core_metadata(place, name) is None


@pytest.mark.parametrize("artifact", [WHEEL, build_wheel("Some.Name", "2.0", requires=["x>=1"])])
def test_the_metadata_is_that_of_the_wheel_byte_for_byte(place: Path, artifact: Artifact) -> None:
    """Nothing is read into it; an sdist has none to give."""
    place.write_bytes(artifact.content)
    assert core_metadata(place, artifact.filename) == artifact.metadata
    place.write_bytes(_packed(zipfile.ZIP_DEFLATED))
    assert core_metadata(place, WHEEL.filename) == METADATA
    place.write_bytes(SDIST.content)
    assert core_metadata(place, SDIST.filename) is None


def test_the_metadata_of_another_project_is_not_the_wheels(place: Path) -> None:
    """A vendored `.dist-info` describes somebody else."""
    place.write_bytes(build_wheel("other", "1.0").content)
    assert core_metadata(place, WHEEL.filename) is None


def test_a_file_that_is_not_there_is_the_disks_word(tmp_path: Path) -> None:
    """What the disk refuses is no judgement on an archive."""
    for look in (whole, core_metadata):
        with pytest.raises(FileNotFoundError):
            look(tmp_path / "missing", WHEEL.filename)


def _told(content: bytes, filename: str, tail: int) -> tuple[bytes | None, int]:
    """What a file tells of which only the end is here at first, and how often more of it was asked for."""
    at = max(0, len(content) - tail)
    parts = [(at, content[at:])]
    while isinstance(found := metadata_in_parts(parts, len(content), filename), Hole):
        assert 0 <= found.start < found.stop <= len(content)
        assert not any(at <= found.start < at + len(part) for at, part in parts)
        parts.append((found.start, content[found.start : found.stop]))
    return found, len(parts) - 1


@pytest.mark.parametrize("sample", ["wheel", "deflated", "lzma", "bzip2"])
@given(tail=st.integers(0, 2000))
def test_parts_of_a_wheel_tell_what_the_whole_does(sample: str, tail: int) -> None:
    """Wherever the part that is here begins."""
    filename, content = SAMPLES[sample]
    assert _told(content, filename, tail)[0] == core_metadata(content, filename)


@given(st.data(), st.integers(22, 2000))
def test_broken_parts_end_the_search(data: st.DataObject, tail: int) -> None:
    """With what the whole would have told, or with nothing; never with an error."""
    content = bytearray(SAMPLES["deflated"][1])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    found, _ = _told(bytes(content), WHEEL.filename, tail)
    assert found in (None, core_metadata(bytes(content), WHEEL.filename))


def test_nothing_is_asked_for_that_lies_before_the_file() -> None:
    """A directory that says it begins later than it does moves all members to before the beginning."""
    content = bytearray(SAMPLES["deflated"][1])
    place = content.rindex(b"PK\x05\x06") + 16
    begins = int.from_bytes(content[place : place + 4], "little")
    content[place : place + 4] = (begins + 400).to_bytes(4, "little")
    assert _told(bytes(content), WHEEL.filename, 22)[0] is None


def test_too_much_of_a_file_is_not_asked_for() -> None:
    """A directory of many megabytes is none that anybody needs."""
    end = b"PK\x05\x06" + bytes(6) + b"\x01\x00" + (5 << 20).to_bytes(4, "little") + bytes(4) + bytes(2)
    content = bytes((5 << 20) + 1000) + end
    assert _told(content, WHEEL.filename, 100_000) == (None, 0)
