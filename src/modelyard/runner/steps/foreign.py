"""The job `model.import`: a file that was made elsewhere is opened, asked and measured here, and becomes a version.

Nothing of the file is believed. It is opened only in this process, which has its own limits and is ended with whatever it does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from modelyard.core import PageRequest, Problem
from modelyard.data import Column
from modelyard.data.cell import Cell
from modelyard.registry import Form, ModelVersion, Origin, Signature
from modelyard.registry.imports import Import, add_import
from modelyard.registry.service import find_versions, promote
from modelyard.runner.context import StepContext
from modelyard.runner.steps.proof import Proof, prove
from modelyard.training import Framework

ONNX = ".onnx"


@dataclass(frozen=True)
class Foreign:
    """A model file, and what runs it."""

    framework: Framework
    path: Path
    form: str  # the name of the version's form
    told: str  # what it is, for the card


def import_model(context: StepContext) -> Mapping[str, object]:
    """Import the files that the payload names, and move the alias if one was asked for."""
    payload = context.job.payload
    platform, actor, project = context.platform, context.actor, context.project
    origin = Origin(payload["name"], payload["files"])
    version = _imported_before(context, payload["model"], origin)
    if version is None:
        context.progress(0.1, "fetch the files")
        version = add_import(platform, actor, project, payload["model"], _prepare(context, origin))
    if payload.get("alias"):
        promote(platform, actor, project, payload["model"], version.number, payload["alias"], cause=f"job:{context.job.id}")
    return {"model": version.model, "version": version.number}


def _imported_before(context: StepContext, model: str, origin: Origin) -> ModelVersion | None:
    """Return the version that an earlier try of this job made before its worker was lost."""
    if context.job.attempts <= 1:
        return None
    newest = find_versions(context.platform, context.actor, context.project, model, PageRequest(limit=100)).items
    return next((one for one in newest if one.origin == origin and one.created_at >= context.job.created_at), None)


def _prepare(context: StepContext, origin: Origin) -> Import:
    payload = context.job.payload
    foreign = _opened(context, origin)
    context.progress(0.3, "load it")
    model = foreign.framework.load(foreign.path)
    inputs = declared(foreign.framework.describe(model), payload.get("inputs") or {})
    context.progress(0.5, "ask it, alone and together")
    proof = prove(foreign.framework, model, {one.name: Cell.parse(one.dtype) for one in inputs})
    [digest] = context.platform.objects.put_files(context.project, [foreign.path])
    form = Form(foreign.form, digest, foreign.path.stat().st_size, foreign.framework.name, latency_us=proof.latency_us)
    signature = Signature(inputs, proof.outputs)
    return Import(
        origin=origin,
        signature=signature,
        forms=(form,),
        card=_card(context, origin, foreign, signature, form=form, proof=proof),
        note=str(payload.get("note") or ""),
    )


def _opened(context: StepContext, origin: Origin) -> Foreign:
    """Return the model among the files of an import, fetched to this try's folder."""
    platform, project = context.platform, context.project
    folder = context.scratch / "import"
    for path, digest in origin.files.items():
        to = folder / path
        to.parent.mkdir(parents=True, exist_ok=True)
        platform.objects.fetch(project, digest, to)
    files = [folder / path for path in origin.files]
    if len(files) == 1 and files[0].suffix == ONNX:
        return Foreign(platform.framework("onnxruntime"), files[0], "onnx", "an ONNX file")
    raise Problem(
        "import.refused",
        f"{origin.name} is not imported",
        "it is no ONNX file",
        "convert it to ONNX, and import the .onnx file",
    )


def declared(inputs: tuple[Column, ...], wishes: Mapping[str, str]) -> tuple[Column, ...]:
    """Return a model's inputs with the lengths that it leaves open as its owner says them.

    Raises
    ------
    Problem
        `import.invalid` for an input that it does not have, or a type that is not one of those it takes.
    """
    known = {one.name: one for one in inputs}
    for name, dtype in wishes.items():
        if name not in known:
            why = f"its inputs are {', '.join(known)}"
            raise Problem("import.invalid", f"The model has no input '{name}'", why, "name one of them")
        own, wished = Cell.parse(known[name].dtype), Cell.parse(dtype)
        fits = len(own.shape) == len(wished.shape) and own.element == wished.element
        if not fits or any(size not in (None, want) for size, want in zip(own.shape, wished.shape, strict=True)):
            raise Problem(
                "import.invalid",
                f"The input '{name}' is no {dtype}",
                f"it is {known[name].dtype}",
                "say only what ? leaves open",
            )
        known[name] = replace(known[name], dtype=str(wished))
    return tuple(known.values())


def _card(context: StepContext, origin: Origin, foreign: Foreign, signature: Signature, *, form: Form, proof: Proof) -> str:
    """Return the card of an imported version, in Markdown."""
    now = context.platform.clock()
    files = [f"| {_cell(path)} | `{digest}` |" for path, digest in origin.files.items()]
    return "\n".join(
        [
            f"# {_cell(origin.name)}",
            "",
            f"Imported on {now:%Y-%m-%d %H:%M} UTC by {context.actor.member}: {foreign.told}. It was trained elsewhere: its "
            "rows, recipe and metrics are not known here, and its inputs are taken as they are.",
            "",
            "| file | digest |",
            "|---|---|",
            *files,
            "",
            "## Inputs",
            "",
            "| input | one row |",
            "|---|---|",
            *(f"| {_cell(one.name)} | {one.dtype} |" for one in signature.inputs),
            "",
            "## Outputs",
            "",
            "| output | one row |",
            "|---|---|",
            *(f"| {_cell(one.name)} | {one.dtype} |" for one in signature.outputs),
            "",
            "## What was tried",
            "",
            f"{proof.rows} made-up rows, asked alone and together: the answers differ by at most {proof.worst:.1e}. One row "
            f"takes {proof.latency_us:,.0f} µs ({form.framework}, {form.size_bytes / 1024:,.0f} KiB).",
            "",
        ]
    )


def _cell(text: str) -> str:
    """Return a stranger's name as it may stand in a table."""
    return "".join("\\" + one if one in "|\\`*_[]<>#" else one for one in text if one.isprintable())
