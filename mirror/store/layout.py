"""Every path of a mirror's root is computed here and nowhere else.

```
<root>/lock                              one writer
       store/sha256/ab/<hex>             blobs, 0444, written once
       public/packages/<index>/ab/<sha256>/<file>[.metadata]   hard links to blobs; a path never changes
       public/current -> ../gen/000042   the switch
       gen/000042/<tree>/simple/...      pages; gen/000042/<tree>/packages -> public/packages
       gen/000042/manifest.jsonl         the truth
       gen/000042/pins.jsonl             the digests of what was held once
       state/cache.sqlite, state/unpublished.jsonl, state/verify.json, state/reports/<run>.json
       state/audits/<run>.jsonl          what became of each blob of an import
       state/exported/<generation>-<sha256>.jsonl.gz   manifests of generations that other sides have
       state/imports/<sequence>-<manifest>-<key>.json   the receipts of imports
       partial/<index>/<key>[.json]      downloads that broke off, with how far their bytes are known to be right
       quarantine/<index>/<file>[.json]  bytes that were not what they should be, with the facts
       tmp/<run>/
```

Path components come only from checked names and digests, so no path leaves the root (I12).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from mirror.model.bundle import ImportReceipt
from mirror.model.files import FileLink, Pin, Receipt
from mirror.model.names import IndexName, ProjectName, TreeName

_GENERATION = re.compile(r"\d{6,}")


class Layout:
    """The paths below `root`, an absolute directory."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lock = root / "lock"
        self.tmp = root / "tmp"
        self.blobs = root / "store" / "sha256"
        self.public = root / "public"
        self.packages = self.public / "packages"
        self.current = self.public / "current"
        self.generations = root / "gen"
        self.partial = root / "partial"
        self.quarantine = root / "quarantine"
        self.state = root / "state"
        self.cache = self.state / "cache.sqlite"
        self.unpublished = self.state / "unpublished.jsonl"
        self.verified = self.state / "verify.json"
        self.reports = self.state / "reports"
        self.audits = self.state / "audits"
        self.exported = self.state / "exported"
        self.imports = self.state / "imports"
        self._blobs, self._packages = f"{self.blobs}/", f"{self.packages}/"

    @property
    def directories(self) -> tuple[Path, ...]:
        """The directories that every root has."""
        return (self.tmp, self.blobs, self.packages, self.generations, self.reports)

    def run(self, run: str) -> Path:
        """The temporary directory of one run."""
        return self.tmp / run

    def blob(self, sha256: str) -> Path:
        """The blob with this digest (hexadecimal)."""
        return Path(self.blob_name(sha256))

    def blob_name(self, sha256: str) -> str:
        """`blob` as a string, for where there are many."""
        return f"{self._blobs}{sha256[:2]}/{sha256}"

    def package(self, receipt: Receipt) -> Path:
        """Where a file is served from."""
        return Path(self.package_name(receipt))

    def package_name(self, receipt: Receipt) -> str:
        """`package` as a string, for where there are many."""
        return self._packages + receipt.location

    def pinned(self, pin: Pin) -> Path:
        """Where a file that is held no longer is, if it is there still."""
        return self.packages / pin.location

    def metadata(self, receipt: Receipt) -> Path:
        """Where a file's core metadata is served from (PEP 658)."""
        package = self.package(receipt)
        return package.with_name(f"{package.name}.metadata")

    def partials(self, index: IndexName) -> Path:
        """Where an index's broken-off downloads are."""
        return self.partial / index

    def download(self, link: FileLink) -> Path:
        """Where a download of `link` stays when it breaks off; the name has nothing of its URL, which may change."""
        announced = (f"{digest.algorithm}={digest.hex}" for digest in link.digests)
        parts = (link.source.project, link.filename, str(link.size), *announced)
        return self.partials(link.source.index) / hashlib.sha256("\0".join(parts).encode()).hexdigest()

    def set_aside(self, link: FileLink) -> Path:
        """Where bytes go that came for `link` and are not what they should be."""
        return self.quarantine / link.source.index / link.filename

    def report(self, run: str) -> Path:
        """The report of one run."""
        return self.reports / f"{run}.json"

    def imported(self, receipt: ImportReceipt) -> Path:
        """The receipt of one import; two keys may have signed the same in the same second."""
        key = hashlib.sha256(receipt.key.encode()).hexdigest()
        return self.imports / f"{receipt.sequence}-{receipt.target.manifest[:8]}-{key[:8]}.json"

    def generation(self, number: int) -> Path:
        """One complete published state."""
        return self.generations / f"{number:06}"

    @property
    def switch_target(self) -> str:
        """What `current` points to, up to the generation's name."""
        return "../gen"

    def numbers(self) -> list[int]:
        """The generations that exist, oldest first."""
        if not self.generations.is_dir():
            return []
        return sorted(int(entry.name) for entry in self.generations.iterdir() if _GENERATION.fullmatch(entry.name))


def manifest(generation: Path) -> Path:
    """The manifest of a generation."""
    return generation / "manifest.jsonl"


def pins(generation: Path) -> Path:
    """The digests of files that were held before a generation."""
    return generation / "pins.jsonl"


def beside(path: Path) -> Path:
    """The JSON file with what is known of the file at `path`."""
    return path.with_name(f"{path.name}.json")


def project_list(generation: Path, tree: TreeName) -> Path:
    """The directory of a tree's project list."""
    return generation / tree / "simple"


def project_page(generation: Path, tree: TreeName, project: ProjectName) -> Path:
    """The directory of a project's page."""
    return project_list(generation, tree) / project


def packages_link(generation: Path, tree: TreeName) -> tuple[Path, str]:
    """The link that makes a tree complete for any static server, and its target."""
    return generation / tree / "packages", "../../../public/packages"
