"""Reading through pages."""

from collections.abc import Callable
from typing import TypeVar

from modelyard.core import Page, PageRequest

T = TypeVar("T")


def through(ask: Callable[[PageRequest], Page[T]], limit: int) -> list[tuple[T, ...]]:
    """Return the items of each page from the first to the last."""
    pages = [ask(PageRequest(limit=limit))]
    while (key := pages[-1].next_key) is not None:
        assert len(pages) < 1000, "the pages do not end"
        pages.append(ask(PageRequest(key, limit)))
    return [page.items for page in pages]
