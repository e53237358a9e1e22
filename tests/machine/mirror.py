"""The mirror under test in an operator's hands: every command is run, judged, and followed by a look at the root."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from tests.invariants import violations
from tests.machine.disk import Disk, Spoiling
from tests.machine.killing import Death
from tests.machine.model import Content, Holding, Night, Pins
from tests.machine.upstream import Upstream, sha256
from tests.machine.verdict import code_verdict, index_verdict, killed_verdict, refusals, when
from tests.site import Outcome, Site
from tests.world.pages import Held

MERGED = "all"
KEYS: dict[str, Any] = {"tries": 1, "concurrency": 2, "stall_timeout": 5.0, "connect_timeout": 5.0}
"""One try each: what fails is tried again by the next run."""


class Mirror:
    """A root that mirrors `upstreams`, with the model of what must be true of it. A broken promise is an error."""

    met: ClassVar[Counter[str]] = Counter()
    """How often what is worth meeting was met, over all mirrors: a soak that never met it proves nothing of it."""

    def __init__(self, site: Site, upstreams: Mapping[str, Upstream]) -> None:
        self.site, self.world, self.upstreams = site, site.world, upstreams
        self.disk = Disk(site.root)
        self._pins = Pins()
        self._damage: dict[Path, str] = {}
        """What was spoiled and is not right again, with the sha256 that it should have."""
        self._untidy = False
        """Whether the last run was killed, so that it may have left temporary files (I22)."""
        indexes = [upstream.index for upstream in upstreams.values()]
        site.configure(*indexes, trees={MERGED: list(upstreams)}, top={"min-free": 0}, **KEYS)

    def sync(
        self,
        *,
        only: Collection[str] = (),
        accept_shrink: Collection[str] = (),
        accept_changed: Collection[tuple[str, str]] = (),
    ) -> Outcome:
        """The nightly job, in this process."""
        was, before, lost = self.disk.served, self._sound(), self.disk.lost()
        nights = self._nights(only or self.upstreams, accept_shrink, accept_changed)
        stored = self._stored()
        arguments = [flag for name in only for flag in ("--index", name)]
        arguments += [flag for name in accept_shrink for flag in ("--accept-shrink", name)]
        arguments += [flag for index, name in accept_changed for flag in ("--accept-changed", f"{index}/{name}")]
        self.world.clear()
        outcome = self.site.sync(*arguments)
        self._untidy = False
        assert outcome.report, f"I16: exit code {outcome.code} and no report: {outcome.err}"
        self._learn_fetched(nights)
        published = self.disk.served != was
        _agree(
            *(problem for night in nights.values() for problem in self._judged(night, outcome)),
            *self._fetched_again(nights, stored),
            *self._others_stay(nights, before),
            *code_verdict(outcome, trees_shown=self._merged_is_shown()),
            *when(outcome.report["published"] != published, f"I16: published is {published}, and not in the report"),
            *when(outcome.report["generation"] != self.disk.served, "I16: the report names another generation"),
            *when(lost and outcome.code == 0, f"I16: exit 0, and {lost} were lost"),
        )
        self._pins.served(self.disk.content)
        self._look()
        return outcome

    def changed(self) -> list[tuple[str, str]]:
        """The files, by index, of which a sync may say that they are not what they were."""
        nights = self._nights(self.upstreams)
        return sorted((night.index, name) for night in nights.values() for name in night.may_refuse())

    def gc(self, keep: int) -> None:
        """Collect garbage without any grace: nothing that is needed goes (I18), and all the rest does."""
        disk, before, served = self.disk, self.disk.content, self.disk.served
        lived = [number for number in disk.numbers if served is not None and number <= served]
        kept = set(lived[-keep:] if served is not None else disk.numbers)
        self.met["generations collected"] += len(set(disk.numbers) - kept)
        outcome = self._run("gc", "--keep", str(keep), "--grace", "0s")
        disk.forget()
        extra = disk.present() - disk.needed().keys()
        _agree(
            *when(outcome.code != 0, f"gc ends with {outcome.code}: {outcome.err}"),
            *when(set(disk.numbers) != kept, f"I18: gc left generations {disk.numbers}, not {kept}"),
            *when(disk.content != before, "gc changed what is served"),
            *when(extra, f"gc left {sorted(extra)}, which nothing needs"),
        )
        self._look()

    def rollback(self, number: int) -> None:
        """Publish generation `number` again, unless the disk has lost some of it: then nothing changes."""
        was, wanted, lost = self.disk.served, self.disk.generation(number), self.disk.lost_of(number)
        served_already = self.disk.same(number, was)
        outcome = self._run("rollback", str(number))
        possible = served_already or not lost
        _agree(
            *when(outcome.code != (not possible), f"rollback {number} ends with {outcome.code}: {outcome.err}"),
            *when(possible and self.disk.content != wanted, f"rollback {number} serves something else"),
            *when(
                (served_already or lost) and self.disk.served != was, f"rollback {number} published, and lacks {lost}"
            ),
        )
        if self.disk.served != was:
            self.met["rolled back"] += 1
            self._pins.rolled_back(wanted)
        self._look()

    def verify(self) -> None:
        """Compare everything on disk with what was promised: exactly what was spoiled is found (I19)."""
        outcome, wrong = self._run("verify", "--json"), self._wrong()
        found = {self.disk.root / damage["path"] for damage in json.loads(outcome.out)["damaged"]}
        _agree(
            *when(outcome.code != bool(wrong), f"verify ends with {outcome.code}, and {wrong} are wrong"),
            *when(found != wrong, f"I19: verify finds {found}, and {wrong} are wrong"),
        )
        self._look()

    def repair(self) -> None:
        """Put right what was spoiled, from the disk or from the index that owns it (I19)."""
        wrong = self._wrong()
        certain, possible = self._repairable(wrong)
        outcome = self._run("verify", "--repair", "--json")
        left, said = self._wrong(), json.loads(outcome.out)
        mended = wrong - left
        reported = {self.disk.root / damage["path"] for damage in said["damaged"]}
        repaired = {self.disk.root / damage["path"] for damage in said["repaired"]}
        self.met["files and blobs repaired"] += len(mended)
        _agree(
            *when(outcome.code != bool(left), f"verify --repair ends with {outcome.code}, {left} are left"),
            *when(reported != left, f"I19: verify --repair reports {reported}, {left} are left"),
            *when(repaired != mended, f"I19: verify --repair claims {repaired}, {mended} are right now"),
            *when(left & certain, f"I19: {left & certain} could be repaired: {said['remarks']}"),
            *when(mended - possible, f"I19: {mended - possible} came from nowhere"),
        )
        self._look()

    def killed(self, death: Death, *arguments: str) -> None:
        """Have a run die, and judge what it left: what was, or what it was about to make, and nothing between."""
        command = arguments[0]
        was, numbers, before = self.disk.served, self.disk.numbers, self.disk.content
        nights, stored = self._nights(self.upstreams), self._stored()
        wanted = self.disk.generation(int(arguments[1])) if command == "rollback" else {}
        self.world.clear()
        code = death.run(self.site, self.upstreams.values(), self._full(arguments))
        self._untidy = True
        self.disk.forget()
        after, switched = self.disk.content, self.disk.served != was
        self.met[f"{command} killed{' once it had published' if switched else ''}"] += code == -9
        problems = [*when(code not in {-9, 0, 1, 3}, f"{arguments} ends with {code}")]
        if command == "sync":
            problems += self._fetched_again(nights, stored)
            self._learn_fetched(nights)
        if not switched:
            problems += when(after != before, f"{arguments} changed what generation {was} is")
        elif command == "sync":
            problems += (
                text for night in nights.values() for text in killed_verdict(night, after.get(night.index, {}))
            )
            self._pins.served(after)
        else:
            problems += when(command != "rollback" or after != wanted, f"{arguments} serves something else")
            self._pins.rolled_back(after)
        if command == "gc":
            problems += when(set(self.disk.numbers) - set(numbers), "gc made a generation")
        _agree(*problems)
        self._look()

    def corrupt(self, which: int, how: Spoiling, position: int, hit: str) -> None:
        """Spoil a served file, a blob, or both names of one, if there is any, and not too many already."""
        top = self.disk.packages if hit == "served" else self.disk.blobs
        sound = self.disk.needed().keys() & self.disk.present() - self._damage.keys()
        paths = sorted(path for path in sound if path.is_relative_to(top))
        if paths and len(self._damage) < 6:
            path = paths[which % len(paths)]
            self._damage |= self.disk.spoil(path, how, position, in_place=hit == "both")
        self._look()

    def converge(self) -> None:
        """With every index well again, and all accepted, the mirror has exactly what they have, and rests."""
        accept_shrink: set[str] = set()
        accept_changed: set[tuple[str, str]] = set()
        for _ in range(3):
            outcome = self.sync(accept_shrink=sorted(accept_shrink), accept_changed=sorted(accept_changed))
            if outcome.code == 0:
                break
            entries = outcome.report["indexes"]
            accept_shrink = {entry["name"] for entry in entries if entry["reason"] == "shrunk"}
            accept_changed |= {(entry["name"], name) for entry in entries for name in refusals(entry)}
        _agree(*when(outcome.code != 0, f"it does not converge: {outcome.code} {outcome.err}"))
        offers = {
            name: {project: dict(page.files) for project, page in upstream.offer.items()}
            for name, upstream in self.upstreams.items()
        }
        _agree(*when(self.disk.content != offers, f"it has {self.disk.content}, the indexes have {offers}"))
        self.gc(1)
        self.repair()
        self.verify()
        _agree(*when(self._damage, f"I19: {self._damage} are still wrong"))
        served = self.disk.served
        _agree(
            *when(self.sync().code != 0, "a second sync is not complete"),
            *when(any(self._fetches()), "I6: a second sync fetches files"),
            *when(self.disk.served != served, "I21: a second sync publishes the same again"),
        )

    def _judged(self, night: Night, outcome: Outcome) -> Iterator[str]:
        """What is wrong with an index after a run that came to its end, on its pages and beside them."""
        entry = outcome.index(night.index)
        yield from index_verdict(night, self.disk.content.get(night.index), entry, self.upstreams[night.index].reasons)
        self._meet(night, entry)
        refused = refusals(entry) if night.healthy else ()
        yield from (f"I14: {name} is not in quarantine" for name in refused if not self._set_aside(night.index, name))
        partial = self.disk.root / "partial" / night.index
        left = sorted(partial.iterdir()) if entry["state"] == "complete" and partial.is_dir() else []
        yield from when(left, f"I13: {night.index} is complete, and {left} are left of broken-off files")

    def _meet(self, night: Night, entry: dict[str, Any]) -> None:
        self.met[f"an index {'in good health' if night.healthy else 'in trouble'} is {entry['state']}"] += 1
        self.met["an index held by a guard"] += entry["reason"] == "shrunk"
        self.met["changed files refused"] += len(refusals(entry))
        self.met["files taken from a run before"] += entry["files-recalled"]
        self.met["files gone on with"] += len(self.world.requests(owner=night.index, status=206))
        self.met["files withdrawn"] += entry["files-withdrawn"]
        self.met["served files lost and noticed"] += len(night.lost)

    def _others_stay(self, nights: Collection[str], before: Content) -> Iterator[str]:
        """What was not looked at stays as it is (I17)."""
        for name in set(self.upstreams) - set(nights):
            after = self.disk.content.get(name)
            yield from when(after != before.get(name), f"I17: {name} was not looked at, and changed: {after}")

    def _fetched_again(self, nights: Mapping[str, Night], stored: set[tuple[str, str]]) -> Iterator[str]:
        """No file that was on disk with its bytes is fetched again (I6).

        Except to be refused, and where nothing tells which bytes it means: no sha256, and not the ones first seen.
        """
        for index, held in self._fetches():
            night, name = nights[index], held.filename
            unknown = name in night.accepted and "sha256" not in held.digests
            wrong = (index, name) in stored and name not in night.may_refuse() and not unknown
            yield from when(wrong, f"I6: {index}/{name} was on disk, and was fetched again")

    def _fetches(self) -> Iterator[tuple[str, Held]]:
        """The files that were answered since the log was cleared, each with its index."""
        for entry in list(self.world.log):
            if entry.owner is not None and entry.status in {200, 206}:
                held = self.upstreams[entry.owner].named(entry.path)
                if held is not None:
                    yield entry.owner, held

    def _learn_fetched(self, nights: Collection[str]) -> None:
        for index, held in self._fetches():
            if index in nights:
                self._pins.fetched(index, held.filename, sha256(held))

    def _nights(
        self,
        names: Collection[str],
        accept_shrink: Collection[str] = (),
        accept_changed: Collection[tuple[str, str]] = (),
    ) -> dict[str, Night]:
        """What is known of each index before a run."""
        sound, lost = self._sound(), self.disk.lost()
        return {
            name: Night(
                index=name,
                before=sound.get(name, {}),
                offer=self.upstreams[name].offer,
                pins=self._pins,
                healthy=self.upstreams[name].healthy,
                pages_answer=self.upstreams[name].pages_answer,
                lost=frozenset(lost.get(name, ())),
                accept_shrink=name in accept_shrink,
                accepted=frozenset(file for index, file in accept_changed if index == name),
            )
            for name in names
        }

    def _sound(self) -> Content:
        """What is served, without what the disk has lost of it."""
        lost = self.disk.lost()

        def sound(holding: Holding, gone: Collection[str]) -> Holding:
            return {
                project: {name: file for name, file in files.items() if name not in gone}
                for project, files in holding.items()
            }

        return {index: sound(holding, lost.get(index, ())) for index, holding in self.disk.content.items()}

    def _stored(self) -> set[tuple[str, str]]:
        """The files that are offered now and are on disk with these very bytes."""
        return {
            (name, held.filename)
            for name, upstream in self.upstreams.items()
            for held in upstream.index.held
            if self.disk.is_stored(name, held.filename, sha256(held))
        }

    def _set_aside(self, index: str, name: str) -> bool:
        """Whether what the index has under this name now is in quarantine."""
        path = self.disk.root / "quarantine" / index / name
        offered = [held.content for held in self.upstreams[index].index.held if held.filename == name]
        return path.is_file() and [path.read_bytes()] == offered

    def _run(self, *arguments: str) -> Outcome:
        self.world.clear()
        self._untidy = False
        return self.site.run(*self._full(arguments))

    def _full(self, arguments: Sequence[str]) -> list[str]:
        return [*arguments, "-c", str(self.site.config)]

    def _wrong(self) -> set[Path]:
        """Every file and blob that a generation needs and that is not right, and every spoiled blob."""
        blobs = {path: path.name for path in self.disk.present() if path.is_relative_to(self.disk.blobs)}
        return set(self.disk.spoiled({**blobs, **self.disk.needed()}))

    def _repairable(self, wrong: Collection[Path]) -> tuple[set[Path], set[Path]]:
        """Of `wrong`, what can be put right for certain, and what may be: from the disk, a wheel or an index."""
        needed = self.disk.needed()
        sound = {digest for path, digest in needed.items() if path not in wrong}
        offers = {
            (name, held.filename, sha256(held)): upstream.healthy
            for name, upstream in self.upstreams.items()
            for held in upstream.index.held
            if not upstream.offer[held.project].quarantined
        }
        certain, possible = set[Path](), set[Path]()
        for path in wrong:
            digest = needed.get(path, path.name)
            owners = [
                other for other, found in needed.items() if found == digest and self.disk.packages in other.parents
            ]
            known = {offers.get((self.disk.index_of(owner), owner.name, digest)) for owner in owners}
            metadata = any(owner.name.endswith(".metadata") for owner in owners)
            if digest in sound or True in known:
                certain.add(path)
            if digest in sound or metadata or known - {None}:
                possible.add(path)
        return certain, possible

    def _look(self) -> None:
        """Check the root, and who was asked for what, and with which credential."""
        self._damage = self.disk.spoiled(self._damage)
        unexplained = set(self.disk.spoiled(self.disk.needed())) - set(self._damage)
        found = violations(self.disk.root, started_after=not self._untidy)
        _agree(*(violation for violation in found if not self._explained(violation)))
        _agree(
            *(f"I2: {path} is spoiled, and nobody touched it" for path in sorted(unexplained)),
            *(f"I2: {path} is one thing in one generation, another in another" for path in self.disk.ambiguous()),
            *(f"I3: generation {number} was rewritten" for number in self.disk.rewritten()),
            *(f"I10: a credential crossed: {entry}" for entry in self.world.crossed()),
            *(f"I9: the public index was asked: {entry}" for entry in self.world.requests(origin=self.world.fallback)),
            *self._merged_is_right(),
        )

    def _explained(self, violation: str) -> bool:
        """Whether it is about something that was spoiled."""
        return any(token in violation for path in self._damage for token in self._tokens(path))

    def _tokens(self, path: Path) -> set[str]:
        """The forms in which a path is spoken of."""
        if path.is_relative_to(self.disk.blobs):
            return {path.name}
        name = path.name.removesuffix(".metadata")
        return {f"{self.disk.index_of(path)}/{name}", f"{path.parent.name}/{name}"}

    def _merged_is_shown(self) -> bool:
        return MERGED in self.disk.trees

    def _merged_is_right(self) -> Iterator[str]:
        """The merged tree waits for every index, and has each project from the first index that knows it (I9)."""
        if self.disk.served is None:
            return
        content, site = self.disk.content, self.site
        answered = set(content) == set(self.upstreams)
        if not self._merged_is_shown() or not answered:
            wrong = self._merged_is_shown() != answered
            yield from when(wrong, f"I9: the merged tree is {'blocked' if answered else 'shown'}, with {set(content)}")
            return
        listed, shown = {name: set(site.projects(name)) for name in content}, set(site.projects(MERGED))
        for project in {project for holding in content.values() for project in holding}:
            owner = next(name for name in self.upstreams if project in content[name])
            if project not in listed[owner]:
                yield from when(project in shown, f"I9: {project} is shown, and {owner} owns it")
            elif site.page(MERGED, project) != site.page(owner, project):
                yield f"I9: {project} is not shown as {owner} has it"


def _agree(*problems: str) -> None:
    assert not problems, "\n".join(problems)
