"""`mirror verify`."""

from __future__ import annotations

import argparse

from mirror.cli.commands import configured
from mirror.cli.output import bar, print_json, say, size_text
from mirror.model.secret import scrub
from mirror.run.night import interrupted
from mirror.run.report import Exit
from mirror.run.verify import Verified, Wish, verify


def verify_command(options: argparse.Namespace) -> int:
    """`mirror verify`."""
    settings = configured(options)
    wish = Wish(repair=options.repair, anew=options.all, max_duration=options.max_duration)
    with bar("verify", quiet=options.quiet) as progress:
        found, number = verify(settings, wish, progress, lambda _event: None)
    if options.json:
        print_json(found)
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
