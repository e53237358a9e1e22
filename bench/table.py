"""Results as Markdown: medians, ranges, and ratios that were formed within a round."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence

from bench.results import Results, Sample
from bench.scenarios import Scenario

PEER = "aria2c, no syncs"
"""What ratios are to, if nobody says otherwise."""
_GIB = 2**30
_HEADER = (
    "row",
    "seconds (range)",
    "x {peer} (range)",
    "CPU s",
    "CPU s per 1,000 files",
    "CPU s per GiB",
    "peak MiB",
    "server CPU s",
    "right credential",
    "files",
    "verifies",
    "syncs",
    "remarks",
)


def table(results: Results, peer: str = PEER) -> str:
    """One table for each scenario; ratios are to the row `peer` in the same round, medians of all rounds.

    Where a scenario has no such row, they are to its first peer.
    """
    machine = results.machine
    memory = f"{machine.memory / _GIB:.0f} GiB"
    where = f"{machine.cores} cores, {memory}, Linux {machine.kernel}, {machine.file_system}, Python {machine.python}"
    lines = [f"{results.began}, scale {results.scale:g}: {where}"]
    for scenario in results.scenarios:
        lines += ["", *_scenario(scenario, results.of(scenario.name), peer)]
    return "\n".join(lines)


def _scenario(scenario: Scenario, rows: dict[str, list[Sample]], peer: str) -> list[str]:
    samples = [sample for each in rows.values() for sample in each if sample.status != "missing"]
    title = f"**{scenario.name}**: {scenario.indexes} indexes, {scenario.transport}, {scenario.delay:g} ms, "
    title += f"{scenario.concurrency} at once"
    if samples:
        quiet = [sample.calibration * 1000 for sample in samples]
        title += f"; calibration {_spread(quiet, '.0f')} ms, steal up to {max(s.steal for s in samples):.1%}"
    peers = [name for name in rows if not name.startswith("mirror") and rows[name][-1].status == "ok"]
    peer = peer if peer in rows or not peers else peers[0]
    header = [column.format(peer=peer) for column in _HEADER]
    lines = [title, "", _line(header), _line(["---"] * len(header))]
    base = {sample.round: sample for sample in rows.get(peer, ()) if sample.status == "ok"}
    return [*lines, *(_line(_row(name, found, base)) for name, found in rows.items())]


def _row(name: str, samples: Sequence[Sample], base: dict[int, Sample]) -> list[str]:
    good = [sample for sample in samples if sample.status == "ok"]
    last = samples[-1]
    remarks = "; ".join(dict.fromkeys(sample.note for sample in samples if sample.note)).replace("|", "/")
    remarks = " ".join(remarks.split())
    if not good:
        files = f"{last.files:,} of {last.expected_files:,}" if last.status == "failed" else ""
        rate = _rate(samples) if last.status == "failed" else ""
        return [name, last.status, "", "", "", "", "", "", rate, files, last.verifies, last.syncs, remarks]
    if len(good) < len(samples):
        remarks = f"failed {len(samples) - len(good)} times; {remarks}"
    ratios = [s.cost.seconds / base[s.round].cost.seconds for s in good if s.round in base]
    return [
        name,
        _spread([sample.cost.seconds for sample in good], ".2f"),
        _spread(ratios, ".2f") if ratios else "",
        _median(good, lambda s: s.cpu, ".2f"),
        _median(good, lambda s: s.cpu * 1000 / s.files if s.files else 0, ".3f"),
        _median(good, lambda s: s.cpu * _GIB / s.bytes if s.bytes else 0, ".1f") if last.file_requests else "",
        _median(good, lambda s: s.cost.peak_kib / 1024, ".0f"),
        _median(good, lambda s: s.server_seconds, ".2f"),
        _rate(samples),
        f"{last.files:,}",
        last.verifies,
        last.syncs,
        remarks,
    ]


def _rate(samples: Sequence[Sample]) -> str:
    """The least of all rounds: one crossed credential is one too many."""
    rates = [sample.credential_rate for sample in samples if sample.credential_rate is not None]
    return f"{min(rates):.3f}" if rates else "none asked for"


def _median(samples: Sequence[Sample], of: Callable[[Sample], float], style: str) -> str:
    return format(statistics.median(map(of, samples)), style)


def _spread(values: Sequence[float], style: str) -> str:
    """`median (least to most)`, the median alone when there is nothing else."""
    middle = format(statistics.median(values), style)
    return middle if len(values) == 1 else f"{middle} ({min(values):{style}} to {max(values):{style}})"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
