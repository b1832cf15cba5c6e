"""Raw rows that came column by column: each is a mapping for whoever asks for one, and none is made where columns will do."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any, TypeAlias, overload

from numpy.typing import NDArray

Row: TypeAlias = Mapping[str, object]
Part: TypeAlias = Mapping[str, Sequence[Any] | NDArray[Any]]  # columns of one length


class ColumnarRows(Sequence[Row]):
    """Rows in parts, such as the requests of a batch, each part as its columns.

    Parameters
    ----------
    parts
        In the order of the rows. They may hold other columns than one another: a row has those of its part.
    count
        Of the rows of all parts.
    """

    __slots__ = ("_count", "parts")

    def __init__(self, parts: Sequence[Part], count: int) -> None:
        self.parts = parts
        self._count = count

    @classmethod
    def of(cls, columns: Part) -> "ColumnarRows":
        """Return the rows of columns."""
        return cls((columns,), len(next(iter(columns.values()), ())))

    @classmethod
    def joined(cls, batches: "Sequence[ColumnarRows]") -> "ColumnarRows":
        """Return the rows of all batches, in their order."""
        return cls([part for batch in batches for part in batch.parts], sum([batch._count for batch in batches]))

    def __len__(self) -> int:
        """Return how many rows there are."""
        return self._count

    def __iter__(self) -> Iterator[Row]:
        """Give each row as a mapping."""
        for part in self.parts:
            for row in zip(*part.values(), strict=True):
                yield dict(zip(part, row, strict=True))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
        """Return one row as a mapping, or several as a list; looked for from the first row on."""
        if isinstance(index, slice):
            return list(self)[index]
        place = index + self._count if index < 0 else index
        for part in self.parts:
            length = len(next(iter(part.values()), ()))
            if 0 <= place < length:
                return {name: values[place] for name, values in part.items()}
            place -= length
        raise IndexError(index)

    def column(self, name: str) -> list[object]:
        """Return one column of all rows. `KeyError` where a part lacks it."""
        return list(chain.from_iterable([part[name] for part in self.parts]))


def row_reader(names: Sequence[str]) -> Callable[[Sequence[Row]], Iterator[tuple[Any, ...]]]:
    """Return what gives the values of each row in the order of `names`, of which there is at least one.

    It raises, at the first row that has not all of them or is no mapping, what looking there raises: `KeyError`, `TypeError` or
    `IndexError`; `ValueError` where the columns of a part are of several lengths.
    """
    get, single = itemgetter(*names), len(names) == 1

    def read(rows: Sequence[Row]) -> Iterator[tuple[Any, ...]]:
        if type(rows) is not ColumnarRows:
            return zip(map(get, rows)) if single else map(get, rows)
        if single:
            return chain.from_iterable(map(zip, map(get, rows.parts)))
        if len(rows.parts) == 1:
            return zip(*get(rows.parts[0]), strict=True)
        return chain.from_iterable(zip(*get(part), strict=True) for part in rows.parts)

    return read
