"""Versions that were made elsewhere: files come in by digest, a worker proves them, and the registry records them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelyard.core import Digest, Problem, ProjectId, check_name
from modelyard.core.archives import MOST_FILES, is_inside
from modelyard.data.cell import Cell
from modelyard.events import Fact
from modelyard.jobs import Job, Limits
from modelyard.jobs.service import submit
from modelyard.registry.service import Ports, add_version
from modelyard.registry.types import Allowance, Form, ModelVersion, Origin, Signature
from modelyard.tenancy import Actor, authorise

IMPORT_JOB = "model.import"
CODE_ENTRY = "model.py"  # in a folder whose code is to be run
CODE_ALLOWED = "model.code_allowed"  # the fact
ALLOWING = "an admin who trusts its maker may import the folder with its code: yard model import NAME FOLDER --allow-code"
# A stranger's file is opened by a process of its own, which ends with whatever it does: it has this long, and this much.
LIMITS = Limits(time_s=900, memory_mb=16_384)


@dataclass(frozen=True)
class Import:
    """A model from elsewhere that was proved here."""

    origin: Origin
    signature: Signature
    forms: tuple[Form, ...]
    card: str  # Markdown
    pipeline: Digest | None = None
    note: str = ""


@dataclass(frozen=True)
class Wish:
    """What somebody wants to bring in.

    Parameters
    ----------
    name
        Of the file or the folder.
    files
        By path within the folder; of a single file its name. All are in the object store.
    inputs
        Types of inputs that the model leaves open, by name, as in `{"pixels": "Array[Float32, 3x224x224]"}`.
    allow_code
        Whether the folder's `model.py` may run, with all that it brings: for admins, on record.
    """

    name: str
    files: Mapping[str, Digest]
    inputs: Mapping[str, str] = field(default_factory=dict)
    alias: str | None = None
    note: str = ""
    allow_code: bool = False


def request_import(ports: Ports, actor: Actor, project: ProjectId, model: str, wish: Wish) -> Job:
    """Queue the import of a model that was made elsewhere; a worker opens it, asks it, measures it and registers it.

    Raises
    ------
    Problem
        `import.invalid` for names that are no paths within a folder, and for code that is allowed where there is none;
        `dtype.invalid` for inputs of no type; `object.missing` for a file that was not uploaded; `action.forbidden` for who may
        not allow code.
    """
    authorise(actor, "model.write", project)
    if wish.allow_code:
        authorise(actor, "model.allow_code", project)
    check_name("model", model)
    if wish.alias is not None:
        authorise(actor, "alias.move", project)
        check_name("alias", wish.alias)
    _check_paths(wish)
    for dtype in wish.inputs.values():
        Cell.parse(dtype)
    absent = set(ports.objects.absent(project, list(wish.files.values())))
    if absent:
        lost = ", ".join(path for path, digest in wish.files.items() if digest in absent)
        raise Problem("object.missing", f"Of {wish.name} is not here: {lost}", "it was not uploaded", "upload it first")
    with ports.transaction() as tx:
        payload = {
            "model": model,
            "name": wish.name,
            "files": dict(wish.files),
            "inputs": dict(wish.inputs),
            "alias": wish.alias,
            "note": wish.note,
            "allow_code": wish.allow_code,
        }
        title = f"import {wish.name} as {model}"
        job = submit(ports, actor, project, kind=IMPORT_JOB, title=title, payload=payload, max_attempts=2, limits=LIMITS)
        if wish.allow_code:
            told = {"job": job.id, "name": wish.name, "files": dict(wish.files)}
            tx.events.add(project, [Fact(CODE_ALLOWED, model, told)], actor=actor.member, at=ports.clock())
    return job


def allowance_of(ports: Ports, project: ProjectId, model: str, job: Job, files: Mapping[str, Digest]) -> Allowance:
    """Return who has allowed an import's code, and when. The record of it counts, not what the job says of itself.

    Raises
    ------
    Problem
        `import.forbidden` when nobody has, or to other files.
    """
    with ports.transaction() as tx:
        facts = tx.events.read(project, kinds=[CODE_ALLOWED], subject=model, newest_first=True, limit=10_000)
    for fact in facts:
        if fact.data.get("job") == job.id and fact.data.get("files") == dict(files):
            return Allowance(fact.actor, fact.at)
    why = "no member who may do so has allowed these files, for this import"
    raise Problem("import.forbidden", "The code of the model is not run", why, ALLOWING)


def add_import(ports: Ports, actor: Actor, project: ProjectId, model: str, brought: Import) -> ModelVersion:
    """Record an imported version. Called by the runner's step alone: what it holds was measured there."""

    def made(number: int, card: Digest) -> ModelVersion:
        return ModelVersion(
            project=project,
            model=model,
            number=number,
            run=None,
            recipe=None,
            data=None,
            pipeline=brought.pipeline,
            signature=brought.signature,
            forms=brought.forms,
            metrics={},
            slices=(),
            evaluations=(),
            checks_green=False,
            card=card,
            created_by=actor.member,
            created_at=ports.clock(),
            note=brought.note,
            origin=brought.origin,
        )

    code = brought.origin.code
    told: dict[str, object] = {"run": None, "origin": brought.origin.name}
    if code is not None:
        told |= {"files": dict(brought.origin.files), "code_allowed_by": code.by}
    return add_version(ports, actor, project, model, card=brought.card, made=made, told=told)


def _check_paths(wish: Wish) -> None:
    if not 0 < len(wish.files) <= MOST_FILES:
        why = f"it has {len(wish.files)} files; 1 to {MOST_FILES:,} are taken"
        raise Problem("import.invalid", f"{wish.name[:100]} cannot be imported", why, "name the model's own file or folder")
    for path in (wish.name, *wish.files):
        if not is_inside(path):
            why = "a path has names with slashes between them, and stays within its folder"
            raise Problem(
                "import.invalid", f"{path[:100]!r} is no path of a model's file", why, "name it relative to the folder"
            )
    if wish.allow_code and CODE_ENTRY not in wish.files:
        why = f"it has no {CODE_ENTRY} at its top"
        raise Problem("import.invalid", f"{wish.name} has no code that could be allowed", why, "leave out --allow-code")
