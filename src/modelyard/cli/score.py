"""`yard score`."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.command import Json, ProjectName
from modelyard.cli.output import show
from modelyard.cli.session import open_project


def score(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="MODEL@ALIAS or MODEL@NUMBER.")],
    source: Annotated[Path, typer.Argument(metavar="IN", help="Raw rows: a .csv, .parquet, .ndjson or .arrow file.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="The same rows with their answers.")],
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Answer for every row of a file, by the same steps and model as any other door."""
    from modelyard.cli.frames import read_frame, write_frame

    rows = read_frame(source)
    name, _, what = model.partition("@")
    version = open_project(project).model(name).version(what or "latest")
    answered = version.score(rows)
    write_frame(answered, target)
    show({"model": version.ref, "rows": answered.height, "file": str(target)}, as_json)
