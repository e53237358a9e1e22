"""Results as bars: one figure for each scenario, medians with the range of all rounds. The one user of matplotlib."""

from __future__ import annotations

import statistics
from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from bench.results import Results, Sample
from bench.scenarios import Scenario

_NOTHING: dict[str, dict[str, None]] = {
    ".svg": {"Creator": None, "Date": None, "Format": None, "Type": None},
    ".png": {"Software": None},
}
"""Of what matplotlib adds, so that the same results give the same bytes."""
_OURS, _PEERS = "#20639b", "#b0b7bf"


def chart(results: Results, directory: Path) -> list[Path]:
    """Write `<scenario>.svg` and `.png` below `directory`; their paths. Rows that failed or are missing have no bar."""
    mpl.use("Agg")
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for scenario in results.scenarios:
        rows = {
            name: good
            for name, samples in results.of(scenario.name).items()
            if (good := [sample for sample in samples if sample.status == "ok"])
        }
        if rows:
            written += _figure(scenario, rows, directory)
    return written


def _figure(scenario: Scenario, rows: dict[str, list[Sample]], directory: Path) -> list[Path]:
    names = list(rows)
    seconds = [[sample.cost.seconds for sample in samples] for samples in rows.values()]
    middles = [statistics.median(each) for each in seconds]
    below = [middle - min(each) for middle, each in zip(middles, seconds, strict=True)]
    above = [max(each) - middle for middle, each in zip(middles, seconds, strict=True)]
    figure, axes = plt.subplots(figsize=(8, 1.2 + 0.4 * len(names)), layout="constrained")
    colours = [_OURS if name.startswith("mirror") else _PEERS for name in names]
    bars = axes.barh(names, middles, xerr=(below, above), color=colours, ecolor="#444444", capsize=3)
    axes.bar_label(bars, [f"{middle:.2f}" for middle in middles], padding=6)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.15)
    axes.set_xlabel(f"seconds, median and range of {max(map(len, seconds))} interleaved rounds")
    axes.set_title(f"{scenario.name}: {scenario.concurrency} at once, {scenario.delay:g} ms", loc="left")
    paths = [directory / f"{scenario.name.replace('/', '-')}.{kind}" for kind in ("svg", "png")]
    for path in paths:
        figure.savefig(path, dpi=150, metadata=_NOTHING[path.suffix])
    plt.close(figure)
    return paths
