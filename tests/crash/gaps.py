"""The nights that are struck at an air gap: imports of a full bundle and of a delta, and the export of that delta.

Every bundle of one night is made at the same time, so each export has to come to the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from mirror.cli.wheels import build_wheel
from tests import gap
from tests.crash import nights
from tests.crash.calls import Call
from tests.crash.nights import Night, State
from tests.gap import Gap
from tests.site import Outcome, Site
from tests.world import World

_LAST = 58
"""The night of the delta: two days ago."""


class Import(Night):
    """`mirror import`, again and again into the same beginning."""

    def __init__(self, name: str, gap_: Gap, start: Site, bundle: Path) -> None:
        self._signers, self._bundle = gap_.signers, bundle
        self._sequence = gap.predicate(bundle)["sequence"]
        super().__init__(name, gap_.world, start, (), 1)

    def configure(self, site: Site) -> None:
        """Trust the key; on disks as small as those of the power cuts too."""
        root, trust = json.dumps(str(site.root)), json.dumps(str(self._signers))
        site.config.write_text(f"root = {root}\nmin-free = 0\n[import]\ntrust = {trust}\n")

    def command(self, site: Site) -> Sequence[str]:
        """The run that is struck."""
        return ("import", "-c", str(site.config), str(self._bundle))

    def rerun(self, site: Site) -> Outcome:
        """The same again: what is known to be imported is not imported once more, and all else is."""
        known = self._has_receipt(site.root)
        outcome = site.run(*self.command(site))
        if known and outcome.code == 1 and "imported already" in outcome.err:
            outcome.code = 0
        return outcome

    def promises(self, root: Path) -> list[str]:
        """The sequence counts as used only when the bundle is published."""
        if self._has_receipt(root) and self.state(root) != self.after:
            return ["there is a receipt, and what it is for is not served"]
        return []

    def verified(self, _root: Path) -> list[str]:
        """Nothing is fetched by an import."""
        return []

    def _has_receipt(self, root: Path) -> bool:
        return any((root / "state" / "imports").glob(f"{self._sequence}-*"))


class Export(Night):
    """`mirror export`, again and again of the same generation; the bundle is to be beside the root."""

    def __init__(self, name: str, gap_: Gap, start: Site) -> None:
        self._gap = gap_
        super().__init__(name, gap_.world, start, (), 1)

    def configure(self, site: Site) -> None:
        """The outside's configuration, for another root."""
        text = self._gap.outside.config.read_text()
        site.config.write_text(text.replace(str(self._gap.outside.root), str(site.root)))
        site.environ |= self._gap.outside.environ
        site.environ["SOURCE_DATE_EPOCH"] = str(int(self._gap.time(_LAST).timestamp()))

    def command(self, site: Site) -> Sequence[str]:
        """The run that is struck."""
        return ("export", "-c", str(site.config), "--since", "1", str(self._bundle(site.root)))

    def rerun(self, site: Site) -> Outcome:
        """The same again, where there is no bundle; one that is there has to be the whole one."""
        if self._bundle(site.root).exists():
            return Outcome(0, "", "")
        return site.run(*self.command(site))

    def state(self, root: Path) -> State:
        """Every byte of what has the bundle's name."""
        bundle = self._bundle(root)
        paths = [path for path in sorted(bundle.rglob("*")) if path.is_file()]
        return State(
            {}, {str(path.relative_to(bundle)): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
        )

    def promises(self, root: Path) -> list[str]:
        """What has the name is a whole bundle."""
        bundle = self._bundle(root)
        return ["an empty directory has the bundle's name"] if bundle.is_dir() and not any(bundle.iterdir()) else []

    def concerns(self, call: Call, site: Site) -> bool:
        """Whether a call is made on the root, on the bundle, or on what becomes the bundle."""
        hidden = f"{self._bundle(site.root).parent}/.bundle."
        return call.concerns(site.root) or call.concerns(self._bundle(site.root)) or hidden in call.text

    def verified(self, _root: Path) -> list[str]:
        """Nothing is fetched by an export."""
        return []

    @staticmethod
    def _bundle(root: Path) -> Path:
        return root.with_name("bundle")


@contextmanager
def open_night(name: str, directory: Path) -> Iterator[Night]:
    """The night called `name`, with a world of its own."""
    with ExitStack() as stack:
        if name not in ("import", "delta", "export"):
            yield stack.enter_context(nights.open_night(name, directory))
            return
        world = stack.enter_context(World())
        outside = Gap(directory / f"{name} gap", world)
        start = Site(directory / name, world)
        start.directory.mkdir()
        full, delta = _bundles(outside, world)
        if name == "export":
            subprocess.run(["cp", "-a", outside.outside.root, start.root], check=True)
            yield Export(name, outside, start)
            return
        if name == "delta":
            inside = outside.inside()
            gap.imported(inside, full)
            subprocess.run(["cp", "-a", inside.root, start.root], check=True)
        yield Import(name, outside, start, delta if name == "delta" else full)


def _bundles(outside: Gap, world: World) -> tuple[Path, Path]:
    """A full bundle of a first generation, and what a second one adds and withdraws."""
    first, second = world.add_index("first"), world.add_index("second")
    first.add(build_wheel("alpha", "1.0", payload=5000), core_metadata=True)
    first.add(build_wheel("alpha", "1.1"))
    second.add(build_wheel("beta", "1.0", payload=70_000))
    outside.configure(first, second, trees={"all": ("first", "second")}, top={"min-free": 0})
    outside.sync()
    full = outside.exported("full", night=_LAST - 1)
    first.yank("alpha-1.0-py3-none-any.whl", "broken")
    first.remove("alpha-1.1-py3-none-any.whl")
    first.add(build_wheel("alpha", "1.2", payload=70_000), core_metadata=True)
    second.add(build_wheel("beta", "1.1"))
    outside.sync()
    return full, outside.exported("delta", "--since", "1", night=_LAST)
