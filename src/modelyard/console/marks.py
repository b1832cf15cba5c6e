"""Marks on a time axis: what happened, told by colour, shape and words; labels never lie on one another."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from markupsafe import Markup

from modelyard.console.scale import TimeScale
from modelyard.console.svg import element, link, title
from modelyard.console.telling import words
from modelyard.monitoring import Alert, AlertKind
from modelyard.reactions import ActionKind, Decision

LETTER = 6.1  # mean width of a letter of a label
ROW = 15.0
ROWS = 4
GAP = 8.0

# kind of mark → how loud it is: louder ones get their label first
LOUDNESS = {"bad": 6, "wait": 5, "alarm": 4, "good": 3, "act": 2, "note": 1, "quiet": 0}
KIND_OF_ACTION = {
    ActionKind.RETRAIN: "act",
    ActionKind.CANARY: "act",
    ActionKind.PROMOTE: "good",
    ActionKind.ROLL_BACK: "bad",
    ActionKind.BREAK_GLASS: "wait",
    ActionKind.REFUSE: "wait",
    ActionKind.UNDO: "wait",
    ActionKind.HOLD: "quiet",
    ActionKind.NOTIFY: "quiet",
}


@dataclass(frozen=True)
class Mark:
    """Something that happened: `kind` is a key of `LOUDNESS`, `text` its label, `told` the whole sentence."""

    at: datetime
    kind: str
    text: str
    told: str
    href: str | None = None


def mark_of_decision(decision: Decision, href: str | None = None) -> Mark:
    """Return the mark of a decision."""
    kind = "quiet" if decision.undone_at is not None else KIND_OF_ACTION[decision.action]
    version = f" v{decision.version}" if decision.version is not None else ""
    return Mark(decision.at, kind, words(decision.action.value) + version, decision.told, href)


def mark_of_alert(alert: Alert, href: str | None = None) -> Mark:
    """Return the mark of an alert."""
    if alert.kind is AlertKind.ALARM:
        return Mark(alert.at, "alarm", f"alarm: {alert.subject}", alert.told, href)
    return Mark(alert.at, "note", alert.subject, alert.told, href)


def draw_marks(marks: Sequence[Mark], scale: TimeScale, *, top: float, axis: float) -> tuple[list[Markup], float]:
    """Draw each mark with its sign on the axis, those that have a label with a line from `top`; return the height used, too."""
    inside = [mark for mark in marks if scale.holds(mark.at)]
    rows = place_labels(inside, scale)
    drawn = [_draw(mark, scale(mark.at), rows.get(n), scale, top, axis) for n, mark in _quiet_first(inside)]
    used = max((row + 1 for row in rows.values()), default=0)
    return drawn, 12 + used * ROW


def place_labels(marks: Sequence[Mark], scale: TimeScale) -> dict[int, int]:
    """Return the row of each mark that gets a label, by its place in `marks`: louder marks first, then earlier ones."""
    taken: list[list[tuple[float, float]]] = [[] for _ in range(ROWS)]
    found: dict[int, int] = {}
    order = sorted(range(len(marks)), key=lambda n: (-LOUDNESS[marks[n].kind], marks[n].at))
    for n in order:
        if marks[n].kind == "quiet":
            continue
        low, high = _extent(marks[n], scale)
        free = (row for row in range(ROWS) if all(high + GAP <= a or low >= b + GAP for a, b in taken[row]))
        row = next(free, None)
        if row is not None:
            taken[row].append((low, high))
            found[n] = row
    return found


def _extent(mark: Mark, scale: TimeScale) -> tuple[float, float]:
    width = len(mark.text) * LETTER
    middle = min(max(scale(mark.at), scale.start + width / 2), scale.stop - width / 2)
    return middle - width / 2, middle + width / 2


def _quiet_first(marks: Sequence[Mark]) -> list[tuple[int, Mark]]:
    return sorted(enumerate(marks), key=lambda pair: LOUDNESS[pair[1].kind])


def _draw(mark: Mark, x: float, row: int | None, scale: TimeScale, top: float, axis: float) -> Markup:
    parts = [title(f"{mark.at:%d %b %Y %H:%M} UTC: {mark.told}")]
    if LOUDNESS[mark.kind] > LOUDNESS["note"]:
        parts.append(element("line", x1=x, x2=x, y1=top, y2=axis))
    if row is not None:
        low, high = _extent(mark, scale)
        y = axis + 20 + row * ROW
        if row:
            parts.append(element("line", x1=x, x2=x, y1=axis, y2=y - 10, class_="stem"))
        parts.append(element("text", mark.text, x=(low + high) / 2, y=y, text_anchor="middle"))
    parts.append(sign(mark.kind, x, axis))
    return element("g", link(mark.href, *parts, label=f"{mark.text}, {mark.at:%d %b %Y}"), class_=f"ev {mark.kind}")


def sign(kind: str, x: float, y: float, size: float = 5.0) -> Markup:
    """Return the shape of a kind of mark, so that colour is never alone in telling it."""
    if kind == "alarm":
        return element("path", d=f"M {x - size:.1f} {y + size:.1f} h {2 * size} l {-size} {-2 * size} z")
    if kind == "bad":
        return element("rect", x=x - size + 0.5, y=y - size + 0.5, width=2 * size - 1, height=2 * size - 1)
    if kind == "wait":
        return element(
            "path",
            d=f"M {x:.1f} {y - size - 1:.1f} l {size + 1} {size + 1} l {-size - 1} {size + 1} l {-size - 1} {-size - 1} z",
        )
    if kind == "note":
        return element("circle", cx=x, cy=y, r=size - 2, class_="hollow")
    if kind == "quiet":
        return element("circle", cx=x, cy=y, r=size - 3)
    return element("circle", cx=x, cy=y, r=size)
