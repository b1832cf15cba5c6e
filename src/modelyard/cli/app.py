"""All commands in one place. Importing it is quick: what is heavy is imported inside the commands."""

from typing import Annotated

import typer

from modelyard.cli import (
    access,
    datasets,
    deployments,
    features,
    jobs,
    lineage,
    models,
    monitors,
    pipelines,
    policies,
    projects,
    runs,
    streams,
    studies,
    workers,
)
from modelyard.cli.command import Json, command, group
from modelyard.cli.demo_door import demo
from modelyard.cli.doctor import doctor
from modelyard.cli.exits import EXITS, OK, told
from modelyard.cli.init import init
from modelyard.cli.output import show
from modelyard.cli.score import score
from modelyard.cli.settings import settings
from modelyard.cli.up import up
from modelyard.version import __version__

app = group("Modelyard: data → prepare → train → register → serve → monitor → react, in one place.")
app.info.epilog = f"\b\nBegin with: yard demo, yard init, or yard up.\n\n\b\n{told()}"

NOUNS = {
    "project": projects.noun,
    "dataset": datasets.noun,
    "feature": features.noun,
    "lineage": lineage.noun,
    "pipeline": pipelines.noun,
    "run": runs.noun,
    "study": studies.noun,
    "model": models.noun,
    "deployment": deployments.noun,
    "label": deployments.label,
    "stream": streams.noun,
    "monitor": monitors.noun,
    "alert": monitors.alert,
    "policy": policies.noun,
    "decision": policies.decision,
    "job": jobs.noun,
    "schedule": jobs.schedule,
    "worker": workers.noun,
    "token": access.token,
    "member": access.member,
}


def _tell_version(asked: bool) -> None:
    if asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and end.", callback=_tell_version)] = False,
) -> None:
    """Modelyard: data → prepare → train → register → serve → monitor → react, in one place."""


def exits(as_json: Json = False) -> None:
    """Show what each exit code means."""
    codes = {"ok": OK, **{kind.value: code for kind, code in EXITS.items()}}
    if as_json:
        show(codes, True)
        return
    show([{"exit code": code, "meaning": kind} for kind, code in codes.items()], False, ["exit code", "meaning"])


command(app, "up", "yard up", "yard up --home /srv/yard --port 8000 --gateways 1-4", "yard up --port 0 --json")(up)
command(app, "demo", "yard demo", "yard demo --exit --json out.json")(demo)
command(app, "init", "yard init churn", "cd churn && python make_data.py && python train.py")(init)
command(app, "doctor", "yard doctor", "yard doctor --json")(doctor)
command(app, "settings", "yard settings", "yard settings --home /srv/yard --json")(settings)
command(
    app,
    "score",
    "yard score churn@champion new.parquet answered.parquet",
    "yard score churn@7 january.csv february.csv answers/",
    "yard score churn@7 's3://lake/in/*.parquet' s3://lake/answers/",
    "yard score churn@champion customers@3 answered.csv --anew",
)(score)
command(app, "exits", "yard exits")(exits)
for name, noun in NOUNS.items():
    app.add_typer(noun, name=name)
