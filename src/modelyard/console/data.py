"""Data: the datasets; one dataset, its versions and quarantine; one version: schema, profile, checks, lineage; two compared."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

import msgspec
import polars as pl
from fastapi import APIRouter
from fastapi.responses import Response
from markupsafe import Markup

from modelyard.console.charts import bar_list
from modelyard.console.columns import ColumnRow, column_row, means, pair
from modelyard.console.frame import Frame, base_of, frame_of, show
from modelyard.console.lineage import lineage_path, node_paths
from modelyard.console.lineage_picture import draw_lineage
from modelyard.console.outcomes import DOES, Outcome, outcome_of, told_check
from modelyard.console.profile_report import Compared, ProfileReport, render_profile_report, report_name
from modelyard.console.rendering import PageRoute, see_other
from modelyard.console.telling import count, size, value
from modelyard.console.visits import Fields, InProject, Visit
from modelyard.core import PageRequest, Problem, first_line
from modelyard.data import Check, Dataset, DatasetVersion, Fate, Severity, Vacuum, VersionFate
from modelyard.data.comparing import compare_versions
from modelyard.data.diff import RowExample, VersionDiff
from modelyard.data.retention import KEEP, OLDER_THAN, age_of
from modelyard.data.rules import LATEST
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
from modelyard.data.shift import ColumnShift
from modelyard.data.snapshot_jobs import SnapshotRequest, request_snapshot
from modelyard.events import Event
from modelyard.serving.lineage import lineage
from modelyard.serving.lookups import FeatureTable, feature_tables
from modelyard.serving.retention import vacuum

router = APIRouter(prefix="/projects/{project}/data", route_class=PageRoute, include_in_schema=False)
ONE = PageRequest(limit=1)
SHOWN_BAD = 20
MOST_SHOWN = 300  # characters of what could not be decoded
SHOWN_STOPPED = 10
MOST_COLUMNS = 200
MOST_MOVED = 12  # columns whose values are drawn, those that moved most
LEAST_MOVED = 0.005  # what profiles can tell
KEEP_FIELD, DAYS_FIELD = "keep", "days"  # of the form of a vacuum
DAY_S = 86_400
CHOSEN = "check."  # how the fields of chosen suggestions begin
TOLD_FATE = {
    Fate.KEPT: "among the newest, or too young",
    Fate.SHARED: "a later version holds its rows too: dropping it would free nothing",
    Fate.DROPPED: "nothing needs it",
}


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
class Retention:
    """What a vacuum of the dataset would come to."""

    found: Vacuum
    keep: int
    days: int  # the age from which versions may go

    @property
    def versions(self) -> tuple[tuple[VersionFate, str], ...]:
        """What becomes of each version, and why."""
        return tuple((one, TOLD_FATE.get(one.fate) or "; ".join(one.needs)) for one in self.found.versions)

    @property
    def going(self) -> int:
        """How many versions would go."""
        return sum(one.fate is Fate.DROPPED for one in self.found.versions)


@dataclass(frozen=True)
class DatasetPage:
    """The context of one dataset."""

    frame: Frame
    dataset: Dataset
    href: str
    newest: int  # number of the newest version; 0: there is none
    versions: tuple[DatasetVersion, ...]
    next_key: str | None
    checks: tuple[tuple[str, str], ...]  # told, what it does
    stopped: tuple[StoppedBatch, ...]
    suggested: tuple[SuggestedCheck, ...] | None  # None: nobody asked
    bad: int
    bad_rows: tuple[BadRow, ...]
    online: FeatureTable | None  # None: nobody looks anything up in it
    online_problem: str  # why nobody knows; "": somebody does
    retention: Retention | None  # None: nobody asked
    keep: int  # the fields of the form that asks
    days: int


@dataclass(frozen=True)
class VersionPage:
    """The context of one dataset version."""

    frame: Frame
    version: DatasetVersion
    dataset: Dataset
    dataset_href: str
    newest: int
    columns: tuple[ColumnRow, ...]
    left_out: int
    outcomes: tuple[Outcome, ...]
    lineage: Markup
    whole: str  # address of all of its lineage


@dataclass(frozen=True)
class MovedColumn:
    """A column whose values are others now."""

    shift: ColumnShift
    cells: int  # in how many rows of both versions it differs
    means: str
    picture: Markup


@dataclass(frozen=True)
class RowTable:
    """Example rows of one kind, as texts."""

    kind: str
    names: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class DiffPage:
    """The context of two versions beside each other."""

    frame: Frame
    dataset: Dataset
    dataset_href: str
    newest: int
    diff: VersionDiff
    rows_picture: Markup
    cells_picture: Markup | None
    moved: tuple[MovedColumn, ...]
    unmoved: int
    examples: tuple[RowTable, ...]


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


def newest_versions(visit: Visit) -> Iterator[str]:
    """Give the newest version of each dataset that has one, as in `flights@3`."""
    for dataset in find_datasets(visit.platform, visit.actor, visit.project.id):
        newest = _newest(visit, dataset.name)
        if newest:
            yield f"{dataset.name}@{newest}"


def build_dataset(visit: Visit, name: str) -> DatasetPage:
    """Return the context of one dataset."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    dataset = get_dataset(platform, actor, project, name)
    frame = frame_of(visit, "Data", name)
    found = versions(platform, actor, project, PageRequest(frame.query.get("after")), name)
    keep, days = _asked(frame.query)
    bad = quarantined(platform, actor, project, name)
    count = int(bad.select(pl.len()).collect().item())
    online, online_problem = _online(visit, dataset)
    return DatasetPage(
        frame=frame,
        dataset=dataset,
        href=dataset_path(visit, name),
        newest=_newest(visit, name),
        versions=found.items,
        next_key=found.next_key,
        checks=tuple((told_check(check), DOES[check.severity]) for check in dataset.checks),
        stopped=tuple(_stopped(one) for one in stopped_batches(platform, actor, project, name, most=SHOWN_STOPPED)),
        suggested=_suggested(visit, name) if found.items and "suggest" in frame.query else None,
        bad=count,
        bad_rows=tuple(_bad_rows(bad.tail(SHOWN_BAD).collect())) if count else (),
        online=online,
        online_problem=online_problem,
        retention=_retention(visit, name, frame.query) if found.items and KEEP_FIELD in frame.query else None,
        keep=keep,
        days=days,
    )


def _online(visit: Visit, dataset: Dataset) -> tuple[FeatureTable | None, str]:
    """Return how a dataset is looked up, or why nobody knows: the store may be away, and the page is shown all the same."""
    if dataset.time is None or not dataset.key:
        return None, ""
    try:
        tables = feature_tables(visit.platform, visit.actor, visit.project.id)
    except Problem as problem:
        return None, str(problem)
    return next((one for one in tables if one.dataset == dataset.name), None), ""


def _retention(visit: Visit, name: str, fields: Mapping[str, str]) -> Retention:
    keep, days = _asked(fields)
    older_than = age_of(days * DAY_S)
    found = vacuum(visit.platform, visit.actor, visit.project.id, name, keep=keep, older_than=older_than, dry_run=True)
    return Retention(found, keep, days)


def _asked(fields: Mapping[str, str]) -> tuple[int, int]:
    """Return how many versions stay, and the age in days from which others may go."""
    try:
        return int(fields.get(KEEP_FIELD, KEEP)), int(fields.get(DAYS_FIELD, OLDER_THAN.days))
    except ValueError as error:
        raise Problem("vacuum.invalid", "The form names no vacuum", first_line(error), "give whole numbers") from error


def _bad_rows(rows: pl.DataFrame) -> Sequence[BadRow]:
    cells = [name for name in rows.columns if not name.startswith("_")]
    found = []
    for row in rows.reverse().iter_rows(named=True):
        reasons = row.get("_reasons")
        told = ", ".join(reasons) if isinstance(reasons, list) else str(reasons)
        at = row.get("_at")
        shown = " · ".join(f"{name} {value(row[name])}" for name in cells)
        if row.get("_place") is not None:  # it is no row
            shown = f"{row['_place']}: {str(row['_content'])[:MOST_SHOWN]}"
        found.append(BadRow(told, at if isinstance(at, datetime) else None, shown))
    return found


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
    graph = lineage(platform, actor, project, f"dataset:{version.id}", hops=2)
    columns = version.schema.columns
    return VersionPage(
        frame=frame_of(visit, "Data", f"v{number}"),
        version=version,
        dataset=dataset,
        dataset_href=dataset_path(visit, name),
        newest=_newest(visit, name),
        columns=tuple(
            column_row(dataset, column.name, column.dtype, profile.columns[column.name], profile.rows)
            for column in columns[:MOST_COLUMNS]
            if column.name in profile.columns
        ),
        left_out=max(0, len(columns) - MOST_COLUMNS),
        outcomes=tuple(outcome_of(one) for one in version.outcomes),
        lineage=draw_lineage(graph, node_paths(visit, graph)),
        whole=lineage_path(visit, f"dataset:{name}@{number}"),
    )


def build_diff(visit: Visit, name: str, before: str, after: str) -> DiffPage:
    """Return the context of two versions beside each other."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    found = compare_versions(platform, actor, project, name, before, after)
    sides = [get_version(platform, actor, project, f"{name}@{number}") for number in (found.before, found.after)]
    old, new = (profile_of(platform, actor, project, one).columns for one in sides)
    names = f"v{found.before}", f"v{found.after}"
    moved = [one for one in found.columns if one.name not in found.key and _has_moved(one, found)]
    moved.sort(key=lambda one: -(one.distance or 0.0))
    rows = found.rows
    bars = [("added", rows.added), ("removed", rows.removed), *([("changed", rows.changed)] if found.key else [])]
    cells = sorted(rows.cells.items(), key=lambda one: -one[1])
    return DiffPage(
        frame=frame_of(visit, "Data", " → ".join(names)),
        dataset=get_dataset(platform, actor, project, name),
        dataset_href=dataset_path(visit, name),
        newest=_newest(visit, name),
        diff=found,
        rows_picture=bar_list([(kind, amount, count(amount)) for kind, amount in bars], "Rows"),
        cells_picture=bar_list([(one, amount, count(amount)) for one, amount in cells[:MOST_MOVED]], "Cells that differ")
        if cells
        else None,
        moved=tuple(
            MovedColumn(
                one,
                rows.cells.get(one.name, 0),
                means(one, old[one.name]),
                pair(old[one.name], new[one.name], one.name, names),
            )
            for one in moved[:MOST_MOVED]
        ),
        unmoved=len(found.columns) - min(len(moved), MOST_MOVED),
        examples=tuple(_example_tables(found)),
    )


def build_report(visit: Visit, name: str, number: int, against: str | None) -> ProfileReport:
    """Return what the one-file report of a version tells, held against another one where one is named."""
    platform, actor, project = visit.platform, visit.actor, visit.project.id
    version = get_version(platform, actor, project, f"{name}@{number}")
    compared: Compared | None = None
    if against is not None:
        before = get_version(platform, actor, project, f"{name}@{against}")
        found = compare_versions(platform, actor, project, name, before.number, number, examples=0)
        compared = Compared(found, profile_of(platform, actor, project, before))
    return ProfileReport(
        dataset=get_dataset(platform, actor, project, name),
        version=version,
        profile=profile_of(platform, actor, project, version),
        graph=lineage(platform, actor, project, f"dataset:{version.id}", hops=2),
        made_at=platform.clock(),
        against=compared,
    )


def _has_moved(shift: ColumnShift, found: VersionDiff) -> bool:
    nulls = abs(shift.nulls_after - shift.nulls_before)
    return shift.name in found.rows.cells or max(shift.distance or 0.0, nulls) >= LEAST_MOVED


def _example_tables(found: VersionDiff) -> Iterator[RowTable]:
    changed = [
        (*(value(cell) for cell in one.key.values()), name, value(one.before[name]), value(one.after[name]))
        for one in found.rows.changed_examples
        for name in one.after
    ]
    if changed:
        yield RowTable("changed", (*found.key, "column", f"v{found.before}", f"v{found.after}"), tuple(changed))
    for kind, examples in (("added", found.rows.added_examples), ("removed", found.rows.removed_examples)):
        if examples:
            yield _example_table(kind, examples)


def _example_table(kind: str, examples: Sequence[RowExample]) -> RowTable:
    names = tuple(examples[0].row)
    rows = (tuple(value(one.row[name]) for name in names) for one in examples)
    if all(one.times == 1 for one in examples):
        return RowTable(kind, names, tuple(rows))
    return RowTable(kind, ("times", *names), tuple((count(one.times), *row) for one, row in zip(examples, rows, strict=True)))


def _newest(visit: Visit, name: str) -> int:
    found = versions(visit.platform, visit.actor, visit.project.id, ONE, name).items
    return found[0].number if found else 0


@router.get("")
def list_datasets(visit: InProject) -> Response:
    """Show the datasets."""
    return show(visit, "data.html", lambda: build_data(visit))


@router.get("/{name}")
def one_dataset(visit: InProject, name: str) -> Response:
    """Show one dataset."""
    return show(visit, "dataset.html", lambda: build_dataset(visit, name))


@router.get("/{name}/diff")
def two_versions(visit: InProject, name: str, before: str, after: str = LATEST) -> Response:
    """Show what differs between two versions of a dataset."""
    return show(visit, "dataset_diff.html", lambda: build_diff(visit, name, before, after))


@router.post("/{name}/checks")
def take_over_checks(visit: InProject, name: str, fields: Fields) -> Response:
    """Give a dataset those of the suggested checks that were chosen."""
    chosen = [_check_of(field) for key, field in fields.items() if key.startswith(CHOSEN)]
    add_checks(visit.platform, visit.actor, visit.project.id, name, chosen)
    told = f"{len(chosen)} check{'s' if len(chosen) != 1 else ''} will judge the batches to come."
    return see_other(dataset_path(visit, name), told)


@router.post("/{name}/snapshot")
def take_snapshot(visit: InProject, name: str, _fields: Fields) -> Response:
    """Queue a snapshot of what is new in the source."""
    job = request_snapshot(visit.platform, visit.actor, visit.project.id, SnapshotRequest(name))
    return see_other(f"{base_of(visit.project)}/jobs/{job.id}", f"The source of {name} is read; what is new becomes a version.")


@router.get("/{name}/{number}/report")
def version_report(visit: InProject, name: str, number: int, against: str | None = None) -> Response:
    """Give a version as one HTML file, held against another one where one is named."""
    with visit.platform.reading():
        told = build_report(visit, name, number, against)
    header = f'attachment; filename="{report_name(told.version)}"'
    return Response(render_profile_report(told), media_type="text/html", headers={"Content-Disposition": header})


@router.post("/{name}/vacuum")
def vacuum_dataset(visit: InProject, name: str, fields: Fields) -> Response:
    """Drop versions of a dataset for good that nothing needs."""
    keep, days = _asked(fields)
    done = vacuum(visit.platform, visit.actor, visit.project.id, name, keep=keep, older_than=age_of(days * DAY_S))
    went = Retention(done, keep, days).going
    told = f"{went} version{'s' if went != 1 else ''} dropped, {size(done.size_bytes)} freed."
    return see_other(dataset_path(visit, name), told)


@router.get("/{name}/{number}")
def one_version(visit: InProject, name: str, number: int) -> Response:
    """Show one version of a dataset."""
    return show(visit, "dataset_version.html", lambda: build_version(visit, name, number))
