"""`yard lineage`."""

from datetime import datetime
from typing import Annotated

import typer

from modelyard.cli.command import Json, ProjectName, command, group
from modelyard.cli.output import say, show
from modelyard.cli.session import open_project

noun = group("Lineage: which rows a model saw, and what came of a file.")


@command(
    noun,
    "show",
    "yard lineage show file:january.csv --down",
    "yard lineage show model:delay@7 --up",
    "yard lineage show prediction:01jc… --up",
    "yard lineage show dataset:flights@3 --column tailnum",
)
def show_lineage(
    *,
    of: Annotated[
        str,
        typer.Argument(
            metavar="KIND:NAME", help="job, file, source, dataset, run, model, deployment or prediction, and which one."
        ),
    ],
    up: Annotated[bool, typer.Option("--up", help="Only what it came from.")] = False,
    down: Annotated[bool, typer.Option("--down", help="Only what came of it.")] = False,
    column: Annotated[str | None, typer.Option(help="Only what this column of raw rows goes through.")] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Show where a thing came from and what came of it: source, version, run, model, deployment, predictions."""
    graph = open_project(project).lineage(of, up=up or not down, down=down or not up, column=column)
    if as_json:
        show(graph, True)
        return
    show(graph.nodes, False, {"kind": "kind", "told": "name", "at": "at"})
    say(f"{len(graph.nodes):,} things, {len(graph.edges):,} ways between them; --json has these too")


@command(
    noun,
    "export",
    "yard lineage export --json > lineage.ndjson",
    "yard lineage export --since 2026-11-01 --json",
)
def export_lineage(
    *,
    since: Annotated[datetime | None, typer.Option(help="Only what happened from then on, in UTC.")] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Print what happened as OpenLineage's run events, oldest first; with --json as they are, one a line."""
    events = open_project(project).lineage_events(since)
    if as_json:
        for event in events:
            show(event, True)
        return
    columns = {"eventTime": "at", "eventType": "state", "job.name": "job", "inputs": "from", "outputs": "made"}
    told = [{**event, **{way: [one["name"] for one in event[way]] for way in ("inputs", "outputs")}} for event in events]
    show(told, False, columns)
