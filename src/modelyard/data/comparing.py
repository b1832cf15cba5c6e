"""Use case: what differs between two versions of a dataset.

A version holds the batches of the versions before it, up to one that is whole, so two versions differ in the batches between
them alone. Only those are read, and of the rows before them only those whose keys came again. A whole one is compared in full.
"""

from modelyard.core import Problem, ProjectId
from modelyard.data import reading
from modelyard.data.diff import (
    EXAMPLES,
    RowDiff,
    VersionDiff,
    all_added,
    compare_batches,
    compare_rows,
    compare_schemas,
    turned,
)
from modelyard.data.rules import check_there
from modelyard.data.shift import compare_profiles
from modelyard.data.types import Dataset, DatasetVersion
from modelyard.tenancy import Actor, authorise

MOST_EXAMPLES = 100


def compare_versions(
    ports: reading.Ports,
    actor: Actor,
    project: ProjectId,
    name: str,
    before: int | str,
    after: int | str,
    *,
    examples: int = EXAMPLES,
) -> VersionDiff:
    """Return what differs between two versions of a dataset, each by its number or `latest`; either may be the older one.

    Raises
    ------
    Problem
        `dataset.missing`, `dataset_version.missing`, `dataset_version.invalid`, `dataset_version.dropped`; `diff.invalid` for
        more examples than 100.
    """
    authorise(actor, "dataset.read", project)
    if not 0 <= examples <= MOST_EXAMPLES:
        why = f"there are from 0 to {MOST_EXAMPLES}"
        raise Problem("diff.invalid", f"{examples} examples of each cannot be shown", why, "ask for fewer")
    dataset = reading.find_dataset(ports, project, name)
    old, new = (reading.find_version(ports, project, f"{name}@{what}") for what in (before, after))
    for one in (old, new):
        check_there(one)
    shifts = compare_profiles(*(reading.profile_of(ports, project, one) for one in (old, new)))
    order = [column.name for column in new.schema.columns]
    with reading.telling_dropped(ports, old), reading.telling_dropped(ports, new):
        rows = _rows(ports, dataset, old, new, examples)
    return VersionDiff(
        name=name,
        before=old.number,
        after=new.number,
        key=dataset.key,
        rows_before=old.rows,
        rows_after=new.rows,
        schema=compare_schemas(old.schema, new.schema),
        rows=rows,
        columns=tuple(sorted(shifts, key=lambda one: order.index(one.name))),
    )


def _rows(ports: reading.Ports, dataset: Dataset, before: DatasetVersion, after: DatasetVersion, examples: int) -> RowDiff:
    if before.digest == after.digest:
        return RowDiff()
    if before.number > after.number:
        return turned(_rows(ports, dataset, after, before, examples))
    known = reading.batches_until(ports, dataset.project, after)
    held = [one for one in known if one.number <= before.number]
    if not held:  # a whole version stands between them
        old, new = (reading.read(ports, dataset.project, one) for one in (before, after))
        return compare_rows(old, new, dataset.key, examples=examples)
    came = known[len(held) :]
    rows = reading.read_batches(ports, came, after)
    if not any(one.replaced for one in came):
        return all_added(rows, after.rows - before.rows, dataset.key, examples=examples)
    return compare_batches(reading.read_batches(ports, held, before), rows, dataset.key, examples=examples)
