"""Spark: a cluster by its master's URL, or a server of Spark Connect."""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from modelyard.adapters.engines import need
from modelyard.core import Problem
from modelyard.core.problems import first_line
from modelyard.data.lake_files import LakeFiles, LakeFolder
from modelyard.prepare.engine import ROWS, Engine, Tables, prepare_piece

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

_PYTHON = "spark.pyspark.python"
PIECES_AT_ONCE = 64  # between two words about how far it is
_CONF = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",
    "spark.ui.enabled": "false",
    "spark.task.maxFailures": "4",
}


class SparkEngine:
    """Pieces as rows of a Spark frame, each done by the Python of an executor through `mapInArrow`."""

    def __init__(self, session: "SparkSession") -> None:
        self._session = session

    def each(self, work: str, pieces: Sequence[str]) -> Iterator[str]:
        """Have executors prepare the pieces."""

        def run(batches: Iterator[Any]) -> Iterator[Any]:
            import pyarrow

            for batch in batches:
                done = [prepare_piece(work, piece) for piece in batch.column("piece").to_pylist()]
                yield pyarrow.RecordBatch.from_pydict({"done": done})

        for start in range(0, len(pieces), PIECES_AT_ONCE):
            some = pieces[start : start + PIECES_AT_ONCE]
            rows = self._session.createDataFrame([(piece,) for piece in some], "piece string").repartition(len(some))
            with _told():
                answers = rows.mapInArrow(run, "done string").collect()
            yield from (row.done for row in answers)

    def query(self, sql: str, tables: Tables, folder: LakeFolder, scratch: Path) -> None:
        """Ask Spark SQL, over files that its executors see."""
        del scratch
        with _told(query=True):
            for name, files in {ROWS: tables.rows, **tables.others}.items():
                self._view(files).createOrReplaceTempView(name)
            found = self._session.sql(sql.strip().rstrip(";"))
            order = [found[_name(name)].asc_nulls_last() for name in tables.order(found.columns)]
            found.orderBy(*order).write.mode("overwrite").parquet(_address(folder.path))

    def _view(self, files: LakeFiles) -> "DataFrame":
        paths = [_address(one.path) for one in files.files]
        reader = self._session.read.option("mergeSchema", "true").option("recursiveFileLookup", "true")
        return reader.parquet(*paths).select(*map(_name, files.schema.names()))


def open_spark(url: str) -> AbstractContextManager[Engine]:
    """Return the engine at `spark://host:7077`, `spark://local` (this machine's cores) or `sc://host:15002` (Spark Connect).

    Further configuration stands behind the URL: `spark://host:7077?spark.pyspark.python=/opt/env/bin/python`.

    Raises
    ------
    Problem
        `adapter.unavailable` where Spark's Python is not installed. On entering `engine.invalid` for an option that is none of
        Spark's; `engine.unavailable` where nobody answers.
    """
    need("pyspark", "spark", "The engine Spark")
    return _session(url)


@contextmanager
def _session(url: str) -> Iterator[Engine]:
    from pyspark.sql import SparkSession

    parts = urlsplit(url)
    bare = url.partition("?")[0]
    options = dict(parse_qsl(parts.query))
    strange = sorted(name for name in options if not name.startswith("spark."))
    if strange or not parts.netloc:
        why = f"'{strange[0]}' is no option of Spark's" if strange else "it names no host"
        raise Problem("engine.invalid", f"{bare} cannot be an engine", why, "write spark://host:7077?spark.executor.memory=4g")
    local = parts.scheme == "spark" and parts.netloc == "local"
    # Spark takes the executors' Python from here, whatever the configuration says.
    os.environ["PYSPARK_PYTHON"] = options.get(
        _PYTHON, sys.executable if local else os.environ.get("PYSPARK_PYTHON", "python3")
    )
    with _told():
        builder: Any = SparkSession.builder.appName("modelyard")
        for name, value in _conf(options, connect=parts.scheme == "sc").items():
            builder = builder.config(name, value)
        builder = builder.remote(bare) if parts.scheme == "sc" else builder.master("local[*]" if local else bare)
        session = builder.getOrCreate()
    try:
        yield SparkEngine(session)
    finally:
        session.stop()


def _conf(options: Mapping[str, str], *, connect: bool) -> dict[str, str]:
    """Return the configuration; a server of Connect takes that of sessions alone."""
    conf = {**_CONF, **options}
    return {name: value for name, value in conf.items() if not connect or name.startswith("spark.sql.")}


def _name(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _address(path: str) -> str:
    return path.replace("s3://", "s3a://", 1) if path.startswith("s3://") else f"file://{path}"


@contextmanager
def _told(*, query: bool = False) -> Iterator[None]:
    from pyspark.errors import AnalysisException, ParseException, PySparkException

    try:
        yield
    except (AnalysisException, ParseException) as error:
        if not query:
            raise Problem("engine.unavailable", "Spark failed", first_line(error), "look at the engine's log") from error
        step = "mend the query; it may name rows, and the inputs of the step"
        raise Problem("query.invalid", "A step in SQL failed", first_line(error), step) from error
    except (PySparkException, OSError, RuntimeError) as error:
        told = str(error)
        absent = "No module named 'modelyard'" in told
        why = "its executors' Python has no modelyard" if absent else first_line(error)
        step = "install this release of modelyard where the executors run" if absent else "look whether it runs, and at its log"
        raise Problem("engine.unavailable", "Spark could not do the work", why, step) from error
