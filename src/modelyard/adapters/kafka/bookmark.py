"""Where a reading of a topic ended, and where the next one begins."""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from modelyard.adapters.kafka.topic import Found
from modelyard.core import Problem

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bookmark:
    """Where a reading ended: of each partition the next offset, and of which topic (a topic made anew has another id)."""

    topic: str
    id: str
    next: Mapping[int, int]

    def __str__(self) -> str:
        offsets = {str(partition): self.next[partition] for partition in sorted(self.next)}
        return json.dumps({"topic": self.topic, "id": self.id, "next": offsets}, separators=(",", ":"))

    @classmethod
    def parse(cls, text: str) -> "Bookmark | None":
        """Return what a bookmark says; None: it is that of the beginning. Problem `source.invalid` for one that is not ours.

        >>> Bookmark.parse('{"topic":"flights","id":"x","next":{"0":17}}').next
        {0: 17}
        """
        if not text:
            return None
        try:
            told = json.loads(text)
            return cls(str(told["topic"]), str(told["id"]), {int(name): int(at) for name, at in told["next"].items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            what = f"'{text[:100]}' is no bookmark of a topic"
            raise Problem("source.invalid", what, "another source has left it", "make a dataset of its own") from error


def begins_of(found: Found, bookmark: Bookmark | None, *, skips: bool, told: str) -> dict[int, int]:
    """Return where a reading begins: where the one before ended, else at what is there. Problem `source.conflict`."""
    if bookmark is None:
        return dict(found.first)
    why, gone = "", 0
    if (bookmark.topic, bookmark.id) != (found.name, found.id):
        what, why = f"{told} is not the topic that was read before", "it was made anew, or another one is named"
        bookmark = Bookmark(found.name, found.id, {})
    begins: dict[int, int] = {}
    lost = []
    for partition, first in found.first.items():
        before, end = bookmark.next.get(partition, first), found.ends[partition]
        begins[partition] = min(max(before, first), end)
        if before < first:
            lost.append(f"{before} to {first - 1} of partition {partition}")
            gone += first - before
        elif before > end:
            lost.append(f"the end of partition {partition}, which is at {end} and was at {before}")
    if lost:
        what = f"Up to {gone:,} messages of {told} are gone that were not read"
        why = f"the broker has no longer {', '.join(lost[:5])}"
    if not why:
        return begins
    if not skips:
        step = "read more often than they are deleted; to go on with what is there, add missing=skip to the source's URL"
        raise Problem("source.conflict", what, why, step, {"gone": gone})
    log.warning("%s: %s; reading goes on with what is there", what, why)
    return begins
