"""`yard model`."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.command import Json, ProjectName, command, group
from modelyard.cli.output import show
from modelyard.cli.session import open_project

noun = group("Models, their versions, and the gates before their aliases.")

VERSION = ["number", "run", "metrics", "checks_green", "created_at", "note"]
Name = Annotated[str, typer.Argument(help="The model's name.")]
Number = Annotated[int, typer.Argument(help="The version's number.")]
Alias = Annotated[str, typer.Argument(help="An alias, such as champion.")]
Reason = Annotated[str, typer.Option(help="Kept for whoever asks later.")]


@command(noun, "list", "yard model list")
def list_models(project: ProjectName = None, as_json: Json = False) -> None:
    """Show the models."""
    from modelyard.registry import Model

    opened = open_project(project)
    show(opened.connection.get(f"{opened.path}/models", list[Model]), as_json, ["name", "description", "created_at"])


@command(noun, "show", "yard model show churn", "yard model show churn@champion --json")
def show_model(
    reference: Annotated[str, typer.Argument(help="A model, or MODEL@NUMBER, MODEL@ALIAS, MODEL@latest.")],
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Show a model with its versions and aliases, or one version."""
    name, at, what = reference.partition("@")
    model = open_project(project).model(name)
    if at:
        show(model.version(what).record, as_json)
        return
    versions = [one.record for one in model.versions()]
    if as_json:
        show({"name": name, "aliases": model.aliases(), "versions": versions}, True)
        return
    show(model.aliases(), False, ["name", "version", "previous", "moved_at", "moved_by"])
    show(versions, False, VERSION)


@command(noun, "register", "yard model register churn 12", "yard model register churn 12 --alias challenger")
def register(
    name: Name,
    run: Annotated[str, typer.Argument(help="A finished run, by number or id.")],
    alias: Annotated[str | None, typer.Option(help="Moved to the version, if its gate lets it through.")] = None,
    note: str = "",
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Make a version of a run: converted, measured, and held against the native model."""
    show(open_project(project).model(name).register(run, alias=alias, note=note).record, as_json)


@command(
    noun,
    "import",
    "yard model import iris iris.onnx --alias champion",
    "yard model import churn mlruns/1/models/m-7/artifacts --note 'from the notebook'",
    "yard model import faces faces.onnx --input 'pixels=Array[Float32, 3x224x224]'",
    "yard model import faces faces/ --allow-code",
)
def import_model(
    name: Name,
    path: Annotated[Path, typer.Argument(help="An ONNX file, an MLflow folder, a booster's own file, or a folder of code.")],
    *,
    given: Annotated[
        list[str] | None, typer.Option("--input", metavar="NAME=TYPE", help="The type of an input that leaves lengths open.")
    ] = None,
    alias: Annotated[str | None, typer.Option(help="Moved to the version, if its gate lets it through.")] = None,
    note: str = "",
    allow_code: Annotated[bool, typer.Option("--allow-code", help="Run the folder's model.py: for admins, on record.")] = False,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Make a version of a model that was made elsewhere, proved by a worker."""
    inputs = {key: dtype for key, _, dtype in (one.partition("=") for one in given or ())}
    made = open_project(project).model(name).add(path, inputs=inputs, alias=alias, note=note, allow_code=allow_code)
    show(made.record, as_json)


@command(
    noun,
    "combine",
    "yard model combine flights --members small@3,big@7",
    "yard model combine flights --members small@3,big@7 --by weighted --weights 0.3,0.7",
    "yard model combine flights --members calm=small@3,storm=big@7 --by stack --last judge@2",
    "yard model combine flights --router weather@1 --below 0.5=small@3 --else big@7",
)
def combine(
    name: Name,
    *,
    members: Annotated[str, typer.Option(metavar="[NAME=]MODEL@WHAT,…", help="The versions that are asked.")] = "",
    by: Annotated[str | None, typer.Option(help="mean (as it is without), weighted, vote, stack.")] = None,
    weights: Annotated[str, typer.Option(metavar="N,…", help="One a member, in their order.")] = "",
    threshold: Annotated[float, typer.Option(help="A vote is a yes from this probability on.")] = 0.5,
    last: Annotated[
        str | None, typer.Option(metavar="MODEL@WHAT", help="Of a stack: answers from the members' answers.")
    ] = None,
    router: Annotated[str | None, typer.Option(metavar="MODEL@WHAT", help="Its number says who answers a row.")] = None,
    below: Annotated[
        list[str] | None, typer.Option(metavar="N=MODEL@WHAT", help="Answers where the router's number is below N.")
    ] = None,
    otherwise: Annotated[str | None, typer.Option("--else", metavar="MODEL@WHAT", help="Answers the other rows.")] = None,
    alias: Annotated[str | None, typer.Option(help="Moved to the version, if its gate lets it through.")] = None,
    note: str = "",
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Make a version out of others: their mean, their votes, a chain, or a router before them."""
    asked = [one.strip() for one in members.split(",") if one.strip()]
    limits: list[float] = []
    if router is not None:
        routes = sorted(
            (_number(limit, "--below 0.5=small@3"), to) for limit, _, to in (one.partition("=") for one in below or ())
        )
        asked += [*(to for _, to in routes), *([otherwise] if otherwise else [])]
        limits = [limit for limit, _ in routes]
    model = open_project(project).model(name)
    made = model.combine(
        *asked,
        by=by or ("route" if router is not None else "mean"),
        weights=[_number(one, "--weights 0.3,0.7") for one in weights.split(",") if one.strip()],
        threshold=threshold, last=last, router=router, limits=limits, alias=alias, note=note,
    )  # fmt: skip
    show(made.record, as_json)


@command(
    noun,
    "evaluate",
    "yard model evaluate churn 7",
    "yard model evaluate churn 7 --against champion --data customers@latest --newest 7d",
)
def evaluate(
    name: Name,
    version: Number,
    *,
    against: Annotated[str, typer.Option(help="An alias or a version's number.")] = "champion",
    data: Annotated[str | None, typer.Option(help="DATASET[@N] with the rows. Without: what it was trained on.")] = None,
    newest: Annotated[str | None, typer.Option(metavar="SPAN", help="Only the newest rows, as in 7d.")] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Measure a version beside another on the same labelled rows, of which it was fitted on none."""
    show(open_project(project).model(name).version(version).evaluate(against, data=data, newest=newest), as_json)


@command(noun, "promote", "yard model promote churn 7 champion")
def promote(name: Name, version: Number, alias: Alias = "champion", project: ProjectName = None, as_json: Json = False) -> None:
    """Move an alias to a version, through its gate."""
    model = open_project(project).model(name)
    model.version(version).promote(alias)
    show(next(one for one in model.aliases() if one.name == alias), as_json)


@command(noun, "approve", "yard model approve churn 7 champion --reason 'looked at the slices'")
def approve(
    name: Name, version: Number, alias: Alias, reason: Reason, project: ProjectName = None, as_json: Json = False
) -> None:
    """Record your yes to a version under an alias."""
    show(open_project(project).model(name).version(version).approve(alias, reason=reason), as_json)


@command(noun, "break-glass", "yard model break-glass churn 7 champion --reason 'the gate measures the wrong week'")
def break_glass(
    name: Name, version: Number, alias: Alias, reason: Reason, project: ProjectName = None, as_json: Json = False
) -> None:
    """Let a version pass a gate that it fails: for admins, on record."""
    show(open_project(project).model(name).version(version).break_glass(alias, reason=reason), as_json)


@command(
    noun,
    "gate",
    "yard model gate churn champion",
    "yard model gate churn champion --better log_loss:-0.005 --checks --latency 500 --parity 1e-6",
    "yard model gate churn champion --version 7",
)
def gate(
    name: Name,
    alias: Alias = "champion",
    *,
    better: Annotated[str | None, typer.Option(metavar="METRIC[:BY]", help="Better than the current one by so much.")] = None,
    checks: Annotated[bool, typer.Option("--checks", help="The data's checks are green.")] = False,
    latency: Annotated[float | None, typer.Option(help="At most so many microseconds a row.")] = None,
    parity: Annotated[float | None, typer.Option(help="Every form answers as the native one, to within this.")] = None,
    approvals: Annotated[int | None, typer.Option(help="So many people said yes.")] = None,
    version: Annotated[int | None, typer.Option(help="Show what the gate comes to for this version.")] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Show the gate of an alias; put one there; or ask what it comes to for a version."""
    from modelyard.client import gate as demands

    model = open_project(project).model(name)
    if version is not None:
        found = model.version(version).check(alias)
        show(found, True) if as_json else show(found.results, False, ["passed", "condition.kind", "told"])
        return
    wanted = []
    if better is not None:
        metric, _, by = better.partition(":")
        wanted.append(demands.better(metric, _number(by, "--better log_loss:0.002") if by else 0.0))
    wanted += [demands.checks()] if checks else []
    wanted += [demands.latency(latency)] if latency is not None else []
    wanted += [demands.parity(parity)] if parity is not None else []
    wanted += [demands.approvals(approvals)] if approvals is not None else []
    kept = model.gate(alias, *wanted) if wanted else next((one for one in model.aliases() if one.name == alias), None)
    if as_json:
        show(kept, True)
        return
    show(kept.gate.conditions if kept else (), False, ["kind", "metric", "direction", "limit"])


@command(
    noun,
    "best",
    "yard model best churn --by log_loss",
    "yard model best churn --by roc_auc --latency 200 --size 5000000",
    "yard model best churn --by my_score --direction maximise --alias champion",
    "yard model best churn --off",
)
def best(
    name: Name,
    *,
    by: Annotated[str | None, typer.Option(metavar="METRIC", help="What the best version is best by.")] = None,
    alias: Annotated[str, typer.Option(help="The alias that moves.")] = "best",
    direction: Annotated[str | None, typer.Option(help="maximise or minimise; known for the usual metrics.")] = None,
    latency: Annotated[float | None, typer.Option(help="At most so many microseconds a row.")] = None,
    size: Annotated[int | None, typer.Option(help="At most so many bytes.")] = None,
    off: Annotated[bool, typer.Option("--off", help="Leave the alias where it is, to be moved by hand again.")] = False,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Have an alias move by itself to the best version that its gate lets through; without --by show it."""
    model = open_project(project).model(name)
    if by is None and not off:
        kept = next((one for one in model.aliases() if one.name == alias), None)
    else:
        kept = model.best(None if off else by, alias=alias, direction=direction, latency_us=latency, size_bytes=size)
    if as_json:
        show(kept, True)
        return
    show(
        [kept] if kept else [],
        False,
        ["name", "version", "best.metric", "best.direction", "best.latency_us", "best.size_bytes"],
    )


def _number(text: str, step: str) -> float:
    from modelyard.core import Problem

    try:
        return float(text)
    except ValueError:
        raise Problem("option.invalid", f"'{text}' is no number", "one stands there", step) from None
