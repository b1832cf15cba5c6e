"""Time data brought in, beside the usual ways: `python -m bench.data [--quick] [--only WORK] [--json FILE]`.

Works are `postgresql`, a table into memory; `kafka`, a topic into versions; `row` and `frame`, rows prepared for a model;
`asof`, what was known before; `checks`, a batch judged; `append`, a batch into a version, and two writers; `large` and
`engines`, whole sets prepared here, on Spark and on Ray. Their modules say more.
"""

import argparse
from importlib.metadata import version
from pathlib import Path

from bench.data import append, asof, checks, engines, kafka, large, postgresql, prepared
from bench.data.sides import PANDAS, POLARS
from bench.results import show
from tests.engines.clusters import RAY, SPARK

WORKS = {
    "postgresql": postgresql.measure,
    "kafka": kafka.measure,
    "row": prepared.row,
    "frame": prepared.frame,
    "asof": asof.measure,
    "checks": checks.measure,
    "append": append.measure,
    "large": large.measure,
    "engines": engines.measure,
}
PEERS = (POLARS, PANDAS, checks.PANDERA, checks.GREAT_EXPECTATIONS, append.DELTA, append.ICEBERG, large.DUCKDB)
REQUIRED = (*postgresql.PEER, *(one for peer in PEERS for one in peer.requirements), SPARK, RAY)


def main() -> int:
    """Measure and show."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="once instead of several times")
    parser.add_argument("--only", metavar="WORK", choices=list(WORKS), help=f"one of {', '.join(WORKS)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE")
    options = parser.parse_args()
    works = [options.only] if options.only else list(WORKS)
    results = [row for name in works for row in WORKS[name](quick=options.quick)]
    versions = {package: release for package, _, release in (one.partition("==") for one in REQUIRED)}
    versions |= {name: version(name) for name in ("polars", "confluent-kafka")}
    return show("data", results, versions=versions, json_file=options.json, keep=not options.quick and options.only is None)


if __name__ == "__main__":
    raise SystemExit(main())
