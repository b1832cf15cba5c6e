"""A set prepared by Spark's own expressions: `python -m bench.data.peers.engines_spark FOLDER LEARNED TARGET`."""

import json
import sys
from pathlib import Path

from pyspark.sql import SparkSession
from pyspark.sql.functions import coalesce, col, lit

from bench.data.side import take_turns


def main() -> None:
    """Prepare the set as often as asked."""
    folder, learned, target = sys.argv[1:]
    known = json.loads(Path(learned).read_text())
    builder = SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS")
    session = builder.config("spark.sql.session.timeZone", "UTC").getOrCreate()
    made = [
        *(col(name) for name in ("id", "at", *(f"n{number}" for number in range(8)))),
        *(
            ((coalesce(col(name), lit(median)) - lit(mean)) / lit(deviation)).cast("float").alias(name)
            for name, (median, mean, deviation) in known["numbers"].items()
        ),
        *(
            (col(name) == lit(value)).cast("float").alias(f"{name}_{value}")
            for name, values in known["categories"].items()
            for value in values
        ),
    ]

    def prepare() -> None:
        session.read.parquet(f"file://{folder}").select(*made).write.mode("overwrite").parquet(f"file://{target}")

    take_turns(prepare, lambda made, path: None)


if __name__ == "__main__":
    main()
