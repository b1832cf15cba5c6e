"""`yard study`."""

from typing import Annotated

import typer

from modelyard.cli.command import Json, Most, ProjectName, command, group
from modelyard.cli.output import show
from modelyard.cli.runs import Data, File, Wait
from modelyard.cli.session import open_project

noun = group("Studies: searches over a trainer's parameters.")

STUDY = ["id", "experiment", "state", "trials", "metric", "direction", "best", "created_at"]


@command(
    noun,
    "start",
    "yard study start train.py:train depth=3..8 rate=0.01..0.3:log family=boosting,linear --data flights@1 --trials 20",
)
def start(
    trainer: File,
    space: Annotated[
        list[str], typer.Argument(metavar="NAME=RANGE", help="3..8, 0.01..0.3:log, or values with commas between.")
    ],
    *,
    data: Data = "",
    trials: Annotated[int, typer.Option(min=1)] = 20,
    parallel: Annotated[int, typer.Option(min=1, help="Trials suggested at once.")] = 4,
    sampler: Annotated[str, typer.Option(help="tpe, random or qmc.")] = "tpe",
    seed: int = 0,
    wait: Wait = True,
    as_json: Json = False,
) -> None:
    """Search for the best parameters."""
    from modelyard.cli.trainer_file import load_trainer, read_space
    from modelyard.core import Problem

    if not data:
        raise Problem("data.missing", "On which data?", "a study is on one version of a dataset", "--data flights@latest")
    study = load_trainer(trainer).search(data, read_space(space), trials=trials, parallel=parallel, sampler=sampler, seed=seed)
    if wait:
        study.wait()
    show(study.record, as_json)


@command(noun, "list", "yard study list")
def list_studies(project: ProjectName = None, most: Most = 50, as_json: Json = False) -> None:
    """Show studies, newest first."""
    from modelyard.training import Study

    opened = open_project(project)
    show(list(opened.connection.pages(f"{opened.path}/studies", Study, most=most)), as_json, STUDY)


@command(noun, "show", "yard study show study_01jx…")
def show_study(study: str, project: ProjectName = None, as_json: Json = False) -> None:
    """Show a study and its trials."""
    found = open_project(project).study(study)
    trials = [trial.record for trial in found.trials]
    if as_json:
        show({"study": found.record, "trials": trials}, True)
        return
    show(found.record, False)
    show(trials, False, ["trial", "number", "state", "recipe.params", "metrics"])
