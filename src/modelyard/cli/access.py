"""`yard token` and `yard member`."""

from typing import TYPE_CHECKING, Annotated

import typer

from modelyard.cli.command import Json, ProjectName, command, group
from modelyard.cli.output import say, show
from modelyard.cli.session import connection, open_project

if TYPE_CHECKING:
    from modelyard.tenancy import Limit

token = group("Tokens: secrets that act for a member.")
member = group("Members: who may do what.")

Role = Annotated[str | None, typer.Option(help="viewer, trainer, approver or admin.")]
Rate = Annotated[float | None, typer.Option(help="Requests for predictions a second, at most.")]
Burst = Annotated[int | None, typer.Option(help="So many of them at once; else a second's worth.")]
Rows = Annotated[float | None, typer.Option(help="Rows to predict a second, at most.")]


@command(
    token,
    "create",
    "yard token create laptop --role trainer",
    "yard token create partner --role viewer --rate 100 --burst 200",
    "MODELYARD_HOME=/srv/yard yard token create rescue     # on the server's own machine, when every token is lost",
)
def create_token(
    *,
    name: Annotated[str, typer.Argument(help="For people: where it is used.")],
    of: Annotated[str, typer.Option("--member", help="Whom it acts for.")] = "owner",
    role: Role = None,
    days: Annotated[float | None, typer.Option(help="Valid for so long; for ever when left out.")] = None,
    rate: Rate = None,
    burst: Burst = None,
    rows: Rows = None,
    as_json: Json = False,
) -> None:
    """Make a token; its secret is shown this once."""
    from modelyard.cli.forms import MadeToken

    told = {"member": of, "name": name, "role": role, "days": days, "limit": limit_of(rate, burst, rows)}
    made = connection().post("/v1/tokens", MadeToken, told)
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
    show(found, as_json, ["name", "member", "role", "created_at", "expires_at", "revoked_at", "limit", "id"])


@command(
    token, "limit", "yard token limit partner --rate 100 --burst 200", "yard token limit partner --rows 5000",
    "yard token limit partner --off",
)  # fmt: skip
def limit(
    name: Annotated[str, typer.Argument(help="Its name or id.")],
    rate: Rate = None,
    burst: Burst = None,
    rows: Rows = None,
    off: Annotated[bool, typer.Option("--off", help="Limit it no more.")] = False,
    as_json: Json = False,
) -> None:
    """Say how much a token may ask of the gateways, in place of what was said before; they hold it within a second or two."""
    from modelyard.client.connection import part
    from modelyard.core import Problem
    from modelyard.tenancy import Token

    told = limit_of(rate, burst, rows)
    if off == (told is not None):
        why = "either --off, or one of --rate and --rows"
        raise Problem("limit.invalid", f"How is {name} to be limited?", why, f"yard token limit {name} --rate 100")
    show(connection().put(f"/v1/tokens/{part(name)}/limit", Token, told), as_json)


def limit_of(rate: float | None, burst: int | None, rows: float | None) -> "Limit | None":
    """Return the limit that options tell; None when they tell none."""
    from modelyard.tenancy import Limit

    return None if rate is burst is rows is None else Limit(rate, burst, rows)


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
