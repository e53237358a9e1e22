"""How fast `mirror verify` reads, beside sha256sum and openssl on the same files, from a cold and a warm cache.

Run `python -m bench.verify ROOT [ROUNDS]`; ROOT is the root of a mirror, for example one that the test of real trees
left. Whole processes, interleaved. Dropping the kernel's cache needs root; without it only the warm rows are run.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

from bench.rounds import interleaved

_DROP = Path("/proc/sys/vm/drop_caches")


def _verify(config: Path) -> None:
    command = [sys.executable, "-m", "mirror", "verify", "--all", "-q", "-c", str(config)]
    subprocess.run(command, check=True)


def _digest(tool: list[str], blobs: list[Path], processes: int) -> None:
    """Digests of all `blobs`, by so many processes side by side as xargs gives them."""
    command = ["xargs", "-0", "-P", str(processes), "-n", "64", *tool]
    names = b"\0".join(os.fsencode(path) for path in blobs)
    subprocess.run(command, input=names, stdout=subprocess.DEVNULL, check=True)


def _cold(run: partial[None]) -> None:
    _DROP.write_text("3")
    run()


if __name__ == "__main__":
    root, rounds = Path(sys.argv[1]).absolute(), int(sys.argv[2]) if len(sys.argv) > 2 else 5
    blobs = [path for path in (root / "store").rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in blobs)
    with tempfile.TemporaryDirectory() as directory:
        config = Path(directory) / "mirror.toml"
        config.write_text(f'root = "{root}"\n[[index]]\nname = "none"\nurl = "http://127.0.0.1:9/simple/"\n')
        rows = {"mirror verify": partial(_verify, config)}
        for name, tool in (("sha256sum", ["sha256sum"]), ("openssl dgst", ["openssl", "dgst", "-sha256"])):
            for processes in (1, 2):
                rows[f"{name} x{processes}"] = partial(_digest, tool, blobs, processes)
        print(f"{len(blobs)} blobs, {size / 1e9:.2f} GB; GB/s is {size / 1e9:.3f} divided by the seconds")
        if os.access(_DROP, os.W_OK):
            print("cold cache")
            interleaved({name: partial(_cold, run) for name, run in rows.items()}, rounds)
        print("warm cache (verify drops what it reads, so that the disk is read)")
        interleaved(rows, rounds)
