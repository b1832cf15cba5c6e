"""A batch judged by Modelyard: `python -m bench.data.checks_ours FILE`."""

import sys
from datetime import UTC, datetime

import polars as pl

from bench.data.arrays import keep_array
from bench.data.side import take_turns
from modelyard import quality
from modelyard.core import ProjectId
from modelyard.data.admission import judge, quarantine_rows
from modelyard.data.batch_findings import Against
from modelyard.data.types import Dataset, DatasetId

CHECKS = (
    quality.not_null("origin", "dest"),
    quality.one_of("origin", ["JFK", "LGA", "EWR"]),
    quality.one_of("carrier", ["AA", "B6", "DL", "UA"]),
    quality.matches("tail", "N[0-9]+"),
    quality.length_between("dest", 3, 3),
    quality.between("delay", -500, 3_000),
    quality.between("distance", 1, 10_000),
    quality.between("seats", 1, 900),
    quality.between("fare", 0, 5_000),
    quality.not_after("at", "now"),
)


def main() -> None:
    """Judge as often as asked; that no two rows have one key is the eleventh check."""
    rows = pl.read_parquet(sys.argv[1])
    now = datetime.now(UTC)
    flights = Dataset(DatasetId("d"), ProjectId("p"), "flights", ("id",), None, None, CHECKS, now)
    against = Against(rows.schema, None, ())

    def judged() -> pl.DataFrame:
        judgement = judge(rows, flights, None, against, now)
        if judgement.stopped:
            raise SystemExit("the batch was stopped")
        return quarantine_rows(judgement, "batch", now)

    take_turns(judged, lambda made, path: keep_array(made["_row"].to_numpy(), path))


if __name__ == "__main__":
    main()
