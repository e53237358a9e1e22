"""The soak: `python -m tests.month --nights 500 [--seed N]`. It ends at the first violation, and prints it."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import traceback
from pathlib import Path

from tests.month.inside import Inside
from tests.month.month import LONGEST, Month
from tests.world import World


def soak(nights: int, first: int) -> tuple[int, int]:
    """Live through so many nights, in months of seeds from `first`: how many there were, and how many violations."""
    lived, seed = 0, first
    while lived < nights:
        with tempfile.TemporaryDirectory() as directory, World() as world:
            try:
                month = Month(Path(directory), world, seed)
                for _ in range(min(LONGEST, nights - lived)):
                    month.live()
                    lived += 1
                month.end()
            except Exception:  # noqa: BLE001 - whatever it is, it is what the soak looks for
                print(f"a promise is broken in month --seed {seed}, night {month.night}", flush=True)
                traceback.print_exc()
                return lived, 1
        seed += 1
    return lived, 0


def main() -> int:
    """Parse the arguments, soak, and print what was met."""
    parser = argparse.ArgumentParser(prog="python -m tests.month", description=__doc__)
    parser.add_argument("--nights", type=int, default=200, help="how many")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the first month")  # noqa: S311
    options = parser.parse_args()
    lived, violations = soak(options.nights, options.seed)
    for name, times in Inside.met.most_common():
        print(f"  {name:56}{times:6}")
    imports = sum(times for name, times in Inside.met.items() if "taken" in name)
    refused = sum(times for name, times in Inside.met.items() if "refused" in name)
    print(f"nights {lived}, imports {imports}, refused {refused}, violations {violations}")
    return violations


if __name__ == "__main__":
    sys.exit(main())
