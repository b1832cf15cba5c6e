"""`yard token` and `yard member`."""

from typing import Annotated

import typer

from modelyard.cli.command import Json, ProjectName, command, group
from modelyard.cli.output import say, show
from modelyard.cli.session import connection, open_project

token = group("Tokens: secrets that act for a member.")
member = group("Members: who may do what.")

Role = Annotated[str | None, typer.Option(help="viewer, trainer, approver or admin.")]


@command(
    token,
    "create",
    "yard token create laptop --role trainer",
    "MODELYARD_HOME=/srv/yard yard token create rescue     # on the server's own machine, when every token is lost",
)
def create_token(
    name: Annotated[str, typer.Argument(help="For people: where it is used.")],
    of: Annotated[str, typer.Option("--member", help="Whom it acts for.")] = "owner",
    role: Role = None,
    days: Annotated[float | None, typer.Option(help="Valid for so long; for ever when left out.")] = None,
    as_json: Json = False,
) -> None:
    """Make a token; its secret is shown this once."""
    from modelyard.cli.forms import MadeToken

    made = connection().post("/v1/tokens", MadeToken, {"member": of, "name": name, "role": role, "days": days})
    if as_json:
        show(made, True)
        return
    typer.echo(made.secret)
    say("It is shown this once. Use it as MODELYARD_TOKEN, or as `Authorization: Bearer TOKEN`.")


@command(token, "list", "yard token list")
def list_tokens(as_json: Json = False) -> None:
    """Show the tokens, without their secrets."""
    from modelyard.tenancy import Token

    found = connection().get("/v1/tokens", list[Token])
    show(found, as_json, ["name", "member", "role", "created_at", "expires_at", "revoked_at", "id"])


@command(token, "revoke", "yard token revoke laptop")
def revoke(name: Annotated[str, typer.Argument(help="Its name or id.")], as_json: Json = False) -> None:
    """Make a token worthless from now on."""
    from modelyard.client.connection import part
    from modelyard.tenancy import Token

    show(connection().delete(f"/v1/tokens/{part(name)}", Token), as_json)


@command(member, "add", "yard member add ada --role trainer", "yard member add ada --role approver --project churn")
def add_member(
    name: Annotated[str, typer.Argument(help="A lower case letter, then letters, digits, - and _.")],
    role: Role = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Add a member with a role everywhere; or with --project give a member a role there."""
    from modelyard.client.connection import part
    from modelyard.core import Problem
    from modelyard.tenancy import Member, Membership

    found = connection()
    if project is None:
        show(found.post("/v1/members", Member, {"name": name, "role": role}), as_json)
        return
    if role is None:
        raise Problem("role.invalid", f"Which role is {name} to have in {project}?", "none was named", "--role trainer")
    opened = open_project(project)
    if name not in {one.name for one in found.get("/v1/members", list[Member])}:
        found.post("/v1/members", Member, {"name": name})
    show(found.put(f"{opened.path}/members/{part(name)}", Membership, role=role), as_json)


@command(member, "list", "yard member list")
def list_members(as_json: Json = False) -> None:
    """Show the members."""
    from modelyard.tenancy import Member

    show(connection().get("/v1/members", list[Member]), as_json, ["name", "role", "created_at", "id"])
