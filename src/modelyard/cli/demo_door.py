"""`yard demo`: the door to `modelyard.cli.demo`, which needs the extra of that name."""

import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.output import say


def demo(
    home: Annotated[Path | None, typer.Option(help="Holds everything; a new temporary folder when left out.")] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="Of console and API; 0: a free one.")] = 0,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    gateway_port: Annotated[int, typer.Option(min=0, max=65535, help="Of predictions; 0: a free one.")] = 0,
    leave: Annotated[bool, typer.Option("--exit", help="End when the report is written.")] = False,
    figures: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the figures there.")] = None,
) -> None:
    """Take a year of flights once round the whole loop: live traffic, a real incident, an automatic recovery."""
    import tempfile

    from rich.console import Console

    from modelyard.cli.up import check_host
    from modelyard.core import Problem

    check_host(host, open_to_network=False)
    try:
        from modelyard.cli.demo.run import Options, run_demo
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("modelyard"):
            raise
        why = f"the package {error.name} is not installed"
        raise Problem("demo.unavailable", "The demo cannot run", why, "pip install 'modelyard[demo]'") from error
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    folder = (home or Path(tempfile.mkdtemp(prefix="yard-demo-"))).resolve()
    with suppress(KeyboardInterrupt):
        run_demo(Options(folder, port, gateway_port, host, leave, figures), Console(stderr=True), stop)
    if home is None:
        say(f"everything is in {folder}")
