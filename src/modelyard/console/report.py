"""The whole story as one self-contained HTML file: what the loop was worth, the timeline, each decision with its evidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.resources import files

from markupsafe import Markup

from modelyard.console.charts import Interval, forest
from modelyard.console.marks import KIND_OF_ACTION, Mark, mark_of_alert, mark_of_decision, sign
from modelyard.console.rendering import templates
from modelyard.console.svg import picture
from modelyard.console.telling import words
from modelyard.console.timeline import Timeline, draw_timeline
from modelyard.console.traffic import Layer, LossPoint
from modelyard.monitoring import Alert
from modelyard.reactions import ActionKind, Decision

WEEK = timedelta(days=7)
DAY = timedelta(days=1)
SIGN = 14.0


@dataclass(frozen=True)
class Stage:
    """A stage of the loop and what was found there, in plain sentences."""

    name: str
    facts: tuple[str, ...]


@dataclass(frozen=True)
class Answered:
    """How many answers one version gave in one slot of time."""

    at: datetime
    version: int
    canary: bool
    rows: int


@dataclass(frozen=True)
class SlotLoss:
    """The mean loss of one slot of time. `half_width`: of the 95 % interval of `with_loop`; 0 draws none."""

    at: datetime
    with_loop: float
    without: float
    rows: int
    half_width: float = 0.0


@dataclass(frozen=True)
class Headline:
    """A figure that the story is about, with what it means."""

    value: str
    name: str
    detail: str = ""


@dataclass(frozen=True)
class Story:
    """Everything that the report tells.

    Parameters
    ----------
    title, subtitle
        What it is about, as a sentence each.
    headlines
        The figures at the top, the first one the largest.
    stages
        The stages in order.
    since, until
        The stretch of time shown.
    traffic
        Answers by slot, version and role.
    losses
        Losses by slot, with the loop and with the first model left alone.
    slot
        The length of a slot of `traffic` and `losses`.
    loss_name
        What is measured, such as `log loss`.
    alerts, decisions
        In any order.
    notes
        Further events that are neither, such as a planted fault: (time, label, sentence).
    live
        The version that answers at the end.
    """

    title: str
    subtitle: str
    headlines: tuple[Headline, ...]
    stages: tuple[Stage, ...]
    since: datetime
    until: datetime
    traffic: tuple[Answered, ...]
    losses: tuple[SlotLoss, ...]
    loss_name: str
    alerts: tuple[Alert, ...]
    decisions: tuple[Decision, ...]
    slot: timedelta = WEEK
    notes: tuple[tuple[datetime, str, str], ...] = ()
    live: int | None = None
    made_at: datetime | None = None


@dataclass(frozen=True)
class Event:
    """An alert, a decision or a note, as the report lists it."""

    at: datetime
    kind: str
    sign: Markup
    title: str
    told: str
    anchor: str
    cause: str = ""
    by: str = ""
    interval: Markup | None = None
    gate: tuple[tuple[bool, str, str], ...] = ()  # passed, demand, sentence
    undone: bool = False


@dataclass(frozen=True)
class ReportPage:
    """The context of the report."""

    story: Story
    style: Markup
    picture: Markup
    events: tuple[Event, ...]
    gain: float | None  # without minus with the loop, mean over slots


def render_report(story: Story) -> str:
    """Return one HTML file: no script, no address outside, the pictures inside; it prints on paper as it looks."""
    page = ReportPage(
        story=story, style=style(), picture=draw_timeline(_timeline(story)), events=_events(story), gain=_gain(story)
    )
    return templates().get_template("report.html").render(page=page, now=story.made_at or story.until)


def style() -> Markup:
    """Return the style sheets of a file that stands for itself."""
    folder = files("modelyard.console") / "static"
    sheets = [(folder / name).read_text() for name in ("tokens.css", "console.css", "report.css")]
    return Markup("\n".join(sheets))  # noqa: S704 - our own files, with nothing of anybody else's in them


def _gain(story: Story) -> float | None:
    if not story.losses:
        return None
    return sum(one.without - one.with_loop for one in story.losses) / len(story.losses)


def _timeline(story: Story) -> Timeline:
    starts = tuple(sorted({one.at for one in story.traffic}))
    place = {at: n for n, at in enumerate(starts)}
    rows: dict[tuple[bool, int], list[int]] = {}
    for one in story.traffic:
        rows.setdefault((one.canary, one.version), [0] * len(starts))[place[one.at]] += one.rows
    losses = sorted(story.losses, key=lambda one: one.at)
    return Timeline(
        since=story.since,
        until=story.until,
        starts=starts,
        width=story.slot,
        layers=tuple(Layer(version, canary, tuple(found)) for (canary, version), found in sorted(rows.items())),
        loss=tuple(LossPoint(one.at, one.with_loop, one.half_width, one.rows) for one in losses),
        loss_name=story.loss_name,
        marks=tuple(sorted(_marks(story), key=lambda mark: mark.at)),
        live=story.live,
        beside=tuple(LossPoint(one.at, one.without, 0.0, one.rows) for one in losses),
        beside_name="without the loop",
    )


def _marks(story: Story) -> list[Mark]:
    found = [mark_of_alert(one, f"#{one.id}") for one in story.alerts]
    found += [mark_of_decision(one, f"#{one.id}") for one in story.decisions]
    found += [Mark(at, "wait", label, told, f"#note-{n}") for n, (at, label, told) in enumerate(story.notes)]
    return found


def _events(story: Story) -> tuple[Event, ...]:
    titles: dict[str, str] = {alert.id: f"{alert.kind.value} on {alert.subject}" for alert in story.alerts}
    titles |= {one.id: _title(one) for one in story.decisions}
    found = [_of_alert(one) for one in story.alerts] + [_of_decision(one, titles) for one in story.decisions]
    found += [Event(at, "wait", _sign("wait"), label, told, f"note-{n}") for n, (at, label, told) in enumerate(story.notes)]
    return tuple(sorted(found, key=lambda one: (one.at, one.anchor)))


def _of_alert(alert: Alert) -> Event:
    kind = mark_of_alert(alert).kind
    return Event(alert.at, kind, _sign(kind), f"{alert.kind.value.capitalize()} on {alert.subject}", alert.told, alert.id)


def _of_decision(decision: Decision, titles: Mapping[str, str]) -> Event:
    kind = KIND_OF_ACTION[decision.action]
    gate = decision.evidence.get("gate") or {}
    return Event(
        at=decision.at,
        kind=kind,
        sign=_sign(kind),
        title=_title(decision),
        told=decision.told,
        anchor=decision.id,
        cause=titles.get(decision.cause, decision.cause),
        by=decision.by,
        interval=_interval(decision),
        gate=tuple(
            (bool(one["passed"]), words(str(one["condition"]["kind"])), str(one["told"])) for one in gate.get("results", ())
        ),
        undone=decision.undone_at is not None,
    )


def _title(decision: Decision) -> str:
    version = f" v{decision.version}" if decision.version is not None else ""
    return f"{words(decision.action.value).capitalize()}{version}"


def _interval(decision: Decision) -> Markup | None:
    judgement = decision.evidence.get("judgement")
    if not judgement or decision.action not in (ActionKind.PROMOTE, ActionKind.ROLL_BACK, ActionKind.CANARY, ActionKind.HOLD):
        return None
    width = judgement.get("half_width")
    one = Interval(f"v{decision.version}", float(judgement["difference"]), float(width) if width is not None else float("inf"))
    return forest([one], float(judgement["tolerance"]), "Difference of the mean losses, canary minus live")


def _sign(kind: str) -> Markup:
    return picture(SIGN, SIGN, kind, [sign(kind, SIGN / 2, SIGN / 2)], class_=f"ev {kind}")
