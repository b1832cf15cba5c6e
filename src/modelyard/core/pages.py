"""Pages by key: a page says which key to go on from. Never by offset, so that deep pages cost what the first one does."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


@dataclass(frozen=True)
class PageRequest:
    """What a reader asks for: at most `limit` items after the key `after` (from the start when None)."""

    after: str | None = None
    limit: int = DEFAULT_LIMIT


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some items, and the key to ask for the next ones with (None: there are no more)."""

    items: tuple[T, ...]
    next_key: str | None = None


def every(find: Callable[[PageRequest], Page[T]]) -> Iterator[T]:
    """Give all items, page by page.

    >>> list(every(lambda page: Page((1, 2), "2") if page.after is None else Page((3,))))
    [1, 2, 3]
    """
    after: str | None = None
    while True:
        page = find(PageRequest(after, MAX_LIMIT))
        yield from page.items
        after = page.next_key
        if after is None:
            return
