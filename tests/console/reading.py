"""Pages as tests read them: elements with their attributes and the text inside, by the standard library's parser."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = frozenset(["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"])


@dataclass
class Element:
    """An element of a page."""

    tag: str
    attributes: dict[str, str]
    parts: list["str | Element"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """All text inside, blanks put together."""
        return " ".join("".join(self._texts()).split())

    def _texts(self) -> list[str]:
        return [part if isinstance(part, str) else "".join(part._texts()) for part in self.parts]

    def all(self, tag: str, **wanted: str) -> list["Element"]:
        """Return the elements below with this tag and these attributes (`class_` holds one of the classes)."""
        found = []
        for part in self.parts:
            if isinstance(part, Element):
                if part.tag == tag and all(part.has(name, told) for name, told in wanted.items()):
                    found.append(part)
                found += part.all(tag, **wanted)
        return found

    def one(self, tag: str, **wanted: str) -> "Element":
        """Return the first such element."""
        found = self.all(tag, **wanted)
        assert found, f"no <{tag}> with {wanted} in: {self.text[:400]}"
        return found[0]

    def has(self, name: str, told: str) -> bool:
        """Return whether an attribute has this value."""
        given = self.attributes.get(name.rstrip("_").replace("_", "-"))
        return given is not None and (told in given.split() if name == "class_" else given == told)


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.top = Element("document", {})
        self.open = [self.top]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: told or "" for name, told in attrs})
        self.open[-1].parts.append(made)
        if tag not in VOID:
            self.open.append(made)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].parts.append(Element(tag, {name: told or "" for name, told in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in [one.tag for one in self.open]:
            while self.open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        self.open[-1].parts.append(data)


def read(html: str) -> Element:
    """Return a page as elements."""
    reader = _Reader()
    reader.feed(html)
    return reader.top
