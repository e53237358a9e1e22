"""Faults 94 to 96: what lies on the disk is no plain file, changes while it is read, or is a hostile archive."""

from __future__ import annotations

import io
import os
import shutil
import socket
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from mirror.model.bundle import MANIFEST, SSHSIG, STATEMENT, SUMS, blob_name
from tests.faults import shims
from tests.faults.border import NEW, VOLUME, Border, Crossing, Play, refused, spoilt, variants
from tests.faults.fault import ABSORBED, Fault

_NO_FILE = "is no plain file in plain directories.*; copy"
_FILES = (STATEMENT, SSHSIG, SUMS, MANIFEST, blob_name(NEW.sha256))
_FOLDERS = ("blobs", f"blobs/{NEW.sha256[:2]}")
_ARCHIVE = "not what an export writes there|has \\d+ bytes where volumes have|bytes after the end|ends too early"

Change = Callable[[Path], object]


def _at(name: str, change: Change) -> Callable[[Border], object]:
    """Something is done to what lies at this place of the bundle, after it was moved away."""

    def put(border: Border) -> None:
        path = border.bundle / name
        shutil.move(path, border.tools / "moved")
        change(path)

    return put


def _linked(name: str) -> Callable[[Border], object]:
    """A link to the very file, or folder, that belongs there."""
    return lambda border: _at(name, lambda path: path.symlink_to(border.tools / "moved"))(border)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(path.parent)  # the name of a socket is short
        listener.bind(path.name)
        os.chdir(here)


_KINDS: dict[str, Change] = {
    "passwd": lambda path: path.symlink_to("/etc/passwd"),
    "dangling": lambda path: path.symlink_to("nothing"),
    "loop": lambda path: path.symlink_to(path.name),
    "fifo": os.mkfifo,
    "socket": _socket,
    "folder": lambda path: path.mkdir(),
}
_DEVICES: dict[str, Change] = {
    "zero": lambda path: os.mknod(path, 0o020666, os.makedev(1, 5)),
    "disk": lambda path: os.mknod(path, 0o060666, os.makedev(7, 0)),
}


def _no_files() -> dict[str, Crossing]:
    found: dict[str, Crossing] = {}
    for name in (*_FILES, *_FOLDERS):
        short = name[:12].replace("/", "-")
        kinds = _KINDS if name in _FILES else {kind: change for kind, change in _KINDS.items() if kind != "folder"}
        cases = {f"{short}-{kind}": _at(name, change) for kind, change in kinds.items()}
        found |= variants(_NO_FILE, cases | {f"{short}-linked": _linked(name)})
    found |= variants("is missing.*; copy", {f"{name[:8]}-emptied": _at(name, Path.mkdir) for name in _FOLDERS})
    for name in ("statement.json", blob_name(NEW.sha256)):
        cases = {f"{name[:5]}-{kind}": _at(name, change) for kind, change in _DEVICES.items()}
        found |= variants(_NO_FILE, cases, needs=("root",))
    volume = {f"volume-{kind}": _at("blobs.tar.002", change) for kind, change in _KINDS.items()}
    return found | variants(_NO_FILE, volume | {"volume-linked": _linked("blobs.tar.002")}, volumes=True)


def _unreadable(border: Border) -> None:
    """Nobody may read it, and root only because of capabilities that this run has not."""
    (border.bundle / MANIFEST).chmod(0)
    border.under = ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


def _elsewhere(border: Border) -> None:
    """The bundle itself is named through a link: that is for whoever names it to decide."""
    border.target = border.tools / "link"
    border.target.symlink_to(border.bundle)


def _crowded(border: Border) -> None:
    """What no bundle has lies beside what it has."""
    (border.bundle / "autorun.inf").symlink_to("/dev/zero")
    (border.bundle / "blobs" / "zz").mkdir()
    os.mkfifo(border.bundle / "blobs" / "zz" / "fifo")
    (border.bundle / "blobs.tar.001").write_bytes(b"hostile")


def _meanwhile(act: str) -> Play:
    """After all was checked but the blobs, and before one is copied, this is done; `blob` is the largest one's path."""

    @contextmanager
    def play(border: Border) -> Iterator[None]:
        blob = border.bundle / blob_name(NEW.sha256)
        with shims.after_opening(border.site, f"blob = pathlib.Path({str(blob)!r}); {act}"):
            yield

    return play


def _replaced(act: str, *, volumes: bool = False) -> Crossing:
    run = Border.imports_in_a_process
    return Crossing(play=_meanwhile(act), run=run, says="1 blobs were refused: first/one-1.1", volumes=volumes)


Member = tuple[tarfile.TarInfo, bytes]
Form = Literal[0, 1, 2]
_FORMAT: Form = tarfile.GNU_FORMAT


def _archive(change: Callable[[list[Member]], object], form: Form = _FORMAT) -> Callable[[Border], None]:
    """The volumes are of an archive with other members, cut as they should be."""

    def put(border: Border) -> None:
        volumes = sorted(border.bundle.glob("blobs.tar.*"))
        stream = b"".join(path.read_bytes() for path in volumes)
        with tarfile.open(fileobj=io.BytesIO(stream)) as archive:
            members = [(entry, _content(archive, entry)) for entry in archive]
        change(members)
        _write(border, _packed(members, form))

    return put


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(entry)
    assert file is not None
    return file.read()


def _packed(members: Sequence[Member], form: Form) -> bytes:
    parts = [entry.tobuf(form) + content + bytes(-len(content) % 512) for entry, content in members]
    return b"".join(parts) + bytes(1024)


def _write(border: Border, stream: bytes) -> None:
    for path in border.bundle.glob("blobs.tar.*"):
        path.unlink()
    for number, start in enumerate(range(0, len(stream), VOLUME), 1):
        (border.bundle / f"blobs.tar.{number:03}").write_bytes(stream[start : start + VOLUME])


def _first(**facts: object) -> Callable[[list[Member]], None]:
    """The first member has other facts."""

    def change(members: list[Member]) -> None:
        for name, value in facts.items():
            setattr(members[0][0], name, value)

    return change


def _extra(name: str, **facts: object) -> Member:
    entry = tarfile.TarInfo(name)
    for fact, value in facts.items():
        setattr(entry, fact, value)
    return entry, b""


def _raw(change: Callable[[bytearray], object]) -> Callable[[Border], None]:
    def put(border: Border) -> None:
        stream = bytearray(b"".join(path.read_bytes() for path in sorted(border.bundle.glob("blobs.tar.*"))))
        change(stream)
        _write(border, bytes(stream))

    return put


def _base_256(stream: bytearray) -> None:
    """The first size is written as GNU writes huge ones, and the checksum is right."""
    size = int(bytes(stream[124:135]), 8)
    stream[124:136] = b"\x80" + size.to_bytes(11, "big")
    _check(stream)


def _negative(stream: bytearray) -> None:
    stream[124:136] = b"\xff" * 12
    _check(stream)


def _check(stream: bytearray) -> None:
    stream[148:156] = b" " * 8
    stream[148:156] = b"%06o\0 " % sum(stream[:512])


FAULTS = (
    Fault(
        94,
        "links, devices, pipes and folders where files belong",
        _no_files()
        | {
            "unreadable": refused(
                f"{MANIFEST} cannot be read \\(Permission denied\\)",
                _unreadable,
                run=Border.imports_in_a_process,
                needs=("root", "setpriv"),
            ),
            "named-through-a-link": Crossing(play=spoilt(_elsewhere), codes=ABSORBED),
            "crowded": Crossing(play=spoilt(_crowded), codes=ABSORBED),
            "a-file": refused("is no directory that can be read", lambda b: setattr(b, "target", b.bundle / SUMS)),
            "what-it-lies-in": refused(
                "statement.json is missing; name the directory of one bundle",
                lambda b: setattr(b, "target", b.bundle.parent),
            ),
        },
    ),
    Fault(
        95,
        "files that are replaced between the check and the copy",
        {
            "other-bytes": _replaced("blob.write_bytes(bytes(blob.stat().st_size))"),
            "cut": _replaced("os.truncate(blob, 1000)"),
            "gone": _replaced("blob.unlink()"),
            "link": _replaced("blob.unlink(); blob.symlink_to('/etc/passwd')"),
            "fifo": _replaced("blob.unlink(); os.mkfifo(blob)"),
            "folder-link": _replaced("blob.parent.rename(blob.parent.with_name('x')); blob.parent.symlink_to('x')"),
            "volume": _replaced("[os.truncate(path, 30) for path in blob.parents[2].glob('*.002')]", volumes=True),
            "volume-of-zeros": _replaced(
                "[path.write_bytes(bytes(20000)) for path in blob.parents[2].glob('*.002')]", volumes=True
            ),
            **{
                name: Crossing(
                    play=_meanwhile(
                        "[path.write_bytes(b'hostile') for path in blob.parents[2].glob('*') if path.is_file()]"
                    ),
                    run=Border.imports_in_a_process,
                    codes=ABSORBED,
                )
                for name in ("the-rest",)
            },
            "longer": Crossing(
                play=_meanwhile("os.truncate(blob, 10**9)"), run=Border.imports_in_a_process, codes=ABSORBED
            ),
        },
    ),
    Fault(
        96,
        "a hostile archive in the volumes",
        variants(
            _ARCHIVE,
            {
                "parent": _archive(_first(name="../" + "a" * 60)),
                "absolute": _archive(_first(name="/etc/cron.d/x")),
                "symlink": _archive(_first(type=tarfile.SYMTYPE, linkname="/etc/passwd")),
                "hard-link": _archive(_first(type=tarfile.LNKTYPE, linkname="/etc/passwd")),
                "device": _archive(_first(type=tarfile.CHRTYPE, devmajor=1, devminor=5)),
                "fifo": _archive(_first(type=tarfile.FIFOTYPE)),
                "folder": _archive(_first(type=tarfile.DIRTYPE)),
                "sparse": _archive(_first(type=tarfile.GNUTYPE_SPARSE)),
                "contiguous": _archive(_first(type=tarfile.CONTTYPE)),
                "mode": _archive(_first(mode=0o4755)),
                "owner": _archive(_first(uid=1000, uname="somebody")),
                "time": _archive(_first(mtime=1)),
                "size-less": _archive(_first(size=1)),
                "size-vast": _archive(_first(size=8**11 - 1)),
                "size-beyond": _archive(_first(size=2**62)),
                "pax": _archive(_first(pax_headers={"path": "../x", "size": "9"}), tarfile.PAX_FORMAT),
                "ustar": _archive(lambda _: None, tarfile.USTAR_FORMAT),
                "long-name": _archive(_first(name="blobs/" + "a" * 200)),
                "order": _archive(lambda members: members.reverse()),
                "twice": _archive(lambda members: members.insert(1, members[0])),
                "one-less": _archive(lambda members: members.pop()),
                "more-at-the-end": _archive(lambda members: members.append(_extra("../x"))),
                "more-at-the-start": _archive(lambda members: members.insert(0, _extra("x", type=tarfile.DIRTYPE))),
                "exchanged": _archive(
                    lambda members: members.__setitem__(
                        slice(0, 2), [(members[0][0], members[1][1]), (members[1][0], members[0][1])]
                    )
                ),
                "size-in-base-256": _raw(_base_256),
                "size-negative": _raw(_negative),
                "checksum": _raw(lambda stream: stream.__setitem__(150, stream[150] ^ 1)),
                "no-end": _raw(lambda stream: stream.__delitem__(slice(-1024, None))),
                "half-an-end": _raw(lambda stream: stream.__delitem__(slice(-512, None))),
                "longer-end": _raw(lambda stream: stream.extend(bytes(512))),
                "padding": _raw(lambda stream: stream.__setitem__(1023, 1)),
                "second-archive": _raw(lambda stream: stream.extend(_packed([_extra("../x")], _FORMAT))),
                "zeros": _raw(lambda stream: stream.__setitem__(slice(None), bytes(len(stream)))),
                "nothing": _raw(lambda stream: stream.__setitem__(slice(None), bytes(1024))),
            },
            volumes=True,
        ),
    ),
)
