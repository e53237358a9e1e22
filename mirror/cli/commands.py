"""The commands that work on a configured mirror."""

from __future__ import annotations

import argparse
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import msgspec

from mirror.cli.output import explanation, print_json, say, showing, size_text, summary
from mirror.config.load import Settings, find_config, load
from mirror.config.schema import json_schema as config_schema
from mirror.errors import ConfigError, Problem
from mirror.model.names import Filename, IndexName, ProjectName, filename, index_name, project_name
from mirror.model.secret import scrub
from mirror.run import events
from mirror.run import plan as plans
from mirror.run import report as reports
from mirror.run.check import check
from mirror.run.night import night
from mirror.run.plan import Planner
from mirror.run.status import Status, stale, status
from mirror.run.sync import Options

_MAKE_ONE = "make a plan with mirror sync --dry-run --plan FILE"


def sync_command(options: argparse.Namespace) -> int:
    """`mirror sync`."""
    settings = _indexed(options)
    wish = Options(
        only=_chosen(options.index, settings, "--index"),
        accept_shrink=_chosen(options.accept_shrink, settings, "--accept-shrink") or frozenset(),
        accept_changed=_changed(options.accept_changed, settings),
        max_duration=options.max_duration,
        dry_run=options.dry_run,
        explain=_explained(options),
    )
    check_writable("--report", options.report)
    if options.plan is not None and not options.dry_run:
        agreed = _agreed(options.plan)
        wish = msgspec.structs.replace(wish, plan=agreed, now=agreed.moment)
    elif options.plan is not None:
        check_writable("--plan", options.plan)
        if "-" in (options.report, options.plan) and (options.report == options.plan or options.explain is not None):
            raise ConfigError([Problem("--plan", "standard output has another use", "name a file")])
    began = datetime.now(UTC).replace(microsecond=0)  # as exact as a plan says it
    planner = Planner(f"{began:%Y-%m-%dT%H:%M:%SZ}", settings.digest, [index.name for index in wish.chosen(settings)])
    wish = msgspec.structs.replace(wish, now=wish.now or began)
    explanations: list[events.Explained] = []
    with showing(quiet=options.quiet, verbose=options.verbose) as observer:

        def observe(event: events.Event) -> None:
            if isinstance(event, events.Explained):
                explanations.append(event)
            if options.dry_run:
                planner.note(event)
            observer(event)

        report = night(settings, wish, observe)
    for explained in sorted(explanations, key=lambda event: event.index):
        sys.stdout.write(scrub(explanation(explained)))
    if options.report == "-":
        sys.stdout.write(report.encode().decode())
    elif options.report:
        _write(Path(options.report), report.encode(), "report", report)
    if options.plan == "-" and options.dry_run:
        sys.stdout.write(planner.plan.encode().decode())
    elif options.plan and options.dry_run:
        _write(Path(options.plan), planner.plan.encode(), "plan", report)
    if not options.quiet:
        say(summary(report, planner.plan if options.dry_run else None))
    elif report.error:
        say(f"failed: {report.error}")
    return report.exit_code


def _explained(options: argparse.Namespace) -> ProjectName | None:
    """The project that `--explain` names. Raises `ConfigError` and `InvalidName`."""
    if options.explain is None:
        return None
    if not options.dry_run:
        raise ConfigError([Problem("--explain", "it only looks", "add --dry-run")])
    if options.report == "-":
        raise ConfigError([Problem("--explain", "standard output is the report's", "name a file for --report")])
    return project_name(options.explain)


def _agreed(file: str) -> plans.Plan:
    """The plan that is to be applied. Raises `ConfigError`."""
    try:
        return plans.decode(Path(file).read_bytes())
    except OSError as error:
        raise ConfigError([Problem(f"--plan {file}", f"cannot be read: {error.strerror}", _MAKE_ONE)]) from error
    except plans.PlanError as error:
        raise ConfigError([Problem(f"--plan {file}", str(error), _MAKE_ONE)]) from error


def _write(path: Path, content: bytes, what: str, report: reports.Report) -> None:
    """Write `content`; when that fails the run is done all the same, and its exit code tells that something is not."""
    try:
        path.write_bytes(content)
    except OSError as error:
        say(f"the {what} cannot be written to {path}: {error.strerror}")
        report.exit_code = report.exit_code or reports.Exit.INCOMPLETE


def check_writable(flag: str, file: str | None) -> None:
    """Raise `ConfigError` before the run rather than lose what it is to write after it."""
    if file is None or file == "-":
        return
    path = Path(file)
    if path.is_dir() or not os.access(path if path.exists() else path.absolute().parent, os.W_OK):
        raise ConfigError([Problem(f"{flag} {file}", "it cannot be written", "name a file in a writable folder")])


def check_command(options: argparse.Namespace) -> int:
    """`mirror check`."""
    settings = _indexed(options)
    wish = Options(only=_chosen(options.index, settings, "--index"))
    looks = anyio.run(check, settings, wish)
    for look in looks:
        answer = f"FAILED {look.failure}" if look.failure else f"ok, {look.answer}"
        print(scrub(f"{look.index}: {look.origin}, {look.authentication}: {answer}"))
    return reports.Exit.FAILED if any(look.failure for look in looks) else reports.Exit.COMPLETE


def status_command(options: argparse.Namespace) -> int:
    """`mirror status`."""
    settings = configured(options)
    found = status(settings.root)
    if options.json:
        print_json(found)
    else:
        _print_status(found)
    max_age = settings.intake.max_age if options.max_age is None else options.max_age
    if max_age is not None and (why := stale(found.newest_import, max_age, datetime.now(UTC))):
        say(f"failed: {why}")
        return reports.Exit.FAILED
    return reports.Exit.COMPLETE


def _print_status(found: Status) -> None:
    print(f"root {found.root}")
    if found.generation is None:
        print("nothing is published yet")
    else:
        print(f"generation {found.generation}, served from {found.served}")
    for name, index in found.indexes.items():
        text = f"index {name}: {index.projects} projects, {index.files} files, {size_text(index.size)}"
        text += f", {index.weak} of them weak" if index.weak else ""
        print(text + (f", {index.quarantined} in quarantine" if index.quarantined else ""))
    for tree, members in found.trees.items():
        if len(members) > 1:
            print(f"tree {tree}: {', '.join(members)}")
    if (newest := found.newest_import) is not None:
        theirs = f"generation {newest.target.generation} of {newest.identity}, exported {newest.time}"
        print(f"imported {newest.imported}: {theirs}, published as generation {newest.generation}, code {newest.code}")
    if found.last_run is not None:
        _print_last_run(found.last_run)


def _print_last_run(report: dict[str, Any]) -> None:
    """The last run, as far as a report of any version tells it."""
    print(f"last run {report.get('started')}: exit code {report.get('exit-code')}, {report.get('seconds')} s")
    for index in report.get("indexes", ()):
        if index.get("state") != "complete":
            counts = (f"{len(index.get(kind, ()))} {kind}" for kind in ("refused", "troubles") if index.get(kind))
            words = (f"  {index.get('name')}:", index.get("state"), index.get("reason"), index.get("what"), *counts)
            print(scrub(" ".join(word for word in words if word)))


def schema_command(options: argparse.Namespace) -> int:
    """`mirror schema`."""
    schema = config_schema() if options.what == "config" else reports.json_schema()
    sys.stdout.write(schema.decode())
    return reports.Exit.COMPLETE


def configured(options: argparse.Namespace) -> Settings:
    """The configuration that the options name. Raises `ConfigError`."""
    path: Path | None = options.config
    if path is None and (options.from_uv is None or options.root is None):
        path = find_config()
    settings = load(path, from_uv=options.from_uv, root=options.root)
    for warning in settings.warnings:
        say(f"warning: {warning}")
    return settings


def _indexed(options: argparse.Namespace) -> Settings:
    """The configuration that the options name, with at least one index. Raises `ConfigError`."""
    settings = configured(options)
    if not settings.indexes:
        what = "no index is configured; this root is filled by mirror import"
        instead = "to fill another one, add an [[index]] and name its root"
        raise ConfigError([Problem(str(settings.files[0]), what, instead)])
    return settings


def _changed(texts: list[str], settings: Settings) -> frozenset[tuple[IndexName, Filename]]:
    """The files that `--accept-changed` names. Raises `ConfigError` and `InvalidName`."""
    pairs = [text.partition("/") for text in texts]
    _chosen([index for index, _, _ in pairs], settings, "--accept-changed")
    return frozenset((index_name(index), filename(name)) for index, _, name in pairs)


def _chosen(names: list[str] | None, settings: Settings, flag: str) -> frozenset[IndexName] | None:
    """The indexes that `flag` names. Raises `ConfigError` for one that is not configured."""
    if not names:
        return None
    known = {index.name for index in settings.indexes}
    problems = [
        Problem(
            flag if "://" in name else f"{flag} {name}",
            "no such index is configured",
            f"use one of: {', '.join(sorted(known))}",
        )
        for name in names
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)
    return frozenset(index_name(name) for name in names)
