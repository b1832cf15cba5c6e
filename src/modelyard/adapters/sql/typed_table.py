"""A table whose rows are one dataclass: the only place where the two meet."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec
import sqlalchemy as sa
from sqlalchemy import ColumnElement, Table
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.exc import IntegrityError

from modelyard.adapters.sql.problems import Violation, violation
from modelyard.adapters.sql.session import Row, Session
from modelyard.core import Page, PageRequest, Problem, to_text
from modelyard.core.pages import MAX_LIMIT

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")


_Codes = Mapping[Violation | None, str]
When = Callable[[Any], ColumnElement[bool]]  # takes the columns of the row that is to be inserted


class TypedTable(Generic[T]):
    """Rows of `table` as values of `kind`.

    A field with a column of its name is kept there, all others in the column `body`. Every verb is within one scope (a project,
    in tenancy an organisation), which is the value of the column `scope`.

    Parameters
    ----------
    noun
        What a row is called in problems: `run.missing`.
    key
        The columns that, with the scope, name a row.
    left_out
        Fields that are kept in another table.
    shown_by
        The command that shows which rows there are, with the names of key columns in braces; None: `yard NOUN list`.
    """

    def __init__(
        self,
        table: Table,
        kind: type[T],
        noun: str,
        *,
        key: tuple[str, ...] = ("id",),
        scope: str | None = "project",
        left_out: Iterable[str] = (),
        shown_by: str | None = None,
    ) -> None:
        self.table = table
        self.noun = noun
        self._kind = kind
        self._key = key
        self._shown_by = shown_by or f"yard {noun} list"
        self._scope = scope
        self._columns = [f.name for f in fields(kind) if f.name in table.c]
        self._rest = [f.name for f in fields(kind) if f.name not in table.c and f.name not in left_out]

    def row(self, scope: str, thing: T, **more: Any) -> dict[str, Any]:
        """Return the row of a thing."""
        plain: dict[str, Any] = msgspec.to_builtins(thing, builtin_types=(datetime,))
        if self._scope and plain.get(self._scope, scope) != scope:
            raise Problem(
                f"{self.noun}.missing",
                f"There is no such {self.noun}",
                f"it is of another {self._scope}",
                f"name it in its own {self._scope}",
            )
        row = {name: plain[name] for name in self._columns} | more
        if self._scope:
            row[self._scope] = scope
        if "body" in self.table.c:
            row["body"] = {name: plain[name] for name in self._rest}
        return row

    def thing(self, row: sa.Row[Any], **left_out: Any) -> T:
        """Return the thing of a row; `left_out` gives the fields that are kept elsewhere."""
        kept = row._mapping
        plain = {name: kept[name] for name in self._columns} | (kept.get("body") or {}) | left_out
        return msgspec.convert(plain, self._kind)

    def things(self, rows: Iterable[sa.Row[Any]]) -> list[T]:
        """Return the things of a result's rows."""
        return [self.thing(row) for row in rows]

    def within(self, scope: str) -> ColumnElement[bool]:
        """Return the condition that a row is of this scope."""
        return self.table.c[self._scope] == scope if self._scope else sa.true()

    def add(self, session: Session, scope: str, things: Sequence[T], *, taken: str = "", orphan: str = "", **more: Any) -> None:
        """Insert. `taken` and `orphan` are the codes of the problems of a key that is there, and of a parent that is not."""
        codes: _Codes = {Violation.TAKEN: taken or f"{self.noun}.exists", Violation.ORPHAN: orphan}
        self._insert(session, scope, sa.insert(self.table), [self.row(scope, thing, **more) for thing in things], codes)

    def put(self, session: Session, scope: str, things: Sequence[T], *, orphan: str = "", **more: Any) -> None:
        """Insert, or replace by key."""
        rows = [self.row(scope, thing, **more) for thing in things]
        self._insert(session, scope, upsert(session, self.table), rows, {Violation.ORPHAN: orphan})

    def save(self, session: Session, scope: str, things: Sequence[T]) -> None:
        """Replace by key. Problem `NOUN.missing` when one is not there."""
        if not things:
            return
        session.hold(scope)
        rows = [self.row(scope, thing) for thing in things]
        keys = (self._scope, *self._key) if self._scope else self._key
        new = {name: sa.bindparam(f"new_{name}", type_=self.table.c[name].type) for name in rows[0] if name not in keys}
        old = [self.table.c[name] == sa.bindparam(f"old_{name}", type_=self.table.c[name].type) for name in keys]
        values = [{f"{'old' if n in keys else 'new'}_{n}": value for n, value in row.items()} for row in rows]
        if session.execute(sa.update(self.table).where(*old).values(new), values).rowcount != len(rows):
            self.get(session, scope, [tuple(row[name] for name in self._key) for row in rows])

    def get(self, session: Session, scope: str, keys: Sequence[tuple[Any, ...]]) -> list[T]:
        """Return things in the order of their keys. Problem `NOUN.missing` for an unknown one."""
        found = {tuple(row._mapping[name] for name in self._key): row for row in self.rows_of(session, scope, keys)}
        self.demand(keys, found)
        return [self.thing(found[key]) for key in keys]

    def rows_of(self, session: Session, scope: str, keys: Sequence[tuple[Any, ...]]) -> list[sa.Row[Any]]:
        """Return the rows that are there, in any order."""
        if not keys:
            return []
        session.hold(scope)
        columns = [self.table.c[name] for name in self._key]
        among = columns[0].in_([key[0] for key in keys]) if len(columns) == 1 else sa.tuple_(*columns).in_(keys)
        return list(session.execute(sa.select(self.table).where(self.within(scope), among)))

    def demand(self, keys: Iterable[tuple[Any, ...]], found: Mapping[tuple[Any, ...], object]) -> None:
        """Raise Problem `NOUN.missing` for the first key that is not found."""
        for key in keys:
            if key not in found:
                name = " ".join(str(part) for part in key)
                why = f"no {self.noun} of this {self._scope} has that id"
                step = self._shown_by.format(**dict(zip(self._key, key, strict=True)))
                raise Problem(f"{self.noun}.missing", f"There is no {self.noun} '{name}'", why, step)

    def find(self, session: Session, scope: str, *where: ColumnElement[bool], order: Sequence[str]) -> list[T]:
        """Return all that meet the conditions, by the columns of `order`."""
        session.hold(scope)
        query = sa.select(self.table).where(self.within(scope), *where).order_by(*(self.table.c[name] for name in order))
        return self.things(session.execute(query))

    def page(self, session: Session, scope: str, page: PageRequest, *where: ColumnElement[bool], by: str = "id") -> Page[T]:
        """Return a page of those that meet the conditions, highest `by` first."""
        session.hold(scope)
        column = self.table.c[by]
        query = sa.select(self.table).where(self.within(scope), *where).order_by(column.desc()).limit(limit_of(page) + 1)
        if page.after is not None:
            query = query.where(column < key_of(page.after, column))
        rows = list(session.execute(query))
        return cut(page, self.things(rows), [text_of(row._mapping[by]) for row in rows])

    def _insert(self, session: Session, scope: str, statement: sa.Insert, rows: Sequence[Row], codes: _Codes) -> None:
        if not rows:
            return
        session.hold(scope)
        try:
            with session.savepoint():
                session.execute(statement, rows)
        except IntegrityError as error:
            code = codes.get(violation(error))
            if not code:
                raise
            raise refused(code, rows) from error


def upsert(session: Session, table: Table, *, only: Sequence[str] = (), when: When | None = None) -> sa.Insert:
    """Return an insert that replaces the row which has the same primary key, or `only` some columns of it.

    `when` takes the columns of the new row and returns the condition on which it replaces the old one.
    """
    statement = (insert_postgresql if session.is_postgresql else insert_sqlite)(table)
    keys = [column.name for column in table.primary_key]
    names = only or [column.name for column in table.c if column.name not in keys]
    new = {name: statement.excluded[name] for name in names}
    where = when(statement.excluded) if when else None
    return statement.on_conflict_do_update(index_elements=keys, set_=new, where=where)


def insert_or_leave(session: Session, table: Table, *, by: Sequence[str]) -> sa.Insert:
    """Return an insert that leaves the row which has the same unique key `by` as it is."""
    make = insert_postgresql if session.is_postgresql else insert_sqlite
    return make(table).on_conflict_do_nothing(index_elements=by)


def refused(code: str, rows: Sequence[Row]) -> Problem:
    """Return the problem of rows that could not be written as they are."""
    noun, _, kind = code.partition(".")
    names = ", ".join(f"'{row.get('name') or row.get('number') or row.get('id')}'" for row in rows[:10])
    if kind == "missing":
        return Problem(code, f"What {names} belongs to is not there", f"there is no such {noun}", f"yard {noun} list")
    what = f"The {noun} {names} is there already"
    if kind == "exists":
        return Problem(code, what, "the name is taken", "choose another name")
    return Problem(code, what, "somebody else was first", "do it again")


def limit_of(page: PageRequest) -> int:
    """Return how many items a page may have."""
    return min(max(page.limit, 1), MAX_LIMIT)


def cut(page: PageRequest, things: Sequence[T], keys: Sequence[str]) -> Page[T]:
    """Return the page of a result that was asked for one row more than fits; `keys` are those of the things."""
    limit = limit_of(page)
    return Page(tuple(things[:limit]), keys[limit - 1] if len(things) > limit else None)


def text_of(key: Any) -> str:
    """Return the opaque text of a page's key."""
    return to_text(key) if isinstance(key, datetime) else str(key)


def key_of(after: str, column: ColumnElement[Any]) -> Any:
    """Return the key that a text stands for. Problem `page.invalid` when it is none."""
    try:
        return msgspec.convert(after, column.type.python_type, strict=False)
    except (msgspec.ValidationError, NotImplementedError) as error:
        why = "it is not one that an earlier page gave"
        raise Problem("page.invalid", f"'{after}' is no key of a page", why, "ask from the first page on") from error
