"""`yard project`."""

from typing import Annotated

import typer

from modelyard.cli.command import Json, command, group
from modelyard.cli.output import show
from modelyard.cli.session import connection

noun = group("Projects: everything else belongs to one.")


@command(noun, "list", "yard project list", "yard project list --json")
def list_projects(as_json: Json = False) -> None:
    """Show the projects in which you have a role."""
    from modelyard.tenancy import Project

    show(connection().get("/v1/projects", list[Project]), as_json, ["name", "id", "created_at"])


@command(noun, "create", "yard project create churn")
def create(
    name: Annotated[str, typer.Argument(help="A lower case letter, then letters, digits, - and _.")],
    as_json: Json = False,
) -> None:
    """Make a project."""
    from modelyard.tenancy import Project

    show(connection().post("/v1/projects", Project, {"name": name}), as_json)
