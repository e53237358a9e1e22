"""What the README tells those who carry bundles: its commands as they stand there, and the checks by hand.

The checks run letter by letter, in a bundle that the real commands made; and each of them refuses what the README says
that it refuses, and passes what the README says that it cannot see.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from mirror.cli.wheels import build_wheel
from mirror.model.bundle import DSSE, MANIFEST, SSHSIG, STATEMENT, SUMS, WITHDRAWN
from tests.docs.readme import ROOT, TEXT, blocks
from tests.gap import OUTSIDE, Gap, flip, import_, lines, receipt, reseal, sign
from tests.site import Site
from tests.world import Index, World

TOOLS = ("bash", "ssh-keygen", "jq", "tar", "zcat", "sha256sum", "find")
pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not all(map(shutil.which, TOOLS)), reason=f"one of {', '.join(TOOLS)} is not installed"),
]

SIGNATURE, LIST, DIGESTS, ALONE, NAMES, UNPACKED, SAYS, OF_TARGET, CARRIED, WITHDRAWALS, REQUIRED = range(11)
"""The commands of the page for the gate, in their order."""
EVERYWHERE = (SIGNATURE, LIST, SAYS, OF_TARGET, CARRIED, WITHDRAWALS, REQUIRED)
FORMS = {"files": (*EVERYWHERE, DIGESTS, ALONE), "volumes": (*EVERYWHERE, NAMES, UNPACKED)}
VOLUME = 1 << 20


def section(heading: str) -> str:
    """The text below a heading of the third level, to the next heading."""
    return re.split(r"^##", TEXT.split(f"\n### {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


COMMANDS = blocks("sh", section("At the gate: what is in a bundle"))
(DSSE_ALONE,) = blocks("python", section("At the gate: what is in a bundle"))


@dataclass
class Desk:
    """Where somebody looks at a bundle by hand."""

    bundle: Path
    keys: Path
    scratch: Path
    public: Path
    identity: str = OUTSIDE

    def run(self, command: int) -> subprocess.CompletedProcess[str]:
        """One of the commands, in the bundle's directory."""
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        told = {"KEYS": str(self.keys), "IDENTITY": self.identity, "SCRATCH": str(self.scratch)}
        return subprocess.run(
            ["bash", "-c", COMMANDS[command]],
            cwd=self.bundle,
            env={"PATH": os.environ["PATH"], **told},
            capture_output=True,
            text=True,
        )

    def passes(self, command: int) -> bool:
        """Whether a check says that all is right."""
        return self.run(command).returncode == 0

    def dsse(self) -> bool:
        """The check of the other signature."""
        command: list[str | Path] = [sys.executable, "-c", DSSE_ALONE, self.public]
        return subprocess.run(command, cwd=self.bundle, capture_output=True).returncode == 0


@pytest.fixture
def index(gap: Gap, world: World) -> Index:
    """Two nights: a file more, a file less, and one that is larger than a volume."""
    index = world.add_index("first")
    gap.configure(index)
    index.add(build_wheel("one", "1.0"), core_metadata=True)
    gone = build_wheel("two", "1.0")
    index.add(gone)
    gap.sync()
    index.remove(gone.filename)
    index.add(build_wheel("one", "1.1", payload=2 * VOLUME))
    gap.sync("--accept-shrink", "first")
    return index


@pytest.fixture(params=sorted(FORMS))
def form(request: pytest.FixtureRequest) -> str:
    """A bundle of files, and one of volumes."""
    return str(request.param)


@pytest.fixture
def desk(gap: Gap, index: Index, form: str) -> Desk:
    """A bundle with all four lists filled, at the gate."""
    size = ("--volume-size", str(VOLUME)) if form == "volumes" else ()
    public = gap.directory / "bundle.key.pub"
    public.write_text(f"{gap.key.public} {index.name}\n")
    return Desk(gap.exported("disk", "--since", "1", *size), gap.signers, gap.directory / "scratch", public)


def test_a_bundle_passes_every_check(desk: Desk, form: str) -> None:
    """And the lists say what is in them."""
    assert len(COMMANDS) == REQUIRED + 1
    said = {command: desk.run(command) for command in FORMS[form]}
    assert {command: (done.returncode, done.stderr) for command, done in said.items() if command != SIGNATURE} == {
        command: (0, "") for command in FORMS[form] if command != SIGNATURE
    }
    assert said[SIGNATURE].stdout.startswith(f'Good "index-mirror-bundle" signature for {OUTSIDE} with ED25519 key')
    assert json.loads(said[SAYS].stdout)["identity"] == OUTSIDE
    assert [line.split()[1:4] for line in said[CARRIED].stdout.splitlines()] == [
        ["first", "one", "one-1.1-py3-none-any.whl"]
    ]
    assert json.loads(said[WITHDRAWALS].stdout)["file"] == "two-1.0-py3-none-any.whl"
    assert said[REQUIRED].stdout.strip() == "2", "the file and its metadata"
    assert desk.dsse()


def test_another_statement(desk: Desk) -> None:
    """Both signatures refuse it; its list of digests is not looked at by them."""
    text = (desk.bundle / STATEMENT).read_text()
    (desk.bundle / STATEMENT).write_text(text.replace('"sequence": 1', '"sequence": 2'))
    assert not desk.passes(SIGNATURE)
    assert not desk.dsse()


def test_another_signature(desk: Desk, gap: Gap) -> None:
    """A bit of either, another key, and another identity."""
    for name in (SSHSIG, DSSE):
        whole = (desk.bundle / name).read_bytes()
        flip(desk.bundle / name, 90)  # no space, which ssh-keygen passes over
        assert (desk.passes(SIGNATURE), desk.dsse()) == (name != SSHSIG, name != DSSE)
        (desk.bundle / name).write_bytes(whole)
    desk.identity = "somebody@else"
    assert not desk.passes(SIGNATURE)
    desk.identity = OUTSIDE
    sign(desk.bundle, gap.make_key("other"), (desk.bundle / STATEMENT).read_bytes())
    assert not desk.passes(SIGNATURE)
    assert not desk.dsse()


def test_another_list(desk: Desk, form: str) -> None:
    """What SHA256SUMS is vouched for by, and what it vouches for."""
    flip(desk.bundle / WITHDRAWN)
    digests = DIGESTS if form == "files" else UNPACKED
    assert desk.passes(SIGNATURE)
    assert desk.passes(LIST)
    assert not desk.passes(digests)
    flip(desk.bundle / WITHDRAWN)
    assert desk.passes(digests)
    flip(desk.bundle / SUMS, 1)
    assert not desk.passes(LIST)


def test_another_manifest_with_a_signature(desk: Desk, gap: Gap) -> None:
    """Only its digest tells that it is not the target's."""
    reseal(desk.bundle, gap.key, lists={MANIFEST: lines(desk.bundle, MANIFEST)[:-1]})
    assert desk.passes(SIGNATURE)
    assert desk.passes(LIST)
    assert desk.dsse()
    assert not desk.passes(OF_TARGET)


def test_what_is_for_the_person_to_compare(desk: Desk, gap: Gap, form: str) -> None:
    """A bundle that has expired passes all checks by hand, and no import."""
    reseal(desk.bundle, gap.key, lambda predicate: predicate.update(expires="2025-01-01T00:00:00Z"))
    assert all(desk.passes(command) for command in FORMS[form])
    assert desk.dsse()
    assert "the bundle expired on 2025-01-01" in import_(gap.inside(), desk.bundle).err


@pytest.mark.parametrize("form", ["files"], indirect=True)
def test_blobs_that_are_not_right(desk: Desk, gap: Gap) -> None:
    """A bit, a hole, a link; and what is there beside them, which only `find` sees."""
    blob = next(path for path in (desk.bundle / "blobs").rglob("*") if path.is_file())
    flip(blob)
    assert not desk.passes(DIGESTS)
    flip(blob)
    assert desk.passes(DIGESTS)
    away = blob.rename(gap.directory / "elsewhere")
    assert not desk.passes(DIGESTS)
    blob.symlink_to(away)
    assert desk.passes(DIGESTS)
    assert not desk.passes(ALONE)
    blob.unlink()
    away.rename(blob)
    assert desk.passes(ALONE)
    for extra in ("blobs/statement.json", ".hidden"):
        (desk.bundle / extra).write_text("not of the bundle\n")
        assert desk.passes(DIGESTS)
        assert not desk.passes(ALONE)
        assert gap.outside.run("bundle", "show", "--trust", str(desk.keys), str(desk.bundle)).code == 0
        (desk.bundle / extra).unlink()


@pytest.mark.parametrize("form", ["volumes"], indirect=True)
def test_volumes_that_are_not_right(desk: Desk, gap: Gap) -> None:
    """A bit, a hole, another name; and what is behind the end, which only `bundle show` sees."""
    volumes = sorted(desk.bundle.glob("blobs.tar.*"))
    assert len(volumes) == 3
    flip(volumes[1])
    assert desk.passes(NAMES)
    assert not desk.passes(UNPACKED)
    flip(volumes[1])
    assert desk.passes(UNPACKED)
    away = volumes[1].rename(gap.directory / "elsewhere")
    assert not (desk.passes(NAMES) and desk.passes(UNPACKED))
    away.rename(volumes[1])
    header = volumes[0].read_bytes()
    volumes[0].write_bytes(header.replace(b"blobs/", b"/tmp/b", 1))
    assert not desk.passes(NAMES)
    volumes[0].write_bytes(header)
    with volumes[-1].open("ab") as file:
        file.write(bytes(10_240))
    assert desk.passes(NAMES)
    assert desk.passes(UNPACKED)
    assert gap.outside.run("bundle", "show", "--trust", str(desk.keys), str(desk.bundle)).code == 1


def test_the_commands_of_both_sides(gap: Gap, index: Index) -> None:
    """A key, a full bundle, a delta since its receipt and one since its code: made, shown and imported."""
    outside, inside = section("Outside: the export"), section("Inside: the import")
    disks, etc = gap.directory / "media" / "disk", gap.directory / "etc" / "index-mirror"
    disks.mkdir(parents=True)
    etc.mkdir(parents=True)
    places = {"/media/disk": str(disks), "/etc/index-mirror": str(etc), "/srv/mirror": str(gap.directory / "srv")}
    make_key, exports = blocks("sh", outside)
    first, second, third = exports.splitlines()
    show, take = (line.partition("  #")[0] for line in _only(blocks("sh", inside)).splitlines())

    def run(text: str, site: Site, **changes: str) -> str:
        for was, now in {**places, **changes}.items():
            text = text.replace(was, now)
        program = f'mirror() {{ {sys.executable} -m mirror "$@"; }}\n{text}'
        done = subprocess.run(
            ["bash", "-c", program], cwd=site.directory, env=site.process_environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        site.search(done.stdout, done.stderr)
        return done.stdout

    gap.configure(index)
    run(make_key, gap.outside)
    settings = re.sub(r"^export = .*\n", "", gap.outside.config.read_text(), flags=re.MULTILINE)
    gap.outside.config.write_text(f"{settings}\n{_placed(_only(blocks('toml', outside)), places)}")
    public = (etc / "bundle.key.pub").read_text().split()[1]
    (etc / "allowed_signers").write_text(_only(blocks("text", inside)).replace("AAAAC3NzaC1lZDI1NTE5AAAAI...", public))
    site = gap.inside()
    example = (ROOT / "configs" / "inside.toml").read_text()
    (site.directory / "inside.toml").write_text(
        re.sub(r"^scan = .*", 'scan = ["true"]', _placed(example, places), flags=re.MULTILINE)
    )

    run(first, gap.outside)
    run(take, site, second="first")
    shutil.move(receipt(site), receipt(gap.outside))
    _one_more(gap, index, "1.2")
    run(second, gap.outside)
    assert "+ one one-1.2-py3-none-any.whl" in run(show, site)
    run(take, site)
    code = json.loads(receipt(site).read_bytes())["code"]
    _one_more(gap, index, "1.3")
    assert f", from generation 3 ({code})" in run(third, gap.outside, **{"42-UEGGL-G2WFB": code.lower()})
    run(take, site, second="third")


def test_what_an_import_says_is_what_it_says() -> None:
    """Each message of the table is one of the program's."""
    source = "".join(path.read_text() for path in (ROOT / "mirror").rglob("*.py"))
    rows = re.findall(r"^\| (`.*?) \|", section("Inside: the import"), re.MULTILINE)
    messages = [message for row in rows for message in re.findall(r"`([^`]+)`", row)]
    assert len(messages) > 12
    assert [message for message in messages if message not in source] == []


def _one_more(gap: Gap, index: Index, version: str) -> None:
    index.add(build_wheel("one", version))
    gap.sync()


def _only(found: list[str]) -> str:
    (one,) = found
    return one


def _placed(text: str, places: dict[str, str]) -> str:
    for was, now in places.items():
        text = text.replace(was, now)
    return text
