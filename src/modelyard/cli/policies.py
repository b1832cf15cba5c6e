"""`yard policy` and `yard decision`."""

from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.command import Json, Most, ProjectName, command, group
from modelyard.cli.output import show
from modelyard.cli.session import open_project

noun = group("Policies: when this happens, do that.")
decision = group("Decisions: what was done, why, and on which evidence.")

POLICY = ["name", "deployment", "enabled", "rules", "budget", "budget_s"]
DECISION = ["at", "action", "deployment", "version", "told", "by", "undone_at", "id"]
Id = Annotated[str, typer.Argument(help="The decision's id.")]


@command(noun, "list", "yard policy list")
def list_policies(project: ProjectName = None, as_json: Json = False) -> None:
    """Show the policies."""
    from modelyard.reactions import Policy

    opened = open_project(project)
    show(opened.connection.get(f"{opened.path}/policies", list[Policy]), as_json, POLICY)


@command(noun, "apply", "yard policy apply policies.py", "yard policy apply policy.toml")
def apply(
    file: Annotated[
        Path, typer.Argument(help="A Python file that calls project.policy(…), or a .toml or .json file of one policy.")
    ],
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Apply the policies of a file."""
    from modelyard.cli.documents import read_document
    from modelyard.cli.trainer_file import load_file
    from modelyard.client import PolicyClient
    from modelyard.reactions import Policy

    if file.suffix in (".toml", ".json"):
        opened = open_project(project)
        applied = [opened.connection.post(f"{opened.path}/policies", Policy, read_document(file))]
    else:
        found = vars(load_file(file)).values()
        applied = [one.record for one in found if isinstance(one, PolicyClient)]
    show(applied, as_json, POLICY)


@command(decision, "list", "yard decision list", "yard decision list --deployment churn")
def list_decisions(deployment: str | None = None, project: ProjectName = None, most: Most = 50, as_json: Json = False) -> None:
    """Show what was decided, newest first."""
    from itertools import islice

    found = [one.record for one in islice(open_project(project).decisions(deployment=deployment), most)]
    show(found, as_json, DECISION)


@command(decision, "show", "yard decision show dec_01jx…")
def show_decision(decision_id: Id, project: ProjectName = None, as_json: Json = False) -> None:
    """Show a decision with its evidence."""
    from modelyard.client.connection import part
    from modelyard.reactions import Decision

    opened = open_project(project)
    show(opened.connection.get(f"{opened.path}/decisions/{part(decision_id)}", Decision), as_json)


@command(decision, "undo", "yard decision undo dec_01jx…")
def undo(decision_id: Id, project: ProjectName = None, as_json: Json = False) -> None:
    """Take a decision back, on record."""
    from modelyard.client.connection import part
    from modelyard.reactions import Decision

    opened = open_project(project)
    show(opened.connection.post(f"{opened.path}/decisions/{part(decision_id)}/undo", Decision), as_json)
