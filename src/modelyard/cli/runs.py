"""`yard run`."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.command import Json, Most, ProjectName, command, group
from modelyard.cli.output import say, show
from modelyard.cli.session import open_project

noun = group("Runs: one training each.")

RUN = ["number", "experiment", "kind", "state", "recipe.params", "metrics", "created_at"]
HARM = {
    "slice.name": "slice",
    "slice.rows": "rows",
    "gain": "gain",
    "low": "low",
    "high": "high",
    "p_value": "p",
    "harmful": "harmful",
    "told": "told",
}
Number = Annotated[str, typer.Argument(help="The run's number or id.")]
File = Annotated[str, typer.Argument(metavar="FILE:FUNCTION", help="A trainer in a file of yours, as in train.py:train.")]
Data = Annotated[str, typer.Option(help="A dataset version, as in flights@3 or flights@latest.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")]


@command(
    noun,
    "start",
    "yard run start train.py:train depth=6 rate=0.05 --data flights@latest",
    "yard run start train.py:train --data flights@1 --no-wait --json",
    "yard run start train.py:train --data flights@1 --split group:carrier --test-share 0.3",
)
def start(
    trainer: File,
    params: Annotated[list[str] | None, typer.Argument(metavar="NAME=VALUE", help="Parameters of the function.")] = None,
    *,
    data: Data = "",
    seed: int = 0,
    experiment: str | None = None,
    split: Annotated[
        str | None,
        typer.Option(help="hash, random, group:COLUMN, stratified:COLUMN, time or time:MOMENT; else as the trainer declares."),
    ] = None,
    test_share: Annotated[float, typer.Option(help="With --split: how much to test on.")] = 0.2,
    split_seed: Annotated[int, typer.Option(help="With --split: another one holds out other rows.")] = 0,
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Train on a dataset version."""
    from modelyard.cli.trainer_file import load_trainer, read_params, read_split
    from modelyard.core import Problem

    if not data:
        raise Problem("data.missing", "On which data?", "a run is on one version of a dataset", "--data flights@latest")
    wanted = None if split is None else read_split(split, test_share, split_seed)
    run = load_trainer(trainer).run(data, seed=seed, experiment=experiment, split=wanted, **read_params(params or ()))
    if wait:
        run.wait()
    show(run.record, as_json)


@command(
    noun,
    "list",
    "yard run list",
    "yard run list --where 'roc_auc > 0.9' --where 'log_loss < 0.4' --sort -roc_auc",
)
def list_runs(
    where: Annotated[list[str] | None, typer.Option(help="METRIC > NUMBER and the like; all must hold.")] = None,
    sort: Annotated[str | None, typer.Option(help="A metric; with - in front: the largest first.")] = None,
    experiment: str | None = None,
    project: ProjectName = None,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """Show runs, newest first, or by a metric."""
    found = open_project(project).runs(where=where or (), sort=sort, experiment=experiment, most=most)
    show([one.record for one in found], as_json, RUN)


@command(noun, "show", "yard run show 12", "yard run show 12 --json")
def show_run(number: Number, project: ProjectName = None, as_json: Json = False) -> None:
    """Show all that is known of a run."""
    show(open_project(project).run(number).record, as_json)


@command(noun, "cancel", "yard run cancel 12")
def cancel(number: Number, project: ProjectName = None, as_json: Json = False) -> None:
    """Ask a run to stop."""
    show(open_project(project).run(number).cancel().record, as_json)


@command(noun, "examine", "yard run examine 12", "yard run examine 12 --slices 40 --fits 120 --rows doubtful.csv")
def examine(
    number: Number,
    *,
    slices: Annotated[int, typer.Option(help="How many slices to measure at most, the most suspicious first.")] = 20,
    fits: Annotated[int, typer.Option(help="How often to train at most.")] = 60,
    rows: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the rows to fix or relabel there.")] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Measure what data defects do to a run's model, and list the rows to fix or relabel."""
    from modelyard.cli.frames import form_of, write_frame

    if rows is not None:
        form_of(rows)  # before the work is done
    found = open_project(project).run(number).examine(slices=slices, fits=fits)
    if rows is not None:
        write_frame(found.rows(), rows)
    if as_json:
        show(found.record, True)
        return
    show(found.slices, False, HARM)
    loss = f"{found.record.loss.replace('_', ' ')} on {found.record.held_out:,} held-out rows"
    say(f"{loss}: {found.record.held_out_loss:.6g}; gain: how far it falls without the slice")
    say(f"{found.record.listed:,} rows to fix or relabel" + (f": {rows}" if rows else "; see them by --rows FILE"))


@command(noun, "compare", "yard run compare 12 14 15")
def compare(
    numbers: Annotated[list[str], typer.Argument(help="Numbers or ids.")], project: ProjectName = None, as_json: Json = False
) -> None:
    """Show runs side by side: parameters and metrics, first those that differ."""
    opened = open_project(project)
    found = [opened.run(number).record for number in numbers]
    if as_json:
        show(found, True)
        return
    tables = {
        "param": [dict(run.recipe.params) for run in found],
        "metric": [dict(run.metrics) for run in found],
    }
    rows = []
    for kind, values in tables.items():
        for name in sorted({name for one in values for name in one}):
            told = {f"run {run.number}": one.get(name) for run, one in zip(found, values, strict=True)}
            rows.append({"kind": kind, "name": name, "equal": len({str(value) for value in told.values()}) == 1, **told})
    rows.sort(key=lambda row: (row["kind"] == "metric", bool(row["equal"])))
    show(rows, False, ["kind", "name", *(f"run {run.number}" for run in found)])
    if len({run.data for run in found}) > 1:
        say("they are not on the same data: " + ", ".join(f"run {run.number} on {run.data}" for run in found))
