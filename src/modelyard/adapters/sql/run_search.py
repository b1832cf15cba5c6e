"""How runs are filtered and ranked by the latest values of their metrics, a page at a time."""

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy import ColumnElement

from modelyard.adapters.sql.tables import LATEST_METRIC, RUN
from modelyard.adapters.sql.typed_table import cut, limit_of
from modelyard.core import Page, PageRequest, Problem, ProjectId
from modelyard.training import Run

_COMPARE: Mapping[str, Callable[[Any, float], Any]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "=": operator.eq,
    "!=": operator.ne,
}


def compares(project: ProjectId, metric: str, comparison: str, value: float) -> ColumnElement[bool]:
    """Return the condition that a run's latest value of `metric` compares so.

    Raises
    ------
    Problem
        `run.invalid` for a comparison that there is none of.
    """
    if comparison not in _COMPARE:
        why = f"it is one of {' '.join(_COMPARE)}"
        raise Problem("run.invalid", f"'{comparison}' is no comparison", why, "yard run list --where 'roc_auc > 0.9'")
    latest = LATEST_METRIC.alias()
    ours = (latest.c.project == project, latest.c.name == metric, _COMPARE[comparison](latest.c.value, value))
    return RUN.c.id.in_(sa.select(latest.c.run).where(*ours))


def order_of(sort: str | None) -> "Order":
    """Return the order that a `sort` names: `name`, `-name` (descending), or none: newest first."""
    return Order(sort.removeprefix("-"), sort.startswith("-")) if sort else Order(None, True)


@dataclass(frozen=True)
class Order:
    """Runs by a metric and then newest first, or newest first alone. Runs without a number for the metric come last."""

    metric: str | None
    descending: bool

    def query(self, conditions: Sequence[ColumnElement[bool]], page: PageRequest) -> sa.Select[Any]:
        """Return the query of one page: it ranks narrow rows first, and reads the whole of those that the page shows."""
        value = self._value()
        narrow = sa.select(RUN.c.project, RUN.c.id, value).where(*conditions).order_by(*self._by(value, RUN.c.number))
        if self.metric is not None:
            ours = (LATEST_METRIC.c.project == RUN.c.project) & (LATEST_METRIC.c.run == RUN.c.id)
            narrow = narrow.join_from(RUN, LATEST_METRIC, ours & (LATEST_METRIC.c.name == self.metric), isouter=True)
        if page.after is not None:
            narrow = narrow.where(self._follows(*_key_of(page.after)))
        ranked = narrow.limit(limit_of(page) + 1).subquery()
        whole = sa.select(RUN, ranked.c.value.label("sorted_by"))
        same = (ranked.c.project == RUN.c.project) & (ranked.c.id == RUN.c.id)
        return whole.join_from(ranked, RUN, same).order_by(*self._by(ranked.c.value, RUN.c.number))

    def page(self, page: PageRequest, rows: Sequence[sa.Row[Any]], runs: Sequence[Run]) -> Page[Run]:
        """Return the page of a result."""
        return cut(page, runs, [msgspec.json.encode((row.sorted_by, row.number)).decode() for row in rows])

    def _value(self) -> ColumnElement[Any]:
        return (sa.null() if self.metric is None else LATEST_METRIC.c.value).label("value")

    def _by(self, value: ColumnElement[Any], number: ColumnElement[int]) -> list[ColumnElement[Any]]:
        if self.metric is None:
            return [number.desc()]
        return [(value.desc() if self.descending else value.asc()).nulls_last(), number.desc()]

    def _follows(self, value: float | None, number: int) -> ColumnElement[bool]:
        older = RUN.c.number < number
        if self.metric is None:
            return older
        mine = LATEST_METRIC.c.value
        if value is None:
            return mine.is_(None) & older
        beyond = mine < value if self.descending else mine > value
        return beyond | ((mine == value) & older) | mine.is_(None)


def _key_of(after: str) -> tuple[float | None, int]:
    try:
        return msgspec.json.decode(after, type=tuple[float | None, int])
    except msgspec.DecodeError as error:
        why = "it is not one that an earlier page gave"
        raise Problem("page.invalid", f"'{after}' is no key of a page", why, "ask from the first page on") from error
