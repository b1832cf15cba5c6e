"""Versions that were made elsewhere: files come in by digest, a worker proves them, and the registry records them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from modelyard.core import Digest, Problem, ProjectId, check_name
from modelyard.data.cell import Cell
from modelyard.jobs import Job, Limits
from modelyard.jobs.service import submit
from modelyard.registry.service import Ports, add_version, ensure_model
from modelyard.registry.types import Form, ModelVersion, Origin, Signature
from modelyard.tenancy import Actor, authorise

IMPORT_JOB = "model.import"
MOST_FILES = 1000
# A stranger's file is opened by a process of its own, which ends with whatever it does: it has this long, and this much.
LIMITS = Limits(time_s=900, memory_mb=16_384)
_PATH = re.compile(r"(?!\.{1,2}(/|$))[^/\0\\]{1,200}(/(?!\.{1,2}(/|$))[^/\0\\]{1,200}){0,8}")


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
    """

    name: str
    files: Mapping[str, Digest]
    inputs: Mapping[str, str] = field(default_factory=dict)
    alias: str | None = None
    note: str = ""


def request_import(ports: Ports, actor: Actor, project: ProjectId, model: str, wish: Wish) -> Job:
    """Queue the import of a model that was made elsewhere; a worker opens it, asks it, measures it and registers it.

    Raises
    ------
    Problem
        `import.invalid` for names that are no paths within a folder; `dtype.invalid` for inputs of no type; `object.missing`
        for a file that was not uploaded.
    """
    authorise(actor, "model.write", project)
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
    with ports.transaction():
        ensure_model(ports, actor, project, model)
        payload = {
            "model": model,
            "name": wish.name,
            "files": dict(wish.files),
            "inputs": dict(wish.inputs),
            "alias": wish.alias,
            "note": wish.note,
        }
        title = f"import {wish.name} as {model}"
        return submit(ports, actor, project, kind=IMPORT_JOB, title=title, payload=payload, max_attempts=2, limits=LIMITS)


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

    told = {"run": None, "origin": brought.origin.name}
    return add_version(ports, actor, project, model, card=brought.card, made=made, told=told)


def _check_paths(wish: Wish) -> None:
    if not 0 < len(wish.files) <= MOST_FILES:
        why = f"it has {len(wish.files)} files; 1 to {MOST_FILES:,} are taken"
        raise Problem("import.invalid", f"{wish.name[:100]} cannot be imported", why, "name the model's own file or folder")
    for path in (wish.name, *wish.files):
        if not _PATH.fullmatch(path):
            why = "a path has names with slashes between them, and stays within its folder"
            raise Problem(
                "import.invalid", f"{path[:100]!r} is no path of a model's file", why, "name it relative to the folder"
            )
