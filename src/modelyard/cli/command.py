"""How every command is declared: its examples in its help, its problems told with their exit codes."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from modelyard.cli.exits import exit_code, told
from modelyard.cli.output import tell_problem
from modelyard.core import Problem

Function = TypeVar("Function", bound=Callable[..., Any])

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
ProjectName = Annotated[
    str | None,
    typer.Option("--project", "-p", envvar="MODELYARD_PROJECT", help="Which project; may be left out where there is only one."),
]
Home = Annotated[str | None, typer.Option("--home", help="The folder that holds everything; else MODELYARD_HOME.")]
Most = Annotated[int, typer.Option("--most", min=1, help="How many to show, newest first.")]


class YardCommand(TyperCommand):
    """A command that tells its problems."""

    def invoke(self, ctx: Any) -> Any:
        """Run it; a problem is printed, and becomes the exit code."""
        try:
            return super().invoke(ctx)
        except Problem as problem:
            tell_problem(problem, bool(ctx.params.get("as_json")))
            raise typer.Exit(exit_code(problem)) from problem


def group(help_text: str) -> typer.Typer:
    """Return an empty noun."""
    return typer.Typer(help=help_text, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


def command(noun: typer.Typer, name: str, *examples: str) -> Callable[[Function], Function]:
    """Declare the function below as a verb of `noun`, with lines that show its use."""
    shown = "\b\nexamples:\n" + "\n".join(f"  {line}" for line in examples) + f"\n\n\b\n{told()}"

    def declare(function: Function) -> Function:
        noun.command(name, cls=YardCommand, epilog=shown)(function)
        return function

    return declare
