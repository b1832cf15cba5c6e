"""The picture of a pipeline: the raw rows, each step, and what is left, from left to right and then down."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from markupsafe import Markup

from modelyard.console.svg import element, link, picture, title

BOX_WIDTH, BOX_HEIGHT, ACROSS, DOWN = 158.0, 76.0, 186.0, 102.0
A_ROW = 5
LONGEST = 23


@dataclass(frozen=True)
class Stop:
    """One box: a title, what it reads, what stands there, its state (a class of the style sheet, such as `failed`), a link."""

    name: str
    columns: str
    told: tuple[str, ...]  # lines
    state: str
    href: str | None


def draw_pipeline(stops: Sequence[Stop]) -> Markup:
    """Return the stops as boxes, five in a row, with a line from each to the next."""
    places = [((n % A_ROW) * ACROSS + 2, (n // A_ROW) * DOWN + 4) for n in range(len(stops))]
    boxes = [_box(stop, x, y) for stop, (x, y) in zip(stops, places, strict=True)]
    lines = [_line(*pair) for pair in pairwise(places)]
    width = min(len(stops), A_ROW) * ACROSS - (ACROSS - BOX_WIDTH) + 4
    height = ((len(stops) - 1) // A_ROW) * DOWN + BOX_HEIGHT + 8
    told = "; ".join(f"{stop.name}: {', '.join(stop.told)}" for stop in stops)
    return picture(width, height, f"Pipeline: {told}", [*lines, *boxes], role="group", class_="pipeline")


def _box(stop: Stop, x: float, y: float) -> Markup:
    return link(
        stop.href,
        title(f"{stop.name} {stop.columns}: {', '.join(stop.told)}"),
        element("rect", class_=f"box {stop.state}".strip(), x=x, y=y, width=BOX_WIDTH, height=BOX_HEIGHT, rx=8),
        element("text", _cut(stop.name), class_="nm", x=x + 10, y=y + 18),
        element("text", _cut(stop.columns), class_="sm", x=x + 10, y=y + 34),
        *(element("text", _cut(line), class_="sm", x=x + 10, y=y + 50 + n * 15) for n, line in enumerate(stop.told)),
        label=f"{stop.name}: {', '.join(stop.told)}",
    )


def _line(source: tuple[float, float], target: tuple[float, float]) -> Markup:
    (x1, y1), (x2, y2) = source, target
    middle = BOX_HEIGHT / 2
    if y1 == y2:
        return element("path", class_="edge", d=f"M {x1 + BOX_WIDTH:g} {y1 + middle:g} L {x2:g} {y2 + middle:g}")
    between = (y1 + BOX_HEIGHT + y2) / 2
    right, left = x1 + BOX_WIDTH / 2, x2 + BOX_WIDTH / 2
    return element(
        "path",
        class_="edge",
        d=f"M {right:g} {y1 + BOX_HEIGHT:g} L {right:g} {between:g} L {left:g} {between:g} L {left:g} {y2:g}",
    )


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
