"""What is not exported and not imported: one line each, which names the thing and what to do, and nothing changes."""

from __future__ import annotations

import hashlib
import json
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from mirror.cli.wheels import build_wheel
from mirror.model.bundle import MANIFEST, PINS, STATEMENT, WITHDRAWN
from tests.gap import (
    OUTSIDE,
    Gap,
    Key,
    content,
    copied,
    expect_same,
    flip,
    import_,
    imported,
    lines,
    receipt,
    refused,
    reseal,
    state,
)
from tests.site import Outcome, Site
from tests.world import Index

ONE, TWO = build_wheel("one", "1.0"), build_wheel("one", "2.0")


@pytest.fixture
def index(gap: Gap) -> Index:
    """A private index, and one night of it."""
    index = gap.world.add_index("first")
    index.add(ONE, core_metadata=True)
    gap.configure(index)
    gap.sync()
    return index


def _failed(done: Outcome, code: int = 1) -> str:
    """The one line that a command ended with."""
    assert (done.code, done.out) == (code, "")
    (line,) = done.err.splitlines()
    assert "; " in line, "it says what to do"
    return line


def test_nothing_is_exported_of_nothing(gap: Gap) -> None:
    """A root without a published generation has no bundle, and no lists of bases."""
    gap.configure(gap.world.add_index("first"))
    assert "nothing is published below " in _failed(gap.export("b"))
    assert not gap.disk("b").exists()
    assert not (gap.outside.root / "state" / "exported").exists()


def test_a_bundle_is_never_written_over_anything(gap: Gap, index: Index) -> None:
    """A target that is there, as whatever, and one whose disk is not mounted."""
    assert index.held
    bundle = gap.exported("b1")
    before = {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert f"{bundle} is there already; " in _failed(gap.export("b1"))
    gap.disk("dangling").symlink_to("nowhere")
    gap.disk("empty").mkdir()
    gap.disk("file").write_text("")
    for name in ("dangling", "empty", "file"):
        assert " is there already; " in _failed(_without_a_bundle(gap, name))
    assert " is no directory; " in _failed(_without_a_bundle(gap, "unmounted/b"))
    assert before == {path: path.read_bytes() for path in bundle.rglob("*") if path.is_file()}
    assert {path.name for path in bundle.parent.iterdir()} == {"b1", "dangling", "empty", "file"}


def _without_a_bundle(gap: Gap, name: str) -> Outcome:
    return gap.outside.run("export", "-c", str(gap.outside.config), str(gap.disk(name)))


def test_a_bundle_is_no_part_of_a_root(gap: Gap, index: Index) -> None:
    """It would be served, be taken for a generation, or go with `tmp` before anybody reads it."""
    assert index.held
    bundle, inside = gap.exported("b1"), gap.inside()
    outside = gap.outside.root
    gap.disk("link").symlink_to(outside)
    for target in (outside / "gen" / "000009", outside / "tmp" / "b", gap.disk("link") / "public" / "b"):
        done = gap.outside.run("export", "-c", str(gap.outside.config), str(target))
        assert f"failed: {target} is inside the root {outside}; name a place outside" in _failed(done)
        assert not target.exists()
    imported(inside, bundle)
    kept = inside.root / "tmp" / "b"
    shutil.copytree(bundle, kept)
    assert "is inside the root" in refused(inside, kept)
    assert kept.is_dir()


def test_no_bundle_has_a_hole(gap: Gap, index: Index) -> None:
    """A blob that is gone, or not what it should be, is named with what heals it."""
    assert index.held
    blob = gap.outside.root / "store" / "sha256" / ONE.sha256[:2] / ONE.sha256
    flip(blob, 40)
    line = _failed(gap.export("b"))
    assert ONE.sha256 in line
    assert "mirror verify --repair" in line
    blob.unlink()
    line = _failed(gap.export("b"))
    assert ONE.sha256 in line
    assert "mirror verify --repair" in line
    assert not list(gap.disk("b").parent.iterdir())
    assert gap.outside.run("verify", "-c", str(gap.outside.config), "--repair").code == 0
    imported(gap.inside(), gap.exported("b"))


def test_a_dry_run_writes_nothing(gap: Gap, index: Index) -> None:
    """It tells what the bundle would be, without a key."""
    index.yank(ONE.filename)
    gap.sync()
    before = _files(gap.outside.root)
    gap.key.path.rename(gap.directory / "elsewhere")
    done = gap.export("b", "--since", "1", "--dry-run")
    assert done.code == 0, done.err
    assert "0 blobs (" in done.out
    assert " carried, 2 required, 1 withdrawals\n" in done.out
    assert done.out.endswith("dry run: nothing was written\n")
    assert not list(gap.disk("b").parent.iterdir())
    assert _files(gap.outside.root) == before
    found = json.loads(gap.export("b", "--dry-run", "--json").out)
    assert found["bundle"]["carried"]["count"] == 2
    assert _files(gap.outside.root) == before


def _files(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.parametrize("form", [(), ("--volume-size", "1MiB")])
def test_the_same_input_gives_the_same_bytes(gap: Gap, index: Index, form: tuple[str, ...]) -> None:
    """Twice, and in another process with another umask, language, time zone and order of hashes."""
    index.add(TWO)
    gap.sync()
    since = ("--since", "1", *form)
    first = gap.exported("b1", *since, night=3)
    second = gap.exported("b2", *since, night=3)
    settings = {"TZ": "Asia/Tokyo", "LC_ALL": "C", "LANG": "tr_TR.UTF-8", "PYTHONHASHSEED": "7"}
    gap.outside.environ |= settings | {"SOURCE_DATE_EPOCH": str(int(gap.time(3).timestamp()))}
    third = gap.disk("b3")
    done = gap.outside.process("export", "-c", str(gap.outside.config), *since, str(third), umask=0o077)
    assert done.code == 0, done.err
    assert _shape(first) == _shape(second) == _shape(third)
    gap.outside.environ.clear()
    assert _shape(gap.exported("b4", *since, night=4)) != _shape(first)


def _shape(bundle: Path) -> dict[str, tuple[int, bytes]]:
    """Every file and directory with its mode and bytes."""
    found = {
        str(path.relative_to(bundle)): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in bundle.rglob("*")
    }
    return found | {".": (bundle.stat().st_mode, b"")}


@pytest.mark.parametrize("time", ["yesterday", "", "-1", "1_0", "253402300799", "99999999999999999999"])
def test_a_time_that_is_none(gap: Gap, index: Index, time: str) -> None:
    """A usage error, not a bundle of now, nor one that no import takes."""
    assert index.held
    gap.outside.environ["SOURCE_DATE_EPOCH"] = time
    line = _failed(_without_a_bundle(gap, "b"), 2)
    assert line.startswith("SOURCE_DATE_EPOCH: it is no time in seconds since 1970")


def _expired(gap: Gap, bundle: Path) -> Path:
    def change(predicate: dict[str, object]) -> None:
        predicate["expires"] = f"{gap.time(2):%Y-%m-%dT%H:%M:%SZ}"

    reseal(bundle, gap.key, change)
    return bundle


def _key(gap: Gap, principals: str = "", options: str = "") -> Key:
    key = gap.make_key("other-key")
    if principals:
        gap.signers.write_text(gap.key.line() + key.line(principals, options))
    return key


REFUSED: dict[str, tuple[str, Callable[[Gap], Path]]] = {
    "a key that nobody trusts": (
        "statement.json.sig: is by the key ",
        lambda gap: gap.exported("x", "--sign", str(_key(gap).path)),
    ),
    "a key of another identity": (
        f"statement.json is signed by a trusted key, but not by one of {OUTSIDE}; ",
        lambda gap: gap.exported("x", "--sign", str(_key(gap, "somebody@else").path)),
    ),
    "a key of another namespace": (
        "which may not sign for index-mirror-bundle",
        lambda gap: gap.exported("x", "--sign", str(_key(gap, OUTSIDE, 'namespaces="git"').path)),
    ),
    "a key that has run out": (
        "which may not sign for index-mirror-bundle",
        lambda gap: gap.exported("x", "--sign", str(_key(gap, OUTSIDE, 'valid-before="20200101Z"').path)),
    ),
    "another identity, of a key that has both": (
        f"this root follows {OUTSIDE}, and the bundle is of somebody@else; ",
        lambda gap: gap.exported("x", "--identity", "somebody@else", "--sign", str(_key(gap, "*").path)),
    ),
    "expired": ("the bundle expired on ", lambda gap: _expired(gap, gap.exported("x"))),
    "from the future": ("which is in the future; ", lambda gap: gap.exported("x", night=63)),
    "a replay": ("was imported already", lambda gap: gap.disk("b2")),
    "older": ("was imported already", lambda gap: gap.disk("b1")),
    "older, made later": ("was imported already", lambda gap: gap.exported("x", "--full", night=1)),
    "no bundle": (STATEMENT, lambda gap: gap.disk("")),
    "not there": ("nowhere", lambda gap: gap.disk("nowhere")),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bundle_is_refused(gap: Gap, index: Index, case: str) -> None:
    """Whatever it holds; the next right one is taken."""
    inside = gap.inside()
    gap.exported("b1")
    index.add(TWO)
    gap.sync()
    imported(inside, gap.exported("b2"))
    index.add(build_wheel("one", "3.0"))
    gap.sync()
    expected, make = REFUSED[case]
    bundle = make(gap)
    assert expected in refused(inside, bundle)
    expect_same(inside, gap.outside, 2)
    gap.signers.write_text(gap.key.line())
    imported(inside, gap.exported("right", "--since", "2", night=59))
    expect_same(inside, gap.outside)


def test_a_clock_may_be_a_day_behind(gap: Gap, index: Index) -> None:
    """Within the day, a bundle from the future is taken; the next one, after it, as well."""
    assert index.held
    inside = gap.inside()
    imported(inside, gap.exported("b1", night=60))
    gap.exported("b2", night=60)
    assert "was imported already" in refused(inside, gap.disk("b2"))


def test_nobody_is_trusted_by_default(gap: Gap, index: Index) -> None:
    """No trusted keys, a file that is not there, or none in it: nothing is created."""
    assert index.held
    bundle, inside = gap.exported("b1"), gap.inside()
    inside.config.write_text(f"root = {json.dumps(str(inside.root))}\n[import]\n")
    assert "--trust: nobody is trusted; " in _failed(import_(inside, bundle), 2)
    assert "cannot be read" in _failed(import_(inside, bundle, "--trust", str(gap.disk("nowhere"))))
    gap.signers.write_text("# nobody\n")
    assert "names no key; " in _failed(import_(inside, bundle, "--trust", str(gap.signers)))
    assert not inside.root.exists()


def test_a_root_is_filled_by_syncs_or_by_imports(gap: Gap, index: Index) -> None:
    """Never by both, in whichever order; each is told what to do."""
    bundle, inside = gap.exported("b1"), gap.inside()
    before = state(gap.outside.root)
    line = _failed(gap.outside.run("import", "-c", str(gap.outside.config), "--trust", str(gap.signers), str(bundle)))
    assert "is filled by mirror sync, or has lost its state/imports; import into a root of its own" in line
    shown = _show(gap.outside, bundle, "-c", str(gap.outside.config), "--trust", str(gap.signers))
    assert line.replace("failed: ", "it would be refused: ") in shown.out
    assert state(gap.outside.root) == before
    imported(inside, bundle)
    kept, inside_before = inside.config.read_text(), state(inside.root)
    inside.configure(index)
    done = inside.sync()
    assert done.code == 1
    assert "this root is filled by mirror import; name another root for mirror sync" in done.err
    assert state(inside.root) == inside_before
    inside.config.write_text(kept)
    index.add(TWO)
    gap.sync()
    imported(inside, gap.exported("b2", "--since", str(receipt(inside))))
    expect_same(inside, gap.outside)


def test_what_is_missing_is_named(gap: Gap, index: Index) -> None:
    """By index and file, ten of them and the number of the others; the audit has them all."""
    for number in range(2, 14):
        index.add(build_wheel("one", f"{number}.0"))
    gap.sync()
    index.add(build_wheel("late", "1.0"))
    gap.sync()
    bundle, inside = gap.exported("b", "--since", "2"), gap.inside()
    line = refused(inside, bundle)
    assert line.count("first/one-") == 10
    assert "26 blobs are neither here nor carried, so export again from a base that is here, or in full" in line
    assert "and 16 more; nothing was published" in line
    (audit,) = (inside.root / "state" / "audits").iterdir()
    found = [json.loads(entry) for entry in audit.read_text().splitlines()]
    assert len(found) == 26
    assert {entry["verdict"] for entry in found} == {"missing"}
    assert f"first/{ONE.filename} (missing), first/{ONE.filename}.metadata (missing)" in line


def test_what_rotted_inside_is_healed_by_a_full_bundle(gap: Gap, index: Index) -> None:
    """Blobs, served names of other bytes, and what is gone; also what a delta would not carry."""
    index.add(TWO, core_metadata=True)
    gap.sync()
    inside = gap.inside()
    imported(inside, gap.exported("b1"))
    packages = inside.root / "public" / "packages"
    (served,) = packages.rglob(ONE.filename)
    flip(served, 50)
    (gone,) = packages.rglob(TWO.filename)
    gone.unlink()
    (inside.root / "store" / "sha256" / TWO.sha256[:2] / TWO.sha256).unlink()
    (metadata,) = packages.rglob(f"{ONE.filename}.metadata")
    shutil.copyfile(metadata, metadata.with_name("spare"))
    metadata.unlink()
    metadata.with_name("spare").rename(metadata)
    flip(metadata)
    assert TWO.filename in refused(inside, gap.exported("b2", "--since", "2"))
    imported(inside, gap.exported("b3", "--full"))
    expect_same(inside, gap.outside)


def test_what_rotted_inside_gets_no_new_name(gap: Gap, index: Index) -> None:
    """A file that another index now has as well is required, there, and not what it should be: all of it heals that."""
    second = gap.world.add_index("second")
    second.add(TWO)
    gap.configure(index, second)
    gap.sync()
    inside = gap.inside()
    imported(inside, gap.exported("b1"))
    second.add(ONE, core_metadata=True)
    gap.sync()
    flip(inside.root / "store" / "sha256" / ONE.sha256[:2] / ONE.sha256, 40)
    line = refused(inside, gap.exported("b2", "--since", "2"))
    assert f"second/{ONE.filename} (what is here has other bytes)" in line
    imported(inside, gap.exported("b3", "--full"))
    expect_same(inside, gap.outside)


def test_a_sequence_counts_once_its_bundle_is_published(gap: Gap, index: Index) -> None:
    """The switch is refused at the last moment, for a name that was cut; then the same bundle is still new."""
    still = build_wheel("still", "1.0")
    index.add(still)
    gap.sync()
    inside = gap.inside()
    imported(inside, gap.exported("b1"))
    index.add(build_wheel("other", "1.0"))  # another project, so that nothing looks at the name of the first
    gap.sync()
    bundle = gap.exported("b2", "--since", str(receipt(inside)))
    (served,) = (inside.root / "public" / "packages").rglob(still.filename)
    served.unlink()  # the blob stays as it is
    served.write_bytes(still.content[:-1])
    before = list((inside.root / "state" / "imports").iterdir()), inside.generation
    line = _failed(import_(inside, bundle))
    assert f"{served} or its metadata is missing or has the wrong size, so nothing was published; " in line
    assert "mirror verify --repair" in line
    assert before == (list((inside.root / "state" / "imports").iterdir()), inside.generation)
    served.write_bytes(still.content)
    imported(inside, bundle)
    expect_same(inside, gap.outside)


@pytest.mark.parametrize("form", [(), ("--volume-size", "1MiB")])
def test_what_was_taken_in_is_not_taken_again(gap: Gap, index: Index, form: tuple[str, ...]) -> None:
    """One blob of a bundle is broken: nothing is published, and from a whole copy only that one comes."""
    index.add(TWO)
    gap.sync()
    bundle, inside = gap.exported("b", *form), gap.inside()
    broken = copied(bundle, "broken")
    volume = next(broken.glob("blobs.tar.*"), None)
    path = volume or broken / "blobs" / ONE.sha256[:2] / ONE.sha256
    flip(path, path.read_bytes().index(b"PK\3\4") + 40)
    line = refused(inside, broken)
    assert "1 blobs were refused: first/one-" in line
    assert "the bundle has other bytes for blob " in line
    assert content(inside.root) == {}
    done = import_(inside, bundle)
    assert (done.code, done.err.splitlines()[0]) == (0, "1 blobs imported, 3 blobs present")
    expect_same(inside, gap.outside)


def test_an_import_that_was_stopped_goes_on(gap: Gap, index: Index) -> None:
    """SIGTERM at the last of twelve blobs: 143, nothing published; all that were not in work by then are there."""
    for number in range(2, 7):
        index.add(build_wheel("one", f"{number}.0"))
    gap.sync()
    bundle, count = gap.exported("b"), gap.directory / "count"
    last = f'[ "$(wc -l < {count})" -eq 12 ] && mkdir {count}.reached'
    script = f"cat > /dev/null; echo >> {count}; if {last}; then kill -TERM $PPID; exec tail -f /dev/null; fi"
    inside = gap.inside("inside", f"scan = {json.dumps(['sh', '-c', script])}")
    done = inside.process("import", "-c", str(inside.config), str(bundle))
    assert done.code == 143
    assert done.err.endswith("interrupted: nothing was published; the same import goes on where it was\n")
    assert content(inside.root) == {}
    assert not (inside.root / "state" / "imports").exists()
    again = import_(inside, bundle)
    assert again.code == 0, again.err
    came, present = (int(part.split()[0]) for part in again.err.splitlines()[0].split(", "))
    assert came + present == 12
    assert present >= 8, "four are in work at the same time"
    expect_same(inside, gap.outside)


def test_the_audit_tells_of_every_blob(gap: Gap, index: Index) -> None:
    """To a file, to standard output, and kept with the root: index, project, file, kind, digest and verdict."""
    inside, audit = gap.inside(), gap.directory / "audit.jsonl"
    imported(inside, gap.exported("b1"), "--audit", str(audit))
    found = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(line["index"], line["project"], line["file"], line["kind"], line["verdict"]) for line in found] == [
        ("first", "one", ONE.filename, kind, "imported") for kind in ("file", "metadata")
    ]
    assert found[0]["sha256"] == ONE.sha256
    (kept,) = (inside.root / "state" / "audits").iterdir()
    assert kept.read_bytes() == audit.read_bytes()
    index.add(TWO)
    gap.sync()
    bundle = gap.exported("b2", "--full")
    done = inside.process("import", "-c", str(inside.config), "--quiet", "--audit", "-", str(bundle))
    verdicts = {(line["file"], line["verdict"]) for line in map(json.loads, done.out.splitlines())}
    assert verdicts == {(ONE.filename, "present"), (TWO.filename, "imported")}
    assert (done.code, done.err) == (0, "")


def test_nothing_is_published_without_its_audit(gap: Gap, index: Index) -> None:
    """A disk that takes no line of it ends the import before the switch; what was taken in is not taken again."""
    assert index.held
    inside, bundle = gap.inside(), gap.exported("b1")
    arguments = ("import", "-c", str(inside.config), "--audit")
    for full in ("/dev/full", "-"):
        command = shlex.join(inside.command(*arguments, full, str(bundle)))
        done = subprocess.run(  # noqa: S602 - our own words, quoted
            f"{command} > /dev/full", shell=True, env=inside.process_environment, capture_output=True, text=True
        )
        assert "the audit cannot be written: No space left on device; nothing was published" in done.stderr
        assert done.returncode != 0
        assert content(inside.root) == {}
    assert imported(inside, bundle)["generation"] == 1


def test_a_scanner_has_the_last_word(gap: Gap, index: Index) -> None:
    """It is given the bytes; what it does not let pass is never a blob, and is named."""
    index.add(TWO)
    gap.sync()
    script = json.dumps(["sh", "-c", "! grep -q 'one-2.0.dist-info'"])
    bundle, inside = gap.exported("b"), gap.inside("inside", f"scan = {script}")
    line = refused(inside, bundle)
    assert f"1 blobs were refused: first/{TWO.filename} (the scanner ended with 1)" in line
    assert not (inside.root / "store" / "sha256" / TWO.sha256[:2] / TWO.sha256).exists()
    inside.config.write_text(inside.config.read_text().replace(script, '["no-such-scanner"]'))
    assert "there is no program no-such-scanner; " in _failed(import_(inside, bundle), 2)


def _show(site: Site, bundle: Path, *arguments: str) -> Outcome:
    return site.run("bundle", "show", *arguments, str(bundle))


def test_a_bundle_is_shown_at_the_gate(gap: Gap, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a root or configuration, and with them: what it would add, change and withdraw; nothing changes."""
    inside = gap.inside()
    imported(inside, gap.exported("b1"))
    index.add(TWO)
    index.yank(ONE.filename, "broken")
    gap.sync()
    bundle = gap.exported("b2", "--since", "1")
    monkeypatch.chdir(gap.directory)
    monkeypatch.setenv("HOME", str(gap.directory))
    before = _files(inside.root)
    plain = _show(inside, bundle, "--trust", str(gap.signers))
    assert plain.code == 0, plain.err
    expected = (
        f"bundle of {OUTSIDE}, made {gap.time(2):%Y-%m-%dT%H:%M:%SZ}, expires ",
        f"signed by {gap.key.loaded.fingerprint}; every signature, list and blob is right\n",
        "index first: 1 files (",
        f"  one {TWO.filename} {len(TWO.content)} sha256={TWO.sha256}\n",
        f"index first, project one: ! {ONE.filename}: yanked: broken\n",
    )
    for text in expected:
        assert text in plain.out
    assert "here an import would change" not in plain.out
    done = _show(inside, bundle, "-c", str(inside.config))
    assert done.out.startswith(plain.out)
    here = done.out.removeprefix(plain.out)
    assert f"+ one {TWO.filename}" in here
    assert "would be refused" not in here
    found = json.loads(_show(inside, bundle, "-c", str(inside.config), "--json").out)
    assert (found["bundle"]["carried"]["count"], found["here"]["missing"], found["here"]["refused"]) == (2, 0, None)
    assert [file["filename"] for file in found["indexes"]["first"]["carried"]] == [TWO.filename]
    assert json.loads(_show(inside, bundle, "--trust", str(gap.signers), "--json").out)["here"] is None
    assert (plain.code, done.code) == (0, 0)
    old = _show(inside, gap.disk("b1"), "-c", str(inside.config), "--json")
    assert (old.code, "was imported already" in json.loads(old.out)["here"]["refused"]) == (1, True)
    empty = gap.inside("empty")
    lacking = _show(empty, bundle, "-c", str(empty.config), "--json")
    assert (lacking.code, json.loads(lacking.out)["here"]["missing"]) == (1, 2)
    assert _files(inside.root) == before
    assert not empty.root.exists()


def test_a_bundle_that_is_wrong_is_not_shown(gap: Gap, index: Index) -> None:
    """Every blob is read; a bit is enough, and no part of it is told as if it were right."""
    assert index.held
    bundle, inside = gap.exported("b"), gap.inside()
    path = bundle / "blobs" / ONE.sha256[:2] / ONE.sha256
    flip(path)
    line = _failed(_show(inside, bundle, "-c", str(inside.config)))
    assert f"the bundle has other bytes for blob {ONE.sha256}; copy it again from its origin" in line
    path.unlink()
    assert f"blobs/{ONE.sha256[:2]}/{ONE.sha256}" in _failed(_show(inside, bundle, "-c", str(inside.config)))
    flip(bundle / STATEMENT, 100)
    assert f"is no signature of {STATEMENT}" in _failed(_show(inside, bundle, "-c", str(inside.config)))


DEEP = b'{"kind":"pin","deep":' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
WRITTEN: dict[str, tuple[str, Callable[[list[bytes]], list[bytes]]]] = {
    "a project twice, of which the last would count": (
        MANIFEST,
        lambda lines: [*lines[:2], lines[2].replace(b"one-1.0", b"one-9.0"), *lines[1:]],
    ),
    "a word more": (MANIFEST, lambda lines: [lines[0], lines[1].replace(b"{", b'{"more":1,'), *lines[2:]]),
    "a space": (MANIFEST, lambda lines: [lines[0], lines[1].replace(b":", b": "), *lines[2:]]),
    "brackets without end in the manifest": (MANIFEST, lambda lines: [*lines, DEEP.replace(b"pin", b"project")]),
    "a number that is written otherwise": (PINS, lambda lines: [b" 0_0\n", *lines[1:]]),
    "brackets without end among the pins": (PINS, lambda _: [b"1\n", DEEP]),
}


@pytest.mark.parametrize("case", WRITTEN)
def test_a_signed_list_has_one_form(gap: Gap, index: Index, case: str) -> None:
    """What somebody reads by hand is what is imported, also when the key that signed is trusted."""
    assert index.held
    name, change = WRITTEN[case]
    bundle = gap.exported("b")
    reseal(bundle, gap.key, lists={name: change(lines(bundle, name))})
    assert name in refused(gap.inside(), bundle)


def test_no_bundle_writes_to_the_terminal_of_who_looks_at_it(gap: Gap, index: Index) -> None:
    """A trusted key does not make a reason harmless: it stays on its line, without control characters."""
    gap.exported("b1")
    index.yank(ONE.filename, "broken")
    gap.sync()
    bundle = gap.exported("b2", "--since", "1")
    reason = msgspec.json.encode("\x1b[2Jover\nsigned by SHA256:other\x9b1m")
    lists = {
        name: [line.replace(b'"broken"', reason) for line in lines(bundle, name)] for name in (MANIFEST, WITHDRAWN)
    }

    def change(predicate: dict[str, Any]) -> None:
        predicate["target"]["manifest"] = hashlib.sha256(b"".join(lists[MANIFEST])).hexdigest()

    reseal(bundle, gap.key, change, lists=lists)
    inside = gap.inside()
    done = _show(inside, bundle, "-c", str(inside.config))
    assert done.code == 1, done.err  # there is no base for it in this root
    assert f"! {ONE.filename}: yanked: ?[2Jover?signed by SHA256:other?1m\n" in done.out
    assert all(character.isprintable() for character in done.out.replace("\n", ""))
