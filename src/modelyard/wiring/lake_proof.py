"""Proof that a store in which the lake is to lie keeps writers apart: of those that would write one name, one has its way.

Delta's commits hang on it, and not every server that speaks S3 keeps it: where 4 writers appended 20 times each to a table in
OpenStack Swift 2.38, 14 of 80 acknowledged appends were lost in silence, and of 40 races over one name all had two winners.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from secrets import token_hex
from threading import Barrier
from urllib.parse import urlsplit

from modelyard.core import Place, Problem
from modelyard.core.places import below

RACES = 6
WRITERS = 8
PROVED = "writers-are-kept-apart"


def prove_lake(url: str, place: Callable[[str], Place]) -> None:
    """Return when the lake's store was seen to keep writers apart, now or before; a local disk does.

    Raises
    ------
    Problem
        `lake.refused` for a store that lets two writers have their way, and what places raise.
    """
    if urlsplit(url).scheme == "file":
        return
    store = place(below(url, ".modelyard"))
    if store.get(PROVED) is not None:
        return
    for _ in range(RACES):
        winners = _race(store, f"race-{token_hex(8)}")
        if winners != 1:
            what = f"The store of the lake lets {winners} of {WRITERS} writers of one name have their way"
            why = "its conditional PUT (If-None-Match) is not atomic, so that commits would be lost in silence"
            raise Problem("lake.refused", what, why, "use a store that keeps it, such as AWS S3, MinIO or versitygw")
    store.put(PROVED, b"")


def _race(store: Place, name: str) -> int:
    start = Barrier(WRITERS)

    def write(number: int) -> bool:
        start.wait()
        return store.put(name, b"%d" % number, new=True)

    with ThreadPoolExecutor(WRITERS) as pool:
        won = list(pool.map(write, range(WRITERS)))
    store.remove([name])
    return won.count(True)
