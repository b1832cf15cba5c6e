"""SVG as text: elements whose attributes and contents are always escaped, and paths."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup, escape

Point = tuple[float, float]


def element(name: str, *children: str | Markup, **attributes: str | float | None) -> Markup:
    """Return an element. A trailing `_` of an attribute's name is dropped, other ones become `-`; None leaves it out.

    >>> element("text", "a < b", class_="lab", text_anchor="end", x=1.50)
    Markup('<text class="lab" text-anchor="end" x="1.5">a &lt; b</text>')
    """
    told = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_attribute(given))}"'
        for key, given in attributes.items()
        if given is not None
    )
    inside = "".join(escape(child) for child in children)
    return Markup(f"<{name}{told}>{inside}</{name}>" if inside else f"<{name}{told}/>")  # noqa: S704 - every part is escaped


def picture(
    width: float, height: float, label: str, children: Iterable[Markup], *, role: str = "img", class_: str | None = None
) -> Markup:
    """Return a whole picture that is read aloud as `label`. Its role is `group` where it holds links.

    It says its natural size; the style sheet stretches those that fill a card.
    """
    view = f"0 0 {_attribute(width)} {_attribute(height)}"
    return element("svg", *children, width=width, height=height, viewBox=view, role=role, aria_label=label, class_=class_)


def link(href: str | None, *children: Markup, label: str | None = None) -> Markup:
    """Return the children as a link, or as a group where there is nowhere to go."""
    if href is None:
        return element("g", *children)
    return element("a", *children, href=href, aria_label=label)


def title(text: str) -> Markup:
    """Return what is said on hover."""
    return element("title", text)


def polyline(points: Iterable[Point], class_: str) -> Markup:
    """Return an open line through the points."""
    return element("polyline", points=" ".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=class_)


def area(upper: Sequence[Point], lower: Sequence[Point], class_: str, *children: Markup) -> Markup:
    """Return the surface between two lines over the same x."""
    points = [*upper, *reversed(lower)]
    told = "M " + " L ".join(f"{x:.1f} {y:.1f}" for x, y in points) + " Z"
    return element("path", *children, d=told, class_=class_)


def _attribute(given: str | float) -> str:
    if isinstance(given, str):
        return given
    return f"{given:.1f}".removesuffix(".0")
