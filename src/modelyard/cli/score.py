"""`yard score`."""

from typing import Annotated

import typer

from modelyard.cli.command import Json, ProjectName
from modelyard.cli.output import show
from modelyard.cli.session import open_project

IN = "Raw rows: files, folders or patterns of this machine; file:///… or s3://… as a worker sees them; a dataset, NAME@NUMBER."
OUT = "The same rows with their answers: a .csv, .parquet, .ndjson or .arrow file, a folder, or the URL of one, for parts."


def score(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="MODEL@ALIAS or MODEL@NUMBER.")],
    source: Annotated[list[str], typer.Argument(metavar="IN...", help=IN)],
    target: Annotated[str, typer.Argument(metavar="OUT", help=OUT)],
    anew: Annotated[bool, typer.Option("--anew", help="Replace what is in OUT from an earlier time.")] = False,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Answer for every row once, by the same steps and model as any other door; the same command goes on after a kill."""
    name, _, what = model.partition("@")
    version = open_project(project).model(name).version(what or "latest")
    report = version.score_source(source[0] if len(source) == 1 else source, target, anew=anew)
    facts = {"rows": report.rows, "parts": report.parts, "seconds": report.seconds, "rows/s": report.rows_a_second}
    show({"model": version.ref, "form": report.form, **facts, "target": report.target}, as_json)
