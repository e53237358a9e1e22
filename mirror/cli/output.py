"""What a person sees of a run: bars on a terminal, plain lines elsewhere, never a secret.

Everything here goes to standard error; standard output is for data. A night does not end because nobody can be
told of it: what standard error refuses (a log on a full disk, a closed pipe) is in the report all the same.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mirror.model.names import IndexName
from mirror.model.secret import scrub
from mirror.run import events
from mirror.run.plan import Plan, PlannedIndex
from mirror.run.report import IndexReport, Report, scrubbed

_NAMED = 20  # files to be withdrawn that a dry run names, of each index

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Say = Callable[[str], None]


def say(text: str) -> None:
    """One line to standard error, scrubbed, without control characters; when that is refused, it ends for good."""
    line = "".join(character if character.isprintable() or character == "\n" else "?" for character in scrub(text))
    try:
        print(line, file=sys.stderr, flush=True)
    except OSError:
        sys.stderr = Path(os.devnull).open("w")  # noqa: SIM115 - it stands for standard error until the process ends


def print_json(value: Any) -> None:
    """`value` on standard output, for machines: scrubbed."""
    builtin = scrubbed(msgspec.to_builtins(value, enc_hook=str))
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(builtin)).decode() + "\n")


def plain(text: str) -> str:
    """Text of others as a part of one line: scrubbed, without control characters and ends of lines."""
    return "".join(character if character.isprintable() else "?" for character in scrub(text))


@contextmanager
def showing(*, quiet: bool, verbose: bool) -> Iterator[events.Emit]:
    """An observer for the events of a run."""
    if quiet:
        yield _Lines(say, verbose=False, brief=True).note
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[received]}"),
            TimeElapsedColumn(),
        )
        console = Console(stderr=True)
        with Progress(*columns, console=console) as progress:

            def aside(text: str) -> None:
                with suppress(OSError):
                    console.print(scrub(text), markup=False, highlight=False)

            yield _Bars(progress, _Lines(aside, verbose=verbose, brief=True)).note
    else:
        yield _Lines(say, verbose=verbose, brief=False).note


_OF_EACH = (events.PageAnswered, events.PagePlanned, events.BytesReceived, events.FileHeld)
"""What happens for every page or file, and is worth a line only with `--verbose`."""


class _Lines:
    """A line for whatever an operator must know; with `verbose` also for every page and file.

    With `brief`, bars or silence stand for the ordinary course of a run.
    """

    def __init__(self, say: Say, *, verbose: bool, brief: bool) -> None:
        self._say, self._verbose, self._brief = say, verbose, brief

    def note(self, event: events.Event) -> None:
        """Say what `event` is worth."""
        if not self._verbose and isinstance(event, _OF_EACH):
            return
        text = _important(event)
        if text is None and not self._brief:
            text = _ordinary(event)
        if text is None and self._verbose:
            text = _detail(event)
        if text is not None:
            self._say(text)
        if self._verbose and isinstance(event, events.IndexStopped) and event.defect is not None:
            self._say("".join(traceback.format_exception(event.defect)))


def _important(event: events.Event) -> str | None:
    match event:
        case events.Refused(refusal=refusal):
            return str(refusal)
        case events.Trouble():
            return str(event)
        case events.Warned(index=index, what=what):
            return f"warning: index {index}: {what}"
        case events.IndexStopped(index=index, reason=reason, what=what):
            return f"{reason}: index {index}: {what}; nothing of it changes in this run"
        case events.Followed():
            return _followed(event)
        case events.Stopping(seconds=seconds):
            return f"stopping: transfers under way have {seconds:.0f} s; a second signal ends them at once"
        case events.TreeBlocked(merged=merged, published=published):
            unknown = ", ".join(merged.unknown)
            now = "shows nothing new" if published else "is not published"
            return f"tree {merged.tree.name} {now}: never had an answer of index {unknown}"
        case events.IndexDropped(index=index):
            return f"index {index} is no longer configured: its tree is no longer published"
        case _:
            return None


def _followed(event: events.Followed) -> str | None:
    lines = [f"unmet: {unmet}" for unmet in event.unmet]
    if not event.complete:
        lines.append("not all dependencies are known by now: nothing that is held is given up in this run")
    if event.notes:
        lines.append(f"{len(event.notes)} notes about dependencies are in the report")
    return "\n".join(lines) or None


def _ordinary(event: events.Event) -> str | None:
    match event:
        case events.IndexListed(index=index, projects=projects):
            return f"index {index}: {projects} projects to look at"
        case events.IndexSettled(index=index, files=files, withdrawn=withdrawn, seconds=seconds):
            return f"index {index}: {files} files held, {len(withdrawn)} withdrawn, after {seconds:.1f} s"
        case _:
            return None


def _detail(event: events.Event) -> str | None:
    match event:
        case events.PageAnswered(index=index, project=project, unchanged=unchanged):
            return f"index {index}: page {project or '(list)'} {'unchanged' if unchanged else 'read'}"
        case events.FileHeld(receipt=receipt):
            return f"index {receipt.index}: {receipt.filename} held ({receipt.size} bytes)"
        case events.Collided(collision=c):
            hidden = ", ".join(c.hidden)
            return f"collision: tree {c.tree}, project {c.project}: index {c.owner} owns it, hidden from {hidden}"
        case _:
            return None


class _Bars:
    """A bar for every index: files held of those wanted, and the bytes so far."""

    def __init__(self, progress: Progress, lines: _Lines) -> None:
        self._progress, self._lines = progress, lines
        self._tasks: dict[IndexName, TaskID] = {}
        self._wanted: dict[IndexName, int] = {}
        self._bytes: dict[IndexName, int] = {}

    def note(self, event: events.Event) -> None:
        """Move the bars."""
        match event:
            case events.IndexListed(index=index):
                self._tasks[index] = self._progress.add_task(index, total=None, received="")
            case events.PagePlanned(index=index, fetch=fetch):
                self._wanted[index] = self._wanted.get(index, 0) + len(fetch)
                self._progress.update(self._tasks[index], total=self._wanted[index] or None)
            case events.BytesReceived(index=index, size=size):
                self._bytes[index] = self._bytes.get(index, 0) + size
                self._progress.update(self._tasks[index], received=size_text(self._bytes[index]))
            case events.FileHeld(receipt=receipt):
                self._progress.advance(self._tasks[receipt.index])
            case events.IndexSettled(index=index) if index in self._tasks and not self._wanted.get(index):
                self._progress.update(self._tasks[index], total=1, completed=1, received="nothing to fetch")
            case _:
                pass
        self._lines.note(event)


def summary(report: Report, plan: Plan | None = None) -> str:
    """The end of a run, in a few lines; of a dry run, what the `plan` says."""
    lines = [_index_line(index) for index in report.indexes]
    if plan is not None:
        lines += [line for index in plan.indexes for line in _planned(index)]
    if report.collisions:
        count = len(report.collisions)
        lines.append(f"collisions in merged trees: {count}; the first index's project is shown (the report names them)")
    if report.dry_run:
        lines.append("dry run: nothing was changed")
    elif report.published:
        lines.append(f"published generation {report.generation} in {report.seconds:.1f} s")
    elif report.generation is not None:
        lines.append(f"nothing new; generation {report.generation} stays, after {report.seconds:.1f} s")
    else:
        lines.append("nothing is published yet")
    if report.error:
        lines.append(f"failed: {report.error}")
    return "\n".join(lines)


def _planned(index: PlannedIndex) -> list[str]:
    """What would happen to an index, for people; the files to be withdrawn by name, since that is what may hurt."""
    if index.reason is not None:
        return [f"{index.name}: nothing would change ({index.reason})"]
    size = size_text(index.bytes) + (f", and {index.unsized} of unknown size" if index.unsized else "")
    of = f"of {len({file.project for file in index.fetch})} projects, {size}" if index.fetch else ""
    would = f"{index.name}: {index.projects} projects; would fetch {len(index.fetch)} files {of}".rstrip()
    lines = [f"{would}; keep {index.keep}; withdraw {len(index.withdraw)}"]
    lines += [f"{index.name}: would withdraw {name}" for name in index.withdraw[:_NAMED]]
    more = len(index.withdraw) - _NAMED
    return [*lines, f"{index.name}: would withdraw {more} more; --plan FILE names all"] if more > 0 else lines


def explanation(explained: events.Explained) -> str:
    """What is decided of every file of one page: a line each, with its rule and why."""
    where = f"index {explained.index}, project {explained.project}"
    if explained.failed is not None:
        return f"{where}: {explained.failed}\n"
    kept = sum(verdict.kept for verdict in explained.verdicts)
    lines = [f"{where}: {kept} of {len(explained.verdicts) + len(explained.refused)} files kept"]
    for verdict in explained.verdicts:
        decided = f"kept     {verdict.link.filename}" if verdict.kept else f"dropped  {verdict.link.filename}"
        lines.append(f"{decided}  {verdict.why}" if verdict.kept else f"{decided}  {verdict.rule}: {verdict.why}")
    lines += [f"refused  {refusal.file or '-'}  {refusal.rule}: {refusal.why}" for refusal in explained.refused]
    return "\n".join(lines) + "\n"


def _index_line(index: IndexReport) -> str:
    text = f"{index.name}: {index.state}"
    if index.reason:
        text += f" ({index.reason}: {index.what})"
    text += f"; {index.files} files published, {index.files_fetched} fetched ({size_text(index.bytes)}), "
    text += f"{index.files_kept} kept, {index.files_withdrawn} withdrawn"
    if index.to_fetch > index.files_fetched + index.files_recalled:
        text += f", {index.to_fetch} wanted"
        text += f" ({size_text(index.to_fetch_bytes)})" if index.to_fetch_bytes else ""
    problems = {"refused": len(index.refused), "in trouble": len(index.troubles), "foreign links": index.foreign_links}
    return text + "".join(f", {count} {what}" for what, count in problems.items() if count)


def size_text(size: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} GiB"


@contextmanager
def bar(what: str, *, quiet: bool) -> Iterator[Callable[[int, int], None]]:
    """A bar of the bytes that are done, told how many and of how many; silence where no terminal is."""
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        task = bars.add_task(what, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)
