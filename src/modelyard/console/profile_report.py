"""A dataset version as one self-contained HTML file: its columns drawn, its checks and where it came from; or two compared."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from modelyard.console.charts import histogram
from modelyard.console.columns import all_differ, means, pair, role_of, told_kinds, told_number
from modelyard.console.lineage_picture import draw_lineage
from modelyard.console.outcomes import Outcome, outcome_of
from modelyard.console.rendering import templates
from modelyard.console.report import style
from modelyard.console.telling import count, figure, share
from modelyard.data import Dataset, DatasetVersion, Graph, Profile
from modelyard.data.diff import VersionDiff
from modelyard.data.profile import CategoryProfile, ColumnProfile, NumberKind
from modelyard.data.shift import ColumnShift

MOST_COLUMNS = 500
COMMONEST = 8
QUANTILES = ((0.05, "5 %"), (0.25, "25 %"), (0.5, "median"), (0.75, "75 %"), (0.95, "95 %"))
WIDTH, HEIGHT = 460.0, 96.0


@dataclass(frozen=True)
class Compared:
    """What a version is held against: what differs, and what the columns of the other one look like."""

    diff: VersionDiff  # from the reference to the version
    profile: Profile  # of the reference


@dataclass(frozen=True)
class ProfileReport:
    """Everything that the report tells."""

    dataset: Dataset
    version: DatasetVersion
    profile: Profile
    graph: Graph  # its lineage, the version first
    made_at: datetime
    against: Compared | None = None


@dataclass(frozen=True)
class ColumnCard:
    """A column: its picture, and its values in figures."""

    name: str
    dtype: str
    role: str
    figures: tuple[tuple[str, str], ...]
    commonest: tuple[tuple[str, str], ...]
    picture: Markup
    shift: ColumnShift | None
    means: str
    cells: int  # in how many rows of both versions it differs


@dataclass(frozen=True)
class ProfileReportPage:
    """The context of the report."""

    report: ProfileReport
    style: Markup
    lineage: Markup
    columns: tuple[ColumnCard, ...]
    left_out: int
    outcomes: tuple[Outcome, ...]


def render_profile_report(report: ProfileReport) -> str:
    """Return one HTML file: no script, no address outside, the pictures inside; held against another, most moved first."""
    cards = list(_cards(report))
    if report.against is not None:
        cards.sort(key=lambda one: -((one.shift.distance if one.shift is not None else None) or 0.0))
    page = ProfileReportPage(
        report=report,
        style=style(),
        lineage=draw_lineage(report.graph, {}),
        columns=tuple(cards),
        left_out=max(0, len(report.version.schema.columns) - MOST_COLUMNS),
        outcomes=tuple(outcome_of(one) for one in report.version.outcomes),
    )
    return templates().get_template("profile_report.html").render(page=page, now=report.made_at)


def report_name(version: DatasetVersion) -> str:
    """Return what the file is called where nobody says: `flights-3.html`."""
    return f"{version.name}-{version.number}.html"


def _cards(report: ProfileReport) -> Iterator[ColumnCard]:
    against = report.against
    shifts = {one.name: one for one in against.diff.columns} if against is not None else {}
    for column in report.version.schema.columns[:MOST_COLUMNS]:
        if column.name not in report.profile.columns:
            continue
        profile, shift = report.profile.columns[column.name], shifts.get(column.name)
        if against is not None and shift is not None:
            names = f"v{against.diff.before}", f"v{against.diff.after}"
            picture = pair(against.profile.columns[column.name], profile, column.name, names)
        else:
            picture = Markup("") if all_differ(profile) else histogram(profile, column.name, width=WIDTH, height=HEIGHT)
        yield ColumnCard(
            name=column.name,
            dtype=column.dtype,
            role=role_of(report.dataset, column.name),
            figures=tuple(_figures(profile, report.profile.rows)),
            commonest=tuple(_commonest(profile, report.profile.rows)),
            picture=picture,
            shift=shift,
            means=means(shift, profile) if shift is not None else "",
            cells=against.diff.rows.cells.get(column.name, 0) if against is not None else 0,
        )


def _figures(profile: ColumnProfile, rows: int) -> Iterator[tuple[str, str]]:
    yield "null", share(profile.null / rows if rows else 0.0)
    if isinstance(profile, CategoryProfile):
        yield "kinds", told_kinds(profile)
        return
    if profile.minimum is None or profile.maximum is None:
        return
    yield "lowest", told_number(profile, profile.minimum)
    for rank, name in QUANTILES:
        yield name, told_number(profile, profile.quantiles[int(rank * len(profile.quantiles))])
    yield "highest", told_number(profile, profile.maximum)
    yield "mean", told_number(profile, profile.mean)
    if profile.kind is NumberKind.NUMBER:
        yield "standard deviation", figure(profile.standard_deviation)
    infinite = sum(profile.slots) - profile.finite
    if infinite:
        yield "infinite", count(infinite)


def _commonest(profile: ColumnProfile, rows: int) -> Iterator[tuple[str, str]]:
    if isinstance(profile, CategoryProfile) and not all_differ(profile):
        ranked = sorted(zip(profile.names, profile.counts, strict=True), key=lambda one: -one[1])
        for name, amount in ranked[:COMMONEST]:
            yield name, share(amount / rows)
