"""`yard pipeline`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelyard.cli.command import Json, Most, ProjectName, command, group
from modelyard.cli.documents import read_document
from modelyard.cli.output import say, show
from modelyard.cli.session import open_project
from modelyard.core import JsonObject

if TYPE_CHECKING:
    from modelyard.client import DeclaredPipeline
    from modelyard.client.projects import ProjectClient

noun = group("Pipelines: preparation saved under a name, in versions.")

PIPELINE = ["name", "number", "speed", "kinds", "created_by", "created_at", "note"]
Ref = Annotated[str, typer.Argument(metavar="PIPELINE", help="As in flights, flights@3 or flights@latest.")]


@command(noun, "list", "yard pipeline list", "yard pipeline list flights")
def list_pipelines(
    name: Annotated[str | None, typer.Argument(help="Show the versions of this one.")] = None,
    most: Most = 50,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Show the saved pipelines, each in its newest version; or the versions of one, newest first."""
    from modelyard.client.connection import part
    from modelyard.prepare import PipelineVersion

    opened = open_project(project)
    if name is None:
        show(opened.pipelines()[:most], as_json, PIPELINE)
        return
    path = f"{opened.path}/pipelines/{part(name)}/versions"
    show(list(opened.connection.pages(path, PipelineVersion, most=most)), as_json, PIPELINE)


@command(noun, "show", "yard pipeline show flights", "yard pipeline show flights@3 --json")
def show_pipeline(ref: Ref, project: ProjectName = None, as_json: Json = False) -> None:
    """Show a pipeline: its version, and its steps in order. As JSON, what `save` takes."""
    found = open_project(project).saved_pipeline(ref)
    if as_json:
        show(_to_json(found), as_json=True)
        return
    show(found.version, as_json=False)
    steps = [_does(step) for step in found.steps]
    show([{"step": number, "does": does} for number, does in enumerate(steps, 1)], False, ["step", "does"])


@command(
    noun,
    "save",
    "yard pipeline save flights features.py:features --note 'without the tail number'",
    "yard pipeline show flights@1 --json > flights.json && yard pipeline save flights flights.json",
)
def save(
    name: Annotated[str, typer.Argument(help="A new name, or one that is there: then it is the next version.")],
    file: Annotated[str, typer.Argument(metavar="FILE", help="FILE.py:NAME of project.pipeline(…), or a .json file.")],
    note: str = "",
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Save a pipeline as the next version of a name; equal to the newest it is that one."""
    opened = open_project(project)
    show(opened.save_pipeline(name, _read(opened, file), note=note), as_json)


@command(noun, "python", "yard pipeline python flights@3", "yard pipeline python flights > features.py")
def python(ref: Ref, project: ProjectName = None, as_json: Json = False) -> None:
    """Print the code that makes a pipeline, to paste where there is a `project`."""
    from modelyard.prepare.pipeline_text import pipeline_text

    found = open_project(project).saved_pipeline(ref)
    text = pipeline_text(found.build(), found.checks)
    if as_json:
        show({"code": text}, as_json=True)
        return
    sys.stdout.write(text + "\n")


@command(
    noun,
    "try",
    "yard pipeline try flights --data flights@3 --label late",
    "yard pipeline try flights@2 --data flights@latest --rows 5000 --seed 7 --json",
)
def try_out(
    ref: Ref,
    *,
    data: Annotated[str, typer.Option(help="A dataset version, as in flights@3 or flights@latest.")],
    label: Annotated[str | None, typer.Option(help="The column to predict.")] = None,
    rows: Annotated[int, typer.Option(help="Of the sample.")] = 1_000,
    seed: Annotated[int, typer.Option(help="Another one draws other rows.")] = 0,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Try a pipeline on a sample: what each step does to which columns, and where it stops."""
    opened = open_project(project)
    pipeline = opened.saved_pipeline(ref)
    tried = opened.try_pipeline(pipeline, data, label=label, rows=rows, seed=seed)
    if as_json:
        show(tried, as_json=True)
        return
    steps = [
        {
            "step": f"{number}. {pipeline.version.kinds[number - 1]}",
            "columns": f"{len(step.before)} → {step.after}",
            "missing": step.nulls,
            "touched": ", ".join(change.name for change in step.changes) + (f" and {step.more} more" if step.more else ""),
        }
        for number, step in enumerate(tried.steps, 1)
    ]
    show(steps, False, ["step", "columns", "missing", "touched"])
    if tried.problem is not None:
        where = "at the end" if tried.problem.step is None else f"at step {tried.problem.step}"
        say(f"It stops {where}: {tried.problem.what}: {tried.problem.why}. Next: {tried.problem.next_step}")


@command(
    noun,
    "run",
    "yard pipeline run features.py:features --data flights@3 --into flights-prepared --label late",
    "yard pipeline run flights@2 --data flights@latest --into flights-prepared --on spark://spark.example:7077",
)
def run(
    pipeline: Annotated[
        str, typer.Argument(metavar="PIPELINE", help="A saved one, as in flights@3; or FILE.py:NAME, or FILE.json.")
    ],
    *,
    data: Annotated[str, typer.Option(help="A dataset version, as in flights@3 or flights@latest.")],
    into: Annotated[str, typer.Option(help="The dataset that the prepared rows are stored in.")],
    on: Annotated[str, typer.Option(help="local, spark://host:7077, sc://host:15002 or ray://host:10001.")] = "local",
    label: Annotated[str | None, typer.Option(help="The column to predict.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="A column to store as it is; repeat it. Else key and time.")] = None,
    note: str = "",
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Prepare a dataset version on an engine, and store its rows as a version of another dataset."""
    opened = open_project(project)
    found = _read(opened, pipeline) if pipeline.endswith(".json") or ":" in pipeline else opened.saved_pipeline(pipeline)
    show(found.run(data, into=into, on=on, label=label, keep=keep, note=note).record, as_json)


def _does(step: Any) -> str:
    from modelyard.prepare import DeclaredStep, SetStep
    from modelyard.prepare.step_text import step_text

    if isinstance(step, DeclaredStep):
        return step_text(step)
    if isinstance(step, SetStep):
        return f"over the set: {step.work if isinstance(step.work, str) else step.work.entry}"
    return f"{step.name} (a function)"


def _read(opened: "ProjectClient", file: str) -> "DeclaredPipeline":
    from modelyard.cli.trainer_file import load_file
    from modelyard.client import DeclaredPipeline
    from modelyard.core import Problem, missing

    if file.endswith(".json"):
        return _of_json(opened, read_document(Path(file)))
    path, _, name = file.rpartition(":")
    if not path:
        what, form = f"{file!r} names no pipeline", "the form is FILE.py:NAME or FILE.json"
        raise Problem("pipeline.invalid", what, form, "yard pipeline save flights features.py:features")
    there = {key: one for key, one in vars(load_file(Path(path))).items() if isinstance(one, DeclaredPipeline)}
    if name not in there:
        raise missing("pipeline", name, there, f"name one that {path} makes")
    return there[name]


def _to_json(pipeline: "DeclaredPipeline") -> JsonObject:
    import msgspec

    checks = {"checks": msgspec.to_builtins(pipeline.checks)} if pipeline.checks else {}
    return {**pipeline.build().to_json(), **checks}


def _of_json(opened: "ProjectClient", document: Any) -> "DeclaredPipeline":
    import msgspec

    from modelyard.core import Problem
    from modelyard.data import Check
    from modelyard.prepare import Pipeline

    pipeline = Pipeline.from_json(document)
    try:
        checks = msgspec.convert(document.get("checks", []), tuple[Check, ...])
    except msgspec.ValidationError as error:
        raise Problem(
            "check.invalid", "The file's checks cannot be read", str(error), "see `yard pipeline show --json`"
        ) from error
    return opened.pipeline(*pipeline.sets, *pipeline.steps, checks=checks)
