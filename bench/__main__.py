"""`python -m bench`: list, run, table and chart."""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import msgspec

from bench.machine import which
from bench.results import Results
from bench.table import PEER, table


def main() -> int:
    """Run the command; 0, or 1 when a row failed."""
    options = _parser().parse_args()
    code: int = options.run(options)
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="The benchmark of index-mirror.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    commands.add_parser("list", help="the scenarios and their rows").set_defaults(run=_list)

    run = commands.add_parser("run", help="measure")
    run.add_argument("--rows", nargs="+", default=[], metavar="PATTERN", help="SCENARIO or SCENARIO:ROW, as globs")
    run.add_argument("--rounds", type=int, default=5, metavar="N", help="how often each row runs (default: 5)")
    run.add_argument("--scale", type=float, default=1.0, metavar="S", help="of the corpora: 0.01 takes seconds")
    run.add_argument("--work", type=Path, metavar="DIR", help="keeps the corpora (default: a temporary folder)")
    run.add_argument("--out", type=Path, metavar="FILE", help="the results, as JSON")
    run.add_argument("--real", type=Path, metavar="TREE", help="a tree of real distributions, for real/*")
    run.add_argument("--bandersnatch", action="store_true", help="install it below the work folder, and measure it")
    run.set_defaults(run=_run)

    shown = commands.add_parser("table", help="results as Markdown")
    shown.add_argument("file", type=Path, metavar="FILE")
    shown.add_argument("--peer", default=PEER, metavar="ROW", help=f"what ratios are to (default: {PEER})")
    shown.set_defaults(run=_table)

    chart = commands.add_parser("chart", help="results as SVG and PNG")
    chart.add_argument("file", type=Path, metavar="FILE")
    chart.add_argument("directory", type=Path, metavar="DIR")
    chart.set_defaults(run=_chart)
    return parser


def _list(_: argparse.Namespace) -> int:
    from bench.scenarios import SCENARIOS

    for scenario in SCENARIOS:
        what = f"{scenario.corpus}, {scenario.transport}, {scenario.delay:g} ms, {scenario.concurrency} at once"
        print(f"{scenario.name} ({what}, {scenario.indexes} indexes)")
        for row in scenario.rows:
            print(f"  {row}")
    return 0


def _run(options: argparse.Namespace) -> int:
    from bench import warehouse
    from bench.run import chosen, run

    if not 0 < options.scale <= 10 or options.rounds < 1:
        print("--scale is above 0 and at most 10, --rounds at least 1", file=sys.stderr)
        return 2
    if which("nginx") is None:
        print("nginx is not installed", file=sys.stderr)
        return 2
    scenarios = chosen(options.rows, real=options.real is not None)
    if not scenarios:
        print("no row has such a name; see `python -m bench list`", file=sys.stderr)
        return 2
    with ExitStack() as stack:
        work = options.work or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        work = work.absolute()
        work.mkdir(parents=True, exist_ok=True)
        if options.bandersnatch:
            warehouse.install(work)
        results = run(
            scenarios,
            rounds=options.rounds,
            scale=options.scale,
            work=work,
            real=options.real,
            tell=partial(_tell, options.out),
        )
    print(table(results))
    return 1 if any(sample.status == "failed" for sample in results.samples) else 0


def _tell(out: Path | None, results: Results) -> None:
    """Show the newest sample, and write all of them: a long run that is ended leaves what it has."""
    sample = results.samples[-1]
    figure = f"{sample.cost.seconds:8.2f} s" if sample.status == "ok" else sample.status
    print(f"round {sample.round}  {sample.scenario}: {sample.row:<24} {figure}  {sample.note}", file=sys.stderr)
    if out is not None:
        out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1))


def _read(path: Path) -> Results:
    return msgspec.json.decode(path.read_bytes(), type=Results)


def _table(options: argparse.Namespace) -> int:
    print(table(_read(options.file), peer=options.peer))
    return 0


def _chart(options: argparse.Namespace) -> int:
    from bench.chart import chart

    for path in chart(_read(options.file), options.directory):
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
