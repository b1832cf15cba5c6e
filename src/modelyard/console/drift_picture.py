"""The picture of a monitor: the loss window by window with what was expected, and under it which column moved when."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from markupsafe import Markup

from modelyard.console.scale import Scale, TimeScale, around
from modelyard.console.svg import element, link, picture, polyline, title
from modelyard.console.telling import count, figure
from modelyard.monitoring import Window

WIDTH, LEFT, RIGHT = 980.0, 110.0, 966.0
TOP, BASE = 24.0, 120.0
ROW = 16.0
MOST_COLUMNS = 18
STRONG = 4.0  # times what is told at the least: drawn in full


def draw_drift(windows: Sequence[Window], hrefs: Mapping[datetime, str]) -> Markup:
    """Return the picture of the windows, oldest first; each leads to its page."""
    scale = TimeScale(windows[0].start, windows[-1].end, LEFT, RIGHT)
    columns = columns_by_strength(windows)
    height = BASE + 34 + ROW * len(columns)
    parts = [element("text", name, class_="ax", x=scale(at), y=12, text_anchor="middle") for at, name in scale.ticks()]
    parts += _loss(windows, scale)
    parts.append(element("text", "which column moved", class_="ax", x=0, y=BASE + 24))
    for n, column in enumerate(columns):
        y = BASE + 30 + n * ROW
        parts.append(element("text", column[:18], class_="ax", x=LEFT - 8, y=y + 11, text_anchor="end"))
        parts.append(element("line", class_="grid faint", x1=LEFT, x2=RIGHT, y1=y + ROW - 1, y2=y + ROW - 1))
        parts += _cells(windows, scale, column, y)
    parts += [_door(one, scale, height, hrefs.get(one.start)) for one in windows]
    return picture(WIDTH, height, told_windows(windows), parts, role="group", class_="drift")


def told_windows(windows: Sequence[Window]) -> str:
    """Return the picture in words."""
    noticed = sorted({one.column for window in windows for one in window.drift if one.notice})
    losses = [window.metrics["brier"] for window in windows if "brier" in window.metrics]
    told = f"{len(windows)} windows; moved so far that it was noticed: {', '.join(noticed) or 'nothing'}"
    return told + (f"; Brier loss between {figure(min(losses))} and {figure(max(losses))}" if losses else "")


def columns_by_strength(windows: Sequence[Window]) -> list[str]:
    """Return the columns that moved most in any window first."""
    strength: dict[str, float] = {}
    for window in windows:
        for one in window.drift:
            strength[one.column] = max(strength.get(one.column, 0.0), one.strength + (1 if one.notice else 0))
    return sorted(strength, key=lambda name: -strength[name])[:MOST_COLUMNS]


def _loss(windows: Sequence[Window], scale: TimeScale) -> list[Markup]:
    known = [one for one in windows if "brier" in one.metrics]
    values = [one.metrics["brier"] for one in known] + [one.reference_loss for one in known if one.reference_loss is not None]
    y = around(values, BASE, TOP)
    parts = [element("text", "Brier loss", class_="ax", x=LEFT - 8, y=TOP, text_anchor="end")]
    for tick in y.ticks() if values else ():
        parts.append(element("line", class_="grid", x1=LEFT, x2=RIGHT, y1=y(tick), y2=y(tick)))
        parts.append(element("text", f"{tick:g}", class_="ax", x=LEFT - 8, y=y(tick) + 4, text_anchor="end"))
    expected = [(one, one.reference_loss) for one in known if one.reference_loss is not None]
    parts += [
        element("line", class_="expected", x1=scale(one.start), x2=scale(one.end), y1=y(value), y2=y(value))
        for one, value in expected
    ]
    parts.append(polyline([(_middle(one, scale), y(one.metrics["brier"])) for one in known], "loss"))
    parts += [_point(one, scale, y) for one in known]
    return parts


def _point(window: Window, scale: TimeScale, y: Scale) -> Markup:
    expected = window.reference_loss
    worse = expected is not None and window.metrics["brier"] > expected
    return element(
        "circle", cx=_middle(window, scale), cy=y(window.metrics["brier"]), r=2.4, class_="pt worse" if worse else "pt"
    )


def _cells(windows: Sequence[Window], scale: TimeScale, column: str, y: float) -> list[Markup]:
    drawn = []
    for window in windows:
        found = next((one for one in window.drift if one.column == column), None)
        if found is None or (found.strength < 0.25 and not found.notice):  # noqa: PLR2004 - nothing that could be seen
            continue
        left, right = scale(window.start), scale(window.end)
        step = min(4, 1 + int(4 * found.strength / STRONG))
        told = f"{column}, {window.start:%d %b %Y}: {found.strength:.1f} times what is told"
        class_ = f"heat h{step}{' noticed' if found.notice else ''}"
        width = max(right - left - 1, 1)
        drawn.append(element("rect", title(told), class_=class_, x=left + 0.5, y=y + 2, width=width, height=ROW - 4))
    return drawn


def _door(window: Window, scale: TimeScale, height: float, href: str | None) -> Markup:
    told = f"{window.start:%d %b %Y}: {count(window.rows)} rows, {count(window.labelled)} labelled"
    x = scale(window.start)
    hit = element("rect", title(told), class_="hover", x=x, y=TOP - 6, width=max(scale(window.end) - x, 1), height=height - TOP)
    return link(href, hit, label=told)


def _middle(window: Window, scale: TimeScale) -> float:
    return scale(window.start + (window.end - window.start) / 2)
