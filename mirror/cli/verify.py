"""`mirror verify`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from mirror.cli.commands import configured
from mirror.cli.output import say, size_text
from mirror.model.secret import scrub
from mirror.run.night import interrupted
from mirror.run.report import Exit, scrubbed
from mirror.run.verify import Progress, Verified, Wish, verify


def verify_command(options: argparse.Namespace) -> int:
    """`mirror verify`."""
    settings = configured(options)
    wish = Wish(repair=options.repair, anew=options.all, max_duration=options.max_duration)
    with _showing(quiet=options.quiet) as progress:
        found, number = verify(settings, wish, progress, lambda _event: None)
    if options.json:
        plain = scrubbed(msgspec.to_builtins(found))
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(plain)).decode() + "\n")
    else:
        for damage in found.damaged:
            print(scrub(f"damaged: {damage}"))
        for damage in found.repaired:
            print(scrub(f"repaired: {damage}"))
    for remark in found.remarks:
        say(f"not repaired: {remark}")
    if not options.quiet:
        say(_summary(found))
    if number is not None:
        return interrupted(number)
    return Exit.FAILED if found.damaged else Exit.COMPLETE


def _summary(found: Verified) -> str:
    speed = f"{found.bytes / found.seconds / 1e9:.2f} GB/s" if found.seconds else "no time at all"
    text = f"{found.contents} digests checked, {size_text(found.bytes)} read in {found.seconds:.1f} s ({speed}); "
    text += f"{len(found.damaged)} damaged, {len(found.repaired)} repaired"
    return text + (f"; {found.left} are left for the next run" if found.left else "")


@contextmanager
def _showing(*, quiet: bool) -> Iterator[Progress]:
    """A bar on a terminal, silence elsewhere."""
    if quiet or not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn, TransferSpeedColumn

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task("verify", total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
