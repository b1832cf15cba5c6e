"""`yard monitor` and `yard alert`."""

from typing import Annotated

import typer

from modelyard.cli.command import Json, Most, ProjectName, command, group
from modelyard.cli.output import show
from modelyard.cli.session import open_project

noun = group("Monitors of deployments, window by window.")
alert = group("Alerts that monitors raised.")

WINDOW = ["start", "end", "version", "rows", "labelled", "metrics", "evidence"]


@command(noun, "list", "yard monitor list")
def list_monitors(project: ProjectName = None, as_json: Json = False) -> None:
    """Show the monitors."""
    found = [one.record for one in open_project(project).monitors()]
    show(found, as_json, ["name", "deployment", "window_s", "label_delay_s", "tests", "evaluated_until"])


@command(noun, "show", "yard monitor show churn")
def show_monitor(
    name: Annotated[str, typer.Argument(help="The monitor's name.")],
    project: ProjectName = None,
    most: Most = 20,
    as_json: Json = False,
) -> None:
    """Show a monitor with its newest windows and alerts."""
    from itertools import islice

    found = open_project(project).monitor(name)
    windows = list(islice(found.windows(), most))
    alerts = list(islice(found.alerts(), most))
    if as_json:
        show({"monitor": found.record, "windows": windows, "alerts": alerts}, True)
        return
    show(windows, False, WINDOW)
    show(alerts, False, ["at", "kind", "subject", "told"])


@command(alert, "list", "yard alert list", "yard alert list --json")
def list_alerts(project: ProjectName = None, most: Most = 50, as_json: Json = False) -> None:
    """Show what monitors raised, newest first."""
    from itertools import islice

    found = list(islice(open_project(project).alerts(), most))
    show(found, as_json, ["at", "monitor_name", "kind", "subject", "version", "told"])
