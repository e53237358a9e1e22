"""The soak: `python -m tests.machine --steps 2000 [--seed N] [--shrink]`.

It runs examples until so many steps were done, and ends at the first violation, which it prints with the
steps that led there; with `--shrink` as few of them as can be found in some minutes.
"""

from __future__ import annotations

import argparse
import random
import sys
import traceback

from hypothesis import Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.machine.machine import Nights
from tests.machine.mirror import Mirror


def soak(steps: int, first: int, *, shrink: bool) -> int:
    """Run until `steps` steps are done or a promise is broken: 1 then, else 0."""
    phases = [Phase.generate, *([Phase.shrink] if shrink else [])]
    chosen = settings(
        max_examples=10,
        stateful_step_count=30,
        deadline=None,
        database=None,
        phases=phases,
        report_multiple_bugs=False,
    )
    for number in range(first, first + steps):
        if Nights.steps.total() >= steps:
            break
        try:
            run_state_machine_as_test(seed(number)(type("Nights", (Nights,), {})), settings=chosen)
        except Exception:  # noqa: BLE001 - whatever it is, it is what the soak looks for
            print(f"a promise is broken; --seed {number} finds it again", flush=True)
            traceback.print_exc()
            return 1
    return 0


def main() -> int:
    """Parse the arguments, soak, and print what was done."""
    parser = argparse.ArgumentParser(prog="python -m tests.machine", description=__doc__)
    parser.add_argument("--steps", type=int, default=2000, help="how many steps at least")
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="where to begin")  # noqa: S311
    parser.add_argument("--shrink", action="store_true", help="make what fails short, which takes minutes")
    options = parser.parse_args()
    violations = soak(options.steps, options.seed, shrink=options.shrink)
    for title, table in (("step", Nights.steps), ("change", Nights.changes), ("what was met", Mirror.met)):
        print(f"{title:44} times")
        for name, times in table.most_common():
            print(f"  {name:42}{times:6}")
    print(f"steps {Nights.steps.total()}, examples {Nights.steps['begin']}, violations {violations}")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
