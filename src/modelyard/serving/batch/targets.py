"""Where parts go: a folder or bucket that somebody named, or the object store, for whoever asked to download.

A target holds the plan (`_SCORING.json`) from its beginning and the report (`_SUCCESS`) when all parts are there: other engines
pass both over. A part is there whole or not at all, so those that are there need not be answered again.
"""

from dataclasses import replace
from typing import Protocol

import msgspec

from modelyard.core import Digest, ObjectStore, Place, Problem, ProjectId
from modelyard.core.digests import PREFIX
from modelyard.serving.batch.rules import parts_of, plan_from_json, require_same, to_json
from modelyard.serving.batch.types import Plan, Report, WrittenPart

PLAN = "_SCORING.json"
SUCCESS = "_SUCCESS"
_SIGN = "~"  # between the name of a part and its digest, in the name of a receipt


class Target(Protocol):
    """Takes the parts of one plan. Safe to share between threads."""

    def begin(self, now: Plan, *, anew: bool) -> Plan:
        """Return the plan to follow: that of an earlier run of the same, or `now`.

        With `anew` what an earlier run wrote goes, unless the same job wrote it in an earlier try.

        Raises
        ------
        Problem
            `target.exists` where something else is there; what `require_same` raises.
        """
        ...

    def report(self) -> Report | None:
        """Return what was said when all parts were there; None: not yet."""
        ...

    def present(self) -> set[str]:
        """Return the names of the parts that are there."""
        ...

    def write(self, name: str, content: bytes) -> None:
        """Take a part, whole or not at all."""
        ...

    def finish(self, plan: Plan, report: Report) -> Report:
        """Say that all parts are there, and return the report as it is kept."""
        ...


class PlaceTarget:
    """A folder of parts."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def begin(self, now: Plan, *, anew: bool) -> Plan:
        """Read the plan that is there, or write one."""
        before = read_plan(self._place)
        if before is not None and anew and before.job != now.job:
            self._place.remove([SUCCESS])
            self._place.remove([part.name for part in parts_of(before)])
            self._place.remove([PLAN])
            before = None
        if before is None:
            self._require_empty()
        return begun(self._place, before, now)

    def report(self) -> Report | None:
        """Read `_SUCCESS`."""
        return read_report(self._place)

    def present(self) -> set[str]:
        """List the folder."""
        return {file.name for file in self._place.find()}

    def write(self, name: str, content: bytes) -> None:
        """Write the file."""
        self._place.put(name, content)

    def finish(self, plan: Plan, report: Report) -> Report:
        """Write `_SUCCESS`."""
        del plan
        self._place.put(SUCCESS, to_json(report))
        return report

    def _require_empty(self) -> None:
        found = self._place.find()
        if found:
            why = f"there is {found[0].name}, and it was not begun by yard score"
            raise Problem("target.exists", f"{self._place} is not empty", why, "name an empty folder, or a new one")


class ObjectTarget:
    """Parts in the object store; receipts, small files in a place beside it, tell which ones are there.

    Parameters
    ----------
    receipts
        A place of this plan's own: who asks for the same again finds what is there already.
    """

    def __init__(self, objects: ObjectStore, project: ProjectId, receipts: Place) -> None:
        self._objects = objects
        self._project = project
        self._receipts = receipts

    def begin(self, now: Plan, *, anew: bool) -> Plan:
        """Read the plan that is there, or write one."""
        before = read_plan(self._receipts)
        if before is not None and anew and before.job != now.job:
            self._receipts.remove([SUCCESS])
            self._receipts.remove([file.name for file in self._receipts.find()])
            self._receipts.remove([PLAN])
            before = None
        return begun(self._receipts, before, now)

    def report(self) -> Report | None:
        """Read `_SUCCESS`, where its listing is still stored."""
        report = read_report(self._receipts)
        if report is None or report.listing is None or self._objects.absent(self._project, [report.listing]):
            return None
        return report

    def present(self) -> set[str]:
        """Read the receipts, and ask the store for what they name."""
        return set(self._digests())

    def write(self, name: str, content: bytes) -> None:
        """Store the part, then write its receipt."""
        [digest] = self._objects.put(self._project, [content])
        self._receipts.put(f"{name}{_SIGN}{digest.removeprefix(PREFIX)}", b"")

    def finish(self, plan: Plan, report: Report) -> Report:
        """Store the listing, then write `_SUCCESS`."""
        found = self._digests()
        listing = to_json([WrittenPart(part.name, found[part.name]) for part in parts_of(plan)])
        [digest] = self._objects.put(self._project, [listing])
        kept = replace(report, listing=digest)
        self._receipts.put(SUCCESS, to_json(kept))
        return kept

    def _digests(self) -> dict[str, Digest]:
        named = [file.name.partition(_SIGN) for file in self._receipts.find()]
        found = {name: Digest(PREFIX + digits) for name, _, digits in named}
        gone = set(self._objects.absent(self._project, list(found.values())))
        return {name: digest for name, digest in found.items() if digest not in gone}


def begun(place: Place, before: Plan | None, now: Plan) -> Plan:
    """Return the plan that a place was begun with, which may be `now` from now on. Raises what `require_same` does."""
    if before is None:
        if place.put(PLAN, to_json(now), new=True):
            return now
        before = read_plan(place) or now  # another began at the same moment
    require_same(before, now, str(place))
    return before


def read_plan(place: Place) -> Plan | None:
    """Return the plan that a place was begun with; None: it was not. Problem `target.invalid`."""
    content = place.get(PLAN)
    return None if content is None else plan_from_json(content, str(place))


def read_report(place: Place) -> Report | None:
    """Return the report of a place; None: there is none that we wrote."""
    content = place.get(SUCCESS)
    try:
        return None if content is None else msgspec.json.decode(content, type=Report)
    except msgspec.DecodeError:
        return None
