"""Lookups: which columns of a dataset join to a row, by which of the row's columns, and how old their values may be."""

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from modelyard.data.types import Column

Default: TypeAlias = bool | int | float | str


class Missing(Enum):
    """What stands where a lookup finds no value: no row of the entity that is young enough, or none in that row."""

    NULL = "null"
    DEFAULT = "default"  # the lookup's, of the column
    REFUSE = "refuse"  # nothing: the row is refused


@dataclass(frozen=True)
class Lookup:
    """Columns of a feature table, joined to a row as they were last known before the row's time.

    A feature table is a dataset with a time, and a key that names its entity; nothing else is declared of it.
    """

    dataset: str
    columns: tuple[str, ...]  # of the dataset
    by: tuple[str, ...]  # columns of the row, one for each of `entity`
    entity: tuple[str, ...]  # the dataset's columns that they equal: its key, but for the time
    time: str  # the dataset's column of event time
    max_age_s: float | None = None  # how old a value may be, that age included; None: any age
    missing: Missing = Missing.NULL
    defaults: tuple[Default, ...] = ()  # of `Missing.DEFAULT`: one a column
    prefix: str = ""  # of the columns' names in the row

    @property
    def names(self) -> tuple[str, ...]:
        """The names that the columns have in the row."""
        return tuple(self.prefix + column for column in self.columns)


@dataclass(frozen=True)
class Features:
    """All that a model version looks up."""

    lookups: tuple[Lookup, ...]
    columns: tuple[Column, ...]  # those of its inputs that are looked up, by their names in the row
    time: str  # the column of a row's time, where rows are joined and not asked about one by one
