"""The benchmark runs, counts what came, and says so when it is wrong. What it measures is nobody's business here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from bench.corpus import corpus, sizes_like_real_wheels
from bench.machine import which
from bench.results import Results
from bench.row import Count, right_files
from bench.server import serving

ROOT = Path(__file__).parents[1]
NEEDED = ("nginx", "curl", "openssl")
ROWS = {
    "small/plain": {
        "mirror",
        "mirror, no-op",
        "mirror, 1 % changed",
        "mirror, resumed",
        "aria2c",
        "curl, then openssl",
        "httpx",
    },
    "small/tls": {"curl"},
    "small/10ms": {"curl"},
    "no-op/10000": {"curl, conditional"},
}

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not all(map(which, NEEDED)), reason=f"one of {', '.join(NEEDED)} is not installed"),
]


def _bench(*arguments: str) -> str:
    command = [sys.executable, "-m", "bench", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_small_run_counts_every_file_and_credential_and_becomes_a_table(tmp_path: Path) -> None:
    """The states of `mirror sync` and its peers, each with all the files and none with a wrong credential."""
    out = tmp_path / "results.json"
    patterns = [f"{scenario}:{row}" for scenario, rows in ROWS.items() for row in rows]
    _bench("run", "--scale", "0.005", "--rounds", "1", "--work", str(tmp_path), "--out", str(out), "--rows", *patterns)
    results = msgspec.json.decode(out.read_bytes(), type=Results)
    assert {scenario.name: set(results.of(scenario.name)) for scenario in results.scenarios} == ROWS
    for sample in results.samples:
        if sample.row == "aria2c" and which("aria2c") is None:
            assert (sample.status, sample.note) == ("missing", "aria2c is not installed")
            continue
        assert sample.status == "ok", sample
        assert (sample.files, sample.bytes) == (sample.expected_files, sample.expected_bytes)
        assert sample.files >= 20
        assert sample.cost.seconds > 0
        assert sample.cost.peak_kib > 0
        assert sample.refused == 0
        asks_for_files = sample.row not in ("mirror, no-op", "curl, conditional")
        assert sample.credential_rate == (1.0 if asks_for_files else None)
        assert bool(sample.file_requests) == asks_for_files
    table = _bench("table", str(out), "--peer", "curl, then openssl")
    for sample in results.samples:
        assert f"| {sample.row} |" in table
    assert " | 1.00 | " in table


def test_a_wrong_credential_is_counted(tmp_path: Path) -> None:
    """A request with another index's credential is refused, and lowers the rate."""
    files = corpus("small", 0.002, tmp_path)
    with serving(files, 2, "plain", 0, tmp_path) as served:
        for file in files.files:
            index = served.indexes[0]
            command = ["curl", "-s", "-o", "/dev/null", "-u", f"{index.user}:{index.password}", served.file_url(file)]
            subprocess.run(command, check=True)
        traffic = served.traffic()
    own = sum(served.of_project[file.project] == index for file in files.files)
    assert 0 < own < len(files.files) == traffic.credentialed
    assert (traffic.right, traffic.refused) == (own, len(files.files) - own)
    assert traffic.credential_rate == own / len(files.files)


def test_a_damaged_or_missing_file_does_not_count(tmp_path: Path) -> None:
    """Only files with their size and digest do."""
    offered = corpus("pages", 0.0005, tmp_path).offered()
    places = {path.name: path for path in tmp_path.rglob("*.whl") if path.name in offered}
    assert right_files(tmp_path, offered) == Count(5, sum(file.size for file in offered.values()))
    first, second, *_ = places.values()
    first.write_bytes(bytes(first.stat().st_size))
    second.unlink()
    assert right_files(tmp_path, offered).files == 3


def test_the_sizes_of_the_mixed_corpus() -> None:
    """What its description says: the same each time, 791 MB, one file near 60 MB, most of them small."""
    sizes = sizes_like_real_wheels(960, 791_000_000)
    assert sizes == sizes_like_real_wheels(960, 791_000_000)
    assert abs(sum(sizes) - 791_000_000) < 10_000_000
    assert 40_000_000 < max(sizes) <= 60_000_000
    assert sorted(sizes)[480] < 400_000
