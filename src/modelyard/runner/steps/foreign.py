"""The job `model.import`: a file that was made elsewhere is opened, asked and measured here, and becomes a version.

Nothing of the file is believed. It is opened only in this process, which has its own limits and is ended with whatever it does.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from modelyard.core import Digest, Problem, canonical_json
from modelyard.core.archives import pack
from modelyard.data import Column
from modelyard.data.cell import Cell
from modelyard.prepare import FittedPipeline
from modelyard.prepare.values import InputColumn
from modelyard.registry import Form, Origin, Signature
from modelyard.registry.imports import ALLOWING, CODE_ENTRY, Import, add_import, allowance_of
from modelyard.registry.rules import CODE
from modelyard.registry.service import promote
from modelyard.runner.context import StepContext
from modelyard.runner.steps.forms import onnx_form
from modelyard.runner.steps.made_before import made_before
from modelyard.runner.steps.mlmodel import MLMODEL, read_mlmodel
from modelyard.runner.steps.proof import Proof, median_us, prove
from modelyard.serving.program import ONNX
from modelyard.tenancy import authorise
from modelyard.training import Framework
from modelyard.training.matrix import FEATURES

# By the end of a file's name: the framework that runs it.
FILES: Mapping[str, str] = MappingProxyType(
    {".onnx": ONNX, ".ubj": "xgboost", ".json": "xgboost", ".lgb": "lightgbm", ".skops": "sklearn"}
)
MADE_UP_ROWS = 400
TAKEN = "Its inputs are taken as they are."
ROUNDED = "Its inputs become its features in single precision, and nothing else is done to them."


@dataclass(frozen=True)
class Foreign:
    """A model file, and what runs it.

    Parameters
    ----------
    told
        What it is, for the card.
    columns
        The named columns that are its features, in their order; None: it takes tensors.
    classifies
        Whether its answers are known to be probabilities.
    """

    framework: Framework
    path: Path
    told: str
    columns: tuple[InputColumn, ...] | None = None
    classifies: bool = False


def import_model(context: StepContext) -> Mapping[str, object]:
    """Import the files that the payload names, and move the alias if one was asked for."""
    payload = context.job.payload
    platform, actor, project = context.platform, context.actor, context.project
    origin = Origin(payload["name"], payload["files"])
    if payload.get("allow_code"):
        authorise(actor, "model.allow_code", project)
        allowance = allowance_of(platform, project, payload["model"], context.job, origin.files)
        origin = replace(origin, code=allowance)
    version = made_before(context, payload["model"], lambda one: one.origin == origin)
    if version is None:
        context.progress(0.1, "fetch the files")
        version = add_import(platform, actor, project, payload["model"], _prepare(context, origin))
    if payload.get("alias"):
        promote(platform, actor, project, payload["model"], version.number, payload["alias"], cause=f"job:{context.job.id}")
    return {"model": version.model, "version": version.number}


def _prepare(context: StepContext, origin: Origin) -> Import:
    foreign = _opened(context, origin)
    context.progress(0.3, "load it")
    model = foreign.framework.load(foreign.path)
    proved = _proved_columns(context, foreign, model) if foreign.columns is not None else _proved(context, foreign, model)
    return Import(
        origin=origin,
        signature=proved.signature,
        forms=proved.forms,
        card=_card(context, origin, foreign, proved),
        pipeline=proved.pipeline,
        note=str(context.job.payload.get("note") or ""),
    )


@dataclass(frozen=True)
class Proved:
    """A model that answered."""

    signature: Signature
    forms: tuple[Form, ...]
    proof: Proof
    pipeline: Digest | None = None


def _proved(context: StepContext, foreign: Foreign, model: object) -> Proved:
    """Return a model that takes tensors, asked."""
    inputs = declared(foreign.framework.describe(model), context.job.payload.get("inputs") or {})
    context.progress(0.5, "ask it, alone and together")
    proof = prove(foreign.framework, model, {one.name: Cell.parse(one.dtype) for one in inputs})
    return Proved(Signature(inputs, proof.outputs), (_own_form(context, foreign, proof),), proof)


def _proved_columns(context: StepContext, foreign: Foreign, model: object) -> Proved:
    """Return a model whose features are named columns, asked: it is prepared by a pipeline without steps."""
    columns = foreign.columns or ()
    features = Cell("Float32", (len(columns),))
    [taken] = foreign.framework.describe(model)
    if not Cell.parse(taken.dtype).admits((len(columns),)):
        why = f"its model takes {taken.dtype}"
        raise Problem("import.invalid", f"The signature names {len(columns)} columns", why, "save it again with its signature")
    context.progress(0.5, "ask it, alone and together")
    proof = prove(foreign.framework, model, {FEATURES: features})
    [answer] = proof.outputs
    context.progress(0.7, "convert to ONNX and compare")
    rows = np.random.default_rng(0).normal(size=(MADE_UP_ROWS, len(columns))).astype(np.float32)
    converted = onnx_form(context, foreign.framework, model, rows)
    forms = [_own_form(context, foreign, proof), *([_timed(context, converted, rows[:1])] if converted else [])]
    fitted = FittedPipeline((), columns, (), tuple(one.name for one in columns))
    [pipeline] = context.platform.objects.put(context.project, [canonical_json(fitted.to_json()).encode()])
    inputs = tuple(Column(one.name, one.dtype) for one in columns)
    return Proved(
        Signature(inputs, _answers(Cell.parse(answer.dtype), foreign.classifies or hasattr(model, "predict_proba"))),
        tuple(forms),
        proof,
        pipeline,
    )


def _answers(cell: Cell, classifies: bool) -> tuple[Column, ...]:
    if cell.shape:
        return tuple(Column(f"probability_{place}", "Float64") for place in range(cell.shape[0] or 0))
    return (Column("probability" if classifies else "value", "Float64"),)


def _own_form(context: StepContext, foreign: Foreign, proof: Proof) -> Form:
    [digest] = context.platform.objects.put_files(context.project, [foreign.path])
    name = foreign.framework.name
    form = "onnx" if name == ONNX else "native"
    return Form(form, digest, foreign.path.stat().st_size, name, latency_us=proof.latency_us)


def _timed(context: StepContext, form: Form, row: NDArray[np.float32]) -> Form:
    framework = context.platform.framework(form.framework)
    path = context.scratch / "timed"
    context.platform.objects.fetch(context.project, form.digest, path)
    model = framework.load(path)
    return replace(form, latency_us=median_us(lambda: framework.predict(model, row)))


def _opened(context: StepContext, origin: Origin) -> Foreign:
    """Return the model among the files of an import, fetched to this try's folder."""
    platform, project = context.platform, context.project
    folder = context.scratch / "import"
    for path, digest in origin.files.items():
        to = folder / path
        to.parent.mkdir(parents=True, exist_ok=True)
        platform.objects.fetch(project, digest, to)
    if origin.code is not None:
        archive = context.scratch / "code.zip"
        pack(folder, origin.files, archive)
        return Foreign(platform.framework(CODE), archive, f"a folder of code, run by its {CODE_ENTRY}")
    if MLMODEL in origin.files:
        flavour = read_mlmodel(folder)
        framework, told = platform.framework(flavour.framework), f"an MLflow model of the flavour {flavour.framework}"
        return Foreign(framework, folder / flavour.path, told, flavour.columns, flavour.classifies)
    if CODE_ENTRY in origin.files:
        why = f"its {CODE_ENTRY} would run whatever its maker wrote"
        raise Problem("import.refused", f"{origin.name} is not imported", why, ALLOWING)
    [only, *more] = [folder / path for path in origin.files]
    suffix = only.suffix.lower()
    if not more and suffix in FILES:
        return Foreign(platform.framework(FILES[suffix]), only, f"a {suffix} file, run by {FILES[suffix]}")
    raise Problem(
        "import.refused",
        f"{origin.name} is not imported",
        f"it is neither an MLflow folder nor a file of one of the kinds {', '.join(FILES)}; pickles would run whatever their "
        "maker wrote",
        f"convert it to ONNX, and import the .onnx file; or put what loads it into a folder, as its {CODE_ENTRY}: {ALLOWING}",
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


def _card(context: StepContext, origin: Origin, foreign: Foreign, proved: Proved) -> str:
    """Return the card of an imported version, in Markdown."""
    signature, proof = proved.signature, proved.proof
    now = context.platform.clock()
    files = [f"| {_cell(path)} | `{digest}` |" for path, digest in origin.files.items()]
    return "\n".join(
        [
            f"# {_cell(origin.name)}",
            "",
            f"Imported on {now:%Y-%m-%d %H:%M} UTC by {context.actor.member}: {foreign.told}. It was trained elsewhere: its "
            f"rows, recipe and metrics are not known here. {TAKEN if proved.pipeline is None else ROUNDED}",
            "",
            *_code_told(origin),
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
            f"{proof.rows} made-up rows, asked alone and together: the answers differ by at most {proof.worst:.1e}.",
            "",
            "| form | runs on | size | one row | compared with the native one |",
            "|---|---|---|---|---|",
            *(
                f"| {one.name} | {one.framework} | {one.size_bytes / 1024:,.0f} KiB | {one.latency_us or 0:,.0f} µs | "
                + (f"{one.rows_compared:,} rows, within {one.max_abs_diff:.0e} |" if one.rows_compared else "- |")
                for one in proved.forms
            ),
            "",
        ]
    )


def _code_told(origin: Origin) -> list[str]:
    """Return the lines of a card on whose code it is, and who has allowed that."""
    if origin.code is None:
        return []
    by, at = origin.code.by, origin.code.at
    return [f"**It runs its maker's code**, which {_cell(by)} allowed on {at:%Y-%m-%d %H:%M} UTC.", ""]


def _cell(text: str) -> str:
    """Return a stranger's name as it may stand in a table."""
    return "".join("\\" + one if one in "|\\`*_[]<>#" else one for one in text if one.isprintable())
