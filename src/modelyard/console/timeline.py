"""The picture of what happened: traffic by version, realised loss, and every mark, on one time axis."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from modelyard.console.marks import Mark, draw_marks
from modelyard.console.scale import Scale, TimeScale, around
from modelyard.console.svg import area, element, picture, polyline, title
from modelyard.console.telling import count, figure
from modelyard.console.traffic import Layer, LossPoint

WIDTH = 980.0
LEFT, RIGHT = 56.0, 966.0
TRAFFIC_TOP, TRAFFIC_BASE = 24.0, 96.0
LOSS_TOP, LOSS_BASE = 124.0, 226.0
LEAST_LABEL_WIDTH = 22.0
LEAST_LABEL_HEIGHT = 13.0
LETTER = 6.4


@dataclass(frozen=True)
class Timeline:
    """All that the picture shows. `layers` have one number for each of `starts`."""

    since: datetime
    until: datetime
    starts: tuple[datetime, ...]
    width: timedelta  # of a slot
    layers: tuple[Layer, ...]
    loss: tuple[LossPoint, ...]
    loss_name: str
    marks: tuple[Mark, ...]
    live: int | None = None  # the version that answers now
    reference: tuple[tuple[datetime, float], ...] = ()  # from when on which loss is expected
    beside: tuple[LossPoint, ...] = ()  # a second loss to compare with
    beside_name: str = ""


def draw_timeline(of: Timeline) -> Markup:
    """Return the picture."""
    scale = TimeScale(of.since, of.until, LEFT, RIGHT)
    marks, used = draw_marks(of.marks, scale, top=TRAFFIC_TOP, axis=LOSS_BASE + 14)
    parts = [*_axis(scale), *_traffic(of, scale), *_loss(of, scale), *marks]
    return picture(WIDTH, LOSS_BASE + 14 + used + 4, told_timeline(of), parts, role="group", class_="timeline")


def told_timeline(of: Timeline) -> str:
    """Return the picture in words."""
    rows = sum(sum(layer.rows) for layer in of.layers)
    versions = ", ".join(f"v{version}" for version in sorted({layer.version for layer in of.layers}))
    loud = [mark for mark in of.marks if mark.kind not in ("quiet", "note")]
    told = f"{of.since:%d %b %Y} to {of.until:%d %b %Y}: {count(rows)} answers"
    told += f" by {versions}" if versions else ""
    if of.loss:
        values = [point.mean for point in of.loss]
        told += f"; {of.loss_name} between {figure(min(values))} and {figure(max(values))}, last {figure(values[-1])}"
    return told + f"; {len(loud)} decisions and alarms"


def _axis(scale: TimeScale) -> list[Markup]:
    base = LOSS_BASE + 14
    parts = [element("line", class_="grid", x1=LEFT, x2=RIGHT, y1=base, y2=base)]
    for at, name in scale.ticks():
        x = scale(at)
        parts.append(element("line", class_="grid faint", x1=x, x2=x, y1=TRAFFIC_TOP - 6, y2=base))
        parts.append(element("text", name, class_="ax", x=x, y=12, text_anchor="middle"))
    return parts


# Traffic


def _traffic(of: Timeline, scale: TimeScale) -> list[Markup]:
    per_day = timedelta(days=1) / of.width
    unit = "a day" if per_day <= 1 else "an hour"
    factor = per_day if per_day <= 1 else timedelta(hours=1) / of.width
    totals = [factor * sum(layer.rows[n] for layer in of.layers) for n in range(len(of.starts))]
    y = around(totals, TRAFFIC_BASE, TRAFFIC_TOP, zero=True)
    parts = [
        element("text", "answers", class_="ax", x=LEFT - 6, y=TRAFFIC_TOP + 4, text_anchor="end"),
        element("text", unit, class_="ax", x=LEFT - 6, y=TRAFFIC_TOP + 17, text_anchor="end"),
        element("text", "0", class_="ax", x=LEFT - 6, y=TRAFFIC_BASE + 3, text_anchor="end"),
        element("line", class_="grid", x1=LEFT, x2=RIGHT, y1=TRAFFIC_BASE, y2=TRAFFIC_BASE),
    ]
    if not any(totals):
        middle = (LEFT + RIGHT) / 2
        return [*parts, element("text", "no answers in this range", class_="sm", x=middle, y=68, text_anchor="middle")]
    bands = _bands(of, factor)
    parts += [part for band in bands for part in _stretches(of, band, scale, y)]
    return parts + [part for band in bands for part in _label(of, band, scale, y)]


@dataclass(frozen=True)
class _Band:
    """A layer between two heights, as it is drawn."""

    layer: Layer
    under: tuple[float, ...]
    upper: tuple[float, ...]
    class_: str
    name: str


def _bands(of: Timeline, factor: float) -> list[_Band]:
    under = (0.0,) * len(of.starts)
    found = []
    for layer, class_ in zip(of.layers, layer_classes(of.layers, of.live), strict=True):
        upper = tuple(low + factor * rows for low, rows in zip(under, layer.rows, strict=True))
        found.append(_Band(layer, under, upper, class_, f"v{layer.version}" + (" canary" if layer.canary else "")))
        under = upper
    return found


def layer_classes(layers: Sequence[Layer], live: int | None) -> list[str]:
    """Return the class of each layer: canaries, the version that is live now, and those before it in two shades by turns."""
    found, older = [], 0
    for layer in layers:
        if layer.canary:
            found.append("s4")
        elif layer.version == live:
            found.append("s3")
        else:
            found.append("s2" if older % 2 == 0 else "s2 b")
            older += 1
    return found


def _stretches(of: Timeline, band: _Band, scale: TimeScale, y: Scale) -> list[Markup]:
    """Draw a layer only where it has answers, so that absent versions leave no hairlines."""
    drawn = []
    told = title(f"{band.name}: {count(sum(band.layer.rows))} answers")
    for first, last in runs(band.layer.rows):
        top, bottom = [], []
        for n in range(first, last + 1):
            left = max(scale(of.starts[n]), LEFT)
            right = min(max(scale(of.starts[n] + of.width), left), RIGHT)
            top += [(left, y(band.upper[n])), (right, y(band.upper[n]))]
            bottom += [(left, y(band.under[n])), (right, y(band.under[n]))]
        drawn.append(area(top, bottom, band.class_, told))
    return drawn


def runs(rows: Sequence[int]) -> list[tuple[int, int]]:
    """Return the unbroken stretches of slots with answers, as first and last place.

    >>> runs([0, 3, 2, 0, 0, 1])
    [(1, 2), (5, 5)]
    """
    found: list[tuple[int, int]] = []
    for n, amount in enumerate(rows):
        if not amount:
            continue
        if found and found[-1][1] == n - 1:
            found[-1] = (found[-1][0], n)
        else:
            found.append((n, n))
    return found


def _label(of: Timeline, band: _Band, scale: TimeScale, y: Scale) -> list[Markup]:
    stretches = runs(band.layer.rows)
    if not stretches:
        return []
    first, last = max(stretches, key=lambda ends: sum(band.layer.rows[ends[0] : ends[1] + 1]))
    left, right = max(scale(of.starts[first]), LEFT), min(scale(of.starts[last] + of.width), RIGHT)
    middle = (first + last) // 2
    high, low = y(band.upper[middle]), y(band.under[middle])
    names = (band.name, f"v{band.layer.version}")
    fitting = next((text for text in names if right - left >= max(LEAST_LABEL_WIDTH, LETTER * len(text))), None)
    if fitting is None or low - high < LEAST_LABEL_HEIGHT:
        return []
    return [element("text", fitting, class_="lab", x=(left + right) / 2, y=(high + low) / 2 + 4, text_anchor="middle")]


# Loss


def _loss(of: Timeline, scale: TimeScale) -> list[Markup]:
    inside = [point for point in of.loss if scale.holds(point.at)]
    beside = [point for point in of.beside if scale.holds(point.at)]
    expected = [value for _, value in of.reference]
    values = [point.mean for point in [*inside, *beside]] + expected
    y = around(values, LOSS_BASE, LOSS_TOP)
    parts = [element("text", of.loss_name, class_="ax", x=LEFT - 6, y=LOSS_TOP - 4, text_anchor="end")]
    for tick in y.ticks() if values else ():
        parts.append(element("line", class_="grid", x1=LEFT, x2=RIGHT, y1=y(tick), y2=y(tick)))
        parts.append(element("text", f"{tick:g}", class_="ax", x=LEFT - 6, y=y(tick) + 4, text_anchor="end"))
    parts += _reference(of, scale, y)
    middle = of.width / 2
    for line in _unbroken(beside, of.width):
        parts.append(polyline([(scale(point.at + middle), y(point.mean)) for point in line], "loss beside"))
    for line in _unbroken(inside, of.width):
        places = [scale(point.at + middle) for point in line]
        upper = [(x, max(y(point.mean + point.half_width), LOSS_TOP - 4)) for x, point in zip(places, line, strict=True)]
        lower = [(x, min(y(point.mean - point.half_width), LOSS_BASE + 6)) for x, point in zip(places, line, strict=True)]
        parts.append(area(upper, lower, "band"))
        parts.append(polyline([(x, y(point.mean)) for x, point in zip(places, line, strict=True)], "loss"))
    if not inside:
        parts.append(
            element(
                "text", "no labels in this range yet", class_="sm", x=(LEFT + RIGHT) / 2, y=LOSS_TOP + 44, text_anchor="middle"
            )
        )
    return parts


def _reference(of: Timeline, scale: TimeScale, y: Scale) -> list[Markup]:
    drawn = []
    for n, (start, value) in enumerate(of.reference):
        stop = of.reference[n + 1][0] if n + 1 < len(of.reference) else of.until
        if stop <= of.since or start >= of.until:
            continue
        left, right = max(scale(start), LEFT), min(scale(stop), RIGHT)
        line = element(
            "line", title(f"expected: {figure(value)}"), class_="expected", x1=left, x2=right, y1=y(value), y2=y(value)
        )
        drawn.append(line)
    return drawn


def _unbroken(points: Sequence[LossPoint], width: timedelta) -> list[list[LossPoint]]:
    """Part a line where more than three slots are missing."""
    found: list[list[LossPoint]] = []
    for point in points:
        if found and point.at - found[-1][-1].at <= 4 * width:
            found[-1].append(point)
        else:
            found.append([point])
    return found
