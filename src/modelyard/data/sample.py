"""Samples: a uniform draw of rows without replacement, the same for the same rows and seed on every machine.

Each row has a hash of its place; those that hash lowest are drawn. So a smaller sample is part of a larger one, and no row of
a version is held in memory but those drawn; where rows were replaced, the keys of all are.
"""

import numpy as np
import numpy.typing as npt
import polars as pl

from modelyard.core import Problem, ProjectId
from modelyard.data import reading
from modelyard.data.rules import check_there
from modelyard.data.split import places, salted_hash
from modelyard.data.types import DatasetVersion
from modelyard.tenancy import Actor, authorise

_BLOCK = 1 << 20  # places hashed at once
_PLACE = "_row"  # one of the names that no column of a dataset may have


def sample_version(
    ports: reading.Ports, actor: Actor, project: ProjectId, version: DatasetVersion, size: int, seed: int = 0
) -> pl.DataFrame:
    """Return `size` rows of a dataset version, or all where it has no more, in their order.

    Raises as `sample_rows`, and Problem `dataset_version.dropped`.
    """
    authorise(actor, "dataset.read", project)
    batches = reading.batches_until(ports, project, version)
    check_there(batches[-1])
    rows = reading.read_batches(ports, batches, version)
    with reading.telling_dropped(ports, version):
        if not any(one.replaced for one in batches):
            return sample_rows(rows, version.rows, size, seed)
        key = reading.find_dataset(ports, project, version.name).key
        last = rows.select(key).with_row_index(_PLACE).group_by(key).agg(pl.col(_PLACE).max())
        there = last.select(pl.col(_PLACE).sort()).collect(engine="streaming")[_PLACE]
        return _at(rows, there.gather(sample_places(there.len(), _checked(size), seed)))


def sample_rows(rows: pl.LazyFrame, height: int, size: int, seed: int = 0) -> pl.DataFrame:
    """Return `size` of the `height` rows, or all where there are no more, in their order.

    Raises
    ------
    Problem
        `sample.invalid` for a size below 1.
    """
    if _checked(size) >= height:
        return rows.collect(engine="streaming")
    return _at(rows, pl.Series(_PLACE, sample_places(height, size, seed), dtype=pl.get_index_type()))


def sample_places(height: int, size: int, seed: int = 0) -> npt.NDArray[np.int64]:
    """Return the places, counted from 0 and ascending, of `size` among `height` rows; fewer where there are no more.

    >>> sample_places(1000, 3), sample_places(1000, 3, seed=1)
    (array([ 36, 145, 817]), array([524, 649, 804]))
    """
    # Salted: the rows drawn shall not be those that a split at random, by the same hash, tests on.
    salt = f"sample {seed}"
    lowest: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
    hashes = np.empty(0, dtype=np.uint64)
    for start in range(0, height, _BLOCK):
        stop = min(start + _BLOCK, height)
        hashes = np.concatenate([hashes, salted_hash(places(stop, start), salt)])
        lowest = np.concatenate([lowest, np.arange(start, stop, dtype=np.int64)])
        if hashes.size > size:
            kept = np.argpartition(hashes, size)[:size]
            hashes, lowest = hashes[kept], lowest[kept]
    return np.sort(lowest)


def _at(rows: pl.LazyFrame, there: pl.Series) -> pl.DataFrame:
    """Return the rows at ascending places."""
    drawn = there.alias(_PLACE).to_frame().lazy()
    return rows.with_row_index(_PLACE).join(drawn, on=_PLACE, how="semi").collect(engine="streaming").sort(_PLACE).drop(_PLACE)


def _checked(size: int) -> int:
    if size < 1:
        raise Problem("sample.invalid", f"A sample of {size} rows cannot be drawn", "it has at least one", "ask for more")
    return size
