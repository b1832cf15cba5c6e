"""What all databases share as sources: whether they are read on, and a reading that knows where it ended."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import polars as pl

from modelyard.adapters.databases.address import Address
from modelyard.adapters.databases.bookmark import Bookmark
from modelyard.data.sources import Undecoded


class Watermarked:
    """A source that is read on where its address names a watermark."""

    def __init__(self, address: Address) -> None:
        self._address = address

    @property
    def reads_on(self) -> bool:
        """Whether a column is named by which later rows are told."""
        return bool(self._address.watermark)

    @property
    def repeats(self) -> bool:
        """Whether it reads on: what is committed later may have the watermark of the last row."""
        return self.reads_on


@dataclass
class DatabaseReading:
    """One pass over the rows of a query."""

    address: Address
    batches: Iterator[tuple[pl.DataFrame, object]]  # rows in their types, and the watermark of the last one that has one
    bookmark: str
    part: str = ""
    share: float | None = None
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
