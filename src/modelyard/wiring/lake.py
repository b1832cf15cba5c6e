"""Whether a store in which the lake is to lie keeps writers apart: of those that would write one name, one has its way.

Delta's commits hang on it, and not every server that speaks S3 keeps it: where 4 writers appended 20 times each to a table in
OpenStack Swift 2.38, 8 to 14 of 80 acknowledged appends were lost in silence, and of 40 races over one name all had two
winners. There each table is written under a lock in the metadata database.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex
from threading import Barrier
from urllib.parse import urlsplit

from modelyard.adapters import LAKE, PLACES, connect
from modelyard.core import Place
from modelyard.core.places import below
from modelyard.data import Guard, TableStore

RACES = 6
WRITERS = 8
PROVED = "writers-are-kept-apart"
LOCKED = "writers-take-a-lock"


def open_lake(url: str, guard: Callable[[], Guard]) -> TableStore:
    """Return the lake at a URL; where its store does not keep writers apart, one whose tables are written under the guard."""
    lake = connect(LAKE, url)
    return lake if keeps_apart(url, lambda url: connect(PLACES, url)) else lake.guarded(guard())


def keeps_apart(url: str, place: Callable[[str], Place]) -> bool:
    """Return whether the lake's store was seen to keep writers apart, now or before; a local disk does.

    What was found stands in the store, so that all who open the lake go by the same. Raises what places raise.
    """
    if urlsplit(url).scheme == "file":
        return True
    store = place(below(url, ".modelyard"))
    if store.get(LOCKED) is not None:
        return False
    if store.get(PROVED) is not None:
        return True
    apart = all(_race(store, f"race-{token_hex(8)}") == 1 for _ in range(RACES))
    store.put(PROVED if apart else LOCKED, b"")
    return apart


def _race(store: Place, name: str) -> int:
    start = Barrier(WRITERS)

    def write(number: int) -> bool:
        start.wait()
        return store.put(name, b"%d" % number, new=True)

    with ThreadPoolExecutor(WRITERS) as pool:
        won = list(pool.map(write, range(WRITERS)))
    store.remove([name])
    return won.count(True)
