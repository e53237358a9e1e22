"""Bundles as files: written whole or not at all, and read as if everything in them were hostile."""

from __future__ import annotations

import gzip
import hashlib
import io
import itertools
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import tempfile
import tracemalloc
import zlib
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mirror.bundle.reading import Reader
from mirror.bundle.volumes import BLOCK, claimed_size, count_volumes, header, stream_size, volume_name
from mirror.bundle.writing import Blob, write
from mirror.errors import BundleError, StoreError
from mirror.model.bundle import (
    DSSE,
    LISTS,
    MANIFEST,
    SSHSIG,
    STATEMENT,
    SUMS,
    WITHDRAWN,
    Amount,
    Base,
    Bundle,
    Statement,
    blob_name,
    read_statement,
    statement,
    sums,
)
from mirror.store.bases import Bases
from mirror.store.layout import Layout

_LINES = {
    "manifest.jsonl.gz": [b'{"kind":"generation"}\n', b'{"kind":"file"}\n'],
    "pins.jsonl.gz": [b"0\n"],
    "required.txt.gz": [],
    "withdrawn.jsonl.gz": [b"x" * 70_000 + b"\n", b"\n"],
}
_CONTENTS = [b"a", b"", b"b" * 511, b"c" * 512, b"d" * 513, bytes(range(256)) * 20]
_VOLUME = 3000
_SLOW = settings(max_examples=20)  # each flushes the disk


class _Stop(BaseException):
    """Somebody wants the export to end."""


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _blobs(folder: Path, contents: list[bytes]) -> list[Blob]:
    """Files with these contents."""
    blobs = [Blob(sha256=_digest(data), path=folder / _digest(data), size=len(data)) for data in contents]
    for blob, data in zip(blobs, contents, strict=True):
        blob.path.write_bytes(data)
    return blobs


def _statement(sha256: str, blobs: list[Blob], volume_size: int | None) -> Statement:
    bundle = Bundle(
        identity="outside",
        sequence=0,
        time="1970-01-01T00:00:00Z",
        expires="2100-01-01T00:00:00Z",
        target=Base(generation=2, manifest="0" * 64),
        base=None,
        carried=Amount(count=len(blobs), bytes=sum(blob.size for blob in blobs)),
        required=0,
        withdrawn=0,
        volume_size=volume_size,
    )
    return statement(bundle, sha256)


def _write(
    target: Path,
    blobs: list[Blob],
    volume_size: int | None = None,
    received: Callable[[int], None] = lambda _: None,
) -> None:
    def seal(sha256: str) -> Mapping[str, bytes]:
        return {STATEMENT: _statement(sha256, blobs, volume_size).encode(), SSHSIG: b"signed", DSSE: b"{}"}

    write(target, _LINES, blobs, volume_size=volume_size, seal=seal, received=received)


def _read(directory: Path) -> dict[str, bytes]:
    """Everything in a bundle, read as an import does it: a blob that is not its digest's is an error."""
    reader = Reader(directory)
    said = read_statement(reader.sealed()[0])
    carried = reader.carried(said)
    content = {name: b"".join(reader.lines(name, carried.lists[name])) for name in LISTS}
    for source in reader.blobs(said, carried):
        data = b"".join(bytes(piece) for piece in source.pieces())
        if len(data) != source.size or _digest(data) != source.sha256:
            raise BundleError(f"{blob_name(source.sha256)} is not what it should be")
        content[source.sha256] = data
    return content


def _expected(contents: list[bytes]) -> dict[str, bytes]:
    return {name: b"".join(lines) for name, lines in _LINES.items()} | {_digest(data): data for data in contents}


def _files(directory: Path) -> dict[str, tuple[int, bytes | None]]:
    """Every name below a directory, with its mode and bytes."""
    found = {}
    for path in (directory, *directory.rglob("*")):
        content = path.read_bytes() if path.is_file() else None
        found[str(path.relative_to(directory))] = stat.S_IMODE(path.stat().st_mode), content
    return found


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> list[Blob]:
    """Blobs of every size that is a border."""
    return _blobs(tmp_path_factory.mktemp("store"), _CONTENTS)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, store: list[Blob]) -> dict[str, Path]:
    """A bundle in each form, never changed."""
    folder = tmp_path_factory.mktemp("made")
    _write(folder / "files", store)
    _write(folder / "volumes", store, _VOLUME)
    return {"files": folder / "files", "volumes": folder / "volumes"}


@pytest.fixture
def files(made: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the bundle whose blobs are files, to be damaged."""
    return Path(shutil.copytree(made["files"], tmp_path / "bundle"))


@pytest.fixture
def cut(made: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the bundle whose blobs are in volumes, to be damaged."""
    return Path(shutil.copytree(made["volumes"], tmp_path / "bundle"))


@_SLOW
@given(
    st.lists(st.binary(max_size=2000) | st.sampled_from(_CONTENTS), unique=True, max_size=6),
    st.none() | st.integers(BLOCK, 20_000),
)
@example([], None)
@example([], BLOCK)
@example([b"x" * 512], 1024)  # volumes end with a header, a blob and the archive
@example([b"x" * ((2 << 20) + 1), b"y"], 1_000_000)
def test_what_is_written_is_read_back(contents: list[bytes], volume_size: int | None) -> None:
    """With any blobs, as files and in volumes of any size; volumes have exactly that size but for the last."""
    with tempfile.TemporaryDirectory() as place:
        (folder := Path(place, "store")).mkdir()
        _write(Path(place, "bundle"), _blobs(folder, contents), volume_size)
        assert _read(Path(place, "bundle")) == _expected(contents)
        *full, last = sorted(Path(place, "bundle").glob("blobs.tar.*")) or [folder]
        assert all(volume.stat().st_size == volume_size for volume in full)
        assert volume_size is None or 0 < last.stat().st_size <= volume_size


def test_the_volumes_are_a_tar_archive_of_the_files(made: dict[str, Path]) -> None:
    """For Python's reader: plain files of nobody, at no time, in the order of their digests."""
    stream = b"".join(path.read_bytes() for path in sorted(made["volumes"].glob("blobs.tar.*")))
    assert len(stream) == stream_size(map(len, _CONTENTS))
    with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
        members = archive.getmembers()
        found = {member.name: archive.extractfile(member) for member in members}
        assert {name: file.read() for name, file in found.items() if file} == {
            blob_name(_digest(data)): data for data in _CONTENTS
        }
    assert [member.name for member in members] == sorted(found)
    assert {(m.mode, m.uid, m.gid, m.mtime, m.uname, m.gname) for m in members} == {(0o644, 0, 0, 0, "", "")}


@pytest.mark.parametrize("form", ["files", "volumes"])
def test_the_usual_tools_check_a_bundle(made: dict[str, Path], tmp_path: Path, form: str) -> None:
    """`cat blobs.tar.* | tar -xf -` gives the blobs as files, and `sha256sum -c` finds everything right."""
    if missing := [tool for tool in ("tar", "sha256sum", "gzip") if shutil.which(tool) is None]:
        pytest.skip(f"needs {missing}")
    place = Path(shutil.copytree(made[form], tmp_path / "bundle"))
    if form == "volumes":
        said = subprocess.run(["sh", "-c", "cat blobs.tar.* | tar -xf -"], cwd=place, check=True, capture_output=True)
        assert said.stderr == b""
        for volume in place.glob("blobs.tar.*"):
            volume.unlink()
        blobs = {name: what for name, what in _files(made["files"]).items() if name.startswith("blobs")}
        assert {name: what for name, what in _files(place).items() if name.startswith("blobs")} == blobs
    subprocess.run(["sha256sum", "--strict", "--check", "--quiet", SUMS], cwd=place, check=True)
    assert subprocess.run(["gzip", "-dc", MANIFEST], cwd=place, check=True, capture_output=True).stdout == b"".join(
        _LINES[MANIFEST]
    )


@pytest.mark.parametrize("volume_size", [None, _VOLUME])
def test_the_same_content_gives_the_same_bytes(store: list[Blob], tmp_path: Path, volume_size: int | None) -> None:
    """And the same modes, whatever the umask and the order, and everybody may read them."""
    _write(tmp_path / "one", store, volume_size)
    before = os.umask(0o077)
    try:
        _write(tmp_path / "two", store[::-1], volume_size)
    finally:
        os.umask(before)
    assert _files(tmp_path / "one") == _files(tmp_path / "two")
    assert {mode for mode, content in _files(tmp_path / "two").values() if content is None} == {0o755}
    assert {mode for mode, content in _files(tmp_path / "two").values() if content is not None} == {0o644}
    assert {path.name for path in tmp_path.iterdir()} == {"one", "two"}


@pytest.mark.parametrize("size", [0, 1, (8 << 30) - 1, 8 << 30, 1 << 50])
def test_a_header_is_that_of_tar_however_large_the_blob(size: int) -> None:
    """Also beyond the 8 GiB that eleven octal digits can say."""
    block = header("ab" * 32, size)
    assert len(block) == BLOCK
    assert claimed_size(block) == size
    entry = tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    assert (entry.name, entry.size, entry.isreg()) == (f"blobs/ab/{'ab' * 32}", size, True)


def test_no_more_volumes_than_there_are_names() -> None:
    """`blobs.tar.1000` would come before `blobs.tar.101`: the error names a size that does."""
    assert count_volumes(999 * 512, 512) == 999
    assert volume_name(999) == "blobs.tar.999"
    with pytest.raises(BundleError, match=r"1000 volumes of 512 bytes.* make the volumes of 513 bytes at least"):
        count_volumes(999 * 512 + 1, 512)
    assert count_volumes(999 * 512 + 1, 513) == 998
    with pytest.raises(BundleError, match=r"too small; make them of 512 bytes at least"):
        count_volumes(1, 511)


@pytest.mark.parametrize("volume_size", [None, _VOLUME])
@pytest.mark.parametrize("damage", ["missing", "short", "long", "other", "a directory"])
def test_no_bundle_has_a_hole(tmp_path: Path, volume_size: int | None, damage: str) -> None:
    """A blob that is not what its digest says ends the export, and nothing is left of it."""
    (tmp_path / "store").mkdir()
    blobs = _blobs(tmp_path / "store", _CONTENTS)
    path = blobs[4].path
    data = path.read_bytes()
    path.unlink()
    match damage:
        case "short":
            path.write_bytes(data[:-1])
        case "long":
            path.write_bytes(data + b"d")
        case "other":
            path.write_bytes(data[:-1] + b"e")
        case "a directory":
            path.mkdir()
    with pytest.raises(BundleError, match=rf"{blobs[4].sha256} at {path} .* mirror verify --repair"):
        _write(tmp_path / "bundle", blobs, volume_size)
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


@pytest.mark.parametrize("kind", ["directory", "file", "link to nothing"])
def test_what_is_there_is_never_written_over(tmp_path: Path, store: list[Blob], kind: str) -> None:
    """An empty directory neither: it may be the place where another disk belongs."""
    target = tmp_path / "bundle"
    match kind:
        case "directory":
            target.mkdir()
        case "file":
            target.touch()
        case _:
            target.symlink_to("nowhere")
    with pytest.raises(BundleError, match=r"bundle is there already"):
        _write(target, store)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_needs_a_directory_to_stand_in(tmp_path: Path, store: list[Blob]) -> None:
    """A disk that is not mounted is not made up for."""
    with pytest.raises(BundleError, match=r"disk is no directory; make it first"):
        _write(tmp_path / "disk" / "bundle", store)
    assert list(tmp_path.iterdir()) == []


def test_too_many_volumes_are_told_before_anything_is_written(tmp_path: Path) -> None:
    """With a size that does."""
    with pytest.raises(BundleError, match=r"make the volumes of \d+ bytes at least"):
        _write(tmp_path / "bundle", [Blob(sha256="0" * 64, path=tmp_path / "none", size=1 << 30)], 4096)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("volume_size", [None, _VOLUME])
def test_what_is_called_may_end_the_export(store: list[Blob], tmp_path: Path, volume_size: int | None) -> None:
    """Its error is the one that is raised, and nothing is left; before, it is told every byte once."""
    told: list[int] = []
    _write(tmp_path / "bundle", store, volume_size, told.append)
    assert sum(told) == sum(map(len, _CONTENTS))

    def stop(_: int) -> None:
        raise _Stop

    def no_key(_: str) -> Mapping[str, bytes]:
        raise BundleError("no key")

    with pytest.raises(_Stop):
        _write(tmp_path / "other", store, volume_size, stop)
    with pytest.raises(BundleError, match=r"no key"):
        write(tmp_path / "other", _LINES, store, volume_size=volume_size, seal=no_key, received=told.append)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("volume_size", [None, 1 << 30])
def test_a_disk_that_refuses_is_told_and_nothing_is_left(tmp_path: Path, volume_size: int | None) -> None:
    """Here a file becomes larger than it may be, as on FAT32."""
    (tmp_path / "store").mkdir()
    blobs = _blobs(tmp_path / "store", [b"x" * 300_000, b"y" * 300_000])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(StoreError, match=r"the disk refuses .*: File too large; nothing at .*bundle is to be used"):
            _write(tmp_path / "bundle", blobs, volume_size)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


_KILLED = """
import os, signal, sys
from pathlib import Path
from mirror.bundle.writing import Blob, write
from mirror.model.bundle import LISTS

def kill(_):
    os.kill(os.getpid(), signal.SIGKILL)

target, sha256, path, size, when = sys.argv[1:]
go_on = lambda _: {"statement.json": b"{}"}
write(
    Path(target), {name: [] for name in LISTS}, [Blob(sha256=sha256, path=Path(path), size=int(size))],
    volume_size=None, seal=kill if when == "seal" else go_on, received=kill if when == "copy" else go_on,
)
"""


@pytest.mark.parametrize("when", ["copy", "seal"])
def test_a_killed_export_leaves_nothing_of_the_name(store: list[Blob], tmp_path: Path, when: str) -> None:
    """Only a hidden directory beside it, which is no bundle."""
    blob = store[-1]
    arguments = [str(tmp_path / "bundle"), blob.sha256, str(blob.path), str(blob.size), when]
    command = [sys.executable, "-c", _KILLED, *arguments]
    assert subprocess.run(command, cwd=Path(__file__).parents[2]).returncode == -signal.SIGKILL
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(".bundle.")
    with pytest.raises(BundleError, match=r"statement\.json is missing; name the directory of one bundle"):
        Reader(left).sealed()


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "parent"])
def test_what_is_no_bundle_at_all(made: dict[str, Path], tmp_path: Path, kind: str) -> None:
    """Nothing there, a file, an empty disk, and what bundles lie in."""
    place = tmp_path / "place"
    match kind:
        case "file":
            place.touch()
        case "empty":
            place.mkdir()
        case "parent":
            place = made["files"].parent
    wanted = (
        r"statement\.json is missing; name the directory of one bundle"
        if kind in ("empty", "parent")
        else r"place is no directory"
    )
    with pytest.raises(BundleError, match=wanted):
        Reader(place).sealed()


def _parts(form: str) -> list[str]:
    """Every kind of file and directory in a bundle, by name."""
    blob = blob_name(_digest(_CONTENTS[-1]))
    inside = ["blobs", blob[:8], blob] if form == "files" else [volume_name(1), volume_name(2), volume_name(4)]
    return [STATEMENT, SSHSIG, DSSE, SUMS, *LISTS, *inside]


def _symlink(path: Path) -> None:
    """The same content, through a link."""
    elsewhere = path.parent.parent / f"moved {path.name}"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()


def _replaced(make: Callable[[Path], object]) -> Callable[[Path], None]:
    def damage(path: Path) -> None:
        _remove(path)
        make(path)

    return damage


def _socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the name of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path.name)
    finally:
        os.chdir(before)


def _device(path: Path) -> None:
    try:
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))  # /dev/zero
    except PermissionError:
        pytest.skip("only root makes devices")


_DAMAGE: dict[str, Callable[[Path], None]] = {
    "missing": _remove,
    "symlink": _symlink,
    "fifo": _replaced(os.mkfifo),
    "socket": _replaced(_socket),
    "device": _replaced(_device),
    "wrong kind": lambda path: _replaced(Path.touch if path.is_dir() else Path.mkdir)(path),
}


@pytest.mark.parametrize("damage", _DAMAGE)
@pytest.mark.parametrize(("form", "name"), [(form, name) for form in ("files", "volumes") for name in _parts(form)])
def test_only_plain_files_are_opened(made: dict[str, Path], tmp_path: Path, form: str, name: str, damage: str) -> None:
    """At every level, and the error names what is wrong; a fifo that nobody writes to does not stop us."""
    bundle = Path(shutil.copytree(made[form], tmp_path / "outer" / "bundle"))
    _DAMAGE[damage](bundle / name)
    wanted = "is missing" if damage == "missing" else "is no plain file in plain directories"
    with pytest.raises(BundleError, match=rf"{name}[^ ]* {wanted}.*copy .*again from its origin"):
        _read(bundle)


def test_what_else_lies_there_is_not_looked_at(files: Path) -> None:
    """Names that are no text, links, devices, and files that look like ours."""
    for place in (files, files / "blobs", next((files / "blobs").iterdir())):
        Path(os.fsdecode(os.fsencode(place) + b"/\xff\xfe")).touch()
        (place / "statement.json ").symlink_to("/etc/passwd")
        os.mkfifo(place / "blobs.tar.001")
        (place / "..." / "ffff").mkdir(parents=True)
    assert _read(files) == _expected(_CONTENTS)


@pytest.mark.parametrize("form", ["files", "volumes"])
def test_a_giant_costs_nothing(made: dict[str, Path], tmp_path: Path, form: str) -> None:
    """Sizes are compared before anything is read: a TiB of nothing in place of any file is refused."""
    for name in _parts(form):
        bundle = Path(shutil.copytree(made[form], tmp_path / name.replace("/", "-")))
        if (bundle / name).is_dir():
            continue
        os.truncate(bundle / name, 1 << 40)
        with pytest.raises(BundleError, match=r"has \d+ bytes|have \d+ bytes"):
            _read(bundle)


@pytest.mark.parametrize(("form", "name"), [(form, name) for form in ("files", "volumes") for name in _parts(form)])
def test_other_sizes_are_refused(made: dict[str, Path], tmp_path: Path, form: str, name: str) -> None:
    """One byte less, one more, none at all."""
    for number, change in enumerate((-1, 1, None)):
        bundle = Path(shutil.copytree(made[form], tmp_path / str(number)))
        path = bundle / name
        if name in (SSHSIG, DSSE) or path.is_dir():
            return
        os.truncate(path, 0 if change is None else path.stat().st_size + change)
        with pytest.raises(BundleError, match=r"copy|cannot be imported"):
            _read(bundle)


def test_everything_that_is_missing_is_told_at_once(files: Path) -> None:
    """By name, as far as a person reads on."""
    for path in list((files / "blobs").iterdir())[1:]:
        shutil.rmtree(path)
    with pytest.raises(BundleError) as caught:
        _read(files)
    assert str(caught.value).count("blobs/") == len(_CONTENTS) - 1


def test_more_than_a_person_reads_is_counted(tmp_path: Path) -> None:
    """A directory of blobs that was lost altogether."""
    (tmp_path / "store").mkdir()
    _write(tmp_path / "bundle", _blobs(tmp_path / "store", [bytes([number]) for number in range(50)]))
    shutil.rmtree(tmp_path / "bundle" / "blobs")
    with pytest.raises(BundleError, match=r"^blobs/.* is missing and 30 more; copy what is missing") as caught:
        _read(tmp_path / "bundle")
    assert str(caught.value).count("blobs/") == 20


def test_missing_and_wrong_volumes_are_told_at_once(cut: Path) -> None:
    """A missing one in the middle, a short one, and the last."""
    (cut / volume_name(1)).unlink()
    os.truncate(cut / volume_name(2), 2999)
    (cut / volume_name(4)).unlink()
    with pytest.raises(BundleError) as caught:
        _read(cut)
    assert str(caught.value).startswith(
        "blobs.tar.001 is missing, blobs.tar.002 has 2999 bytes where volumes have 3000, blobs.tar.004 is missing; copy"
    )


@pytest.mark.parametrize("more", [0, 1, BLOCK, _VOLUME])
def test_a_volume_too_many_is_refused(cut: Path, more: int) -> None:
    """The one of an older export, or what somebody added."""
    (cut / volume_name(5)).write_bytes(bytes(more))
    with pytest.raises(BundleError, match=r"blobs\.tar\.00[45]"):
        _read(cut)


def test_a_last_volume_that_no_arithmetic_demands_is_missed(tmp_path: Path) -> None:
    """Padding decides how many there are: what is certain from the statement is one less here."""
    (tmp_path / "store").mkdir()
    _write(tmp_path / "bundle", _blobs(tmp_path / "store", [bytes([number]) for number in range(8)]), 4096)
    assert (tmp_path / "bundle" / volume_name(3)).exists()
    (tmp_path / "bundle" / volume_name(3)).unlink()
    with pytest.raises(BundleError, match=r"blobs\.tar\.003 is missing"):
        _read(tmp_path / "bundle")


def test_every_byte_of_the_volumes_counts(tmp_path: Path) -> None:
    """Headers, padding and the end as well as blobs: each byte changed alone is found, in the volume that has it."""
    (tmp_path / "store").mkdir()
    blobs = _blobs(tmp_path / "store", [b"a", b"b" * 600])
    _write(tmp_path / "bundle", blobs, 1000)
    reader = Reader(tmp_path / "bundle")
    said = read_statement(reader.sealed()[0])
    carried = reader.carried(said)
    refused = 0
    for volume in sorted((tmp_path / "bundle").glob("blobs.tar.*")):
        with volume.open("r+b", buffering=0) as file:
            for place, byte in enumerate(file.read()):
                os.pwrite(file.fileno(), bytes([byte ^ 1]), place)
                try:
                    sources = reader.blobs(said, carried)
                except BundleError as error:
                    assert volume.name in str(error)  # noqa: PT017  # made for every byte
                    refused += 1
                else:
                    digests = [_digest(b"".join(bytes(piece) for piece in source.pieces())) for source in sources]
                    assert digests != [source.sha256 for source in sources]
                os.pwrite(file.fileno(), bytes([byte]), place)
    assert refused == stream_size([1, 600]) - 601
    assert _read(tmp_path / "bundle")


@given(st.data())
def test_every_bit_of_what_hangs_from_the_statement_counts(made: dict[str, Path], data: st.DataObject) -> None:
    """The sums, the lists and the blobs, whatever is done to one byte of them."""
    form = data.draw(st.sampled_from(["files", "volumes"]))
    names = sorted(str(path.relative_to(made[form])) for path in made[form].rglob("*") if path.stat().st_size)
    names = [name for name in names if (made[form] / name).is_file() and not name.startswith("statement")]
    name = data.draw(st.sampled_from(names))
    with tempfile.TemporaryDirectory() as place:
        bundle = Path(shutil.copytree(made[form], Path(place, "bundle")))
        content = bytearray((bundle / name).read_bytes())
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
        (bundle / name).write_bytes(content)
        with pytest.raises(BundleError):
            _read(bundle)


def test_swapped_volumes_and_blobs_are_refused(cut: Path, made: dict[str, Path], tmp_path: Path) -> None:
    """Right bytes under a wrong name."""
    (cut / volume_name(1)).rename(cut / "spare")
    (cut / volume_name(2)).rename(cut / volume_name(1))
    (cut / "spare").rename(cut / volume_name(2))
    with pytest.raises(BundleError, match=r"^blobs\.tar\.001 is not what an export writes there"):
        _read(cut)
    swapped = Path(shutil.copytree(made["files"], tmp_path / "swapped"))
    one, two = (swapped / blob_name(_digest(data)) for data in _CONTENTS[2:4])
    one.write_bytes(_CONTENTS[3])
    two.write_bytes(_CONTENTS[2])
    with pytest.raises(BundleError, match=r"is not what it should be"):
        _read(swapped)


def _packed(*lines: bytes) -> bytes:
    return gzip.compress(b"".join(lines), mtime=0)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "ends in the middle"),
        (b"plain text\n", "is not packed as gzip"),
        (_packed(b"a\n") + b"\0", "goes on after its end"),
        (_packed(b"a\n") + _packed(b"b\n"), "goes on after its end"),
        (_packed(b"a\n") + bytes(200_000), "goes on after its end"),
        (_packed(b"a\n")[:-1], "ends in the middle"),
        (_packed(b"a\n" * 100_000)[:-20], "ends in the middle"),
        (_packed(b"a\n")[:-1] + b"\1", "is not packed as gzip"),
        (_packed(b"a\n", b"b"), "ends in the middle of a line"),
        (_packed(b"a" * (16 << 20) + b"\n"), "has a line of more than"),
    ],
)
def test_a_list_is_one_packed_file_of_whole_lines(tmp_path: Path, data: bytes, why: str) -> None:
    """Nothing behind it, nothing missing, and no line that is longer than any can be."""
    (tmp_path / MANIFEST).write_bytes(data)
    lines = Reader(tmp_path).lines(MANIFEST, _digest(data))
    with pytest.raises(BundleError, match=rf"^{MANIFEST} {why}"):
        list(lines)


def test_the_longest_line_is_read(tmp_path: Path) -> None:
    """16 MiB with its newline, and lines of no bytes."""
    lines = [b"\n", b"a" * ((16 << 20) - 1) + b"\n", b"\r\n", b"b\n"]
    (tmp_path / MANIFEST).write_bytes(_packed(*lines))
    assert list(Reader(tmp_path).lines(MANIFEST, _digest(_packed(*lines)))) == lines


def test_what_an_import_would_not_unpack_is_not_written(tmp_path: Path) -> None:
    """A list that packs too well is refused outside; yanks for one long reason pass, because each has a digest."""
    reason = "the release was built from the wrong branch; " * 22
    yank = {"kind": "yanked", "index": "first", "project": "one", "reason": reason}
    yanks = [
        msgspec.json.encode(yank | {"file": f"one-{number}.tar.gz", "sha256": _digest(b"%d" % number)}) + b"\n"
        for number in range(40_000)
    ]

    def export(name: str, withdrawn: list[bytes]) -> None:
        lists = _LINES | {WITHDRAWN: withdrawn}
        write(tmp_path / name, lists, [], volume_size=None, seal=lambda _: {}, received=lambda _: None)

    export("yanks", yanks)
    packed = _digest((tmp_path / "yanks" / WITHDRAWN).read_bytes())
    assert sum(1 for _ in Reader(tmp_path / "yanks").lines(WITHDRAWN, packed)) == len(yanks)
    with pytest.raises(BundleError, match=rf"^{WITHDRAWN} would unpack to 41943040 bytes"):
        export("bomb", [b"a" * 1023 + b"\n"] * 40_960)
    assert [path.name for path in tmp_path.iterdir()] == ["yanks"]


def test_a_list_is_not_unpacked_before_its_digest_is_right(tmp_path: Path) -> None:
    """Already the call refuses it, before a large one takes memory."""
    (tmp_path / MANIFEST).write_bytes(b"no gzip")
    os.truncate(tmp_path / MANIFEST, 64 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=rf"^{MANIFEST} is not what was signed"):
            Reader(tmp_path).lines(MANIFEST, _digest(b"another"))
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("byte", [b"\0", b"\n"])
def test_a_bomb_costs_no_memory(tmp_path: Path, byte: bytes) -> None:
    """10 GiB in 10 MB: one endless line ends at its limit, and short lines come one by one."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    piece = packer.compress(byte * (16 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    bomb = gzip.compress(b"")[:10] + piece * 640
    (tmp_path / MANIFEST).write_bytes(bomb)
    tracemalloc.start()
    try:
        lines = Reader(tmp_path).lines(MANIFEST, _digest(bomb))
        if byte == b"\n":
            assert set(itertools.islice(lines, 100_000)) == {b"\n"}
        else:
            with pytest.raises(BundleError, match=r"has a line of more than 16777216 bytes"):
                next(lines)
        assert tracemalloc.get_traced_memory()[1] < 80 << 20
    finally:
        tracemalloc.stop()


def test_sums_are_bounded_by_the_statement(files: Path, store: list[Blob]) -> None:
    """Another number of lines than it says, and more than anybody reads."""
    said = read_statement(Reader(files).sealed()[0])
    fewer = _statement(said.sums, store[1:], None)
    with pytest.raises(BundleError, match=r"^SHA256SUMS has \d+ bytes, and at most \d+ belong there"):
        Reader(files).carried(fewer)
    more = _statement(said.sums, [*store, store[0]], None)
    with pytest.raises(BundleError, match=r"^SHA256SUMS has another number of lines"):
        Reader(files).carried(more)
    most = _statement(said.sums, store * 1_500_000, None)
    with pytest.raises(BundleError, match=r"^SHA256SUMS has more lines than this version reads"):
        Reader(files).carried(most)


@pytest.mark.parametrize("form", ["files", "volumes"])
def test_bytes_of_blobs_are_what_the_statement_says(
    made: dict[str, Path], tmp_path: Path, store: list[Blob], form: str
) -> None:
    """Though every blob is right."""
    reader = Reader(made[form])
    said = read_statement(reader.sealed()[0])
    carried = reader.carried(said)
    for size in (-1, 1):
        other = [*store, Blob(sha256="", path=tmp_path, size=size)]
        lying = _statement(said.sums, other, said.predicate.volume_size)
        with pytest.raises(BundleError, match=r"statement\.json says|is not what an export writes there"):
            reader.blobs(lying, carried)


@contextmanager
def _somebody_else(*paths: Path) -> Iterator[None]:
    """Run as somebody who may not read `paths`, if need be as nobody."""
    for path in paths:
        path.chmod(0)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        for path in paths:
            path.chmod(0o644)


@pytest.mark.parametrize("form", ["files", "volumes"])
def test_what_cannot_be_read_is_told_by_name(made: dict[str, Path], form: str) -> None:
    """The disk's own words; nothing else would do as well."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        bundle = Path(shutil.copytree(made[form], Path(place, "bundle")))
        for name in _parts(form):
            if (bundle / name).is_file():
                with (
                    _somebody_else(bundle / name),
                    pytest.raises(BundleError, match=rf"^{name} cannot be read \(Permission denied\); copy it again"),
                ):
                    _read(bundle)


@pytest.mark.parametrize("form", ["files", "volumes"])
def test_a_blob_that_shrinks_while_it_is_read_ends_too_early(made: dict[str, Path], tmp_path: Path, form: str) -> None:
    """Between the look at all sizes and the reading, somebody was faster."""
    bundle = Path(shutil.copytree(made[form], tmp_path / "bundle"))
    reader = Reader(bundle)
    said = read_statement(reader.sealed()[0])
    sources = reader.blobs(said, reader.carried(said))
    for name in [path for path in bundle.rglob("*") if "blobs" in str(path.relative_to(bundle)) and path.is_file()]:
        os.truncate(name, 0)
    for source in sources:
        if source.size:
            with pytest.raises(BundleError, match=r"^blobs[^ ]+ ends too early; copy it again"):
                list(source.pieces())
        else:
            assert list(source.pieces()) == []


@pytest.mark.parametrize("volume_size", [None, 1_000_000])
def test_blobs_are_read_side_by_side(tmp_path: Path, volume_size: int | None) -> None:
    """Every thread has its own place in the same volumes."""
    (tmp_path / "store").mkdir()
    contents = [bytes([number]) * 1_500_000 for number in range(8)]
    _write(tmp_path / "bundle", _blobs(tmp_path / "store", contents), volume_size)
    reader = Reader(tmp_path / "bundle")
    said = read_statement(reader.sealed()[0])
    sources = reader.blobs(said, reader.carried(said))
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda source: _digest(b"".join(bytes(piece) for piece in source.pieces())), sources)
        assert list(found) == [source.sha256 for source in sources]


def test_sums_of_nothing_but_lists(tmp_path: Path) -> None:
    """A bundle that carries no blob has no folder for them."""
    _write(tmp_path / "bundle", [])
    assert {path.name for path in (tmp_path / "bundle").iterdir()} == {STATEMENT, SSHSIG, DSSE, SUMS, "blobs", *LISTS}
    assert (tmp_path / "bundle" / SUMS).read_bytes() == sums(
        {name: _digest((tmp_path / "bundle" / name).read_bytes()) for name in LISTS}, []
    )
    with suppress(FileNotFoundError):
        shutil.rmtree(tmp_path / "bundle" / "blobs")
    assert _read(tmp_path / "bundle") == _expected([])


def test_a_root_that_nobody_may_write_to_can_be_exported_from() -> None:
    """A snapshot, or another user's; what is exported is then not remembered there."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        layout = Layout(Path(place))
        manifest = layout.generation(1) / "manifest.jsonl"
        manifest.parent.mkdir(parents=True)
        manifest.write_bytes(b"{}\n")
        base = Bases(layout).of(1)
        layout.state.mkdir()
        layout.state.chmod(0o555)
        with _somebody_else():
            assert not Bases(layout).keep(base)
        layout.state.chmod(0o755)
        assert Bases(layout).keep(base)
        assert Bases(layout).keep(base)
        assert [path.name for path in layout.exported.iterdir()] == [f"000001-{base.manifest}.jsonl.gz"]
