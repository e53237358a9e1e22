"""`python -m tests.crash [--kill] [--errors] [--power] [--every K] [--jobs N]`: strike at every point there is."""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from concurrent.futures import ProcessPoolExecutor

from tests.crash.counting import line
from tests.crash.harness import SERIES, STRIKES
from tests.crash.share import say, strike_share


def main() -> int:
    """Strike at all that is asked for; 1 if a promise was broken, or a strike of some kind could not be done."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash", description=__doc__)
    for flag, strike in zip(("--kill", "--errors", "--power"), STRIKES, strict=True):
        parser.add_argument(flag, action="append_const", dest="strikes", const=strike, help=f"only {strike}")
    parser.add_argument("--every", type=int, default=1, metavar="K", help="every K-th point only")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes to strike from")
    options = parser.parse_args()
    chosen = [series for series in SERIES if series.strike in (options.strikes or STRIKES)]
    skipped = [series for series in chosen if series.unavailable]
    for series in skipped:
        say(f"skipped: {series}: {series.unavailable}")
    counts = dict.fromkeys((series.strike for series in chosen), (0, 0))
    with ProcessPoolExecutor(options.jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        shares = [
            (series, pool.submit(strike_share, series, options.every, job, options.jobs))
            for series in chosen
            if series not in skipped
            for job in range(options.jobs)
        ]
        for series, share in shares:
            hit, _, broken = share.result()
            counts[series.strike] = (counts[series.strike][0] + hit, counts[series.strike][1] + broken)
    for strike, (hit, broken) in counts.items():
        say(line(strike, hit, broken))
    return int(bool(skipped) or any(broken for _, broken in counts.values()))


if __name__ == "__main__":
    sys.exit(main())
