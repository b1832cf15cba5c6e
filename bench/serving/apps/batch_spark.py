"""Batch scoring by Spark on two cores: a scikit-learn pipeline in `mapInPandas`, over Arrow.

`python -m bench.serving.apps.batch_spark MODEL IN OUT`
"""

# mypy: disable-error-code="import-untyped,import-not-found"

import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import joblib
import pandas as pd
from pyspark import SparkFiles
from pyspark.sql import SparkSession
from pyspark.sql.types import DoubleType, StructField, StructType

from bench.serving.apps.columns import COLUMNS

CHUNK_ROWS = 50_000


def answering(file: str) -> Callable[[Iterable[pd.DataFrame]], Iterator[pd.DataFrame]]:
    """Return what answers for a partition, with the pipeline loaded once."""

    def answered(frames: Iterable[pd.DataFrame]) -> Iterator[pd.DataFrame]:
        pipeline = joblib.load(SparkFiles.get(file))
        for frame in frames:
            yield frame.assign(probability=pipeline.predict_proba(frame[COLUMNS])[:, 1])

    return answered


def main() -> None:
    """Answer for every row of a folder."""
    pipeline, source, target = sys.argv[1:4]
    settings = {
        "spark.driver.memory": "4g",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.ui.enabled": "false",
        "spark.sql.execution.arrow.maxRecordsPerBatch": str(CHUNK_ROWS),
        "spark.sql.parquet.compression.codec": "zstd",
    }
    builder = SparkSession.builder.master("local[2]").appName("batch")
    for name, value in settings.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.sparkContext.addFile(pipeline)
    rows = spark.read.parquet(source)
    schema = StructType([*rows.schema.fields, StructField("probability", DoubleType())])
    rows.mapInPandas(answering(Path(pipeline).name), schema).write.parquet(target)
    spark.stop()


if __name__ == "__main__":
    main()
