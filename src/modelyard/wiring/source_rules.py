"""Which sources datasets may name: never what the server keeps for itself, and, where a list is set, only what stands on it."""

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from modelyard.core import Problem
from modelyard.core.places import is_hidden, is_pattern
from modelyard.data import Source
from modelyard.data.sources import LeadsOn
from modelyard.wiring.settings import ANY, Settings

FREE = "data"  # a folder in the server's home that sources may name, such as the demo's
_LOCAL = ("file", "sqlite")
_PORTS = {"postgresql": 5432}


def allowed_sources(settings: Settings, open_source: Callable[[str], Source]) -> Callable[[str], Source]:
    """Return what opens a source by URL, where it may be named.

    Raises
    ------
    Problem
        From what is returned: `source.forbidden`, and what `open_source` raises.
    """
    own = [f"file://{settings.home}", *map(_located, (settings.lake, settings.objects, settings.metadata))]
    free = f"file://{settings.home}/{FREE}"
    listed = None if settings.sources == ANY else [_located(one) for one in settings.sources.replace(",", " ").split()]

    def check(url: str) -> None:
        there = _located(url)
        if not _is_below(there, free) and any(_is_below(there, one) or _reaches(url, there, one) for one in own):
            why, step = "it lies where the server keeps what is its own, of every project", "name what lies elsewhere"
            raise Problem("source.forbidden", "The source cannot be read", why, step)
        if listed is not None and not any(_is_below(there, one) for one in listed):
            why, step = f"{there} is not below what this server's setting `sources` lists", "ask who runs it to add it there"
            raise Problem("source.forbidden", "The source cannot be read", why, step)

    def opened(url: str) -> Source:
        check(url)
        source = open_source(url)
        return source.guarded(check) if isinstance(source, LeadsOn) else source

    return opened


def _located(url: str) -> str:
    """Return where a URL leads, so that two that lead there are alike: without user and options, symbolic links followed.

    >>> _located("delta+s3://ann@Lake/a/../b?region=eu"), _located("sqlite:////data/shop.db?table=orders")
    ('s3://lake/b', 'file:///data/shop.db')
    """
    if "://" not in url:
        url = f"file://{url.replace('%', '%25').replace('?', '%3F').replace('#', '%23')}"
    parts = urlsplit(url)
    scheme = parts.scheme.lower().removeprefix("delta+").removeprefix("croissant+").partition("+")[0]
    if scheme in _LOCAL:
        names = [name for name in unquote(parts.path).split("/") if name]
        fixed = next((place for place, name in enumerate(names) if is_pattern(name)), len(names))
        return f"file://{Path('/', *names[:fixed]).resolve()}"
    names = []
    for name in unquote(parts.path).split("/"):
        if name == ".." and names:
            names.pop()
        elif name not in {"", ".", ".."}:
            names.append(name)
    servers = parts.netloc.rpartition("@")[2].lower()
    servers += f":{_PORTS[scheme]}" if scheme in _PORTS and not re.search(r":[0-9]+$", servers) else ""
    return "/".join([f"{scheme}://{servers}", *names])


def _is_below(there: str, root: str) -> bool:
    """Return whether a location is a root or lies below it."""
    return there == root or there.startswith(root.rstrip("/") + "/")


def _reaches(url: str, there: str, own: str) -> bool:
    """Return whether a folder or pattern goes down to what is the server's own."""
    goes_down = "**" in url or not is_pattern(url)
    return goes_down and _is_below(own, there) and not is_hidden(own[len(there) :].strip("/"))
