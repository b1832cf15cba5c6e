"""A small part of Markdown as HTML, for model cards: headings, paragraphs, lists, tables, bold, code. Everything is escaped."""

import re
from collections.abc import Iterator

from markupsafe import Markup, escape

_INLINE = re.compile(r"\*\*(?P<bold>[^*]+)\*\*|`(?P<code>[^`]+)`")
_HEADING = re.compile(r"(?P<marks>#{1,4})\s+(?P<text>.+)")
_RULE = re.compile(r"\|?[\s:|-]+\|?")


def render_markdown(text: str) -> Markup:
    r"""Return a card as HTML.

    >>> render_markdown("# A <b>\n\n- **one**")
    Markup('<h2>A &lt;b&gt;</h2>\n<ul><li><b>one</b></li></ul>')
    """
    return Markup("\n").join(_block(lines) for lines in _blocks(text))


def _blocks(text: str) -> Iterator[list[str]]:
    """Give the text in blocks of lines of one kind."""
    block: list[str] = []
    kind = ""
    for line in text.splitlines():
        now = _kind(line)
        if block and (now != kind or now == "heading"):
            yield block
            block = []
        kind = now
        if now:
            block.append(line.strip())
    if block:
        yield block


def _kind(line: str) -> str:
    line = line.strip()
    if not line:
        return ""
    if _HEADING.fullmatch(line):
        return "heading"
    if line.startswith(("- ", "* ")):
        return "list"
    return "table" if line.startswith("|") else "text"


def _block(lines: list[str]) -> Markup:
    kind = _kind(lines[0])
    if kind == "heading":
        found = _HEADING.fullmatch(lines[0])
        level = min(len(found["marks"]) + 1, 4) if found else 2
        return Markup("<h{0}>{1}</h{0}>").format(level, _inline(found["text"] if found else lines[0]))
    if kind == "list":
        items = (Markup("<li>{}</li>").format(_inline(line[2:])) for line in lines)
        return Markup("<ul>{}</ul>").format(Markup("").join(items))
    if kind == "table":
        return _table(lines)
    return Markup("<p>{}</p>").format(_inline(" ".join(lines)))


def _table(lines: list[str]) -> Markup:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if not _RULE.fullmatch(line)]
    head, body = rows[0], rows[1:]
    told = Markup("").join(Markup('<th scope="col">{}</th>').format(_inline(cell)) for cell in head)
    shown = Markup("").join(
        Markup("<tr>{}</tr>").format(Markup("").join(Markup("<td>{}</td>").format(_inline(cell)) for cell in row))
        for row in body
    )
    return Markup("<table><thead><tr>{}</tr></thead><tbody>{}</tbody></table>").format(told, shown)


def _inline(text: str) -> Markup:
    parts: list[Markup] = []
    place = 0
    for found in _INLINE.finditer(text):
        parts.append(escape(text[place : found.start()]))
        tag, inside = ("b", found["bold"]) if found["bold"] else ("code", found["code"])
        parts.append(Markup("<{0}>{1}</{0}>").format(tag, inside))
        place = found.end()
    return Markup("").join([*parts, escape(text[place:])])
