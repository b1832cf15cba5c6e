"""The picture of the loop: where a model stands in each stage of its life."""

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from modelyard.console.svg import element, link, picture

STAGES = ("Data", "Prepare", "Train", "Models", "Serve", "Monitor", "React")
WIDTH, HEIGHT = 980.0, 150.0
LINE, FIRST, STEP, BACK = 46.0, 70.0, 140.0, 130.0
LONGEST = 24


@dataclass(frozen=True)
class Station:
    """Where a model stands in one stage. `state` is ok, run, wait, note, alarm or none: colour and sign follow it."""

    stage: str
    state: str
    headline: str
    detail: str
    href: str | None = None


def draw_loop(stations: Sequence[Station], name: str, *, back: str = "retrain on fresh data", turning: bool = False) -> Markup:
    """Return the picture; `turning` lights the way back, while a retraining is under way."""
    right = FIRST + STEP * (len(STAGES) - 1) + 24
    track = f"M 46 {LINE:g} H {right:g} a 42 42 0 0 1 0 84 H 46 a 42 42 0 0 1 0 -84 z"
    way_back = f"M {right:g} {LINE:g} a 42 42 0 0 1 0 84 H 46 a 42 42 0 0 1 0 -84"
    middle = FIRST + STEP * 3
    parts = [
        element("path", class_="track", d=track),
        element("path", class_="flow", d=f"M 46 {LINE:g} H {right:g}"),
        *([element("path", class_="flow", d=way_back)] if turning else []),
        element("text", back, class_="back", x=middle, y=BACK + 4, text_anchor="middle"),
        element("path", class_="arrow lit" if turning else "arrow", d=f"M {middle - 100:g} {BACK:g} l 9 -5 v 10 z"),
        *(_station(station, FIRST + STEP * n) for n, station in enumerate(stations)),
    ]
    return picture(WIDTH, HEIGHT, f"The loop: where the model {name} stands in each stage", parts, role="group", class_="loop")


def _station(station: Station, x: float) -> Markup:
    told = f"{station.stage}: {station.headline}, {station.detail}"
    return link(
        station.href,
        element("text", station.stage, class_="st", x=x, y=26, text_anchor="middle"),
        element("circle", class_=f"dot {station.state}", cx=x, cy=LINE, r=8),
        *_sign(station.state, x),
        element("text", _cut(station.headline), class_="nm", x=x, y=76, text_anchor="middle"),
        element("text", _cut(station.detail), class_="sm", x=x, y=94, text_anchor="middle"),
        label=told,
    )


def _sign(state: str, x: float) -> list[Markup]:
    """Return what tells the state apart from others where colour does not."""
    if state == "ok":
        return [element("path", class_="sign", d=f"M {x - 3:g} {LINE:g} l 2 2.6 l 4 -5")]
    if state == "run":
        return [element("path", class_="sign full", d=f"M {x - 2:g} {LINE - 3:g} l 5.5 3 l -5.5 3 z")]
    if state == "wait":
        return [element("path", class_="sign", d=f"M {x - 1.8:g} {LINE - 3:g} v 6 M {x + 1.8:g} {LINE - 3:g} v 6")]
    if state in ("note", "alarm"):
        return [element("path", class_="sign", d=f"M {x:g} {LINE - 3.6:g} v 4 M {x:g} {LINE + 2.8:g} v 0.8")]
    return []


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
