"""`yard job` and `yard schedule`."""

from typing import Annotated

import typer

from modelyard.cli.command import Json, Most, ProjectName, command, group
from modelyard.cli.output import show
from modelyard.cli.session import open_project

noun = group("Background work.")
schedule = group("Jobs that are made again and again.")

JOB = ["id", "kind", "title", "state", "progress.fraction", "progress.message", "attempts", "worker", "created_at"]
Id = Annotated[str, typer.Argument(help="The job's id.")]


@command(noun, "list", "yard job list", "yard job list --state running")
def list_jobs(
    state: Annotated[list[str] | None, typer.Option(help="queued, running, finished, failed or cancelled.")] = None,
    project: ProjectName = None,
    most: Most = 50,
    as_json: Json = False,
) -> None:
    """Show jobs, newest first."""
    from modelyard.jobs import Job

    opened = open_project(project)
    show(list(opened.connection.pages(f"{opened.path}/jobs", Job, most=most, state=state or None)), as_json, JOB)


@command(noun, "show", "yard job show job_01jx…")
def show_job(job: Id, project: ProjectName = None, as_json: Json = False) -> None:
    """Show a job."""
    _job("GET", job, "", project, as_json)


@command(noun, "logs", "yard job logs job_01jx…")
def logs(job: Id, project: ProjectName = None, as_json: Json = False) -> None:
    """Print what a job printed."""
    from modelyard.client.connection import part
    from modelyard.client.runs import read_logs

    opened = open_project(project)
    found = read_logs(opened.connection, f"{opened.path}/jobs/{part(job)}")
    if as_json:
        show(found, True)
        return
    for line in found:
        typer.echo(line.text, err=line.stream == "stderr")


@command(noun, "cancel", "yard job cancel job_01jx…")
def cancel(job: Id, project: ProjectName = None, as_json: Json = False) -> None:
    """Ask a job to stop."""
    _job("POST", job, "/cancel", project, as_json)


@command(noun, "retry", "yard job retry job_01jx…")
def retry(job: Id, project: ProjectName = None, as_json: Json = False) -> None:
    """Queue a failed job again."""
    _job("POST", job, "/retry", project, as_json)


@command(schedule, "list", "yard schedule list")
def list_schedules(project: ProjectName = None, as_json: Json = False) -> None:
    """Show the schedules."""
    from modelyard.jobs import Schedule

    opened = open_project(project)
    found = opened.connection.get(f"{opened.path}/schedules", list[Schedule])
    show(found, as_json, ["name", "cron", "kind", "enabled", "next_at"])


def _job(method: str, job: str, verb: str, project: str | None, as_json: bool) -> None:
    from modelyard.client.connection import part
    from modelyard.jobs import Job

    opened = open_project(project)
    path = f"{opened.path}/jobs/{part(job)}{verb}"
    show(opened.connection.get(path, Job) if method == "GET" else opened.connection.post(path, Job), as_json)
