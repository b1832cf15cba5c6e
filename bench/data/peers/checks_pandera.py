"""A batch judged by pandera on Polars: `python -m bench.data.peers.checks_pandera FILE`."""

import sys
from datetime import datetime

import pandera.polars as pa
import polars as pl

from bench.data.arrays import keep_array
from bench.data.side import take_turns


def main() -> None:
    """Judge as often as asked."""
    rows = pl.read_parquet(sys.argv[1])
    schema = pa.DataFrameSchema(
        {
            "id": pa.Column(pl.Int64, unique=True),
            "at": pa.Column(pl.Datetime, pa.Check.le(datetime.now())),
            "origin": pa.Column(pl.String, pa.Check.isin(["JFK", "LGA", "EWR"])),
            "dest": pa.Column(pl.String, pa.Check.str_length(3, 3)),
            "tail": pa.Column(pl.String, pa.Check.str_matches("^N[0-9]+$"), nullable=True),
            "carrier": pa.Column(pl.String, pa.Check.isin(["AA", "B6", "DL", "UA"]), nullable=True),
            "delay": pa.Column(pl.Float64, pa.Check.in_range(-500, 3_000), nullable=True),
            "distance": pa.Column(pl.Int64, pa.Check.in_range(1, 10_000), nullable=True),
            "seats": pa.Column(pl.Int64, pa.Check.in_range(1, 900), nullable=True),
            "fare": pa.Column(pl.Float64, pa.Check.in_range(0, 5_000), nullable=True),
        }
    )

    def judged() -> tuple[pl.DataFrame, pl.DataFrame]:
        try:
            schema.validate(rows, lazy=True)
        except pa.errors.SchemaErrors as error:
            failed = error.failure_cases.group_by("index").agg("check").sort("index")
        else:
            raise SystemExit("no row was bad")
        places = failed["index"].cast(pl.Int64)
        bad = rows[places.to_list()].with_columns(failed["check"], places.alias("row"))
        return rows.filter(~pl.int_range(pl.len()).is_in(places.implode())), bad

    take_turns(judged, lambda made, path: keep_array(made[1]["row"].to_numpy(), path))


if __name__ == "__main__":
    main()
