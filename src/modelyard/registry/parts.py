"""What combined versions are made of, read from the registry."""

from modelyard.core import ProjectId
from modelyard.registry.store import RegistryTransaction
from modelyard.registry.types import Combining, Composition, ModelVersion


def members_of(tx: RegistryTransaction, project: ProjectId, composition: Composition) -> list[ModelVersion]:
    """Return the versions that a composition names, in the order of its parts. Problem `version.missing`."""
    wanted: dict[str, set[int]] = {}
    for part in composition.parts:
        wanted.setdefault(part.model, set()).add(part.version)
    found = {
        (one.model, one.number): one
        for model, numbers in wanted.items()
        for one in tx.models.get_versions(project, model, sorted(numbers))
    }
    return [found[part.model, part.version] for part in composition.parts]


def parts_of(tx: RegistryTransaction, version: ModelVersion) -> list[ModelVersion]:
    """Return the versions that a version is combined of, the head last; of any other none."""
    return members_of(tx, version.project, version.composition) if version.composition is not None else []


def leaves_of(tx: RegistryTransaction, version: ModelVersion) -> list[ModelVersion]:
    """Return the uncombined versions that a version comes down to, those first whose answers are nearest to its own.

    Of a stack the last one answers, of a route the members do. A version that is not combined comes down to itself.
    """
    parts = parts_of(tx, version)
    if not parts or version.composition is None:
        return [version]
    ordered = [parts[-1], *parts[:-1]] if version.composition.rule is Combining.STACK else parts
    return [leaf for part in ordered for leaf in leaves_of(tx, part)]


def trained_leaf(tx: RegistryTransaction, version: ModelVersion) -> ModelVersion | None:
    """Return the version whose training speaks for a version: itself, or the nearest to its answers of what it is made of.

    None: nothing of it was trained here.
    """
    return next((leaf for leaf in leaves_of(tx, version) if leaf.run is not None), None)
