"""Runs, their metric points, and studies."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from modelyard.adapters.sql import run_search
from modelyard.adapters.sql.session import Session
from modelyard.adapters.sql.tables import LATEST_METRIC, METRIC_POINT, RUN, STUDY
from modelyard.adapters.sql.typed_table import TypedTable, upsert
from modelyard.core import Page, PageRequest, ProjectId
from modelyard.training import MetricPoint, Run, RunId, RunState, Study, StudyId

_RUNS = TypedTable(RUN, Run, "run", left_out=("metrics",))
_STUDIES = TypedTable(STUDY, Study, "study")
_POINTS = TypedTable(METRIC_POINT, MetricPoint, "metric", key=("run", "name", "step"))


class SqlRunStore:
    """`modelyard.training.RunStore`."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def add(self, project: ProjectId, runs: Sequence[Run]) -> None:
        """Insert; Problem `run.conflict` when the number is taken."""
        _RUNS.add(self._session, project, runs, taken="run.conflict")
        self._set_metrics(project, runs)

    def next_number(self, project: ProjectId) -> int:
        """Return the number for the project's next run."""
        self._session.hold(project)
        newest = sa.select(sa.func.max(RUN.c.number)).where(_RUNS.within(project))
        return (self._session.execute(newest).scalar() or 0) + 1

    def save(self, project: ProjectId, runs: Sequence[Run]) -> None:
        """Replace by id; of the metrics, those that the run names."""
        _RUNS.save(self._session, project, runs)
        self._set_metrics(project, runs)

    def get(self, project: ProjectId, ids: Sequence[RunId]) -> list[Run]:
        """Return them in order. Problem `run.missing` for an unknown one."""
        rows = {(row.id,): row for row in _RUNS.rows_of(self._session, project, [(id_,) for id_ in ids])}
        _RUNS.demand([(id_,) for id_ in ids], rows)
        return self._with_metrics(project, [rows[(id_,)] for id_ in ids])

    def find(
        self,
        project: ProjectId,
        page: PageRequest,
        *,
        states: Sequence[RunState] = (),
        study: StudyId | None = None,
        experiment: str | None = None,
        where: Sequence[tuple[str, str, float]] = (),
        sort: str | None = None,
    ) -> Page[Run]:
        """Return runs, newest first, or by the latest value of a metric; see the port."""
        self._session.hold(project)
        conditions = [_RUNS.within(project), *(run_search.compares(project, *one) for one in where)]
        if states:
            conditions.append(RUN.c.state.in_([state.value for state in states]))
        if study is not None:
            conditions.append(RUN.c.study == study)
        if experiment is not None:
            conditions.append(RUN.c.experiment == experiment)
        order = run_search.order_of(sort)
        rows = list(self._session.execute(order.query(conditions, page)))
        return order.page(page, rows, self._with_metrics(project, rows))

    def log(self, project: ProjectId, run: RunId, points: Sequence[MetricPoint]) -> None:
        """Append points; a point with the same name and step replaces the older one. Problem `run.missing`."""
        if not points:
            return
        last = {(point.name, point.step): point for point in points}
        _POINTS.put(self._session, project, list(last.values()), orphan="run.missing", run=run)
        newest: dict[str, MetricPoint] = {}
        for point in sorted(last.values(), key=lambda point: point.step):
            newest[point.name] = point
        is_newer = upsert(
            self._session, LATEST_METRIC, when=lambda new: sa.func.coalesce(LATEST_METRIC.c.step, new.step) <= new.step
        )
        self._session.execute(is_newer, [_latest(project, run, p.name, p.value, p.step) for p in newest.values()])

    def points(self, project: ProjectId, runs: Sequence[RunId], name: str) -> Mapping[RunId, list[MetricPoint]]:
        """Return each run's points of one metric, by step."""
        found: dict[RunId, list[MetricPoint]] = {run: [] for run in runs}
        where = (_POINTS.within(project), METRIC_POINT.c.run.in_(runs), METRIC_POINT.c.name == name)
        query = sa.select(METRIC_POINT).where(*where).order_by(METRIC_POINT.c.run, METRIC_POINT.c.step)
        for row in self._session.execute(query):
            found[row.run].append(MetricPoint(row.name, row.step, _number(row.value), row.at))
        return found

    def add_studies(self, project: ProjectId, studies: Sequence[Study]) -> None:
        """Insert."""
        _STUDIES.add(self._session, project, studies)

    def save_studies(self, project: ProjectId, studies: Sequence[Study]) -> None:
        """Replace by id."""
        _STUDIES.save(self._session, project, studies)

    def get_studies(self, project: ProjectId, ids: Sequence[StudyId]) -> list[Study]:
        """Return them in order. Problem `study.missing` for an unknown one."""
        return _STUDIES.get(self._session, project, [(id_,) for id_ in ids])

    def studies(self, project: ProjectId, page: PageRequest) -> Page[Study]:
        """Return studies, newest first."""
        return _STUDIES.page(self._session, project, page)

    def _set_metrics(self, project: ProjectId, runs: Sequence[Run]) -> None:
        rows = [_latest(project, run.id, name, value, None) for run in runs for name, value in run.metrics.items()]
        if rows:
            is_new = upsert(
                self._session,
                LATEST_METRIC,
                only=("value",),
                when=lambda new: LATEST_METRIC.c.value.is_distinct_from(new.value),
            )
            self._session.execute(is_new, rows)

    def _with_metrics(self, project: ProjectId, rows: Sequence[sa.Row[Any]]) -> list[Run]:
        metrics: dict[str, dict[str, float]] = {row.id: {} for row in rows}
        if metrics:
            ours = (LATEST_METRIC.c.project == project, LATEST_METRIC.c.run.in_(metrics))
            columns = (LATEST_METRIC.c.run, LATEST_METRIC.c.name, LATEST_METRIC.c.value)
            for row in self._session.execute(sa.select(*columns).where(*ours).order_by(*columns[:2])):
                metrics[row.run][row.name] = _number(row.value)
        return [_RUNS.thing(row, metrics=metrics[row.id]) for row in rows]


def _latest(project: ProjectId, run: RunId, name: str, value: float, step: int | None) -> dict[str, Any]:
    return {"project": project, "run": run, "name": name, "value": None if math.isnan(value) else value, "step": step}


def _number(value: float | None) -> float:
    """Return the number; null stands for NaN, which SQLite cannot keep and which must not rank above all numbers."""
    return math.nan if value is None else value
