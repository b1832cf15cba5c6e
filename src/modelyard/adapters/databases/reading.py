"""A reading of a database's rows, which knows where it ended."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from modelyard.adapters.databases.address import Address
from modelyard.adapters.databases.bookmark import Bookmark
from modelyard.data.sources import Undecoded


@dataclass
class DatabaseReading:
    """One pass over the rows of a query."""

    address: Address
    batches: Iterator[tuple[pl.DataFrame, object]]  # rows in their types, and the watermark of the last one that has one
    bookmark: str
    part: str = ""
    undecoded: list[Undecoded] = field(default_factory=list)
    waiting: int = 0

    @property
    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows, a batch at a time."""
        last = None
        for frame, mark in self.batches:
            last = mark if mark is not None else last
            yield frame
        if last is not None:
            self.bookmark = Bookmark.at(self.address, last).text
