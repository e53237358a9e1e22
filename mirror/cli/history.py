"""The commands that look after generations: `generations`, `diff`, `rollback` and `gc`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping

from mirror.cli.commands import configured
from mirror.cli.output import print_json, size_text
from mirror.config.settings import Retention
from mirror.model.names import IndexName
from mirror.plan.compare import Changes
from mirror.run import history
from mirror.run.report import Exit


def generations_command(options: argparse.Namespace) -> int:
    """`mirror generations`."""
    found = history.generations(configured(options).root)
    if options.json:
        print_json(found)
    else:
        for generation in found:
            served = ", served" if generation.served else ""
            files = "its manifest cannot be read" if generation.files is None else f"{generation.files} files"
            print(f"generation {generation.number}, made {generation.made}, {files}{served}")
        if not found:
            print("nothing is published yet")
    return Exit.COMPLETE


def diff_command(options: argparse.Namespace) -> int:
    """`mirror diff`."""
    changes = history.difference(configured(options).root, options.before, options.after)
    if options.json:
        print_json(changes)
    else:
        _print_changes(changes)
    return Exit.COMPLETE


def rollback_command(options: argparse.Namespace) -> int:
    """`mirror rollback`."""
    settings = configured(options)
    done = history.rollback(settings.root, options.number, dry_run=options.dry_run)
    _print_changes(done.changes)
    if options.dry_run:
        print("dry run: nothing was changed")
    elif done.generation is None:
        print("nothing was changed: that is what is served")
    else:
        then = "mirror sync follows the indexes again" if settings.indexes else "mirror import publishes its bundle"
        print(f"published as generation {done.generation}; the next {then}")
    return Exit.COMPLETE


def gc_command(options: argparse.Namespace) -> int:
    """`mirror gc`."""
    settings = configured(options)
    retention = Retention(
        keep=settings.retention.keep if options.keep is None else options.keep,
        grace=settings.retention.grace if options.grace is None else options.grace,
    )
    garbage = history.collect(settings.root, retention, dry_run=options.dry_run)
    for number in garbage.generations:
        print(f"generation {number}")
    done = "would be removed" if options.dry_run else "were removed"
    files = (
        f"{len(garbage.files)} served files, {len(garbage.blobs)} blobs, {len(garbage.partials)} broken-off downloads"
    )
    print(f"{len(garbage.generations)} generations, {files} ({size_text(garbage.size)}) {done}")
    return Exit.COMPLETE


def _print_changes(changes: Mapping[IndexName, Changes]) -> None:
    for line in change_lines(changes):
        print(line)


def change_lines(changes: Mapping[IndexName, Changes]) -> Iterator[str]:
    """What is different, for people."""
    if not changes:
        yield "no difference"
    for index, found in changes.items():
        counts = {"added": found.added, "withdrawn": found.withdrawn, "changed": found.changed}
        yield f"index {index}: " + ", ".join(f"{len(files)} {what}" for what, files in counts.items())
        yield from (f"  {line}" for line in _lines(found))


def _lines(found: Changes) -> Iterator[str]:
    yield from (f"+ {receipt.project} {receipt.filename}" for receipt in found.added)
    yield from (f"- {receipt.project} {receipt.filename}" for receipt in found.withdrawn)
    yield from (f"~ {changed.project} {changed.file}: {', '.join(changed.facts)}" for changed in found.changed)
    yield from (f"~ {mark.project}: {mark.before.status} to {mark.after.status}" for mark in found.marked)
