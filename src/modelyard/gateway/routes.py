"""What the gateway answers with at one moment: one immutable table, replaced as a whole between two requests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256

from modelyard.core import Problem, ProjectId, missing
from modelyard.serving import ServedDeployment
from modelyard.serving.infer import LoadedVersion
from modelyard.serving.rules import choose, live_version

PINNED = "pinned"  # the caller named the version


@dataclass(frozen=True)
class Target:
    """One deployment with its versions in memory."""

    served: ServedDeployment
    versions: Mapping[int, LoadedVersion]

    @property
    def live(self) -> LoadedVersion:
        """The version that answers what no canary does."""
        return self.versions[live_version(self.served.revision)]

    def route(self, key: str, pinned: int | None) -> tuple[LoadedVersion, str]:
        """Return the version that answers, and the word for why."""
        if pinned is not None:
            return self.versions[pinned], PINNED
        route = choose(self.served.revision, key)
        return self.versions[route.version], route.kind.value

    def version(self, text: str) -> int:
        """Return the number of a version that is in memory. Problem `version.missing`."""
        if text.isascii() and text.isdecimal() and int(text) in self.versions:
            return int(text)
        step = f"GET /v2/models/{self.served.name} names the versions that answer now"
        raise missing("version", text[:40], [str(version) for version in self.versions], step)


@dataclass(frozen=True)
class RouteTable:
    """All targets, and who may ask them."""

    position: int = -1  # of the catalogue it was made from; -1: there was none yet
    targets: Mapping[tuple[str, str], Target] = field(default_factory=dict)  # by project name and deployment name
    access: Mapping[str, frozenset[ProjectId]] = field(default_factory=dict)  # by token hash

    def admit(self, authorization: str | None) -> tuple[str, frozenset[ProjectId]]:
        """Return the hash of the caller's token and the projects where it may ask.

        Raises
        ------
        Problem
            `token.unauthenticated`.
        """
        scheme, _, secret = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            raise _stranger("the request carries no token")
        token_hash = sha256(secret.strip().encode("utf-8", "surrogateescape")).hexdigest()
        projects = self.access.get(token_hash)
        if projects is None:
            raise _stranger("no project knows this token, or it was revoked")
        return token_hash, projects

    def find(self, project: str | None, name: str, allowed: frozenset[ProjectId]) -> Target:
        """Return the deployment `name` of the project (of the only allowed one that has it, when None).

        Raises
        ------
        Problem
            `model.missing` with the nearest names; `model.conflict` when several projects have one of this name.
        """
        mine = {key: target for key, target in self.targets.items() if target.served.project in allowed}
        if project is not None:
            target = mine.get((project, name))
            if target is None:
                raise missing("model", f"{project}/{name}"[:130], [f"{p}/{n}" for p, n in mine], "GET /v1/status")
            return target
        found = [target for (_, own), target in mine.items() if own == name]
        if not found:
            raise missing("model", name[:70], [n for _, n in mine], "GET /v1/status")
        if len(found) > 1:
            projects = sorted(target.served.project_name for target in found)
            raise Problem(
                "model.conflict",
                f"Several projects have a deployment '{name}'",
                f"they are {', '.join(projects)}",
                f"ask /v2/models/{projects[0]}/{name}, or send the header Modelyard-Project",
                {"projects": projects},
            )
        return found[0]


def _stranger(why: str) -> Problem:
    step = "send 'Authorization: Bearer TOKEN'; an admin makes one with yard token create"
    return Problem("token.unauthenticated", "The request is not let in", why, step)
