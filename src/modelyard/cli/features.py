"""`yard feature`."""

from datetime import datetime
from typing import Annotated

import typer

from modelyard.cli.command import Json, ProjectName, command, group
from modelyard.cli.output import say, show
from modelyard.cli.session import open_project

noun = group("Features: what versions look up in datasets where they serve.")

Name = Annotated[str, typer.Argument(help="The dataset's name.")]


@command(noun, "list", "yard feature list")
def list_features(project: ProjectName = None, as_json: Json = False) -> None:
    """Show the datasets that are published online, or looked up by a deployed version, and how fresh they are there."""
    found = open_project(project).features()
    if as_json:
        show(found, True)
        return
    rows = [{"table": one, "used by": ", ".join(dict.fromkeys(use.deployment for use in one.uses))} for one in found]
    shown = {
        "table.dataset": "dataset", "table.newest": "newest version", "table.published.number": "online",
        "table.published.newest": "known until", "used by": "used by",
    }  # fmt: skip
    show(rows, False, shown)


@command(noun, "show", "yard feature show weather")
def show_feature(name: Name, project: ProjectName = None, as_json: Json = False) -> None:
    """Show who looks what up in a dataset, and how fresh it is online."""
    from modelyard.core import missing

    found = {one.dataset: one for one in open_project(project).features()}
    if name not in found:
        raise missing("feature", name, found, f"yard feature publish {name}")
    table = found[name]
    if as_json:
        show(table, True)
        return
    show({"dataset": name, "newest version": table.newest, "online": table.published}, False)
    columns = ["deployment", "version", "lookup.columns", "lookup.by", "lookup.max_age_s", "lookup.missing"]
    show(table.uses, False, columns)


@command(noun, "get", "yard feature get weather JFK", "yard feature get weather JFK --before 2013-06-24T12:00:00")
def get_feature(
    name: Name,
    entity: Annotated[list[str], typer.Argument(help="What names it: a value for each column of the key but the time.")],
    *,
    before: Annotated[datetime | None, typer.Option(help="As it was known before this moment, in UTC; else now.")] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Show what the online store knows of one entity."""
    from datetime import UTC

    moment = before.replace(tzinfo=UTC) if before is not None and before.tzinfo is None else before
    found = open_project(project).dataset(name).look_up(*entity, before=moment)
    if as_json:
        show(found, True)
    elif found is None:
        say(f"nothing is known of {', '.join(entity)}")
    else:
        show({"at": found.at, **found.values}, False)


@command(noun, "publish", "yard feature publish weather")
def publish(name: Name, project: ProjectName = None, as_json: Json = False) -> None:
    """Put what a dataset's newest version knows into the online store, all of it; new versions follow by themselves."""
    show(open_project(project).dataset(name).publish(), as_json)
