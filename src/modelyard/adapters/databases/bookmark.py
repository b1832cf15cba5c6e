"""Where a reading by a watermark ended: the column and its last value, as JSON."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

import msgspec

from modelyard.adapters.databases.address import Address
from modelyard.core import Problem, digest_bytes, digest_json

Value = int | float | Decimal | str | UUID | date | datetime

_KINDS: Final[dict[type, str]] = {
    int: "integer",
    float: "float",
    Decimal: "decimal",
    str: "text",
    UUID: "uuid",
    datetime: "datetime",
    date: "date",
}
_READ: Final[dict[str, Callable[[str], Value]]] = {
    "integer": int,
    "float": float,
    "decimal": Decimal,
    "text": str,
    "uuid": UUID,
    "datetime": datetime.fromisoformat,
    "date": date.fromisoformat,
}


@dataclass(frozen=True)
class Bookmark:
    """The watermark of the last row taken."""

    rows: str  # digest of the table's name, or of the query
    column: str
    kind: str
    value: str

    @classmethod
    def at(cls, address: Address, value: object) -> "Bookmark":
        """Return the bookmark of a value. Problem `source.invalid` for one of a type that has no order to read on by."""
        kind = _KINDS.get(type(value))
        if kind is None:
            why = f"its watermark '{address.watermark}' holds values of the type {type(value).__name__}"
            raise Problem("source.invalid", f"{address.told} cannot be read on", why, KINDS_STEP)
        text = value.isoformat() if isinstance(value, date) else str(value)
        return cls(_rows(address), address.watermark, kind, text)

    @classmethod
    def read(cls, address: Address, text: str) -> "Bookmark":
        """Return what a bookmark says. Problem `source.conflict` for one of other rows or another column."""
        try:
            found = msgspec.json.decode(text, type=cls)
            found.known()
        except (msgspec.DecodeError, LookupError, ValueError, ArithmeticError) as error:
            raise _conflict(address, "the bookmark is none of a database's") from error
        if found.rows != _rows(address):
            raise _conflict(address, "the bookmark is one of another table or query")
        if found.column != address.watermark:
            raise _conflict(address, f"the bookmark is one of the column '{found.column}', not of '{address.watermark}'")
        return found

    @property
    def text(self) -> str:
        """The bookmark as it is kept."""
        return msgspec.json.encode(self).decode()

    def known(self) -> Value:
        """Return the value in its type. Raises LookupError, ValueError or ArithmeticError where the text says none."""
        if "\0" in self.value:
            raise ValueError("no database keeps a NUL in a text")
        return _READ[self.kind](self.value)

    def of_kind(self, address: Address, kind: str | None) -> "Bookmark":
        """Return it where its value is of a kind; Problem `source.conflict` where the column's type was changed."""
        if self.kind != kind:
            raise _conflict(address, f"the bookmark is of the type {self.kind}, and '{self.column}' is {kind} now")
        return self


KINDS_STEP: Final = "name a column of integers, decimals, times, dates, text or UUIDs as watermark="


def _rows(address: Address) -> str:
    """Return which rows a bookmark is of. A schema that is left out may be another one tomorrow: it stays left out."""
    return digest_json(list(address.table)) if address.table else digest_bytes(address.query.encode())


def _conflict(address: Address, why: str) -> Problem:
    step = "read from the beginning: take the source without its bookmark, or name the rows and the watermark as before"
    return Problem("source.conflict", f"{address.told} cannot be read on from there", why, step)
