"""What crosses an air gap: bundles in both forms, deltas, gaps, lost disks, withdrawals, and roots that change.

After every import the inside serves, byte for byte, what a generation outside is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mirror.cli.wheels import build_sdist, build_wheel
from mirror.model.bundle import DSSE, LISTS, SSHSIG, STATEMENT, SUMS, WITHDRAWN
from tests.gap import OUTSIDE, Gap, content, expect_same, import_, imported, lines, predicate, receipt, refused
from tests.site import Site, served
from tests.world import Index, clients

Indexes = tuple[Index, Index]
ONE, TWO = build_wheel("one", "1.0"), build_wheel("one", "2.0")


@pytest.fixture
def indexes(gap: Gap) -> Indexes:
    """Two private indexes with a merged tree, and one night of them."""
    first, second = gap.world.add_index("first"), gap.world.add_index("second", format="html")
    first.add(ONE, core_metadata=True)
    second.add(build_sdist("other", "1.0"))
    gap.configure(first, second, trees={"all": ["first", "second"]})
    gap.sync()
    return first, second


def _cross(gap: Gap, inside: Site, name: str, *arguments: str) -> dict[str, Any]:
    """Export, import, and compare: the receipt."""
    found = imported(inside, gap.exported(name, *arguments))
    expect_same(inside, gap.outside)
    return found


def _carried(bundle: Path) -> set[str]:
    return {line[:64] for line in (bundle / SUMS).read_text().splitlines()[len(LISTS) :]}


def _withdrawn(bundle: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(bundle, WITHDRAWN)]


@pytest.mark.parametrize("size", [None, "1MiB", "1234567B", "1TB"])
def test_all_of_it_crosses_in_every_form(gap: Gap, indexes: Indexes, size: str | None) -> None:
    """As files, and as volumes: such that cut a blob, at a block or within one, and one with room for everything."""
    indexes[0].add(build_wheel("large", "1.0", payload=2_600_000))
    gap.sync()
    bundle = gap.exported("b", *(["--volume-size", size] if size else []))
    volumes = sorted(path.name for path in bundle.glob("blobs*"))
    count = {None: 0, "1MiB": 3, "1234567B": 3, "1TB": 1}[size]
    assert volumes == ([f"blobs.tar.{number:03}" for number in range(1, count + 1)] or ["blobs"])
    assert {path.name for path in bundle.iterdir()} == {*volumes, *LISTS, SUMS, STATEMENT, SSHSIG, DSSE}
    found = imported(gap.inside(), bundle)
    assert (found["identity"], found["generation"], found["target"]["generation"]) == (OUTSIDE, 1, 2)
    expect_same(Site(gap.directory / "inside", gap.world), gap.outside)


@pytest.mark.parametrize(
    "said",
    [
        lambda _inside, _found: "1",
        lambda inside, _found: str(receipt(inside)),
        lambda _inside, found: found["code"],
        lambda _inside, found: found["code"].lower(),
        lambda _inside, found: "-".join(found["code"].split("-")[:2]) + found["code"].split("-")[2],
    ],
    ids=["number", "receipt", "code", "lower case", "one dash"],
)
def test_a_delta_carries_what_the_base_lacks(
    gap: Gap, indexes: Indexes, said: Callable[[Site, dict[str, Any]], str]
) -> None:
    """However the base is named: nothing that it has, and all else."""
    inside = gap.inside()
    found = _cross(gap, inside, "b1")
    indexes[0].add(TWO)
    indexes[1].remove("other-1.0.tar.gz")
    indexes[1].add(build_sdist("other", "1.1"))
    gap.sync("--accept-shrink", "second")
    _cross(gap, inside, "b2", "--since", said(inside, found))
    bundle = predicate(gap.disk("b2"))
    assert bundle["base"] == found["target"]
    assert {TWO.sha256} < _carried(gap.disk("b2"))
    assert ONE.sha256 not in _carried(gap.disk("b2"))
    assert bundle["required"] == len(lines(gap.disk("b2"), "required.txt.gz")) == 2, "one-1.0 and its metadata"
    assert [gone["file"] for gone in _withdrawn(gap.disk("b2"))] == ["other-1.0.tar.gz"]


def test_lost_and_late_disks(gap: Gap, indexes: Indexes) -> None:
    """A gap does not matter if what is required is there; else it is named, and an older receipt or all of it helps."""
    inside = gap.inside()
    _cross(gap, inside, "b1")
    first_receipt = receipt(inside).read_text()
    for number in (2, 3, 4):
        indexes[0].add(build_wheel("one", f"{number}.0"))
        gap.sync()
    lost = gap.exported("lost", "--since", "2")
    expected = f"first/{TWO.filename} (missing)"
    assert expected in refused(inside, lost)
    assert expected in refused(gap.inside("empty"), lost)
    older = gap.directory / "older.json"
    older.write_text(first_receipt)
    again = gap.exported("again", "--since", str(older))
    late = gap.exported("late", "--since", str(older))
    imported(inside, again)
    expect_same(inside, gap.outside)
    _cross(gap, gap.inside("new disk"), "full", "--full")
    indexes[0].add(build_wheel("one", "5.0"))
    gap.sync()
    imported(inside, late)
    expect_same(inside, gap.outside, 4)
    assert inside.generation == 2, "nothing is new in it"
    _cross(gap, inside, "next", "--since", "4")


def test_ten_sites_with_two_bases(gap: Gap, indexes: Indexes) -> None:
    """Each base makes one bundle, and each site takes the one for its receipt; the other one may do as well."""
    sites = [gap.inside(f"site{number}") for number in range(10)]
    bundle = gap.exported("b1")
    codes = [imported(site, bundle)["code"] for site in sites]
    indexes[0].add(TWO)
    gap.sync()
    bundle = gap.exported("b2", "--since", codes[0])
    codes[5:] = [imported(site, bundle)["code"] for site in sites[5:]]
    assert len(set(codes)) == 2
    three = build_wheel("one", "3.0")
    indexes[0].add(three)
    gap.sync()
    both = {code: gap.exported(code, "--since", code) for code in set(codes)}
    for site, code in zip(sites, codes, strict=True):
        imported(site, both[code])
        expect_same(site, gap.outside)
    assert _carried(both[codes[0]]) - _carried(both[codes[9]]) > {TWO.sha256}


def test_a_base_outlives_its_generation(gap: Gap, indexes: Indexes) -> None:
    """What was exported is known as a base when it was collected; what was not, or is lost, is told."""
    inside = gap.inside()
    _cross(gap, inside, "b1")
    for number in (2, 3):
        indexes[0].add(build_wheel("one", f"{number}.0"))
        gap.sync()
    collected = gap.outside.run("gc", "-c", str(gap.outside.config), "--keep", "1", "--grace", "0")
    assert "generation 1\n" in collected.out
    assert gap.outside.generation == 3
    gap.exported("number", "--since", "1")
    unknown = gap.export("b", "--since", "2")
    assert (unknown.code, unknown.out) == (1, "")
    assert "generation 2, which 2 stands for, was not exported here and is kept no longer" in unknown.err
    assert unknown.err.endswith("; name a newer receipt, or --full\n")
    _cross(gap, inside, "b3", "--since", str(receipt(inside)))
    shutil.rmtree(gap.outside.root / "state" / "exported")
    done = gap.export("b", "--since", "1")
    assert (done.code, done.err.count("\n")) == (1, 1)
    assert not gap.disk("b").exists()


def test_receipts_that_are_none(gap: Gap, indexes: Indexes) -> None:
    """Another identity's, another content's, and what is no receipt at all: one line each, and no bundle."""
    assert indexes
    inside = gap.inside()
    _cross(gap, inside, "b1")
    found = json.loads(receipt(inside).read_text())
    wrong = {
        "another identity": receipt(inside),
        "1-AAAAA-AAAAA": None,
        f"2{found['code'][1:]}": None,
        "no-such-file.json": None,
        "b1": gap.disk("b1"),
        "garbage": gap.outside.config,
        "changed": gap.directory / "changed.json",
        "0": None,
        "": None,
    }
    (gap.directory / "changed.json").write_text(
        json.dumps(found | {"target": found["target"] | {"manifest": "0" * 64}})
    )
    for name, path in wrong.items():
        identity = ["--identity", "somebody@else"] if name == "another identity" else []
        done = gap.export("b", "--since", str(path or name), *identity)
        assert (done.code, done.out, done.err.count("\n")) == (1, "", 1), name
        assert "; " in done.err, name
        assert "--full" in done.err, name
        assert not gap.disk("b").exists()


def test_an_outside_that_was_built_again(gap: Gap, indexes: Indexes) -> None:
    """Its numbers begin again, so only its content is a base; sequences are times, and rise on."""
    inside = gap.inside()
    for number in (2, 3):
        indexes[0].add(build_wheel("one", f"{number}.0"))
        gap.sync()
    old = _cross(gap, inside, "b1")
    shutil.rmtree(gap.outside.root)
    indexes[0].add(build_wheel("one", "4.0"))
    gap.sync()
    assert gap.outside.generation == 1
    assert "; name a newer receipt, or --full" in gap.export("b", "--since", old["code"]).err
    new = _cross(gap, inside, "b2")
    assert (new["target"]["generation"], inside.generation) == (1, 2)
    assert new["sequence"] > old["sequence"]
    audit = [json.loads(line) for line in _newest(inside.root / "state" / "audits").read_text().splitlines()]
    verdicts = {(line["file"], line["kind"]): line["verdict"] for line in audit}
    assert verdicts[ONE.filename, "file"] == "present"
    assert verdicts["one-4.0-py3-none-any.whl", "file"] == "imported"
    indexes[0].yank(ONE.filename)
    gap.sync()
    _cross(gap, inside, "b3", "--since", str(receipt(inside)))


def test_a_number_that_two_generations_had_is_no_base(gap: Gap, indexes: Indexes) -> None:
    """The pages were lost and not the rest, so numbers began again; a code still says which of the two is meant."""
    inside = gap.inside()
    first = _cross(gap, inside, "b1")
    for folder in ("gen", "public"):
        shutil.rmtree(gap.outside.root / folder)
    for number in (2, 3):
        indexes[0].add(build_wheel("one", f"{number}.0"))
        gap.sync()
        gap.exported(f"again-{number}")
    shutil.rmtree(gap.outside.root / "gen" / "000001")
    assert "2 generations were number 1 here; name the receipt, or its code" in gap.export("x", "--since", "1").err
    _cross(gap, inside, "b2", "--since", first["code"])


def _newest(directory: Path) -> Path:
    return max(directory.iterdir())


def test_what_came_in_goes_further(gap: Gap, indexes: Indexes) -> None:
    """An inside exports like any root, as itself: full and deltas, to a place behind a second gap."""
    key = gap.make_key("second-key")
    gap.signers.write_text(gap.key.line() + key.line("mirror@middle"))
    middle, far = gap.inside("middle"), gap.inside("far")
    further = ("--identity", "mirror@middle", "--sign", str(key.path))
    _cross(gap, middle, "b1")
    imported(far, gap.exported("m1", *further, side=middle))
    expect_same(far, gap.outside)
    indexes[0].add(TWO)
    gap.sync()
    _cross(gap, middle, "b2", "--since", str(receipt(middle)))
    found = imported(far, gap.exported("m2", "--since", str(receipt(far)), *further, side=middle))
    expect_same(far, gap.outside)
    assert found["identity"] == "mirror@middle"
    assert "the receipt is for a bundle of mirror@middle" in gap.export("b", "--since", str(receipt(far))).err
    assert "this root follows mirror@middle" in refused(far, gap.exported("b3"))


def test_what_is_taken_back(gap: Gap, indexes: Indexes) -> None:
    """Files, bytes, yanks and status travel as withdrawals, each with its index and project, and hold inside."""
    first, inside = indexes[0], gap.inside()
    for number in (3, 4, 5):
        first.add(build_wheel("one", f"{number}.0"), yanked="old" if number == 5 else None)
    for name in ("bad", "kept"):
        first.add(build_wheel(name, "1.0"))
    gap.sync()
    _cross(gap, inside, "b1")
    first.remove("one-3.0-py3-none-any.whl")
    first.add(build_wheel("one", "4.0", payload=99))
    first.yank(ONE.filename, "broken")
    first.unyank("one-5.0-py3-none-any.whl")
    first.status("quarantined", "malware", project="bad")
    first.status("archived", project="kept")
    gap.sync("--accept-changed", "first/one-4.0-py3-none-any.whl")
    _cross(gap, inside, "b2", "--since", str(receipt(inside)))
    found = {(line["kind"], line["project"], line.get("file")) for line in _withdrawn(gap.disk("b2"))}
    assert found == {
        ("withdrawn", "one", "one-3.0-py3-none-any.whl"),
        ("withdrawn", "one", "one-4.0-py3-none-any.whl"),
        ("yanked", "one", ONE.filename),
        ("withdrawn", "bad", "bad-1.0-py3-none-any.whl"),
        ("status", "bad", None),
        ("status", "kept", None),
    }
    assert all(line["index"] == "first" for line in _withdrawn(gap.disk("b2")))
    files = inside.files("first")
    assert files[ONE.filename]["yanked"] == "broken"
    assert not files["one-5.0-py3-none-any.whl"].get("yanked", False)
    assert inside.page("first", "bad")["project-status"] == {"status": "quarantined", "reason": "malware"}
    assert not inside.page("first", "bad")["files"]
    first.status(None)
    first.unyank(ONE.filename)
    gap.sync()
    _cross(gap, inside, "b3", "--since", str(receipt(inside)))
    assert predicate(gap.disk("b3"))["carried"]["count"] == 2, "bad-1.0, which went, and its metadata"


def test_indexes_and_trees_come_and_go(gap: Gap, indexes: Indexes) -> None:
    """The configuration inside says nothing of them: the bundle does."""
    first, second = indexes
    third, inside = gap.world.add_index("third"), gap.inside()
    third.add(build_wheel("three", "1.0"))
    _cross(gap, inside, "b1")
    gap.configure(first, second, third, trees={"all": ["second", "first"], "more": ["third"]})
    gap.sync()
    _cross(gap, inside, "b2", "--since", str(receipt(inside)))
    assert inside.files("more").keys() == {"three-1.0-py3-none-any.whl"}
    gap.configure(third, trees={"more": ["third"]})
    gap.sync()
    _cross(gap, inside, "b3", "--since", str(receipt(inside)))
    current = inside.root / "public" / "current"
    assert {path.name for path in current.iterdir() if path.is_dir()} == {"third", "more"}


def test_bytes_that_several_files_share_travel_once(gap: Gap, indexes: Indexes) -> None:
    """The same file on two indexes, and metadata that several wheels have, are one blob each."""
    first, second = indexes
    second.add(ONE, core_metadata=True)
    tagged = ONE.filename.replace("py3-none-any", "py2.py3-none-any")
    first.add(build_wheel("one", "1.0", payload=50), filename=tagged, core_metadata=True)
    gap.sync()
    inside = gap.inside()
    _cross(gap, inside, "b1")
    places = [sha256 for place, sha256 in content(inside.root).items() if place.startswith("packages/")]
    assert _carried(gap.disk("b1")) == set(places)
    assert len(set(places)) == len(places) - 3, "a file, its metadata, and its metadata once more"
    lines_ = [json.loads(line) for line in _newest(inside.root / "state" / "audits").read_text().splitlines()]
    assert {(line["index"], line["file"]) for line in lines_ if line["sha256"] == ONE.sha256} == {
        ("first", ONE.filename),
        ("second", ONE.filename),
    }


def test_an_empty_delta_is_a_sign_of_life(gap: Gap, indexes: Indexes) -> None:
    """It changes nothing but the age of what is there."""
    assert indexes
    inside = gap.inside("inside", 'max-age = "30d"')
    _cross(gap, inside, "b1")
    status = ("status", "-c", str(inside.config))
    assert inside.run(*status).code == 1
    gap.exported("b2", "--since", str(receipt(inside)), night=55)
    assert inside.run(*status).code == 1
    imported(inside, gap.disk("b2"))
    assert predicate(gap.disk("b2"))["carried"] == {"count": 0, "bytes": 0}
    expect_same(inside, gap.outside)
    assert inside.generation == 1
    assert inside.run(*status).code == 0
    assert inside.run(*status, "--max-age", "2d").code == 1


def test_a_rollback_crosses_like_a_night(gap: Gap, indexes: Indexes) -> None:
    """The content goes back, the sequence does not."""
    inside = gap.inside()
    _cross(gap, inside, "b1")
    indexes[0].add(TWO)
    gap.sync()
    before = _cross(gap, inside, "b2", "--since", "1")
    assert gap.outside.run("rollback", "-c", str(gap.outside.config), "1").code == 0
    found = _cross(gap, inside, "b3", "--since", before["code"])
    assert found["sequence"] > before["sequence"]
    assert (found["target"]["generation"], inside.generation) == (3, 3)
    assert inside.files("first").keys() == {ONE.filename}
    gap.sync()
    _cross(gap, inside, "b4", "--since", found["code"])
    assert predicate(gap.disk("b4"))["carried"]["count"] == 2, "generation 3 has it not, whatever lies about"


def test_what_was_held_once_is_known_inside_too(gap: Gap, indexes: Indexes) -> None:
    """A file came and went between two bundles: the manifests are the same, and what is pinned is not."""
    inside = gap.inside()
    _cross(gap, inside, "b1")
    indexes[0].add(TWO)
    gap.sync()
    indexes[0].remove(TWO.filename)
    gap.sync()
    pins = "public/current/pins.jsonl"
    assert TWO.filename.encode() in (gap.outside.root / pins).read_bytes()
    _cross(gap, inside, "b2", "--since", "1")
    assert predicate(gap.disk("b2"))["carried"]["count"] == 0
    assert (inside.root / pins).read_bytes() == (gap.outside.root / pins).read_bytes()


def test_keys_are_rotated_under_one_identity(gap: Gap, indexes: Indexes) -> None:
    """Two keys at once while the new one is carried over; then the old one is worth nothing."""
    inside, key = gap.inside(), gap.make_key("next-key")
    _cross(gap, inside, "b1")
    new = ("--sign", str(key.path), "--since", "1")
    assert "which " in refused(inside, gap.exported("early", *new))
    gap.signers.write_text(gap.key.line() + key.line())
    indexes[0].add(TWO)
    gap.sync()
    found = _cross(gap, inside, "b2", *new)
    assert found["key"] == key.loaded.fingerprint != gap.key.loaded.fingerprint
    _cross(gap, inside, "b3", "--since", "2")
    gap.signers.write_text(key.line())
    assert gap.key.loaded.fingerprint in refused(inside, gap.exported("b4", "--since", "2"))
    _cross(gap, inside, "b5", *new)


@pytest.mark.real
@pytest.mark.parametrize("install", [clients.pip_install, clients.uv_install])
def test_installers_take_the_imported_tree(
    gap: Gap, indexes: Indexes, tmp_path: Path, install: Callable[..., dict[str, str]]
) -> None:
    """From a merged tree that came in two steps: the dependency of the second file is in the first bundle."""
    inside = gap.inside()
    _cross(gap, inside, "b1")
    indexes[0].add(build_wheel("demo", "1.0", requires=["one", "other"]))
    gap.sync()
    _cross(gap, inside, "b2", "--since", str(receipt(inside)), "--volume-size", "1MiB")
    with served(inside) as base:
        found = install(f"{base}/all/simple/", ["demo"], tmp_path / "target")
    assert found == {"demo": "1.0", "one": "1.0", "other": "1.0"}


@pytest.mark.usefixtures("indexes")
def test_what_is_written_beside_survives_what_is_refused(gap: Gap) -> None:
    """A receipt is overwritten by a newer one only, and an audit goes on; both can go to standard output."""
    inside, kept, audit = gap.inside(), gap.directory / "receipt.json", gap.directory / "audit.jsonl"
    places = ("--receipt", str(kept), "--audit", str(audit))
    first = gap.exported("b1")
    assert import_(inside, first, *places).code == 0
    code = json.loads(kept.read_text())["code"]
    written = audit.read_text()
    assert "imported already" in refused(inside, first, *places)
    assert (json.loads(kept.read_text())["code"], audit.read_text()) == (code, written)
    again = gap.exported("b2")
    assert import_(inside, again, *places).code == 0
    assert audit.read_text() == written + written.replace('"imported"', '"present"')
    shown = import_(inside, gap.exported("b3"), "--audit", "-", "-q")
    assert [json.loads(line)["verdict"] for line in shown.out.splitlines()] == ["present"] * written.count("\n")
    full = import_(inside, gap.exported("b4"), "--receipt", "/dev/full")
    assert (full.code, "it is in the root's state/imports" in full.err) == (3, True)
    assert json.loads(import_(inside, gap.exported("b5"), "--receipt", "-", "-q").out)["target"]["generation"] == 1
    same = import_(inside, gap.exported("b6"), "--receipt", "-", "--audit", "-")
    assert (same.code, "name another file" in same.err) == (2, True)
    assert import_(inside, first, "--audit", str(gap.directory)).code == 2


@pytest.mark.usefixtures("indexes")
@pytest.mark.parametrize("form", [(), ("--volume-size", "1MiB")])
def test_what_is_not_of_the_bundle_is_shown(gap: Gap, form: tuple[str, ...]) -> None:
    """The person at the gate hears of everything that nobody signed; an import does not read it."""
    bundle = gap.exported("b", *form)
    show = ("bundle", "show", str(bundle), "--trust", str(gap.signers))
    inside = gap.inside()
    assert json.loads(inside.run(*show, "--json").out)["strangers"] == []
    for name in ("blobs/no", "more/deep", "blobs.tar.d"):
        (bundle / name).mkdir(parents=True)
    for name in ("blobs/no/a", "blobs/stranger", "more/deep/a", "b\x1b[31m", "blobs.tar.002", "blobs.tar.d/a"):
        (bundle / name).write_bytes(b"?")
    if form:
        (bundle / "blobs.tar.002").unlink()
    found = json.loads(inside.run(*show, "--json").out)["strangers"]
    expected = ["b\\x1b[31m", "blobs.tar.d", "more"]
    expected += ["blobs"] if form else ["blobs.tar.002", "blobs/no", "blobs/stranger"]
    assert sorted(found) == sorted(expected)
    assert "not imported: b\\x1b[31m\n" in inside.run(*show).out
    imported(inside, bundle)
    expect_same(inside, gap.outside)
