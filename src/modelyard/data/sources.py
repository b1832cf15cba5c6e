"""The port of sources: rows that lie somewhere else, named by a URL and read as they are found.

Adapters live in `modelyard.adapters` and pass `modelyard.testing.source`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import polars as pl

from modelyard.core import Problem
from modelyard.data.schema import column_missing
from modelyard.data.store import Stretch

MOST_STREAMED = 1_000_000  # messages of a stream in one reading


@dataclass(frozen=True)
class Ask:
    """Which rows of a source are wanted.

    Parameters
    ----------
    columns
        The columns, in this order; None: all that the source has.
    within
        Rows of a stretch of time; those without a time are among them.
    after
        The bookmark at which an earlier reading ended, of a source that is read on from there; "" from the beginning.
    types
        What is known of the columns' types. A source whose rows tell no types reads them as these, and a stream sets a message
        aside that has other values; any other source gives its own types.
    """

    columns: tuple[str, ...] | None = None
    within: Stretch | None = None
    after: str = ""
    types: Mapping[str, pl.DataType] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True)
class Undecoded:
    """What lay in a stream and is no row: kept as it came."""

    content: bytes
    place: str  # where it lay: `flights/0/17`
    why: str


class Reading(Protocol):
    """One pass over the wanted rows of a source."""

    @property
    def frames(self) -> Iterator[pl.DataFrame]:
        """The rows, a bounded stretch at a time, in the source's order if it has one; to be gone through once.

        There is at least one frame, if only to tell the columns. Frames have the same columns and types, but for those of a
        stream, whose messages may change.
        """
        ...

    @property
    def part(self) -> str:
        """The URL of the file that the frame given last came from; "" where a source has no parts."""
        ...

    @property
    def share(self) -> float | None:
        """How much of the rows the frames given so far are, from 0 to 1, as far as is known; None: nobody knows."""
        ...

    @property
    def bookmark(self) -> str:
        """Where it ended, once all frames were taken; "" where nothing can be read on."""
        ...

    @property
    def undecoded(self) -> list[Undecoded]:
        """What could not be decoded, of the frames taken so far."""
        ...

    @property
    def waiting(self) -> int:
        """How many rows of a stream are there beyond the bookmark, as far as is known."""
        ...


class Source(Protocol):
    """Rows somewhere else. Safe to read several times, each time anew.

    Raises
    ------
    Problem
        From `read`, and from its frames: `source.missing` when nothing is there; `source.invalid` for content that cannot be
        read, with the place; `column.missing`; `source.forbidden` when the server does not let us in; `source.unavailable`
        when it does not answer, or was lost in between; `file.conflict` for a file that was replaced while it was read.
    """

    @property
    def reads_on(self) -> bool:
        """Whether a reading with a bookmark gives what came after it: streams, and tables with a watermark."""
        ...

    @property
    def repeats(self) -> bool:
        """Whether rows at the very bookmark come again: more may have been committed there meanwhile. Known by their key."""
        ...

    def read(self, ask: Ask) -> AbstractContextManager[Reading]:
        """Begin to read. What the server holds for it is given back at the end of the context, however that comes."""
        ...


@runtime_checkable
class LeadsOn(Protocol):
    """A source whose content names others to read."""

    def guarded(self, check: Callable[[str], None]) -> Source:
        """Return the same source, which asks `check` before it reaches a URL that its content names."""
        ...


@dataclass(frozen=True)
class Plain:
    """A reading of rows that are known as a lazy frame."""

    rows: pl.LazyFrame
    bookmark: str = ""
    part: str = ""
    share: float | None = None
    undecoded: list[Undecoded] = field(default_factory=list)
    waiting: int = 0

    @property
    def frames(self) -> Iterator[pl.DataFrame]:
        """Its rows, by Polars' streaming engine."""
        some = False
        for frame in self.rows.collect_batches(maintain_order=True):
            some = True
            yield frame
        if not some:
            yield pl.DataFrame(schema=self.rows.collect_schema())


@dataclass
class EachFile:
    """A reading of one file after the other."""

    urls: Sequence[str]
    frames_of: Callable[[int], Iterator[pl.DataFrame]]  # of the file with a number
    part: str = ""
    share: float | None = None
    bookmark: str = ""
    undecoded: list[Undecoded] = field(default_factory=list)
    waiting: int = 0

    @property
    def frames(self) -> Iterator[pl.DataFrame]:
        """Its rows; how far it is goes with the file."""
        for number, url in enumerate(self.urls):
            self.part, self.share = url, number / len(self.urls)
            yield from self.frames_of(number)


def wanted(rows: pl.LazyFrame, ask: Ask) -> pl.LazyFrame:
    """Return of all rows of a source those that were asked for. Problem `column.missing`, and `column.invalid` of a time."""
    known = rows.collect_schema()
    if ask.within is not None:
        if ask.within.column not in known:
            raise column_missing(ask.within.column, known.names())
        rows = rows.filter(lies_within(ask.within, known[ask.within.column]))
    if ask.columns is None:
        return rows
    for name in ask.columns:
        if name not in known:
            raise column_missing(name, known.names())
    return rows.select(ask.columns)


def lies_within(stretch: Stretch, dtype: pl.DataType) -> pl.Expr:
    """Return what is true for rows of the stretch, and for those without a time."""
    value = moment(stretch.column, dtype)
    passes = [pl.lit(value=True)]
    passes += [value >= stretch.since] if stretch.since is not None else []
    passes += [value < stretch.until] if stretch.until is not None else []
    return pl.all_horizontal(passes).fill_null(value=True)


def moment(column: str, dtype: pl.DataType) -> pl.Expr:
    """Return a time column as moments in UTC; a naive time is taken for UTC. Problem `column.invalid` for another type."""
    value = pl.col(column)
    if isinstance(dtype, pl.Datetime) and dtype.time_zone is not None:
        return value.dt.convert_time_zone("UTC")
    if isinstance(dtype, pl.Date | pl.Datetime):
        return value.cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    why = f"its values are {dtype}"
    raise Problem(
        "column.invalid", f"The column '{column}' holds no times", why, "make it dates or datetimes", {"column": column}
    )
