"""Work on the columns of a frame, several at once where they are long.

Polars, NumPy and hashlib let go of the interpreter while they work on long columns, so threads use all cores.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import polars as pl

Made = TypeVar("Made")

LONG = 1 << 16  # rows; of fewer, threads cost more than they save
THREADS = 4  # at most: each holds copies of the column it works on


def each_column(work: Callable[[pl.Series], Made], columns: Iterable[pl.Series]) -> list[Made]:
    """Return what `work` makes of each column, in their order.

    >>> each_column(pl.Series.len, pl.DataFrame({"id": [1, 2], "hour": [5, 6]}))
    [2, 2]
    """
    some = list(columns)
    if not some or some[0].len() < LONG:
        return [work(column) for column in some]
    with ThreadPoolExecutor(min(THREADS, os.cpu_count() or 1), thread_name_prefix="columns") as pool:
        return list(pool.map(work, some))
