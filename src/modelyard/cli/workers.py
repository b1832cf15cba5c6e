"""`yard worker`."""

import os
import sys
from typing import Annotated

import typer

from modelyard.cli.command import Home, command, group

noun = group("Workers: processes that run jobs.")


@command(noun, "start", "yard worker start", "yard worker start --kinds run.train,model.register")
def start(
    home: Home = None,
    name: Annotated[str | None, typer.Option(help="Whose leases they are, for people.")] = None,
    kinds: Annotated[str, typer.Option(help="Kinds of job to take, with commas; all when empty.")] = "",
) -> None:
    """Run jobs until Ctrl-C or SIGTERM, from the database that the settings name."""
    told = [("--home", home), ("--name", name), ("--kinds", kinds)]
    arguments = [part for option, value in told if value for part in (option, value)]
    os.execv(sys.executable, [sys.executable, "-m", "modelyard.runner.worker", *arguments])  # noqa: S606 - no shell
