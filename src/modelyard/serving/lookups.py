"""Feature tables as serving sees them: how fresh each is online, and who looks what up in it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from modelyard.core import PageRequest, ProjectId
from modelyard.data.features import Lookup
from modelyard.data.features.online import OnlineStore, Published
from modelyard.serving.store import ServingTransaction
from modelyard.tenancy import Actor, authorise

ONE = PageRequest(limit=1)


@dataclass(frozen=True)
class Use:
    """A lookup of a version that a deployment routes to."""

    deployment: str
    version: str  # late@3
    lookup: Lookup


@dataclass(frozen=True)
class FeatureTable:
    """A dataset that is published online, or that a deployed version looks up."""

    dataset: str
    newest: int | None  # number of the dataset's newest version; None: it has none
    published: Published | None  # None: nothing can be looked up in it
    uses: tuple[Use, ...]


class Ports(Protocol):
    """What telling of feature tables needs of the platform."""

    @property
    def online(self) -> Callable[[], OnlineStore]:
        """The online store."""
        ...

    def transaction(self) -> AbstractContextManager[ServingTransaction]:
        """Open or join a transaction."""
        ...


def feature_tables(ports: Ports, actor: Actor, project: ProjectId) -> list[FeatureTable]:
    """Return the feature tables, by name. Problem `features.unavailable`."""
    authorise(actor, "dataset.read", project)
    published = ports.online().published(project)
    with ports.transaction() as tx:
        uses = _uses(tx, project)
        names = sorted({*published, *(use.lookup.dataset for use in uses)})
        newest = {name: next(iter(tx.datasets.versions(project, ONE, name=name).items), None) for name in names}
    return [
        FeatureTable(
            dataset=name,
            newest=version.number if (version := newest[name]) is not None else None,
            published=published.get(name),
            uses=tuple(use for use in uses if use.lookup.dataset == name),
        )
        for name in names
    ]


def _uses(tx: ServingTransaction, project: ProjectId) -> list[Use]:
    found = []
    for deployment in tx.deployments.find(project):
        for revision in tx.deployments.revisions(project, deployment.id, ONE).items:
            numbers = sorted({route.version for route in revision.routes})
            for version in tx.models.get_versions(project, deployment.model, numbers):
                lookups = version.features.lookups if version.features else ()
                found += [Use(deployment.name, f"{version.model}@{version.number}", lookup) for lookup in lookups]
    return found
