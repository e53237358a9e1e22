"""What an sdist says: right about a sound one, and nothing, within bounds, of any other."""

from __future__ import annotations

import bz2
import gzip
import io
import itertools
import lzma
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mirror.cli.wheels import build_sdist
from mirror.store.texts import Texts, source_texts

INFO, PYPROJECT = b"Metadata-Version: 2.2\nName: demo\nVersion: 1.0\n", b"[build-system]\nrequires = []\n"
BOTH = Texts(INFO, PYPROJECT)
MEBIBYTE = 1 << 20
USUAL = [
    ("demo-1.0/setup.py", b"x" * 2000),
    ("demo-1.0/PKG-INFO", INFO),
    ("demo-1.0/demo.egg-info/PKG-INFO", b"another"),
    ("demo-1.0/pyproject.toml", PYPROJECT),
    ("demo-1.0/vendor/pyproject.toml", b"another"),
]


def _tar(entries: Iterable[tuple[str, bytes]], layout: int = tarfile.PAX_FORMAT) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=layout) as archive:
        for name, data in entries:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def _zip(entries: Iterable[tuple[str, bytes]], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in entries:
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return buffer.getvalue()


Pack = Callable[[list[tuple[str, bytes]]], bytes]
PACKS: dict[str, Pack] = {
    "tar.gz": lambda entries: gzip.compress(_tar(entries), 1, mtime=0),
    "tgz": lambda entries: gzip.compress(_tar(entries, tarfile.USTAR_FORMAT), mtime=0),
    "tar.bz2": lambda entries: bz2.compress(_tar(entries, tarfile.GNU_FORMAT)),
    "tar.xz": lambda entries: lzma.compress(_tar(entries)),
    "zip": _zip,
}
SAMPLES = {ending: pack(USUAL) for ending, pack in PACKS.items()}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where an sdist lies; every example overwrites it."""
    return tmp_path_factory.mktemp("sdist") / "file"


def _told(place: Path, content: bytes, ending: str) -> Texts | None:
    place.write_bytes(content)
    return source_texts(place, f"demo-1.0.{ending}")


@pytest.mark.parametrize("ending", PACKS)
def test_an_sdist_tells_what_is_in_its_top_folder(place: Path, ending: str) -> None:
    """Byte for byte, wherever in the archive it stands; what is deeper is somebody else's."""
    pack = PACKS[ending]
    assert _told(place, SAMPLES[ending], ending) == BOTH
    assert _told(place, pack(USUAL[::-1]), ending) == BOTH
    assert _told(place, pack([(f"./{name}", data) for name, data in USUAL]), ending) == BOTH
    assert _told(place, pack([("other/" + "a" * 99, b"x"), ("other/PKG-INFO", INFO)]), ending) == Texts(INFO)
    assert _told(place, pack([("demo-1.0/setup.py", b"")]), ending) == Texts(None)


def test_what_we_build_tells_its_metadata(place: Path) -> None:
    """As the artifact says."""
    made = build_sdist("demo", "1.0", requires=["x>=1"])
    found = _told(place, made.content, "tar.gz")
    assert found is not None
    assert found.metadata == made.metadata


@pytest.mark.parametrize("ending", ["tar.gz", "tar.bz2", "tar.xz"])
def test_of_two_files_of_a_name_the_last_counts(place: Path, ending: str) -> None:
    """As for whoever unpacks it."""
    twice = [("demo-1.0/PKG-INFO", b"first"), *USUAL]
    assert _told(place, PACKS[ending](twice), ending) == BOTH


@pytest.mark.parametrize("ending", PACKS)
def test_what_is_no_sdist_tells_nothing(place: Path, ending: str) -> None:
    """Nothing in it, no folder for it, two of them, or far too much in a file that is looked for."""
    pack = PACKS[ending]
    assert _told(place, pack([]), ending) is None
    assert _told(place, pack([*USUAL, ("another/x", b"")]), ending) is None
    assert _told(place, pack([("demo-1.0/PKG-INFO", bytes(16 * MEBIBYTE + 1))]), ending) is None
    assert _told(place, SAMPLES[ending], "tar.Z") is None


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE])
def test_what_is_looked_for_is_a_file(place: Path, kind: bytes) -> None:
    """A link leads nowhere."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("demo-1.0/PKG-INFO")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    assert _told(place, buffer.getvalue(), "tar.gz") is None


def _open_ended(member: tarfile.TarInfo) -> bytes:
    """A tar archive that says what an sdist does, and then begins with `member`."""
    whole = _tar(USUAL, tarfile.GNU_FORMAT).rstrip(b"\0")
    return whole + bytes(-len(whole) % 512) + member.tobuf(tarfile.GNU_FORMAT)


def _many() -> Iterator[bytes]:
    yield _open_ended(tarfile.TarInfo("demo-1.0/x"))
    yield tarfile.TarInfo("demo-1.0/x").tobuf() * 50_000


def _large() -> Iterator[bytes]:
    member = tarfile.TarInfo("demo-1.0/zeros")
    member.size = 1 << 30
    yield _open_ended(member)
    yield from itertools.repeat(bytes(MEBIBYTE), 1025)


def _header() -> Iterator[bytes]:
    member = tarfile.TarInfo("././@PaxHeader")
    member.type, member.size = tarfile.XHDTYPE, 100 * MEBIBYTE
    yield _open_ended(member)
    yield from itertools.repeat(bytes(MEBIBYTE), 101)


@pytest.mark.parametrize("flood", [_many, _large, _header])
def test_a_flood_tells_nothing(place: Path, flood: Callable[[], Iterator[bytes]]) -> None:
    """However small it is packed; what an sdist says comes first, so that only a bound hides it."""
    with gzip.open(place, "wb", 1) as file:
        file.writelines(flood())
    assert place.stat().st_size < 8 * MEBIBYTE
    assert source_texts(place, "demo-1.0.tgz") is None


def test_a_header_is_not_had_at_any_size(place: Path) -> None:
    """Nor the memory for it."""
    place.write_bytes(gzip.compress(b"".join(_header()), 1))
    tracemalloc.start()
    try:
        assert source_texts(place, "demo-1.0.tgz") is None
        assert tracemalloc.get_traced_memory()[1] < 2 * MEBIBYTE
    finally:
        tracemalloc.stop()


def test_a_zip_of_too_many_members_tells_nothing(place: Path) -> None:
    """Its directory is read, its members are not."""
    for count, told in ((1000, BOTH), (50_001 - len(USUAL), None)):
        empty = [(f"demo-1.0/{number}", b"") for number in range(count)]
        assert _told(place, _zip([*USUAL, *empty], zipfile.ZIP_STORED), "zip") == told


def test_a_size_below_nothing_leads_nowhere(place: Path) -> None:
    """A tar archive that says to go back is not followed there."""
    member = tarfile.TarInfo("demo-1.0/back")
    member.size = -2048
    assert _told(place, gzip.compress(_open_ended(member) + bytes(4096)), "tar.gz") is None


def test_a_file_that_is_not_there_is_the_disks_word(tmp_path: Path) -> None:
    """It is no judgement on an archive."""
    with pytest.raises(FileNotFoundError):
        source_texts(tmp_path / "missing", "demo-1.0.tar.gz")


_CHANGES = st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 255)), min_size=1, max_size=6)


def _damaged(content: bytes, changes: list[tuple[int, int]], keep: int | None) -> bytes:
    damaged = bytearray(content)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    return bytes(damaged if keep is None else damaged[: keep % len(damaged)])


@given(st.sampled_from(sorted(PACKS)), _CHANGES, st.none() | st.integers(0, 1 << 20))
def test_no_damage_makes_a_look_fail(
    place: Path, ending: str, changes: list[tuple[int, int]], keep: int | None
) -> None:
    """Whatever bytes are changed or cut: an answer, never an exception."""
    assert isinstance(_told(place, _damaged(SAMPLES[ending], changes, keep), ending), Texts | None)


@given(st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]), _CHANGES, st.none() | st.integers(0, 1 << 20))
def test_no_damage_below_the_packing_makes_a_look_fail(
    place: Path, layout: int, changes: list[tuple[int, int]], keep: int | None
) -> None:
    """Headers of a tar archive whose packing is right."""
    whole = _tar([("demo-1.0/" + "a" * 150, b"x"), *USUAL], layout)
    packed = gzip.compress(_damaged(whole, changes, keep), 1)
    assert isinstance(_told(place, packed, "tar.gz"), Texts | None)


@pytest.mark.parametrize("ending", ["tar.gz", "tgz", "tar.bz2", "tar.xz"])
@given(st.data())
def test_a_cut_archive_never_tells_something_else(place: Path, ending: str, data: st.DataObject) -> None:
    """All, or nothing: its packing ends with a checksum."""
    content = SAMPLES[ending]
    cut = content[: data.draw(st.integers(0, len(content) - 1))]
    assert _told(place, cut, ending) in (None, BOTH)
