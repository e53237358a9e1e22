"""An air gap under test: a root that syncs outside, roots that import inside, keys, and the disks that travel.

Every export and import goes through `Site.run`, so both sides are searched for secrets each time, and so is every
bundle; the private keys are among the secrets. What `content` gives was read as a stranger would, without any code of
the mirror.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from mirror.bundle.signing import SigningKey
from mirror.model.bundle import DSSE, LISTS, SSHSIG, STATEMENT, SUMS, Statement
from tests.invariants import violations
from tests.site import Outcome, Site
from tests.world import Index, World

OUTSIDE = "mirror@outside"
BEGAN = datetime.now(UTC).replace(hour=1, minute=0, second=0, microsecond=0) - timedelta(days=60)
"""The night 0. Nights are real days in the past: an import asks the real clock."""


@dataclass(frozen=True)
class Key:
    """An ed25519 key in a file, as ssh-keygen writes it."""

    path: Path
    public: str
    """`ssh-ed25519 AAAA...`"""
    seed: bytes
    """What must never be seen anywhere."""

    @property
    def loaded(self) -> SigningKey:
        """The key as the mirror has it."""
        return SigningKey.load(self.path)

    def line(self, principals: str = OUTSIDE, options: str = "") -> str:
        """The key's line in a file of allowed signers."""
        return " ".join(filter(None, (principals, options, self.public))) + "\n"


def make_key(path: Path) -> Key:
    """A new key at `path`."""
    private = Ed25519PrivateKey.generate()
    path.touch(0o600)
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return Key(path, public, private.private_bytes_raw())


class Gap:
    """One outside and any number of insides below `directory`; each export is of the next night."""

    def __init__(self, directory: Path, world: World) -> None:
        self.directory, self.world = directory, world
        self.night = 0.0
        self.outside = self._site("outside")
        self.key = self.make_key("key")
        self.signers = directory / "signers"
        self.signers.write_text(self.key.line())

    def make_key(self, name: str) -> Key:
        """A new key, which is a secret of the outside from now on."""
        key = make_key(self.directory / name)
        self.outside.canaries.add(key.seed.decode("utf-8", "surrogateescape"))
        return key

    def configure(
        self,
        *indexes: Index,
        trees: Mapping[str, Sequence[str]] = {},
        top: Mapping[str, Any] = {},
        **keys: Any,
    ) -> None:
        """Write the outside's `mirror.toml`, with its identity and key."""
        export = {"identity": OUTSIDE, "sign": str(self.key.path)}
        self.outside.configure(*indexes, trees=trees, top={"export": export, **top}, **keys)

    def sync(self, *arguments: str) -> Outcome:
        """A night outside, which must be complete."""
        done = self.outside.sync(*arguments)
        assert done.code == 0, (done.err, done.report)
        return done

    def inside(self, name: str = "inside", *keys: str) -> Site:
        """A root that imports, configured by `keys` of [import] beside trust; nothing is there yet."""
        site = self._site(name)
        site.canaries = self.outside.canaries
        lines = (f"root = {json.dumps(str(site.root))}", "[import]", f"trust = {json.dumps(str(self.signers))}", *keys)
        site.config.write_text("\n".join(lines) + "\n")
        return site

    def disk(self, name: str) -> Path:
        """Where a bundle with this name is."""
        return self.directory / "disks" / name

    def export(self, name: str, *arguments: str, night: float | None = None, side: Site | None = None) -> Outcome:
        """`mirror export` of the next night, or of `night`, to `disk(name)`; its bytes are searched for secrets."""
        self.night = self.night + 1 if night is None else night
        side = side or self.outside
        self.disk(name).parent.mkdir(exist_ok=True)
        before = dict(side.environ)
        side.environ["SOURCE_DATE_EPOCH"] = str(int(self.time(self.night).timestamp()))
        done = side.run("export", "-c", str(side.config), *arguments, str(self.disk(name)))
        side.environ = before
        if self.disk(name).is_dir():
            side.search_below(self.disk(name))
            side.search(*(gzip.decompress((self.disk(name) / list_).read_bytes()).decode() for list_ in LISTS))
        return done

    def exported(self, name: str, *arguments: str, night: float | None = None, side: Site | None = None) -> Path:
        """As `export`, which must go well: the bundle."""
        done = self.export(name, *arguments, night=night, side=side)
        assert done.code == 0, done.err
        return self.disk(name)

    def time(self, night: float) -> datetime:
        """When the export of a night is made."""
        return BEGAN + timedelta(days=night)

    def _site(self, name: str) -> Site:
        directory = self.directory / name
        directory.mkdir(parents=True)
        return Site(directory, self.world)


def import_(site: Site, bundle: Path, *arguments: str) -> Outcome:
    """`mirror import`."""
    return site.run("import", "-c", str(site.config), *arguments, str(bundle))


def imported(site: Site, bundle: Path, *arguments: str) -> dict[str, Any]:
    """`mirror import`, which must go well: the receipt, which is also at `receipt(site)`."""
    done = import_(site, bundle, "--receipt", str(receipt(site)), *arguments)
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(receipt(site).read_bytes())
    return found


def receipt(site: Site) -> Path:
    """The file with the receipt of the newest import by `imported`."""
    return site.directory / "receipt.json"


def refused(site: Site, bundle: Path, *arguments: str) -> str:
    """`mirror import`, which must fail, change nothing that is served or known, and say why in one line: that line."""
    before = state(site.root)
    done = import_(site, bundle, *arguments)
    assert done.code == 1, (done.out, done.err)
    assert not differing(state(site.root), before)
    (line,) = done.err.splitlines()
    assert line.startswith("failed: ")
    assert ";" in line, "it says what to do"
    return line


def content(root: Path, generation: int | None = None) -> dict[str, str]:
    """All that a generation (default: the served one) is: its files, links and served bytes, by place.

    Nothing in it says which number the generation has.
    """
    directory = root / "public" / "current" if generation is None else root / "gen" / f"{generation:06}"
    if not directory.exists():
        return {}
    found = _below(directory.resolve())
    for line in (directory / "manifest.jsonl").read_text().splitlines():
        file = json.loads(line)
        if file["kind"] == "file":
            place = f"packages/{file['index']}/{file['sha256'][:2]}/{file['sha256']}/{file['filename']}"
            found[place] = _digest(root / "public" / place)
            if "metadata_sha256" in file:
                found[f"{place}.metadata"] = _digest(root / "public" / f"{place}.metadata")
    return found


def state(root: Path) -> dict[str, str]:
    """All that clients and later imports can see: generations, the switch, served files and receipts."""
    return {
        f"{folder}/{place}": what
        for folder in ("gen", "public", "state/imports")
        for place, what in _below(root / folder).items()
    }


def differing(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The places at which two contents or states are not the same."""
    return sorted(place for place in one.keys() | other.keys() if one.get(place) != other.get(place))


def expect_same(site: Site, outside: Site, generation: int | None = None) -> None:
    """Fail unless `site` is sound and serves, byte for byte, what a generation (default: the served one) outside is."""
    assert not differing(content(site.root), content(outside.root, generation))
    assert site.generation is not None
    assert violations(site.root, started_after=True) == []


def copied(bundle: Path, name: str) -> Path:
    """A copy of a bundle beside it, to be damaged."""
    copy = bundle.with_name(name)
    shutil.copytree(bundle, copy)
    return copy


def flip(path: Path, position: int = -1) -> None:
    """Turn one bit of a file over."""
    data = bytearray(path.read_bytes())
    data[position % len(data)] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def lines(bundle: Path, name: str) -> list[bytes]:
    """The lines of one of the lists, each with its end."""
    return gzip.decompress((bundle / name).read_bytes()).splitlines(keepends=True)


def predicate(bundle: Path) -> dict[str, Any]:
    """What the statement says."""
    found: dict[str, Any] = json.loads((bundle / STATEMENT).read_bytes())["predicate"]
    return found


def reseal(
    bundle: Path,
    key: Key,
    change: Callable[[dict[str, Any]], None] = lambda _predicate: None,
    *,
    lists: Mapping[str, Iterable[bytes]] = {},
    blobs: Iterable[str] | None = None,
) -> None:
    """Sign a bundle again that somebody with a trusted key changed on purpose.

    `lists` are written anew, `blobs` replace the digests in SHA256SUMS, `change` is given the predicate.
    """
    for name, pieces in lists.items():
        (bundle / name).write_bytes(gzip.compress(b"".join(pieces), mtime=0))
    listed = (bundle / SUMS).read_text().splitlines()[len(LISTS) :]
    if blobs is not None:
        listed = [f"{sha256}  blobs/{sha256[:2]}/{sha256}" for sha256 in blobs]
    sums = "".join(f"{line}\n" for line in (*(f"{_digest(bundle / name)}  {name}" for name in LISTS), *listed))
    (bundle / SUMS).write_text(sums)
    statement = json.loads((bundle / STATEMENT).read_bytes())
    statement["subject"][0]["digest"]["sha256"] = hashlib.sha256(sums.encode()).hexdigest()
    change(statement["predicate"])
    sign(bundle, key, msgspec.convert(statement, Statement).encode())


def sign(bundle: Path, key: Key, statement: bytes) -> None:
    """Have `statement`, whatever it is, be the statement of the bundle, signed both ways."""
    loaded = key.loaded
    for name, data in ((STATEMENT, statement), (SSHSIG, loaded.sshsig(statement)), (DSSE, loaded.dsse(statement))):
        (bundle / name).write_bytes(data)


def _below(directory: Path) -> dict[str, str]:
    """Every file below a directory by its sha256, every link by its target."""
    return {
        str(path.relative_to(directory)): f"-> {path.readlink()}" if path.is_symlink() else _digest(path)
        for path in directory.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
