"""Data: the datasets; one dataset with its versions and quarantine; one version: schema, profile, checks, lineage."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import quote

import msgspec
import polars as pl
from fastapi import APIRouter
from fastapi.responses import Response
from markupsafe import Markup

from modelyard.console.charts import histogram
from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.lineage_picture import draw_lineage
from modelyard.console.rendering import PageRoute, see_other
from modelyard.console.telling import count, figure, value
from modelyard.console.visits import Fields, InProject, Visit
from modelyard.core import PageRequest, Problem, first_line
from modelyard.data import Check, CheckOutcome, Dataset, DatasetVersion, DatasetVersionId, Severity
from modelyard.data.lineage import lineage
from modelyard.data.profile import CategoryProfile, ColumnProfile, NumberKind
from modelyard.data.service import (
    add_checks,
    find_datasets,
    get_dataset,
    get_version,
    profile_of,
    quarantined,
    stopped_batches,
    suggest_checks,
    versions,
)
from modelyard.events import Event
from modelyard.registry.service import find_models, find_versions

router = APIRouter(prefix="/projects/{project}/data", route_class=PageRoute, include_in_schema=False)
ONE = PageRequest(limit=1)
SHOWN_BAD = 20
SHOWN_STOPPED = 10
MOST_COLUMNS = 200
CHOSEN = "check."  # how the fields of chosen suggestions begin
DOES = {Severity.ERROR: "quarantines the row", Severity.BLOCK: "blocks the batch", Severity.WARNING: "warns"}


@dataclass(frozen=True)
class DatasetRow:
    """A dataset, in a line."""

    dataset: Dataset
    href: str
    newest: DatasetVersion | None


@dataclass(frozen=True)
class DataPage:
    """The context of the list."""

    frame: Frame
    rows: tuple[DatasetRow, ...]


@dataclass(frozen=True)
class BadRow:
    """A quarantined row: why, when, and its cells as text."""

    reasons: str
    at: datetime | None
    cells: str


@dataclass(frozen=True)
class StoppedBatch:
    """A batch that was kept out as a whole: when, how many rows, and each check that it failed with what was found."""

    at: datetime
    rows: int
    failed: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class SuggestedCheck:
    """A check that the rows held speak for: told, why, and as the field of a form."""

    told: str
    reason: str
    field: str


@dataclass(frozen=True)
class DatasetPage:
    """The context of one dataset."""

    frame: Frame
    dataset: Dataset
    href: str
    versions: tuple[DatasetVersion, ...]
    next_key: str | None
    checks: tuple[tuple[str, str], ...]  # told, what it does
    stopped: tuple[StoppedBatch, ...]
    suggested: tuple[SuggestedCheck, ...] | None  # None: nobody asked
    bad: int
    bad_rows: tuple[BadRow, ...]


@dataclass(frozen=True)
class ColumnRow:
    """A column of a version: its type, and what its values look like."""

    name: str
    dtype: str
    role: str  # key, time or nothing
    nulls: float
    low: str
    middle: str
    high: str
    picture: Markup


@dataclass(frozen=True)
class Outcome:
    """What a check found, in words."""

    check: str
    does: str
    found: str
    failed: bool
    examples: tuple[str, ...]


@dataclass(frozen=True)
class VersionPage:
    """The context of one dataset version."""

    frame: Frame
    version: DatasetVersion
    dataset: Dataset
    dataset_href: str
    columns: tuple[ColumnRow, ...]
    left_out: int
    outcomes: tuple[Outcome, ...]
    lineage: Markup
    models: tuple[tuple[str, str], ...]  # name and address of the model versions made from it


def dataset_path(visit: Visit, name: str) -> str:
    """Return the address of a dataset."""
    return f"{base_of(visit.project)}/data/{quote(name, safe='')}"


def build_data(visit: Visit) -> DataPage:
    """Return the context of the list."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    rows = []
    for dataset in find_datasets(platform, actor, project):
        newest = next(iter(versions(platform, actor, project, ONE, dataset.name).items), None)
        rows.append(DatasetRow(dataset, dataset_path(visit, dataset.name), newest))
    return DataPage(frame_of(visit, "Data", "Data"), tuple(rows))


def build_dataset(visit: Visit, name: str) -> DatasetPage:
    """Return the context of one dataset."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    dataset = get_dataset(platform, actor, project, name)
    frame = frame_of(visit, "Data", name)
    found = versions(platform, actor, project, PageRequest(frame.query.get("after")), name)
    bad = quarantined(platform, actor, project, name)
    count = int(bad.select(pl.len()).collect().item())
    return DatasetPage(
        frame=frame,
        dataset=dataset,
        href=dataset_path(visit, name),
        versions=found.items,
        next_key=found.next_key,
        checks=tuple((told_check(check), DOES[check.severity]) for check in dataset.checks),
        stopped=tuple(_stopped(one) for one in stopped_batches(platform, actor, project, name, most=SHOWN_STOPPED)),
        suggested=_suggested(visit, name) if found.items and "suggest" in frame.query else None,
        bad=count,
        bad_rows=tuple(_bad_rows(bad.tail(SHOWN_BAD).collect())) if count else (),
    )


def _bad_rows(rows: pl.DataFrame) -> Sequence[BadRow]:
    cells = [name for name in rows.columns if not name.startswith("_")]
    found = []
    for row in rows.reverse().iter_rows(named=True):
        reasons = row.get("_reasons")
        told = ", ".join(reasons) if isinstance(reasons, list) else str(reasons)
        at = row.get("_at")
        shown = " · ".join(f"{name} {value(row[name])}" for name in cells)
        found.append(BadRow(told, at if isinstance(at, datetime) else None, shown))
    return found


def told_check(check: Check) -> str:
    """Return a check as a person reads it."""
    params = ", ".join(f"{name} {value(told)}" for name, told in check.params.items())
    columns = f"({', '.join(check.columns)})" if check.columns else ""
    return check.kind.replace("_", " ") + columns + (f": {params}" if params else "")


def outcome_of(one: CheckOutcome, does: Mapping[Severity, str] = DOES) -> Outcome:
    """Return what a check found as a person reads it; `does` says what a failure does."""
    failed = one.rows_failed > 0
    found = one.found or (f"{count(one.rows_failed)} rows failed" if failed else "green")
    examples = tuple(value(row) for row in one.examples[:2])
    return Outcome(told_check(one.check), does[one.check.severity], found, failed, examples)


def _suggested(visit: Visit, name: str) -> tuple[SuggestedCheck, ...]:
    found = suggest_checks(visit.platform, visit.actor, visit.project.id, name)
    return tuple(SuggestedCheck(told_check(one.check), one.reason, msgspec.json.encode(one.check).decode()) for one in found)


def _check_of(field: str) -> Check:
    try:
        return msgspec.json.decode(field, type=Check)
    except msgspec.DecodeError as error:
        raise Problem("check.invalid", "The form names no check", first_line(error), "reload the page") from error


def _stopped(event: Event) -> StoppedBatch:
    known = event.data.get("failed", ())  # facts of old tell no checks
    failed = [one for one in known if one["severity"] != Severity.WARNING.value]
    told = tuple((one["check"], one["found"] or f"{count(one['rows'])} rows failed") for one in failed)
    return StoppedBatch(event.at, event.data["quarantined"], told)


def build_version(visit: Visit, name: str, number: int) -> VersionPage:
    """Return the context of one version."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    version = get_version(platform, actor, project, f"{name}@{number}")
    dataset = get_dataset(platform, actor, project, name)
    profile = profile_of(platform, actor, project, version)
    graph = lineage(platform, actor, project, version.id)
    hrefs = _hrefs(visit, [DatasetVersionId(node.id) for node in graph.nodes if node.kind == "dataset_version"])
    columns = version.schema.columns
    return VersionPage(
        frame=frame_of(visit, "Data", f"v{number}"),
        version=version,
        dataset=dataset,
        dataset_href=dataset_path(visit, name),
        columns=tuple(
            _column(dataset, column.name, column.dtype, profile.columns[column.name], profile.rows)
            for column in columns[:MOST_COLUMNS]
            if column.name in profile.columns
        ),
        left_out=max(0, len(columns) - MOST_COLUMNS),
        outcomes=tuple(outcome_of(one) for one in version.outcomes),
        lineage=draw_lineage(graph, hrefs),
        models=_models(visit, version),
    )


def _hrefs(visit: Visit, ids: Sequence[DatasetVersionId]) -> dict[str, str]:
    with visit.platform.transaction() as tx:
        found = tx.datasets.get_versions(visit.project.id, ids)
    return {one.id: f"{dataset_path(visit, one.name)}/{one.number}" for one in found}


def _models(visit: Visit, version: DatasetVersion) -> tuple[tuple[str, str], ...]:
    """Return the model versions that were made from a dataset version."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    models = find_models(platform, actor, project)
    pages = [find_versions(platform, actor, project, model.name, PageRequest(limit=200)) for model in models]
    made = [one for page in pages for one in page.items if one.data == version.id]
    base = base_of(visit.project)
    return tuple((f"{one.model} v{one.number}", f"{base}/models/{quote(one.model, safe='')}/{one.number}") for one in made[:12])


def _column(dataset: Dataset, name: str, dtype: str, profile: ColumnProfile, rows: int) -> ColumnRow:
    role = "key" if name in dataset.key else "time" if name == dataset.time else ""
    low = middle = high = ""
    if isinstance(profile, CategoryProfile):
        middle = f"{len(profile.names)} values" if len(profile.names) < 100 else "100 values or more"  # noqa: PLR2004 - as many are kept
        low = profile.names[0] if profile.names else ""
    elif profile.minimum is not None and profile.maximum is not None:
        told = _told_time if profile.kind is NumberKind.TIME else figure
        low, middle, high = told(profile.minimum), told(profile.mean), told(profile.maximum)
    picture = histogram(profile, name) if not _all_differ(profile) else Markup("")
    return ColumnRow(name, dtype, role, profile.null / rows if rows else 0.0, low, middle, high, picture)


def _all_differ(profile: ColumnProfile) -> bool:
    """Return whether the values are names of rows, of which a picture shows nothing."""
    return isinstance(profile, CategoryProfile) and profile.unseen > sum(profile.counts)


def _told_time(seconds: float | None) -> str:
    return f"{datetime.fromtimestamp(seconds or 0, UTC):%d %b %Y}"


@router.get("")
def list_datasets(visit: InProject) -> Response:
    """Show the datasets."""
    return show(visit, "data.html", lambda: build_data(visit))


@router.get("/{name}")
def one_dataset(visit: InProject, name: str) -> Response:
    """Show one dataset."""
    return show(visit, "dataset.html", lambda: build_dataset(visit, name))


@router.post("/{name}/checks")
def take_over_checks(visit: InProject, name: str, fields: Fields) -> Response:
    """Give a dataset those of the suggested checks that were chosen."""
    chosen = [_check_of(field) for key, field in fields.items() if key.startswith(CHOSEN)]
    add_checks(visit.platform, visit.actor, visit.project.id, name, chosen)
    told = f"{len(chosen)} check{'s' if len(chosen) != 1 else ''} will judge the batches to come."
    return see_other(dataset_path(visit, name), told)


@router.get("/{name}/{number}")
def one_version(visit: InProject, name: str, number: int) -> Response:
    """Show one version of a dataset."""
    return show(visit, "dataset_version.html", lambda: build_version(visit, name, number))
