"""What the messages of a topic hold: JSON objects, CSV lines, Avro records, or Arrow streams of rows.

The types of columns that nobody told are found from all messages of a reading: `rows_of` decodes a stretch of them by what was
seen up to it, and once more where that turns out to be otherwise at the end.
"""

import csv
import json
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from math import isfinite
from typing import Any, Final, Protocol

import orjson
import polars as pl

from modelyard.adapters.kafka.columns import Document, Fields, Wrong, frame_of, why_not_held
from modelyard.core import first_line
from modelyard.data.csv_types import TEXT, TextType, joined, type_of
from modelyard.data.schema import fitting, stored_type

Decode = Callable[[bytes], Sequence[Document]]


class Undecodable(ValueError):
    """A message is not what its topic is said to hold; the text says why."""


@dataclass(frozen=True, eq=False)
class Rows:
    """The rows of messages.

    Parameters
    ----------
    frame
        The rows of all messages that could be decoded, in their order.
    owners
        Of each row, the message that it is of, counted from 0.
    wrong
        Why the others could not, by message.
    untold
        Fields that were met, and have no column, since nothing told of what type they are.
    """

    frame: pl.DataFrame
    owners: pl.Series
    wrong: Wrong
    untold: frozenset[str] = frozenset()


class Form(Protocol):
    """How messages become rows. A new one for each reading."""

    @property
    def types(self) -> Mapping[str, pl.DataType]:
        """The columns, by what was told and seen so far."""
        ...

    def rows(self, messages: Sequence[bytes], *, learns: bool = True) -> Rows:
        """Return the rows of messages, in the columns that there are now; `learns`: what these tell of columns first."""
        ...


def rows_of(form: Form, stretches: Sequence[Sequence[bytes]]) -> Iterator[Rows]:
    """Return the rows of all messages, a stretch at a time, in the same columns."""
    found = deque(form.rows(stretch) for stretch in stretches)
    types = dict(form.types)
    for stretch in stretches:
        rows = found.popleft()
        otherwise = any(dtype != types.get(name) for name, dtype in rows.frame.schema.items())
        if otherwise or (types and not rows.frame.width) or not rows.untold.isdisjoint(types):
            rows = form.rows(stretch, learns=False)
        more = [pl.lit(None, dtype=dtype).alias(name) for name, dtype in types.items() if name not in rows.frame.columns]
        yield replace(rows, frame=rows.frame.with_columns(more).select(list(types))) if more and rows.frame.width else rows


class Documents:
    """Messages that hold documents.

    Parameters
    ----------
    decode
        Returns the documents of a message, or raises `Undecodable`.
    types
        What is known of columns.
    reserved
        Names that are added to each row.
    only
        Of columns that are not known, those that matter; None: all.
    texts
        Whether all values are texts, which may say something else: those of CSV.
    """

    def __init__(
        self,
        decode: Decode,
        types: Mapping[str, pl.DataType],
        reserved: Collection[str] = (),
        only: Collection[str] | None = None,
        *,
        texts: bool = False,
    ) -> None:
        self._decode = decode
        self._known = dict(types)
        self._fields = Fields(types, reserved=reserved, only=only)
        self._texts: dict[str, TextType | None] | None = {} if texts else None

    @property
    def types(self) -> Mapping[str, pl.DataType]:
        """See `Form.types`."""
        found = self._fields.types
        if self._texts is not None:
            found = {name: (self._texts.get(name) or TEXT).dtype for name in found}
        return {**self._known, **found}

    def rows(self, messages: Sequence[bytes], *, learns: bool = True) -> Rows:
        """Return one row for each document; a message of which one does not fit is wrong as a whole. See `Form.rows`."""
        documents, owners, wrong = self._decoded(messages)
        if learns:
            self._look(documents)
        types = self.types
        frame, unfit = frame_of(documents, types, self._fields)
        told = {owners[row]: why for row, why in sorted(unfit.items(), reverse=True)}  # the first row that does not fit
        rows = _without(frame, pl.Series(owners, dtype=pl.Int64), wrong | told)
        return replace(rows, untold=self._fields.untold)

    def _look(self, documents: Sequence[Document]) -> None:
        self._fields.look(documents)
        if self._texts is not None:
            for name in self._fields.types:
                values = pl.Series([one.get(name) for one in documents], dtype=pl.String)
                self._texts[name] = joined(self._texts.get(name), type_of(values))

    def _decoded(self, messages: Sequence[bytes]) -> tuple[list[Document], list[int], Wrong]:
        documents: list[Document] = []
        owners: list[int] = []
        wrong: Wrong = {}
        for place, message in enumerate(messages):
            try:
                found = self._decode(message)
            except Undecodable as error:
                wrong[place] = first_line(error)
            else:
                documents.extend(found)
                owners.extend([place] * len(found))
        return documents, owners, wrong


class ArrowStreams:
    """Messages that hold rows as an Arrow IPC stream, as many as it likes.

    A column that nobody told the type of has the one that it has in most messages. A message of which one value does not fit is
    wrong as a whole.
    """

    def __init__(
        self, types: Mapping[str, pl.DataType], reserved: Collection[str] = (), only: Collection[str] | None = None
    ) -> None:
        self._known = dict(types)
        self._fields = Fields(types, reserved=reserved, only=only)
        self._seen: dict[str, Counter[pl.DataType]] = {}

    @property
    def types(self) -> Mapping[str, pl.DataType]:
        """See `Form.types`."""
        taken = self._fields.types
        found = {name: counts.most_common(1)[0][0] for name, counts in self._seen.items() if name in taken}
        return {**self._known, **found}

    def rows(self, messages: Sequence[bytes], *, learns: bool = True) -> Rows:
        """Return the rows of these messages; see `Form.rows`."""
        read = [_arrow(message) for message in messages]
        if learns:
            self._look([frame for frame, _ in read if frame is not None])
        types = self.types
        frames, owners, wrong = [pl.DataFrame(schema=types)], [pl.Series([], dtype=pl.Int64)], Wrong()
        for place, (frame, unread) in enumerate(read):
            fitted, why = (None, unread) if frame is None else self._fitted(frame, types)
            if fitted is None:
                wrong[place] = why
            else:
                frames.append(fitted)
                owners.append(pl.Series([place], dtype=pl.Int64).new_from_index(0, fitted.height))
        return Rows(pl.concat(frames), pl.concat(owners), wrong)

    def _look(self, frames: Sequence[pl.DataFrame]) -> None:
        for frame in frames:
            self._fields.look([dict.fromkeys(frame.columns, True)])
            for name, dtype in frame.schema.items():
                stored = stored_type(dtype)
                if stored is not None and not why_not_held(stored) and frame[name].null_count() < frame.height:
                    self._seen.setdefault(name, Counter())[stored] += 1

    def _fitted(self, frame: pl.DataFrame, types: Mapping[str, pl.DataType]) -> tuple[pl.DataFrame | None, str]:
        for name in frame.columns:
            if name not in types and self._fields.matters(name) and frame[name].null_count() < frame.height:
                stored = stored_type(frame.schema[name])
                why = f"no table holds {frame.schema[name]}" if stored is None else why_not_held(stored)
                return None, f"the column '{name}' is not taken: {why or self._fields.why_not(name)}"
        columns = []
        for name, dtype in types.items():
            if name not in frame.columns:
                columns.append(pl.Series(name, [None], dtype=dtype).new_from_index(0, frame.height))
                continue
            column, fits = fitting(frame[name], dtype)
            if not fits.all():
                row = int((~fits).arg_true()[0])
                return None, f"the column '{name}' holds {str(frame[name][row])[:60]!r} in row {row}, and {dtype} is expected"
            columns.append(column)
        if not columns and frame.height:
            return None, "nothing in it tells a column"
        return pl.DataFrame(columns), ""


def json_object(message: bytes) -> list[Document]:
    r"""Return the object that a message is, in strict JSON: no NaN, no name twice, no number beyond 64 bits.

    >>> json_object(b'{"delay": 2.5}')
    [{'delay': 2.5}]

    Raises
    ------
    Undecodable
    """
    try:
        text = message.decode().strip(_SPACE)
        found, end = _JSON.raw_decode(text)
        if b"\\u" in message:
            orjson.loads(message)  # which, unlike the standard library, does not take half a character
    except UnicodeDecodeError as error:
        raise Undecodable("it is no text in UTF-8") from error
    except RecursionError as error:
        raise Undecodable("it is nested too deep") from error
    except Undecodable:
        raise
    except ValueError as error:
        raise Undecodable(f"it is no JSON: {first_line(error)}") from error
    if end < len(text):
        raise Undecodable("it is no JSON: something stands behind its end")
    if type(found) is not dict:
        raise Undecodable("it is JSON, and no object")
    return [found]


def csv_lines(columns: Sequence[str] = ()) -> Decode:
    """Return what reads messages of one or more lines of CSV; without columns, the first line of each names them.

    An empty field is null.
    """

    def decode(message: bytes) -> list[Document]:
        try:
            lines = [line for line in csv.reader(StringIO(message.decode(), newline=""), strict=True) if line]
        except (UnicodeDecodeError, csv.Error) as error:
            raise Undecodable(f"it is no CSV: {first_line(error)}") from error
        names = columns or (lines.pop(0) if lines else [])
        if len(set(names)) < len(names):
            raise Undecodable("it names a column twice")
        if not lines:
            raise Undecodable("it has no line with values")
        for line in lines:
            if len(line) != len(names):
                raise Undecodable(f"a line has {len(line)} fields, and {len(names)} are expected")
        return [{name: value or None for name, value in zip(names, line, strict=True)} for line in lines]

    return decode


def _without(frame: pl.DataFrame, owners: pl.Series, wrong: Wrong) -> Rows:
    if not wrong:
        return Rows(frame, owners, wrong)
    right = ~owners.is_in(list(wrong))
    return Rows(frame.filter(right), owners.filter(right), wrong)


def _arrow(message: bytes) -> tuple[pl.DataFrame | None, str]:
    try:
        frame = pl.read_ipc_stream(message)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        return None, f"it is no Arrow stream: {str(error).splitlines()[0][:200] if str(error) else 'it ends too soon'}"
    return frame, ""


def _object(pairs: list[tuple[str, Any]]) -> Document:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for name, count in Counter(name for name, _ in pairs).items() if count > 1)
        raise Undecodable(f"it has the field {twice[:60]!r} twice")
    return found


def _number(text: str) -> float:
    found = float(text)
    if not isfinite(found):
        raise Undecodable(f"the number {text[:60]} is beyond 64 bits")
    return found


def _no_number(text: str) -> float:
    raise Undecodable(f"{text} is no JSON")


_SPACE: Final = " \t\n\r"  # of JSON
_JSON: Final = json.JSONDecoder(object_pairs_hook=_object, parse_float=_number, parse_constant=_no_number)
