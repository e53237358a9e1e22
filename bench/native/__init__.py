"""The two small C programs of the benchmark, compiled once with cc; without a compiler they are simply not there."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

_HERE = Path(__file__).parent


def program(name: str, work: Path, *, shared: bool = False) -> Path | None:
    """The compiled `name`.c below `work`, made anew when the source is newer; None without cc."""
    compiler, source, target = shutil.which("cc"), _HERE / f"{name}.c", work / "native" / name
    if compiler is None:
        return None
    if not target.exists() or target.stat().st_mtime < source.stat().st_mtime:
        target.parent.mkdir(parents=True, exist_ok=True)
        kind = ["-shared", "-fPIC"] if shared else []
        subprocess.run([compiler, "-O2", "-Wall", *kind, "-o", str(target), str(source)], check=True)
    return target
