"""What may go of a dataset: which versions a vacuum drops, and which batches in the lake nothing reads any more.

A version is made of batches that the versions before it brought, back to one that is whole. So dropping a version frees the
batches that no version after it reads: nothing as long as one of them stays and none between is whole.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta

from modelyard.core import Problem
from modelyard.data.reading import STOPPED_FACT, VACUUMED_FACT
from modelyard.data.rules import batch_of, number_of
from modelyard.data.types import DatasetVersion, DatasetVersionId, Fate, VersionFate
from modelyard.events import Event

KEEP = 5  # newest versions, unless said otherwise
OLDER_THAN = timedelta(days=90)
_OLDEST = timedelta(days=36_500)
LEFT_FOR = timedelta(days=1)  # no writer takes so long from its file to its commit: whoever left it there was killed
CREATED_FACT = "dataset_version.created"
JUDGED = (STOPPED_FACT, CREATED_FACT, VACUUMED_FACT)


def check_keep(keep: int) -> None:
    """Return when a dataset can keep so many versions. Problem `vacuum.invalid`."""
    if keep < 1:
        why = "new batches stand on the newest version"
        raise Problem("vacuum.invalid", f"A dataset cannot keep {keep} versions", why, "keep 1 at least")


def age_of(seconds: float) -> timedelta:
    """Return an age from 0 to 100 years. Problem `vacuum.invalid`.

    >>> age_of(86_400)
    datetime.timedelta(days=1)
    """
    if not 0 <= seconds <= _OLDEST.total_seconds():
        why = "an age is from 0 to 100 years"
        raise Problem("vacuum.invalid", f"No version is older than {seconds} s", why, "--older-than 90d")
    return timedelta(seconds=seconds)


def decide(
    versions: Sequence[DatasetVersion],
    needs: Mapping[DatasetVersionId, Sequence[str]],
    *,
    keep: int,
    before: datetime,
) -> list[VersionFate]:
    """Return what a vacuum does with each version whose rows are there.

    Parameters
    ----------
    versions
        All of a dataset, newest first.
    needs
        What needs a version, for people.
    keep
        So many of the newest stay.
    before
        Those made since then stay.
    """
    fates: list[VersionFate] = []
    shared = False
    for one in versions:
        if one.dropped_at is None:
            fate = Fate.SHARED if shared else Fate.DROPPED
            if len(fates) < keep or one.created_at >= before:
                fate = Fate.KEPT
            elif one.id in needs:
                fate = Fate.HELD
            told = tuple(needs[one.id]) if fate is Fate.HELD else ()
            fates.append(VersionFate(one.id, one.number, one.rows, one.created_at, fate, told))
            shared = shared or fate is not Fate.DROPPED
        shared = shared and not one.whole
    return fates


def unread(versions: Sequence[DatasetVersion], commits: Iterable[str]) -> list[str]:
    """Return those of the commits in a dataset's table that no version reads, and none ever will.

    They are the batches of versions that were dropped, and what killed or overtaken writers committed for numbers that have
    gone to others. A writer for a number to come may be about to record its version; of commits without a number nobody knows.

    Parameters
    ----------
    versions
        All of the dataset, newest first.
    """
    read: set[str] = set()
    reading = False
    for one in versions:
        reading = reading or one.dropped_at is None
        if reading:
            read.add(batch_of(one))
        reading = reading and not one.whole
    recorded = {batch_of(one) for one in versions}
    newest = versions[0].number if versions else 0
    return [one for one in commits if one not in read and (one in recorded or 0 < (number_of(one) or 0) <= newest)]


def outlived(facts: Iterable[Event], before: datetime) -> list[str]:
    """Return the stopped batches in quarantine that were judged before the newest version, and before a moment.

    Parameters
    ----------
    facts
        Of the kinds `JUDGED`, oldest first.
    """
    judged: dict[str, datetime] = {}  # upon the newest version so far
    past: dict[str, datetime] = {}
    for fact in facts:
        if fact.kind == STOPPED_FACT:
            judged[str(fact.data["batch"])] = fact.at
        elif fact.kind == CREATED_FACT:
            past |= judged
            judged = {}
        else:
            for batch in fact.data["batches"]:
                past.pop(batch, None)
    return [batch for batch, at in past.items() if batch not in judged and at < before]
