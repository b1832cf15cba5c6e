"""Making files that an engine wrote beside the lake's table the whole content of a version."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import polars as pl

from modelyard.core import Clock, Digest, Problem, canonical_json
from modelyard.data import reading, writing
from modelyard.data.content import chain
from modelyard.data.lake_files import LakeFile
from modelyard.data.profile import Profile, to_json
from modelyard.data.rules import VERSION_PREFIX, commit_of, table_of
from modelyard.data.schema import dtype_of
from modelyard.data.types import Column, Dataset, DatasetVersion, DatasetVersionId, Parent, Schema
from modelyard.data.writing import told
from modelyard.events import Fact
from modelyard.tenancy import Actor, authorise

_ROUNDS = 20


class Ports(writing.Ports, Protocol):
    """What adopting needs of the platform."""

    @property
    def clock(self) -> Clock:
        """The platform's clock."""
        ...


@dataclass(frozen=True)
class Adopted:
    """Files with rows, and what those who wrote them found out."""

    files: Sequence[LakeFile]  # in the order of the rows, by their names in the folder
    columns: tuple[Column, ...]
    digest: Digest  # of the rows, as `content.batch_digest` tells it
    rows: int
    size_bytes: int
    profile: Profile
    event_from: datetime | None
    event_until: datetime | None
    parents: tuple[Parent, ...]
    note: str = ""


def adopt(ports: Ports, actor: Actor, dataset: Dataset, folder: str, rows: Adopted) -> DatasetVersion:
    """Make the rows of a folder beside the dataset's table its next version, which holds them alone.

    Where the newest version has this very content it comes back.

    Raises
    ------
    Problem
        `column.invalid` for a column that the table holds in another type; `dataset.conflict` when others come first each time.
    """
    authorise(actor, "dataset.write", dataset.project)
    digest = chain(None, rows.digest)
    schema = pl.Schema({column.name: dtype_of(column.dtype) for column in rows.columns})
    [profile] = ports.objects.put(dataset.project, [canonical_json(to_json(rows.profile)).encode()])
    for _ in range(_ROUNDS):
        before = reading.latest_version(ports, dataset.project, dataset.name)
        if before is not None and before.digest == digest:
            return before
        number = before.number + 1 if before else 1
        commit = commit_of(number, digest)
        table_version = ports.lake.adopt(dataset.project, table_of(dataset.name), folder, rows.files, schema, commit=commit)
        version = DatasetVersion(
            id=DatasetVersionId(ports.ids(VERSION_PREFIX)),
            project=dataset.project,
            dataset=dataset.id,
            name=dataset.name,
            number=number,
            digest=digest,
            rows=rows.rows,
            size_bytes=rows.size_bytes,
            schema=Schema(rows.columns),
            profile=profile,
            table_version=max(table_version, before.table_version if before else 0),
            parents=rows.parents,
            outcomes=(),
            event_from=rows.event_from,
            event_until=rows.event_until,
            created_by=actor.member,
            created_at=ports.clock(),
            note=rows.note,
            whole=True,
            commit=commit,
        )
        try:
            with ports.transaction() as tx:
                tx.datasets.add_versions(dataset.project, [version])
                fact = Fact("dataset_version.created", dataset.name, told(version))
                tx.events.add(dataset.project, [fact], actor=actor.member, at=version.created_at)
        except Problem as problem:
            if problem.code != "dataset.conflict":
                raise
        else:
            return version
    raise Problem(
        "dataset.conflict", f"The rows could not enter '{dataset.name}'", f"{_ROUNDS} others came first", "run it again"
    )
