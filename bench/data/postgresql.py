"""A table of PostgreSQL, 1 M rows of 25 columns, into one frame in memory: by a source of ours and by `pandas.read_sql`.

Each reads in a process of its own, in turns, pandas from an environment of its own that is kept in the user's cache; seconds
without imports, and the most memory that the process held. Both have to find the same rows.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from bench.results import Result
from tests.environments import python_with
from tests.services import Postgresql

HERE = Path(__file__).parent
PEER = ("pandas==3.1.1", "sqlalchemy==2.1.9", "psycopg[binary]==3.3.9")
ROWS = 1_000_000
FLOOR_TIME, AIM_TIME = 2.0, 4.0
FLOOR_MEMORY, AIM_MEMORY = 5.0, 8.0
TABLE = """
CREATE TABLE flights AS SELECT
    n AS id,
    timestamptz '2013-01-01' + n * interval '31 seconds' AS at,
    date '2013-01-01' + (n / 2800)::int4 AS day,
    n % 2 = 0 AS late,
    (array['JFK', 'LGA', 'EWR'])[1 + (n % 3)::int4] AS origin,
    'N' || n % 4000 AS tail,
    CASE WHEN n % 7 = 0 THEN NULL ELSE 'carrier ' || n % 16 END AS carrier,
    {integers},
    {floats}
FROM generate_series(1::int8, {rows}) AS n
"""


@contextmanager
def server() -> Iterator[str]:
    """Start a PostgreSQL server of our own and give its URL."""
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        scratch.chmod(0o711)
        found = Postgresql()
        try:
            yield found.start(scratch)
        finally:
            found.stop()


def fill(url: str) -> None:
    """Make the table: 25 columns of numbers, text, dates and truth values."""
    integers = ", ".join(f"((n * {7 + k}) % 10007)::int4 AS i{k}" for k in range(6))
    floats = ", ".join(f"sin(n * {k + 1})::float8 AS x{k}" for k in range(12))
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(TABLE.format(integers=integers, floats=floats, rows=ROWS).encode())
        connection.execute("VACUUM ANALYZE flights")


def read(command: Sequence[str], url: str) -> dict[str, Any]:
    """Return what one reading tells."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), os.environ.get("PYTHONPATH", "")])}
    done = subprocess.run([*command, url, "flights"], env=environment, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def measure(*, quick: bool) -> list[Result]:
    """Return the results; `quick`: each reads once instead of five times."""
    ours = [sys.executable, "-m", "bench.data.read_ours"]
    theirs = [str(python_with("bench-pandas", *PEER)), str(HERE / "read_pandas.py")]
    with server() as url:
        fill(url)
        read(ours, url), read(theirs, url)  # the table into the server's memory
        pairs = [(read(ours, url), read(theirs, url)) for _ in range(1 if quick else 5)]
    for mine, peer in pairs:
        if (mine["shape"], mine["id"]) != (peer["shape"], peer["id"]) or mine["shape"] != [ROWS, 25]:
            raise SystemExit(f"not the same rows: {mine} and {peer}")
    results = []
    for work, metric, key, floor, aim in (
        (f"PostgreSQL {ROWS:,} x 25: time", "s", "s", FLOOR_TIME, AIM_TIME),
        (f"PostgreSQL {ROWS:,} x 25: memory", "MB", "mb", FLOOR_MEMORY, AIM_MEMORY),
    ):
        mine, peer = (statistics.median(one[key] for one in side) for side in zip(*pairs, strict=True))
        results.append(Result(work, metric, "pandas.read_sql", mine, peer, peer / mine, floor, aim))
    return results
