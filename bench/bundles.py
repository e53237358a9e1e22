"""How fast bundles are written and imported, beside `tar` and digests of the same files.

Run `python -m bench.bundles ROOT WORK [ROUNDS]`; ROOT is the root of a mirror, for example one that the test of real
trees left, and WORK a folder with room for four times as much. Whole processes, interleaved, each with the peak of its
memory; every round writes anew, and what it wrote is removed outside of the time. `cp` and `tar` prove and sync
nothing, so `sync -f` follows them.
"""

from __future__ import annotations

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

VOLUMES = {"1 GB": 10**9, "4 GiB": 4 << 30}


class Bench:
    """One root and the folder that is written to."""

    def __init__(self, root: Path, work: Path) -> None:
        self.root, self.work, self._numbers = root, work, 0
        self.blobs = [path for path in (root / "store").rglob("*") if path.is_file()]
        key = Ed25519PrivateKey.generate()
        private = serialization.PrivateFormat.OpenSSH
        text = key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption())
        (work / "key").touch(0o600)
        (work / "key").write_bytes(text)
        public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        (work / "signers").write_bytes(b"bench " + public + b"\n")
        tables = '[export]\nidentity = "bench"\nsign = "key"\n[import]\ntrust = "signers"\n'
        (work / "mirror.toml").write_text(f'root = "{root}"\n{tables}')

    def new(self) -> Path:
        """A name that is free."""
        self._numbers += 1
        return self.work / f"{self._numbers:03}"

    def mirror(self, *arguments: str | Path) -> list[str]:
        """A command."""
        config = ["-q", "-c", str(self.work / "mirror.toml")]
        return [sys.executable, "-m", "mirror", *map(str, arguments), *config]

    def shell(self, command: str, names: bool = True) -> list[str]:
        """A line of shell, which finds the names of all blobs in a file."""
        listed = self.work / "blobs"
        if names and not listed.exists():
            listed.write_bytes(b"\0".join(os.fsencode(path) for path in self.blobs))
        return ["sh", "-c", command.replace("BLOBS", str(listed))]


def timed(command: list[str]) -> tuple[float, float, float]:
    """Seconds, CPU seconds and the peak of memory in MiB of a command that has to succeed."""
    began = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def _rows(bench: Bench) -> dict[str, Callable[[], list[str]]]:
    bundles = {"directory": bench.work / "bundle-directory"}
    subprocess.run(bench.mirror("export", bundles["directory"]), check=True, stdout=subprocess.DEVNULL)
    for name, size in VOLUMES.items():
        bundles[name] = bench.work / f"bundle-{size}"
        command = bench.mirror("export", bundles[name], "--volume-size", str(size))
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    rows: dict[str, Callable[[], list[str]]] = {"export, directory": lambda: bench.mirror("export", bench.new())}
    for name, size in VOLUMES.items():
        rows[f"export, volumes of {name}"] = lambda size=size: bench.mirror(  # type: ignore[misc]
            "export", bench.new(), "--volume-size", str(size)
        )
    for name, bundle in bundles.items():
        rows[f"import, {name}"] = lambda bundle=bundle: bench.mirror(  # type: ignore[misc]
            "import", bundle, "--root", bench.new()
        )
    rows["bundle show, directory"] = lambda: bench.mirror("bundle", "show", bundles["directory"], "--root", bench.new())
    rows["tar, sync"] = lambda: bench.shell(f"tar -cf {(new := bench.new())} --null -T BLOBS -P && sync -f {new}")
    rows["tar, sync; openssl x2"] = lambda: bench.shell(
        f"tar -cf {(new := bench.new())} --null -T BLOBS -P && sync -f {new} && "
        "xargs -0 -P2 -n64 openssl dgst -sha256 < BLOBS"
    )
    rows["tar, sync; sha256sum x2"] = lambda: bench.shell(
        f"tar -cf {(new := bench.new())} --null -T BLOBS -P && sync -f {new} && xargs -0 -P2 -n64 sha256sum < BLOBS"
    )
    return rows


def main(root: Path, work: Path, rounds: int) -> None:
    """Print a line for each row."""
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=work) as directory:
        bench = Bench(root, Path(directory))
        size = sum(path.stat().st_size for path in bench.blobs)
        rows = _rows(bench)
        found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in rows}
        for _ in range(rounds):
            for name, command in rows.items():
                found[name].append(timed(command()))
                for path in Path(directory).glob("[0-9]*"):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                os.sync()
        print(f"{len(bench.blobs)} blobs, {size / 1e9:.2f} GB")
        for name, samples in found.items():
            seconds, cpu, peak = ([sample[part] for sample in samples] for part in range(3))
            median = statistics.median(seconds)
            text = f"{name:<28} median {median:6.2f} s ({min(seconds):.2f} to {max(seconds):.2f})"
            print(f"{text}, {size / 1e9 / median:.2f} GB/s, {statistics.median(cpu):.1f} CPU s, {max(peak):.0f} MiB")


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute(), int(sys.argv[3]) if len(sys.argv) > 3 else 3)
