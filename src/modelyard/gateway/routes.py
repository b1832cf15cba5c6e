"""What the gateway answers with at one moment: one immutable table, replaced as a whole between two requests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any, TypeAlias

from modelyard.core import Problem, ProjectId, missing
from modelyard.gateway.limits import Allowance
from modelyard.serving import Route, ServedDeployment
from modelyard.serving.infer import LoadedVersion
from modelyard.serving.rules import answering, choose, live_version, shadows

MODELS = "/v2/models/"
PINNED = "pinned"  # the caller named the version
MOST_KNOWN = 4096  # resolved addresses kept by one table
_VERSIONED = 2

Labels: TypeAlias = tuple[str, str, str, str]  # project, deployment, version and route


@dataclass(frozen=True)
class Address:
    """What a path under `/v2/models/` names."""

    project: str | None
    name: str
    version: str | None
    verb: str  # "", ready, infer


def parse_path(path: str, project: str | None) -> Address:
    """Return what follows `/v2/models/`; `project` is the header's.

    >>> parse_path("flights/delay/versions/3/infer", None)
    Address(project='flights', name='delay', version='3', verb='infer')

    Raises
    ------
    Problem
        `path.missing`.
    """
    parts = path.split("/")
    verb = parts.pop() if len(parts) > 1 and parts[-1] in ("infer", "ready") else ""
    version = None
    if len(parts) > _VERSIONED and parts[-2] == "versions":
        version = parts.pop()
        parts.pop()
    if len(parts) == _VERSIONED:
        return Address(parts[0], parts[1], version, verb)
    if len(parts) != 1 or not parts[0]:
        raise missing("path", (MODELS + path)[:100], [MODELS + "NAME/infer"])
    return Address(project, parts[0], version, verb)


@dataclass(frozen=True, slots=True)
class Layout:
    """Columns of a request that were found good for a version: where each of its inputs stands, and what is passed over."""

    places: tuple[tuple[str, int], ...]
    ignored: tuple[str, ...]

    def columns(self, values: Sequence[Sequence[Any]]) -> dict[str, Sequence[Any]]:
        """Return the columns of a request by name, from all of its own in their order."""
        return {name: values[place] for name, place in self.places}


@dataclass(frozen=True)
class Target:
    """One deployment with its versions in memory."""

    served: ServedDeployment
    versions: Mapping[int, LoadedVersion]
    layouts: dict[tuple[int, tuple[str, ...], tuple[str, ...]], Layout] = field(default_factory=dict, compare=False)
    _labels: dict[tuple[int, str], Labels] = field(default_factory=dict, compare=False, repr=False)

    @cached_property
    def shadows(self) -> tuple[tuple[Route, LoadedVersion], ...]:
        """The versions that are asked besides; one that could not be loaded is not."""
        return tuple(
            (route, self.versions[route.version]) for route in shadows(self.served.revision) if route.version in self.versions
        )

    @cached_property
    def beside(self) -> frozenset[str]:
        """The inputs that other versions take: shadows, and the live one that stands in for a canary."""
        if len(self.versions) == 1:
            return frozenset()
        return frozenset(name for loaded in self.versions.values() for name in loaded.columns)

    @property
    def live(self) -> LoadedVersion:
        """The version that answers what no canary does."""
        return self.versions[live_version(self.served.revision)]

    def route(self, key: str, pinned: int | None) -> tuple[LoadedVersion, str]:
        """Return the version that answers, and the word for why."""
        if pinned is not None:
            return self.versions[pinned], PINNED
        if self._alone is not None:
            return self._alone
        route = choose(self.served.revision, key)
        return self.versions[route.version], route.kind.value

    @cached_property
    def _alone(self) -> tuple[LoadedVersion, str] | None:
        """The version that answers whatever the key is, where there is one."""
        routes = answering(self.served.revision)
        return (self.versions[routes[0].version], routes[0].kind.value) if len(routes) == 1 else None

    def labels(self, version: int, route: str) -> Labels:
        """Return what is counted together: project, deployment, version and route."""
        known = self._labels.get((version, route))
        if known is None:
            known = self._labels[version, route] = self.served.project_name, self.served.name, str(version), route
        return known

    def version(self, text: str) -> int:
        """Return the number of a version that is in memory. Problem `version.missing`."""
        if text.isascii() and text.isdecimal() and int(text) in self.versions:
            return int(text)
        step = f"GET /v2/models/{self.served.name} names the versions that answer now"
        raise missing("version", text[:40], [str(version) for version in self.versions], step)


@dataclass(frozen=True, slots=True)
class Found:
    """Whom a request asks."""

    target: Target
    pinned: int | None  # the version that the caller named
    verb: str  # "", ready, infer
    caller: str  # hash of the token
    allowance: Allowance | None = None  # None: the token may ask as much as it likes


@dataclass(frozen=True)
class RouteTable:
    """All targets, and who may ask them."""

    position: int = -1  # of the catalogue it was made from; -1: there was none yet
    targets: Mapping[tuple[str, str], Target] = field(default_factory=dict)  # by project name and deployment name
    access: Mapping[str, frozenset[ProjectId]] = field(default_factory=dict)  # by token hash
    allowances: Mapping[str, Allowance] = field(default_factory=dict)  # by token hash; the others have no limit

    known: dict[tuple[str, bytes | None, bytes | None], Found] = field(default_factory=dict, compare=False)

    def resolve(self, path: str, authorization: bytes | None, project: bytes | None) -> Found:
        """Return whom a path under `/v2/models/` asks, from two headers of the request, `Modelyard-Project` the second.

        What was found once is found at once while this table stands: it holds who may ask, too.

        Raises
        ------
        Problem
            `token.unauthenticated`, `path.missing`, `model.missing`, `model.conflict`, `version.missing`;
            `gateway.unavailable` before the first catalogue is taken up.
        """
        key = path, authorization, project
        found = self.known.get(key)
        if found is None:
            caller, allowed = self.admit(authorization)
            address = parse_path(path[len(MODELS) :], None if project is None else project.decode("latin-1"))
            target = self._found(address, allowed)
            pinned = None if address.version is None else target.version(address.version)
            found = Found(target, pinned, address.verb, caller, self.allowances.get(caller))
            if len(self.known) >= MOST_KNOWN:
                self.known.clear()
            self.known[key] = found
        return found

    def _found(self, address: Address, allowed: frozenset[ProjectId]) -> Target:
        try:
            return self.find(address.project, address.name, allowed)
        except Problem as problem:
            if problem.code == "model.missing" and self.position < 0:
                raise _starting() from problem
            raise

    def admit(self, authorization: bytes | None) -> tuple[str, frozenset[ProjectId]]:
        """Return the hash of the caller's token and the projects where it may ask.

        Raises
        ------
        Problem
            `token.unauthenticated`.
        """
        scheme, _, secret = (authorization or b"").partition(b" ")
        if scheme.lower() != b"bearer" or not secret.strip():
            raise _stranger("the request carries no token")
        token_hash = sha256(secret.strip()).hexdigest()
        projects = self.access.get(token_hash)
        if projects is None and self.position < 0:
            raise _starting()
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


def _starting() -> Problem:
    why = "it has not taken up its catalogue yet"
    return Problem(
        "gateway.unavailable", "The gateway is starting", why, "try again in a second; GET /v2/health/ready says when"
    )


def _stranger(why: str) -> Problem:
    step = "send 'Authorization: Bearer TOKEN'; an admin makes one with yard token create"
    return Problem("token.unauthenticated", "The request is not let in", why, step)
