"""What durability costs: 2,000 files of 20 KB written and renamed, with no flush, two syncfs, or an fsync each.

Run `python -m bench.flush DIR`; DIR is made on the file system to measure, and removed.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from bench.rounds import interleaved
from mirror.store import disk

FILES, SIZE, ROUNDS = 2_000, 20_480, 5


def _run(root: Path, how: str) -> None:
    data = os.urandom(SIZE)
    root.mkdir(parents=True)
    paths = [root / f"{number:05}" for number in range(FILES)]
    for path in paths:
        disk.write_new(path, data, 0o444)
    _flush(root, paths, how)
    final = root / "final"
    final.mkdir()
    for path in paths:
        path.rename(final / path.name)
    _flush(root, [final, root], how)


def _flush(root: Path, paths: Iterable[Path], how: str) -> None:
    if how == "syncfs":
        disk.flush(root, paths)
    elif how == "fsync":
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.close(descriptor)


if __name__ == "__main__":
    target = Path(sys.argv[1]) / "flush"
    rows = {how: partial(_run, target, how) for how in ("nothing", "syncfs", "fsync")}
    interleaved(rows, ROUNDS, before=partial(shutil.rmtree, target, ignore_errors=True))
    shutil.rmtree(target)
