"""`yard deployment` and `yard label`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.command import Json, ProjectName, command, group
from modelyard.cli.output import show
from modelyard.cli.session import open_project

noun = group("Deployments: what answers, and how it moves from one version to the next.")
label = group("Labels: the truth about predictions.")

DEPLOYMENT = ["name", "model", "alias", "canary", "time", "tolerance", "loss", "form", "created_at"]
ROLLOUT = ["candidate", "base", "state", "step", "cause", "started_at", "finished_at", "judgement"]
SHADOW = ["version", "rows", "mean_answer", "mean_shadow", "mean_abs", "max_abs", "latency_us", "shadow_latency_us"]
Name = Annotated[str, typer.Argument(help="The deployment's name.")]


@command(
    noun,
    "create",
    "yard deployment create churn@champion",
    "yard deployment create churn@champion --name churn-eu --canary 5,25,100 --time scheduled",
)
def create(
    reference: Annotated[str, typer.Argument(metavar="MODEL@ALIAS")],
    *,
    name: Annotated[str | None, typer.Option(help="In requests; the model's name when left out.")] = None,
    canary: Annotated[str | None, typer.Option(help="Per cent of each step on a new version's way.")] = None,
    time: Annotated[str | None, typer.Option(help="The raw column of event time.")] = None,
    tolerance: Annotated[float | None, typer.Option(help="A canary's mean loss may be worse by less than this.")] = None,
    loss: Annotated[str | None, typer.Option(help="log_loss, brier, squared_error or absolute_error.")] = None,
    form: Annotated[str | None, typer.Option(help="The form that answers, such as native; the fastest when left out.")] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Serve what an alias names, from now on and as it moves."""
    steps = _steps(canary) if canary is not None else None
    opened = open_project(project)
    made = opened.deploy(reference, name=name, canary=steps, time=time, tolerance=tolerance, loss=loss, form=form)
    show(made.record, as_json)


@command(noun, "list", "yard deployment list")
def list_deployments(project: ProjectName = None, as_json: Json = False) -> None:
    """Show the deployments."""
    show([one.record for one in open_project(project).deployments()], as_json, DEPLOYMENT)


@command(noun, "show", "yard deployment show churn")
def show_deployment(name: Name, project: ProjectName = None, as_json: Json = False) -> None:
    """Show a deployment with what it answers with now and its rollouts."""
    found = open_project(project).deployment(name)
    revision = next(found.revisions(), None)
    rollouts = list(found.rollouts())
    if as_json:
        show({"deployment": found.record, "revision": revision, "rollouts": rollouts}, True)
        return
    show(found.record, False)
    show(revision.routes if revision else (), False, ["version", "weight", "kind"])
    show(rollouts, False, ROLLOUT)


@command(noun, "canary", "yard deployment canary churn 8")
def canary_version(name: Name, version: int, project: ProjectName = None, as_json: Json = False) -> None:
    """Start the canary of a version that its gate lets through."""
    show(open_project(project).deployment(name).start_rollout(version), as_json)


@command(noun, "push", "yard deployment push churn 8 --reason 'the feed is being repaired'")
def push(
    name: Name,
    version: int,
    reason: Annotated[str, typer.Option(help="Kept for whoever asks later.")],
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Break the glass: start a canary past the gate, on record."""
    show(open_project(project).deployment(name).push(version, reason), as_json)


@command(
    noun, "split", "yard deployment split churn 3=70 5=30", "yard deployment split churn 3=100  # the others share no longer"
)
def split(
    name: Name,
    weights: Annotated[list[str], typer.Argument(metavar="VERSION=WEIGHT...", help="Per cent by version; together 100.")],
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Let versions share the requests; a key meets the same one while the weights stand."""
    show(open_project(project).deployment(name).split(_weights(weights)), as_json)


@command(
    noun,
    "shadow",
    "yard deployment shadow churn 8",
    "yard deployment shadow churn 8 --share 20",
    "yard deployment shadow churn 8 --share 0  # no longer",
)
def shadow(
    name: Name,
    version: int,
    share: Annotated[int, typer.Option(help="Per cent of the requests; 0 ends it.")] = 100,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Ask a version besides: its answers are kept beside those that callers get, and nobody waits for them."""
    show(open_project(project).deployment(name).shadow(version, share), as_json)


@command(noun, "shadows", "yard deployment shadows churn")
def shadows(name: Name, project: ProjectName = None, as_json: Json = False) -> None:
    """Show what shadows answered beside what callers got."""
    show(open_project(project).deployment(name).shadows(), as_json, SHADOW)


@command(noun, "roll-back", "yard deployment roll-back churn")
def roll_back(name: Name, project: ProjectName = None, as_json: Json = False) -> None:
    """End the canary under way, else return to the version before."""
    show(open_project(project).deployment(name).roll_back(), as_json)


@command(label, "add", "yard label add churn labels.csv", "yard label add churn truth.parquet --id flight --value late")
def add_labels(
    deployment: Name,
    file: Annotated[Path, typer.Argument(help="A .csv, .parquet, .ndjson or .arrow file: one row a label.")],
    *,
    id_column: Annotated[str, typer.Option("--id", help="The column of prediction ids.")] = "id",
    value: Annotated[str, typer.Option(help="The column of the truth.")] = "value",
    time: Annotated[str | None, typer.Option(help="The column of when it became known; now when left out.")] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Send the truth about predictions, by id: late, twice and out of order as it comes. Rows without a value are left out."""
    import polars as pl

    from modelyard.cli.frames import read_frame
    from modelyard.core import missing

    rows = read_frame(file)
    for column in (id_column, value, *([time] if time else [])):
        if column not in rows.columns:
            raise missing("column", column, rows.columns, "--id, --value and --time name the columns")
    rows = rows.drop_nulls(value)
    times = None
    if time:
        at = rows[time]
        at = at.str.to_datetime(time_zone="UTC") if at.dtype == pl.String else at.cast(pl.Datetime("us", "UTC"))
        times = at.to_list()
    values = rows[value].cast(pl.Float64).to_list()
    taken = open_project(project).deployment(deployment).labels(rows[id_column].cast(pl.String).to_list(), values, times)
    show({"labels": taken}, as_json)


@command(
    label,
    "queue",
    "yard label queue churn --rows 200 --out to-label.csv",
    "yard label queue churn --by disputed --random-share 0.5 --newest 7d --out to-label.csv",
)
def queue(
    deployment: Name,
    *,
    rows: Annotated[int, typer.Option(help="How many to ask for.")] = 200,
    by: Annotated[str, typer.Option(help="uncertain, disputed or random.")] = "uncertain",
    random_share: Annotated[float, typer.Option(help="How much of them is drawn at random from all.")] = 0.2,
    newest: Annotated[str | None, typer.Option(metavar="SPAN", help="Only the newest ones, as in 7d.")] = None,
    hold: Annotated[str, typer.Option(metavar="SPAN", help="Nobody else is given these rows for so long.")] = "7d",
    out: Annotated[Path | None, typer.Option(help="Write them to a file, with an empty column `value` to fill in.")] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Give out predictions whose labels teach most: fill in `value`, then yard label add DEPLOYMENT FILE."""
    from datetime import UTC, datetime, timedelta

    import polars as pl

    from modelyard.cli.frames import form_of, write_frame
    from modelyard.core.spans import span_s

    if out is not None:
        form_of(out)  # before rows are held
    since = None if newest is None else datetime.now(UTC) - timedelta(seconds=span_s(newest))
    asked = open_project(project).deployment(deployment)
    found = asked.label_queue(rows, by=by, random_share=random_share, since=since, hold=hold)
    if out is None:
        show(found.to_dicts(), as_json, found.columns)
        return
    write_frame(found.select("id", pl.lit(None, dtype=pl.Float64).alias("value"), pl.exclude("id")), out)
    show({"file": str(out), "rows": found.height}, as_json)


@command(label, "skip", "yard label skip churn 01jc2m… 01jc2n…")
def skip(
    deployment: Name,
    ids: Annotated[list[str], typer.Argument(help="Ids of predictions.")],
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Say that the truth about predictions cannot be told; nobody is asked again."""
    show({"skipped": open_project(project).deployment(deployment).skip(ids)}, as_json)


@command(label, "list", "yard label list churn", "yard label list churn --json")
def list_queued(deployment: Name, project: ProjectName = None, as_json: Json = False) -> None:
    """Show who was asked about which predictions, and what came of it."""
    found = open_project(project).deployment(deployment).queued()
    show(found, as_json, ["prediction", "reason", "score", "state", "holder", "held_until"])


def _weights(texts: Sequence[str]) -> dict[int, int]:
    from modelyard.core import Problem

    try:
        return {int(version): int(weight) for version, weight in (text.split("=") for text in texts)}
    except ValueError:
        told, why = " ".join(texts), "each is VERSION=WEIGHT, whole numbers"
        raise Problem("deployment.invalid", f"The weights '{told}' cannot be read", why, "3=70 5=30") from None


def _steps(text: str) -> list[int]:
    from modelyard.core import Problem

    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        why = "they are whole per cent with commas between"
        raise Problem("deployment.invalid", f"The canary steps '{text}' cannot be read", why, "--canary 10,50,100") from None
