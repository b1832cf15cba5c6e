"""Small pictures: sparks, histograms, lines, scatters, intervals. Text only, so that they print and are read aloud."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from math import isfinite

from markupsafe import Markup

from modelyard.console.scale import Scale, TimeScale, around
from modelyard.console.svg import element, link, picture, polyline, title
from modelyard.console.telling import change, count, figure, share, value
from modelyard.data.profile import CategoryProfile, ColumnProfile, NumberKind, NumericProfile

SPARK = (120.0, 22.0)
BARS_SHOWN = 24
STRETCHES = 24
FEW_VALUES = 48
FAILED = "\N{MULTIPLICATION SIGN}"
LINE_WIDTH, LINE_HEIGHT = 500.0, 190.0
LEFT, RIGHT, TOP, BASE = 46.0, 492.0, 16.0, 160.0


def spark(values: Sequence[float | None], label: str) -> Markup:
    """Return a tiny line."""
    known = [(n, one) for n, one in enumerate(values) if one is not None]
    if len(known) < 2:  # noqa: PLR2004 - a line has two ends
        return picture(*SPARK, f"{label}: too few values", [], class_="spark")
    x = Scale(0, len(values) - 1, 2, SPARK[0] - 2)
    y = around((one for _, one in known), SPARK[1] - 3, 3)
    told = f"{label}: from {figure(known[0][1])} to {figure(known[-1][1])}"
    return picture(*SPARK, told, [polyline([(x(n), y(one)) for n, one in known], "line")], class_="spark")


# Histograms of profiles


@dataclass(frozen=True)
class Bar:
    """One bar: a name, and its share of the rows."""

    name: str
    share: float


def bars_of(profile: ColumnProfile) -> tuple[Bar, ...]:
    """Return the shares of a column's values: of each of few values, of even stretches of many, of the commonest categories."""
    total = sum(profile.slots) + profile.null or 1
    nulls = [Bar("null", profile.null / total)] if profile.null else []
    if isinstance(profile, NumericProfile) and has_stretches(profile):
        edges = even_edges([profile])
        return (*(Bar(name, amount) for name, amount in even_shares(profile, edges).items()), *nulls)
    named = [Bar(profile.slot_name(n), amount / total) for n, amount in enumerate(profile.slots)]
    if isinstance(profile, CategoryProfile):
        rest = sum(bar.share for bar in named[BARS_SHOWN - 1 :])
        named = [*named[: BARS_SHOWN - 1], Bar("others", rest)] if len(named) >= BARS_SHOWN else named
    return (*(bar for bar in named if bar.share), *nulls)


def has_stretches(profile: NumericProfile) -> bool:
    """Return whether the values are drawn by even stretches, since they are more than a bin each."""
    few = len(profile.starts) <= BARS_SHOWN + 8 and all(start.is_integer() for start in (*profile.starts, profile.stop))
    narrow = bool(profile.starts) and profile.stop - profile.starts[0] < FEW_VALUES
    return bool(profile.quantiles) and not (few and narrow)


def even_edges(profiles: Sequence[NumericProfile]) -> tuple[float, ...]:
    """Return the edges of even stretches that hold all but the outermost half per cent of each profile's values."""
    known = [one.quantiles for one in profiles if one.quantiles]
    low, high = min(one[1] for one in known), max(one[-2] for one in known)
    step = (high - low) / STRETCHES or 1.0
    return tuple(low + n * step for n in range(STRETCHES + 1))


def even_shares(profile: NumericProfile, edges: Sequence[float]) -> dict[str, float]:
    """Return the share of the values in each stretch, to half a per cent; what lies outside counts to the outermost."""
    total = sum(profile.slots) + profile.null or 1
    step = edges[1] - edges[0]
    names = [f"{_edge(low, profile)} to {_edge(high, profile)}" for low, high in pairwise(edges)]
    counts = [0] * len(names)
    for one in profile.quantiles:
        counts[min(max(int((one - edges[0]) / step), 0), len(names) - 1)] += 1
    known = profile.finite / total / max(len(profile.quantiles), 1)
    return {name: amount * known for name, amount in zip(names, counts, strict=True)}


def _edge(at: float, profile: NumericProfile) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%d %b %Y}" if profile.kind is NumberKind.TIME else f"{at:.4g}"


def histogram(profile: ColumnProfile, label: str, *, width: float = 180.0, height: float = 34.0) -> Markup:
    """Return the column's slots as bars; nulls in amber at the end."""
    bars = bars_of(profile)
    if not bars:
        return picture(width, height, f"{label}: no values", [])
    y = Scale(0, max(bar.share for bar in bars) or 1, 0, height - 2)
    step = width / len(bars)
    drawn = [
        element(
            "rect",
            title(f"{bar.name}: {share(bar.share)}"),
            class_="bar note" if bar.name == "null" else "bar",
            x=n * step + 0.5,
            y=height - y(bar.share),
            width=max(step - 1, 0.8),
            height=max(y(bar.share), 0.4),
        )
        for n, bar in enumerate(bars)
    ]
    return picture(width, height, f"{label}: {told_bars(bars)}", drawn, class_="histogram")


def told_bars(bars: Sequence[Bar], most: int = 3) -> str:
    """Return the largest bars in words."""
    largest = sorted(bars, key=lambda bar: -bar.share)[:most]
    return ", ".join(f"{bar.name} {share(bar.share)}" for bar in largest)


def histogram_pair(
    reference: ColumnProfile,
    current: ColumnProfile,
    label: str,
    *,
    width: float = 460.0,
    names: tuple[str, str] = ("reference", "current"),
) -> Markup:
    """Return two histograms over the same slots: the reference as grey bars, the current rows as blue ones beside them."""
    height, base = 130.0, 108.0
    before, now = bars_by_name(reference, current)
    slots = list(before)
    top = max([*before.values(), *now.values(), 1e-9])
    y = Scale(0, top, base, 8)
    step = width / max(len(slots), 1)
    drawn = [element("line", class_="grid", x1=0, x2=width, y1=base, y2=base)]
    labels = [value(name).partition(" to ")[0][:11] for name in slots]
    most = 8 if max(map(len, labels), default=0) < 9 else 5  # noqa: PLR2004 - as many as stand beside each other
    every = max(1, -(-len(slots) // most))
    for n, name in enumerate(slots):
        hint = title(f"{name}: {names[0]} {share(before[name])}, {names[1]} {share(now[name])}")
        x = n * step
        drawn.append(
            element("rect", class_="bar", x=x + 1, y=y(before[name]), width=max(step * 0.46, 1), height=base - y(before[name]))
        )
        drawn.append(
            element(
                "rect",
                class_="bar now",
                x=x + 1 + step * 0.46,
                y=y(now[name]),
                width=max(step * 0.46, 1),
                height=base - y(now[name]),
            )
        )
        drawn.append(element("rect", hint, class_="hover", x=x, y=0, width=step, height=base))
        if n % every == 0:
            drawn.append(
                element(
                    "text",
                    labels[n],
                    class_="ax",
                    x=x + step / 2,
                    y=base + 14,
                    text_anchor="middle",
                )
            )
    moved = sorted(slots, key=lambda name: -abs(now[name] - before[name]))[:3]
    told = ", ".join(f"{name} {share(before[name])} → {share(now[name])}" for name in moved)
    return picture(width, height, f"{label}, {names[0]} and {names[1]}: {told}", drawn, class_="pair")


def bars_by_name(reference: ColumnProfile, current: ColumnProfile) -> tuple[dict[str, float], dict[str, float]]:
    """Return the shares of both, by the same names. The two may have been counted over slots of their own."""
    pair = (reference, current)
    stretches = _by_stretches(reference, current)
    if stretches is not None:
        sides = stretches
    elif _slots_of(reference) == _slots_of(current):
        sides = [_shares(one, reference) for one in pair]
    else:
        sides = _by_own_names(reference, current)
    for side, one in zip(sides, pair, strict=True):
        side["null"] = one.null / (sum(one.slots) + one.null or 1)
    if stretches is None or not any(side["null"] for side in sides):
        empty = {name for name in sides[0] if not sides[0][name] and not sides[1][name]}
        sides = [{name: amount for name, amount in side.items() if name not in empty} for side in sides]
    return sides[0], sides[1]


def _by_stretches(reference: ColumnProfile, current: ColumnProfile) -> list[dict[str, float]] | None:
    """Return the shares over even stretches; None: they are no numbers, or so few that each is drawn by itself."""
    if not isinstance(reference, NumericProfile) or not isinstance(current, NumericProfile):
        return None
    if not has_stretches(reference) and not has_stretches(current):
        return None
    edges = even_edges([reference, current])
    return [even_shares(one, edges) for one in (reference, current)]


def _slots_of(one: ColumnProfile) -> tuple[object, ...]:
    return (one.starts, one.stop) if isinstance(one, NumericProfile) else one.names


def _by_own_names(reference: ColumnProfile, current: ColumnProfile) -> list[dict[str, float]]:
    """Return the shares of two columns that were counted over other slots: few numbers in their order, categories by size."""
    counts = [_counts(one) for one in (reference, current)]
    names = list(dict.fromkeys([*counts[0], *counts[1]]))
    totals = [sum(one.slots) + one.null or 1 for one in (reference, current)]
    if isinstance(reference, NumericProfile) and isinstance(current, NumericProfile):
        shown = sorted(names, key=float)
    else:
        largest = {name: max(side.get(name, 0) / of for side, of in zip(counts, totals, strict=True)) for name in names}
        shown = sorted(names, key=lambda name: -largest[name])[: BARS_SHOWN - 2]
    sides = []
    for one, side, total in zip((reference, current), counts, totals, strict=True):
        others = sum(one.slots) - sum(side.get(name, 0) for name in shown)
        sides.append({name: side.get(name, 0) / total for name in shown} | {"others": others / total})
    return sides


def _counts(one: ColumnProfile) -> dict[str, int]:
    names = [f"{start:g}" for start in one.starts] if isinstance(one, NumericProfile) else one.names
    return dict(zip(names, one.counts, strict=True))


def _shares(one: ColumnProfile, reference: ColumnProfile) -> dict[str, float]:
    """Return the share of each slot of the reference, the rarest categories put together where there are more than fit."""
    total = sum(one.slots) + one.null or 1
    slots = range(len(reference.slots))
    keep = slots[: BARS_SHOWN - 2] if isinstance(reference, CategoryProfile) else slots
    found = {reference.slot_name(n): one.slots[n] / total for n in keep}
    rest = sum(one.slots[n] for n in slots[len(keep) :]) / total
    return found | ({"others": rest} if len(keep) < len(slots) else {})


# Lines and points


@dataclass(frozen=True)
class Line:
    """A named line over shared places; None: no value there."""

    name: str
    values: tuple[float | None, ...]
    class_: str = "loss"


def line_chart(starts: Sequence[datetime], lines: Sequence[Line], label: str, *, unit: str = "", zero: bool = False) -> Markup:
    """Return lines over time, each named at its end."""
    if not starts:
        return picture(LINE_WIDTH, LINE_HEIGHT, f"{label}: nothing yet", [])
    x = TimeScale(starts[0], starts[-1], LEFT, RIGHT - 34)
    y = around((one for line in lines for one in line.values), BASE, TOP, zero=zero)
    drawn = _grid(y, unit)
    drawn += [element("text", name, class_="ax", x=x(at), y=BASE + 18, text_anchor="middle") for at, name in x.ticks()]
    for line in lines:
        points = [(x(at), y(one)) for at, one in zip(starts, line.values, strict=True) if one is not None]
        drawn.append(polyline(points, line.class_))
        if points:
            drawn.append(element("text", line.name, class_="ax", x=points[-1][0] + 5, y=points[-1][1] + 4))
    last = "; ".join(
        f"{line.name} {figure(next((one for one in reversed(line.values) if one is not None), None))}" for line in lines
    )
    return picture(LINE_WIDTH, LINE_HEIGHT, f"{label}: {last}", drawn, class_="lines")


def _grid(y: Scale, unit: str) -> list[Markup]:
    drawn = [element("text", unit, class_="ax", x=LEFT - 6, y=10, text_anchor="end")] if unit else []
    for tick in y.ticks():
        drawn.append(element("line", class_="grid", x1=LEFT, x2=RIGHT, y1=y(tick), y2=y(tick)))
        drawn.append(element("text", f"{tick:g}", class_="ax", x=LEFT - 6, y=y(tick) + 4, text_anchor="end"))
    return drawn


@dataclass(frozen=True)
class Dot:
    """A point of a scatter: where, how it is drawn, what it says, where it leads."""

    x: float
    y: float
    told: str
    href: str | None = None
    best: bool = False


def scatter(dots: Sequence[Dot], label: str, *, x_name: str, y_name: str) -> Markup:
    """Return points; the best one stands out by size and ring."""
    width, height, base, left = 300.0, 190.0, 156.0, 46.0
    if not dots:
        return picture(width, height, f"{label}: nothing yet", [])
    x = around((dot.x for dot in dots), left + 4, width - 8)
    y = around((dot.y for dot in dots), base, 14)
    drawn = []
    for tick in y.ticks():
        drawn.append(element("line", class_="grid", x1=left, x2=width, y1=y(tick), y2=y(tick)))
        drawn.append(element("text", f"{tick:g}", class_="ax", x=left - 6, y=y(tick) + 4, text_anchor="end"))
    for tick in x.ticks():
        drawn.append(element("text", f"{tick:g}", class_="ax", x=x(tick), y=base + 15, text_anchor="middle"))
    drawn.append(element("text", x_name, class_="ax", x=width - 4, y=base + 30, text_anchor="end"))
    for dot in sorted(dots, key=lambda one: one.best):
        circle = element(
            "circle", title(dot.told), cx=x(dot.x), cy=y(dot.y), r=6 if dot.best else 4, class_="pt best" if dot.best else "pt"
        )
        drawn.append(link(dot.href, circle, label=dot.told))
    best = next((dot for dot in dots if dot.best), None)
    told = f"{label}: {len(dots)} points of {y_name} over {x_name}" + (f", best {best.told}" if best else "")
    return picture(width, height, told, drawn, role="group", class_="scatter")


def best_so_far(values: Sequence[float | None], *, smaller: bool, label: str) -> Markup:
    """Return each trial's value as a dot and the best one so far as a stepped line."""
    if not any(one is not None for one in values):
        return picture(LINE_WIDTH, LINE_HEIGHT, f"{label}: no trial has ended yet", [])
    x = Scale(0, max(len(values) - 1, 1), LEFT + 6, RIGHT - 6)
    y = around(values, BASE, TOP)
    best: float | None = None
    steps: list[tuple[float, float]] = []
    drawn = _grid(y, "")
    for n, one in enumerate(values):
        if one is None:
            drawn.append(element("text", title(f"trial {n} failed"), FAILED, class_="ax", x=x(n), y=BASE, text_anchor="middle"))
        else:
            better = best is None or (one < best if smaller else one > best)
            if better and best is not None:
                steps.append((x(n), y(best)))
            best = one if better else best
            drawn.append(element("circle", title(f"trial {n}: {figure(one)}"), cx=x(n), cy=y(one), r=4, class_="pt"))
        if best is not None:
            steps.append((x(n), y(best)))
    drawn.append(polyline(steps, "flow"))
    every = max(1, len(values) // 10)
    drawn += [
        element("text", str(n), class_="ax", x=x(n), y=BASE + 18, text_anchor="middle") for n in range(0, len(values), every)
    ]
    return picture(LINE_WIDTH, LINE_HEIGHT, f"{label}: best {figure(best)} of {len(values)} trials", drawn, class_="lines")


# Intervals


@dataclass(frozen=True)
class Interval:
    """A difference with its interval, as the judge of a canary sees it."""

    name: str
    middle: float
    half_width: float


def forest(intervals: Sequence[Interval], tolerance: float, label: str) -> Markup:
    """Return each interval against zero and the tolerance: left of the tolerance is good enough, right of zero is worse."""
    row, top, left, right = 34.0, 26.0, 96.0, 470.0
    height = top + row * len(intervals) + 26
    known = [one for one in intervals if isfinite(one.half_width)]
    edges = [edge for one in known for edge in (one.middle - one.half_width, one.middle + one.half_width)]
    x = around([*edges, 0.0, tolerance], left, right)
    base = height - 22
    drawn = [
        element("rect", class_="harm", x=x(tolerance), y=top - 8, width=right - x(tolerance), height=base - top + 8),
        element("line", class_="zero", x1=x(0), x2=x(0), y1=top - 8, y2=base),
        element("line", class_="limit", x1=x(tolerance), x2=x(tolerance), y1=top - 8, y2=base),
        element("text", "no difference", class_="ax", x=x(0), y=top - 14, text_anchor="end"),
        element("text", f"tolerance {tolerance:g}", class_="ax", x=min(x(tolerance) + 2, right - 74), y=top - 14),
    ]
    drawn += [
        element("text", change(tick) if tick else "0", class_="ax", x=x(tick), y=base + 14, text_anchor="middle")
        for tick in x.ticks(4)
    ]
    for n, one in enumerate(intervals):
        y = top + row * (n + 0.5)
        drawn.append(element("text", one.name, class_="nm", x=0, y=y + 4))
        if not isfinite(one.half_width):
            drawn.append(element("text", "too few labels to say", class_="sm", x=left, y=y + 4))
            continue
        low, high = one.middle - one.half_width, one.middle + one.half_width
        kind = "ci bad" if low > 0 else "ci ok" if high < tolerance else "ci"
        hint = title(f"{change(one.middle)}, between {change(low)} and {change(high)}")
        drawn.append(element("line", hint, class_=kind, x1=x(low), x2=x(high), y1=y, y2=y))
        drawn.append(element("circle", class_=kind, cx=x(one.middle), cy=y, r=4.5))
    told = "; ".join(
        f"{one.name}: {change(one.middle)} ± {figure(one.half_width)}"
        if isfinite(one.half_width)
        else f"{one.name}: too few labels"
        for one in intervals
    )
    return picture(480, height, f"{label}: {told}; tolerance {tolerance:g}", drawn, class_="forest")


def bin_chart(bins: Sequence[tuple[str, int]], label: str, *, width: float = 180.0, height: float = 34.0) -> Markup:
    """Return counted bins, in their order, as bars."""
    y = Scale(0, max((rows for _, rows in bins), default=0) or 1, 0, height - 2)
    step = width / max(len(bins), 1)
    drawn = [
        element(
            "rect",
            title(f"{name}: {count(rows)}"),
            class_="bar now",
            x=n * step + 0.5,
            y=height - y(rows),
            width=max(step - 1, 0.8),
            height=max(y(rows), 0.4),
        )
        for n, (name, rows) in enumerate(bins)
    ]
    return picture(width, height, label, drawn, class_="histogram")


def bar_list(rows: Sequence[tuple[str, float, str]], label: str, *, limit: float | None = None) -> Markup:
    """Return named bars of values from 0 on, each with its text; `limit` is drawn as a line."""
    row, left, right = 22.0, 150.0, 400.0
    height = row * max(len(rows), 1) + 6
    top = max([amount for _, amount, _ in rows] + [limit or 0.0, 1e-9])
    x = Scale(0, top, left, right)
    drawn = []
    for n, (name, amount, told) in enumerate(rows):
        y = row * n + 4
        over = limit is not None and amount >= limit
        drawn.append(element("text", value(name)[:24], class_="nm", x=left - 8, y=y + 12, text_anchor="end"))
        drawn.append(
            element(
                "rect",
                title(told),
                class_="bar now" if over else "bar",
                x=left,
                y=y + 2,
                width=max(x(amount) - left, 1),
                height=row - 9,
            )
        )
        drawn.append(element("text", told, class_="sm", x=x(amount) + 6, y=y + 12))
    if limit is not None:
        drawn.append(element("line", class_="limit", x1=x(limit), x2=x(limit), y1=0, y2=height))
    told = ", ".join(f"{name} {text}" for name, _, text in rows[:5])
    return picture(480, height, f"{label}: {told or 'nothing'}; {count(len(rows))} in all", drawn, class_="bars")
