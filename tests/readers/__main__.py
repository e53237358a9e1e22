"""`python -m tests.readers --generations 200`: the long run. Exits with 1 when anything failed."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.readers.run import run
from tests.site import Site
from tests.world import World


def main() -> int:
    """Run, and print one line, then each failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.readers", description=__doc__)
    parser.add_argument("--generations", type=int, default=200, help="how many to publish (default: 200)")
    parser.add_argument("--installs", type=int, default=20, help="at least so many by each of pip and uv (default: 20)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="readers-") as directory, World() as world:
        site = Site(Path(directory), world)
        done = run(site.directory, site, world, generations=options.generations, installs=options.installs)
    sys.stdout.write("\n".join([done.line, *done.problems]) + "\n")
    return 1 if done.problems else 0


if __name__ == "__main__":
    sys.exit(main())
