"""Faults 89 to 93: bundles that were signed with the right key, and whose lists lie, are hostile, or burst."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import Any

import msgspec

from mirror.cli.wheels import build_wheel
from mirror.model.bundle import LISTS, MANIFEST, PINS, REQUIRED, SUMS, WITHDRAWN, blob_name
from tests import gap
from tests.faults import forgeries
from tests.faults.border import NEW, OLD, Border, Crossing, refused, spoilt, variants
from tests.faults.fault import ABSORBED, Fault
from tests.faults.forgeries import (
    Record,
    carrying,
    counted,
    file,
    listed,
    manifest,
    packed,
    pin,
    project,
    said,
    withdrawal,
)
from tests.site import Outcome

_STRANGER = build_wheel("stranger", "1.0")
_ZEROS = "0" * 64
_OTHER_WORDS = "is not the list that an export writes"
_NO_DIGEST = "required.txt.gz has a line that is no sha256"
_NOT_NEEDED = "required.txt.gz is not what the manifest needs"


def _with_a_stranger(border: Border) -> None:
    """A blob that no file needs comes along, whole and counted."""
    path = border.bundle / blob_name(_STRANGER.sha256)
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(_STRANGER.content)
    size = len(_STRANGER.content)
    carrying(lambda blobs: sorted([*blobs, _STRANGER.sha256]), count=1, bytes=size)(border)


def _sums(change: Callable[[str], str]) -> Callable[[Border], None]:
    """`SHA256SUMS` has other bytes, which are those that were signed."""

    def forge(border: Border) -> None:
        path = border.bundle / SUMS
        text = path.read_text()
        other = change(text)
        assert other != text
        path.write_text(other)
        forgeries.seal_sums(border)

    return forge


def _blob(content: Callable[[bytes], bytes]) -> Callable[[Border], None]:
    """A carried blob has other bytes than its name says."""

    def change(border: Border) -> None:
        path = border.bundle / blob_name(NEW.sha256)
        path.write_bytes(content(path.read_bytes()))

    return change


def _exchanged(border: Border) -> None:
    """Two blobs have each other's bytes, so that the sum of their sizes is right."""
    first, second = (border.bundle / blob_name(line[:64]) for line in _carried(border)[:2])
    one, other = first.read_bytes(), second.read_bytes()
    first.write_bytes(other)
    second.write_bytes(one)


def _carried(border: Border) -> list[str]:
    return (border.bundle / SUMS).read_text().splitlines()[len(LISTS) :]


def _all(**changes: Any) -> Callable[[list[Record]], None]:
    """Every record of the second index has these facts, where it has such at all."""

    def change(records: list[Record]) -> None:
        for record in records[1:]:
            if record["index"] == "second":
                record.update({name: value for name, value in changes.items() if name in record})

    return change


def _index(name: str) -> Callable[[Border], None]:
    """The second index has this name, everywhere."""

    def change(records: list[Record]) -> None:
        header = records[0]
        header["indexes"] = sorted(["first", name])
        for tree in header["trees"]:
            tree["indexes"] = [name if index == "second" else index for index in tree["indexes"]]
        _all(index=name)(records)
        _sort(records)

    return manifest(change)


def _sort(records: list[Record]) -> None:
    """In the order in which an export has them."""
    records[1:] = sorted(records[1:], key=lambda record: (record["index"], record.get("project", record.get("name"))))


def _tree(**changes: Any) -> Callable[[Border], None]:
    return manifest(lambda records: records[0]["trees"][0].update(changes))


def _header(**changes: Any) -> Callable[[Border], None]:
    return manifest(lambda records: records[0].update(changes))


def _twice(**changes: Any) -> Callable[[Border], None]:
    """The last file is there once more, as it is or with other facts."""
    return manifest(lambda records: records.append(records[-1] | changes))


def _as_metadata(records: list[Record]) -> None:
    """A file has the name under which another file's metadata is served, in the same place."""
    place = next(number for number, record in enumerate(records) if record.get("filename") == NEW.filename)
    new = {name: value for name, value in records[place].items() if not name.startswith("metadata")}
    records.insert(place + 1, new | {"filename": f"{NEW.filename}.metadata"})


def _another(**changes: Any) -> Callable[[Border], None]:
    """The new file is there under another name as well, with other facts."""

    def change(records: list[Record]) -> None:
        place = next(number for number, record in enumerate(records) if record.get("filename") == NEW.filename)
        plain = {name: value for name, value in records[place].items() if name != "digests"}
        records.insert(place, plain | {"filename": "one-1.1.post1.tar.gz"} | changes)
        records[place : place + 2] = sorted(records[place : place + 2], key=lambda record: record["filename"])

    return manifest(change)


def _size(value: int) -> Callable[[Border], None]:
    return manifest(lambda records: _of(NEW.filename, records).update(size=value))


_WORDS = "\x1b[2J\x1b]0;x\x07\nsigned by everybody\u202e"


def _deceiving(border: Border) -> None:
    """Outside somebody yanked a file for a reason that rewrites the terminal on which a reviewer reads it."""
    manifest(lambda records: _of(OLD.filename, records).update(yanked=_WORDS))(border)
    yank = msgspec.json.encode(json.loads(gap.lines(border.bundle, WITHDRAWN)[1]) | {"reason": _WORDS}) + b"\n"
    listed(WITHDRAWN, lambda lines: [lines[0], yank])(border)


def _shown(border: Border) -> Outcome:
    """What the reviewer sees of it has one line, and no control characters."""
    shown = border.site.run("bundle", "show", "--trust", str(border.signers), str(border.bundle))
    assert shown.code == 0, shown.err
    (line,) = (line for line in shown.out.splitlines() if "yanked" in line)
    assert line.endswith(": yanked: ?[2J?]0;x??signed by everybody?")
    assert all(line.isprintable() for line in shown.out.splitlines())
    return border.imports_right()


def _of(name: str, records: list[Record]) -> Record:
    return next(record for record in records if record.get("filename") == name)


def _nested(name: str) -> Callable[[Border], None]:
    """The last line of a list has a million levels."""
    line = b'{"x":' + b"[" * 1_000_000 + b"\n"
    if name == MANIFEST:
        return lambda border: forgeries.seal_manifest(border, [*gap.lines(border.bundle, name), line])
    if name == WITHDRAWN:
        return counted(name, "withdrawn", lambda lines: [*lines, line])
    return listed(name, lambda lines: [*lines, line])


def _bomb(name: str, *, lines: bool) -> Crossing:
    says = f"{name} (has a line of more than|cannot be read|has a line that is no sha256)"
    play = spoilt(packed(name, lambda: forgeries.bomb(lines=lines)))
    return Crossing(play=play, says=says, run=Border.imports_in_a_process)


def _repeated(name: str, amount: str, times: int) -> Crossing:
    """The last line of a list so often that it would take a run too much memory, and the statement agrees."""

    def change(border: Border) -> None:
        lines = gap.lines(border.bundle, name)
        forgeries.packed(name, lambda: forgeries.bomb_of(b"".join(lines), lines[-1], times))(border)
        gap.reseal(border.bundle, border.key, lambda it: it.update({amount: len(lines) + times} if amount else {}))

    says = f"{name} unpacks to more than any list does|{_NO_DIGEST}"
    return Crossing(play=spoilt(change), says=says, run=Border.imports_in_a_process)


_NAMES = {
    "parent": "../two-1.0.tar.gz",
    "dots": "..",
    "dot": ".",
    "absolute": "/etc/two-1.0.tar.gz",
    "folder": "a/two-1.0.tar.gz",
    "backslash": "..\\two-1.0.tar.gz",
    "nul": "two-1.0\0.tar.gz",
    "newline": "two-1.0\n.tar.gz",
    "escape": "two-1.0\x1b[2J.tar.gz",
    "hidden": ".htaccess",
    "option": "-rf",
    "empty": "",
    "long": "x" * 300,
    "percent": "%2e%2e%2ftwo-1.0.tar.gz",
    "colon": "two:1.0.tar.gz",
    "look-alike": "twо-1.0.tar.gz",
}
_NUMBERS = {"negative": -1, "2-to-63": 2**63, "2-to-64": 2**64, "huge": 10**3000}
_DIGESTS = {
    "upper": "A" * 64,
    "short": "a" * 63,
    "long": "a" * 65,
    "path": "../" + "a" * 61,
    "newline": "a" * 64 + "\n",
}

FAULTS = (
    Fault(
        89,
        "a blob list that lies",
        {
            "stranger": refused("carries blobs that its manifest does not need", _with_a_stranger),
            "omitted": refused(
                "files below blobs|is not what the manifest", carrying(lambda blobs: blobs[1:], count=-1)
            ),
            "invented": refused("does not need", carrying(lambda blobs: [_ZEROS, *blobs], count=1)),
            "count-less": refused("at most \\d+ belong there", said(lambda it: it["carried"].update(count=3))),
            "count-more": refused("another number of lines", said(lambda it: it["carried"].update(count=5))),
            "count-vast": refused(
                "more lines than this version reads", said(lambda it: it["carried"].update(count=2**53 - 1))
            ),
            "bytes-less": refused("the files below blobs have", said(lambda it: it["carried"].update(bytes=42_000))),
            "bytes-more": refused("the files below blobs have", said(lambda it: it["carried"].update(bytes=2**53 - 1))),
            "bytes-less-in-volumes": refused(
                "not what an export writes there", said(lambda it: it["carried"].update(bytes=42_000)), volumes=True
            ),
            "bytes-more-in-volumes": refused(
                "bytes less than statement.json says", said(lambda it: it["carried"].update(bytes=43_000)), volumes=True
            ),
            "no-volumes": refused("is missing", said(lambda it: it.update({"volume-size": None})), volumes=True),
            "other-volume-size": refused(
                "has \\d+ bytes where volumes have", said(lambda it: it.update({"volume-size": 10_000})), volumes=True
            ),
            **variants(
                _OTHER_WORDS,
                {
                    "unsorted": carrying(reversed),
                    "twice": carrying(lambda blobs: [blobs[0], *blobs], count=1),
                    "upper-case": _sums(lambda text: text[:-70] + text[-70:].upper()),
                    "binary": _sums(lambda text: text.replace("  blobs", " *blobs", 1)),
                    "other-path": _sums(lambda text: text.replace("  blobs/", "  blobz/", 1)),
                    "parent": _sums(lambda text: text.replace(f"blobs/{NEW.sha256[:2]}/", "blobs/../", 1)),
                    "list-renamed": _sums(lambda text: text.replace(MANIFEST, "manifest.jsonl.xz", 1)),
                    "lists-swapped": _sums(lambda text: "".join(sorted(text.splitlines(keepends=True)))),
                    "return": _sums(lambda text: text[:-1] + "\r"),
                },
            ),
            "return-more": refused("at most \\d+ belong there", _sums(lambda text: text.replace("\n", "\r\n", 1))),
            "no-end": refused("another number of lines", _sums(lambda text: text[:-1])),
            "blob-of-zeros": refused(
                "1 blobs were refused: first/one-1.1.*other bytes", _blob(lambda data: bytes(len(data)))
            ),
            "blobs-exchanged": refused("has \\d+ bytes in the bundle and|were refused", _exchanged),
            "required-short": refused(_NOT_NEEDED, listed(REQUIRED, lambda lines: lines[1:])),
            "required-short-and-counted": refused(_NOT_NEEDED, counted(REQUIRED, "required", lambda lines: lines[1:])),
            "required-long": refused(
                "longer than statement.json says", listed(REQUIRED, lambda lines: [*lines, f"{'f' * 64}\n".encode()])
            ),
            "required-long-and-counted": refused(
                _NOT_NEEDED, counted(REQUIRED, "required", lambda lines: [*lines, f"{'f' * 64}\n".encode()])
            ),
            "required-other": refused(
                _NOT_NEEDED, listed(REQUIRED, lambda lines: [*lines[1:], f"{'f' * 64}\n".encode()])
            ),
            "required-unsorted": refused(_NO_DIGEST, listed(REQUIRED, reversed)),
            "required-twice": refused(_NO_DIGEST, listed(REQUIRED, lambda lines: [lines[0], lines[0], *lines[2:]])),
            "required-upper": refused(_NO_DIGEST, listed(REQUIRED, lambda lines: [line.upper() for line in lines])),
            "required-spaces": refused(_NO_DIGEST, listed(REQUIRED, lambda lines: [b" " + lines[0], *lines[1:]])),
            "required-no-ascii": refused(
                _NO_DIGEST, listed(REQUIRED, lambda lines: [b"\xff" * 64 + b"\n", *lines[1:]])
            ),
            "required-count": refused(
                "longer than statement.json|" + _NOT_NEEDED, said(lambda it: it.update(required=5))
            ),
            "withdrawn-short": refused("says 2 withdrawals, and 1", listed(WITHDRAWN, lambda lines: lines[1:])),
            "withdrawn-long": refused(
                "longer than statement.json", listed(WITHDRAWN, lambda lines: [*lines, lines[0]])
            ),
            "withdrawn-count": refused("says 3 withdrawals, and 2", said(lambda it: it.update(withdrawn=3))),
            "withdrawn-and-there": refused(
                "say different things of .one",
                withdrawal(project="one", file=OLD.filename, sha256=OLD.sha256),
            ),
            "withdrawn-not-yanked": refused(
                "say different things of .one",
                listed(WITHDRAWN, lambda lines: [lines[0], lines[1].replace(b"one-1.0", b"one-1.1")]),
            ),
            "withdrawn-other-kind": refused("withdrawn.jsonl.gz cannot be read", withdrawal(kind="added")),
            "withdrawn-more-members": refused("withdrawn.jsonl.gz cannot be read", withdrawal(also=1)),
            "withdrawn-digest": refused("withdrawn.jsonl.gz cannot be read", withdrawal(sha256="../x")),
        },
    ),
    Fault(
        90,
        "a base that is not here",
        {
            "fresh-root": refused("4 blobs are neither here nor carried", lambda _: None, fresh=True),
            "one-blob": refused(
                r"1 blobs are neither here nor carried.*first/one-1.1.post1.tar.gz \(missing\)",
                _another(sha256="f" * 64),
            ),
            "other-size-of-what-is-here": refused(
                r"1 blobs are neither here nor carried.*first/one-1.0-py3-none-any.whl \(missing\)",
                manifest(lambda records: _of(OLD.filename, records).update(size=5)),
            ),
        },
    ),
    Fault(
        91,
        "a manifest with hostile names",
        {
            **variants("file name|cannot be", {f"file-{key}": file(filename=name) for key, name in _NAMES.items()}),
            **variants("file name|cannot be", {f"pin-{key}": pin(filename=name) for key, name in _NAMES.items()}),
            **variants(
                "project|cannot be",
                {
                    f"project-{key}": manifest(_all(name=name, project=name))
                    for key, name in (_NAMES | {"unnormalised": "Two", "underscore": "t_wo", "dotted": "t.wo"}).items()
                },
            ),
            **variants(
                "index",
                {f"index-{key}": _index(name) for key, name in _NAMES.items() if key != "long"},
            ),
            **variants(
                "tree|index name",
                {f"tree-{key}": _tree(name=name) for key, name in _NAMES.items()},
            ),
            **variants(
                "has a tree .* that cannot be",
                {
                    "tree-manifest": _tree(name="manifest.jsonl"),
                    "tree-pins": _tree(name="pins.jsonl"),
                    "tree-of-nothing-known": _tree(indexes=["third"]),
                    "tree-with-an-index-twice": _tree(indexes=["first", "first"]),
                },
            ),
            **variants(
                "has two trees of one name",
                {"tree-twice": _tree(name="all"), "tree-twice-but-for-case": _tree(name="All")},
            ),
            **variants(
                "no tree for the index first",
                {
                    "no-trees": _header(trees=[]),
                    "no-tree": _header(trees=[{"name": "second", "indexes": ["second"]}]),
                },
            ),
            **variants(
                "not written as an export|cannot be",
                {
                    "file-of-another-project": file(project="one"),
                    "file-of-another-index": file(index="first"),
                    "project-of-another-index": project(index="first"),
                    "indexes-twice": _header(indexes=["first", "first", "second"]),
                    "indexes-unsorted": _header(indexes=["second", "first"]),
                },
            ),
            "words-for-a-terminal": Crossing(play=spoilt(_deceiving), run=_shown, codes=ABSORBED),
            "file-twice": refused("names a file of two twice", _twice()),
            "file-twice-with-other-bytes": refused("names a file of two twice", _twice(sha256=NEW.sha256, size=41096)),
            "file-named-as-metadata": refused("is neither a wheel nor an sdist", manifest(_as_metadata)),
            "file-that-is-none": refused("is neither a wheel nor an sdist", file(filename="index.html")),
            "file-of-a-stranger": refused("belongs to project one, not to two", file(filename="one-1.0.tar.gz")),
        },
    ),
    Fault(
        92,
        "a manifest with hostile values, or in another form",
        {
            **variants(
                "size|cannot be read|bytes in the bundle",
                {f"size-{key}": _size(value) for key, value in _NUMBERS.items()},
            ),
            **variants(
                "no usable digest|is not a valid|not what the manifest",
                {f"digest-{key}": file(sha256=value) for key, value in _DIGESTS.items()},
            ),
            **variants(
                "no usable digest|not what the manifest",
                {f"metadata-{key}": file(metadata_sha256=value) for key, value in _DIGESTS.items()},
            ),
            **variants(
                "no usable digest|is not a valid",
                {f"pin-digest-{key}": pin(sha256=value) for key, value in _DIGESTS.items()},
            ),
            **variants(
                "cannot be read|not written as an export|not a valid|digest|cannot be there",
                {
                    "no-digest": manifest(lambda records: records[-1].pop("sha256")),
                    "no-size": manifest(lambda records: records[-1].pop("size")),
                    "size-text": file(size="917"),
                    "size-float": file(size=917.5),
                    "size-true": file(size=True),
                    "other-algorithm": file(digests=[{"algorithm": "md4", "hex": "0" * 32}]),
                    "other-hex": file(digests=[{"algorithm": "sha512", "hex": "../" * 42}]),
                    "yank-number": file(yanked=5),
                    "status-unknown": project(status={"status": "fine", "reason": None}),
                    "unknown-member": file(also="this"),
                    "unknown-kind": file(kind="link"),
                    "default-written": file(requires_python=None),
                    "pin-size": pin(size=-1),
                    "pin-index": pin(index="../x"),
                    "pin-project": pin(project="Not_Normal"),
                    "pin-kind": pin(kind="file"),
                    "pins-count": listed(PINS, lambda lines: [b"2\n", *lines[1:]]),
                    "pins-count-huge": listed(PINS, lambda lines: [b"9" * 10_000 + b"\n", *lines[1:]]),
                    "pins-count-text": listed(PINS, lambda lines: [b"one\n", *lines[1:]]),
                },
            ),
            **variants(
                "two sizes for the blob",
                {
                    "two-sizes-the-first-lies": _another(filename="one-1.1-0-py3-none-any.whl", size=1),
                    "two-sizes-the-last-lies": _another(size=1),
                },
            ),
            **variants(
                "cannot be read|not written as an export|does not know",
                {
                    "nothing": lambda border: forgeries.seal_manifest(border, []),
                    "no-header": lambda border: forgeries.seal_manifest(border, gap.lines(border.bundle, MANIFEST)[1:]),
                    "two-headers": manifest(lambda records: records.insert(1, dict(records[0]))),
                    "other-schema": _header(schema=2),
                    "other-order": manifest(lambda records: records.insert(1, records.pop())),
                    "no-project": manifest(lambda records: records.pop(1)),
                    "blank-line": lambda border: forgeries.seal_manifest(
                        border, [*gap.lines(border.bundle, MANIFEST), b"\n"]
                    ),
                    "no-utf-8": lambda border: forgeries.seal_manifest(
                        border, [line.replace(b"broken", b"br\xffken") for line in gap.lines(border.bundle, MANIFEST)]
                    ),
                    "spaces": lambda border: forgeries.seal_manifest(
                        border, [line.replace(b'":', b'": ') for line in gap.lines(border.bundle, MANIFEST)]
                    ),
                },
            ),
            "sealed-again-without-a-lie": Crossing(play=spoilt(manifest(lambda _: None)), codes=ABSORBED),
            "sealed-again-in-volumes": Crossing(play=spoilt(manifest(lambda _: None)), codes=ABSORBED, volumes=True),
            "no-newline": refused(
                "ends in the middle of a line",
                lambda border: forgeries.seal_manifest(border, [b"".join(gap.lines(border.bundle, MANIFEST))[:-1]]),
            ),
            "other-generation": refused(
                "which is not|not the one that", said(lambda it: it["target"].update(manifest=_ZEROS))
            ),
        },
    ),
    Fault(
        93,
        "lists that burst: bombs, a line without an end, a million levels",
        {
            **{f"line-{name}": _bomb(name, lines=False) for name in LISTS},
            **{f"lines-{name}": _bomb(name, lines=True) for name in (MANIFEST, REQUIRED)},
            f"again-{MANIFEST}": _repeated(MANIFEST, "", 250_000),
            f"again-{REQUIRED}": _repeated(REQUIRED, "required", 4_000_000),
            f"again-{WITHDRAWN}": _repeated(WITHDRAWN, "withdrawn", 400_000),
            **{
                f"levels-{name}": refused("cannot be read|cannot be imported|longer|is not what", _nested(name))
                for name in LISTS
            },
            **variants(
                "goes on after its end",
                {
                    "second-member": forgeries.repacked(MANIFEST, lambda data: data + gzip.compress(b"more\n")),
                    "more-bytes": forgeries.repacked(WITHDRAWN, lambda data: data + b"\0" * 70_000),
                },
            ),
            "torn": refused("ends in the middle", forgeries.repacked(MANIFEST, lambda data: data[:-9])),
            "checksum": refused("is not packed as gzip", forgeries.repacked(PINS, lambda data: data[:-8] + bytes(8))),
            "no-gzip": refused("is not packed as gzip", packed(MANIFEST, lambda: b"manifest\n" * 100)),
            "empty": refused("ends in the middle", packed(PINS, lambda: b"")),
        },
    ),
)
