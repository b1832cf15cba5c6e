"""`yard stream`."""

import os
import sys
from typing import Annotated

import typer

from modelyard.cli.command import Home, ProjectName, command, group

noun = group("Streams: a topic's messages answered by a deployment, each exactly once.")


@command(
    noun,
    "start",
    "yard stream start churn --from kafka://localhost:9092/requests --to kafka://localhost:9092/answers",
    "yard stream start churn --from 'kafka://b1:9093,b2:9093/requests?config=kafka.conf' --to kafka://b1:9093,b2:9093/answers",
    "yard stream start churn --from … --to … --dead kafka://localhost:9092/poison --group churn-eu --worker eu-1",
)
def start(
    *,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The deployment that answers.")],
    source: Annotated[
        str, typer.Option("--from", envvar="MODELYARD_STREAM_FROM", help="Topic to read: kafka://HOST:PORT/TOPIC.")
    ],
    target: Annotated[
        str, typer.Option("--to", envvar="MODELYARD_STREAM_TO", help="Topic for the answers, on the same cluster.")
    ],
    dead: Annotated[
        str | None,
        typer.Option(
            "--dead",
            envvar="MODELYARD_STREAM_DEAD",
            help="Topic for what cannot be answered; else the source's name with -dead.",
        ),
    ] = None,
    group_name: Annotated[
        str | None, typer.Option("--group", help="Workers of one group share the messages; else modelyard.MODEL.")
    ] = None,
    worker: Annotated[
        str | None, typer.Option(help="This worker's name, the same after each restart; else HOST-1, HOST-2 …")
    ] = None,
    metrics_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="Tell figures for Prometheus at this port's /metrics; 0: a free one.")
    ] = None,
    metrics_host: Annotated[str, typer.Option(help="Address at which they are told.")] = "127.0.0.1",
    project: ProjectName = None,
    home: Home = None,
) -> None:
    """Answer a topic's messages until Ctrl-C or SIGTERM.

    It follows the control plane of MODELYARD_URL with the token in MODELYARD_TOKEN, and goes on while that is away. Start it
    several times, on any machines, to share the work.
    """
    from modelyard.core import Problem

    control = os.environ.get("MODELYARD_URL")
    if not control:
        why = "a stream follows a control plane, and MODELYARD_URL names none"
        raise Problem("stream.invalid", "Which control plane?", why, "yard up, then: export MODELYARD_URL=… MODELYARD_TOKEN=…")
    told = [("--home", home), ("--project", project), ("--group", group_name), ("--worker", worker)]
    arguments = ["--control", control, "--model", model]
    if metrics_port is not None:
        told += [("--metrics-port", str(metrics_port)), ("--metrics-host", metrics_host)]
    arguments += [part for option, value in told if value for part in (option, value)]
    topics = {"MODELYARD_STREAM_FROM": source, "MODELYARD_STREAM_TO": target, "MODELYARD_STREAM_DEAD": dead or ""}
    command_line = [sys.executable, "-m", "modelyard.gateway.stream_process", *arguments]
    os.execve(sys.executable, command_line, {**os.environ, **topics})  # noqa: S606 - no shell
