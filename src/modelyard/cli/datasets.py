"""`yard dataset`."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from modelyard.cli.command import Json, Most, ProjectName, command, group
from modelyard.cli.output import say, show
from modelyard.cli.session import open_project

noun = group("Datasets and their immutable versions.")

VERSION = ["number", "rows", "size_bytes", "event_from", "event_until", "created_at", "note", "digest"]
CHECK = ["check", "severity"]
IMPORTED = {"name": "name", "check": "check", "told": "differs, or why it is left out"}
Name = Annotated[str, typer.Argument(help="The dataset's name.")]
Time = Annotated[datetime | None, typer.Option(help="By event time, in UTC.")]


@command(
    noun,
    "add",
    "yard dataset add customers s3://lake/customers/*.parquet --key customer_id --time signed_at",
    "yard dataset add flights flights.parquet --key flight_id",
)
def add(
    name: Name,
    source: Annotated[str | None, typer.Argument(help="Files to read, as the server sees them.")] = None,
    key: Annotated[list[str] | None, typer.Option(help="A column that names a row; may be repeated.")] = None,
    time: Annotated[str | None, typer.Option(help="The column of event time.")] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Declare a dataset."""
    made = open_project(project).dataset(name, source=source, key=key or (), time=time)
    show(made.record, as_json)


@command(noun, "list", "yard dataset list")
def list_datasets(project: ProjectName = None, as_json: Json = False) -> None:
    """Show the datasets."""
    found = [one.record for one in open_project(project).datasets()]
    show(found, as_json, ["name", "key", "time", "source", "created_at"])


@command(noun, "show", "yard dataset show flights", "yard dataset show flights --version 1")
def show_dataset(
    name: Name,
    version: Annotated[str, typer.Option(help="A number, or latest.")] = "latest",
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Show a dataset, with the columns of a version."""
    from modelyard.core import Problem

    dataset = open_project(project).dataset(name)
    try:
        found = dataset.version(version).record
    except Problem as problem:
        if version != "latest" or not problem.code.endswith(".missing"):
            raise
        found = None
    if as_json:
        show({"dataset": dataset.record, "version": found}, True)
        return
    show(dataset.record, False)
    if found is None:
        say(f"no version yet: yard dataset snapshot {name}, or yard dataset append {name} FILE")
        return
    show(found, False)
    show(found.schema.columns, False, ["name", "dtype"])


@command(
    noun,
    "checks",
    "yard dataset checks flights",
    "yard dataset checks flights --suggest --apply",
    "yard dataset checks flights --import suite.json",
)
def checks(
    name: Name,
    suggest: Annotated[bool, typer.Option("--suggest", help="Show checks that the rows held speak for, as code.")] = False,
    apply: Annotated[bool, typer.Option("--apply", help="Ask for the suggested checks from now on.")] = False,
    file: Annotated[
        Path | None, typer.Option("--import", help="Take over a Great Expectations suite or a pandera schema (JSON, YAML).")
    ] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Show what a dataset asks of its batches; suggest more, or take over those that were written for others."""
    from modelyard.data.quality import code_of

    dataset = open_project(project).dataset(name)
    if file is not None:
        found = dataset.import_checks(_text_of(file))
        told = [{"name": one.name, "check": code_of(one.check), "told": one.differs} for one in found.taken]
        show([*told, *({"name": one.name, "check": None, "told": one.why} for one in found.left_out)], as_json, IMPORTED)
        say(f"{len(found.taken)} taken over, {len(found.left_out)} left out")
        return
    if not suggest:
        show([{"check": code_of(one), "severity": one.severity} for one in dataset.record.checks], as_json, CHECK)
        return
    suggested = dataset.suggest_checks()
    if apply:
        dataset.add_checks([one.check for one in suggested])
    show([{"check": code_of(one.check), "reason": one.reason} for one in suggested], as_json, ["check", "reason"])
    if suggested and not apply:
        say("--apply asks for all of them; or write the chosen ones into checks=[…]")


@command(noun, "snapshot", "yard dataset snapshot flights --until 2013-04-01")
def snapshot(
    name: Name, since: Time = None, until: Time = None, note: str = "", project: ProjectName = None, as_json: Json = False
) -> None:
    """Read the source and keep what is new of it as a version."""
    made = open_project(project).dataset(name).snapshot(since=_utc(since), until=_utc(until), note=note)
    show(made.record, as_json)


@command(noun, "append", "yard dataset append flights july.parquet --note 'July, from the airport'")
def append(
    name: Name,
    file: Annotated[Path, typer.Argument(help="A .csv, .parquet, .ndjson or .arrow file on this machine.")],
    note: str = "",
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Add the rows of a file as a version."""
    from modelyard.cli.frames import read_frame
    from modelyard.data import Parent

    parent = Parent("source", file.resolve().as_uri(), file.name)
    show(open_project(project).dataset(name).append(read_frame(file), parents=[parent], note=note).record, as_json)


@command(noun, "versions", "yard dataset versions flights")
def versions(name: Name, project: ProjectName = None, as_json: Json = False) -> None:
    """Show all versions, newest first."""
    show([one.record for one in open_project(project).dataset(name).versions()], as_json, VERSION)


@command(noun, "quarantine", "yard dataset quarantine flights", "yard dataset quarantine flights --out bad.parquet")
def quarantine(
    name: Name,
    out: Annotated[Path | None, typer.Option(help="Write all of them to a file.")] = None,
    project: ProjectName = None,
    most: Most = 20,
    as_json: Json = False,
) -> None:
    """Show the rows that the checks kept out, with their reasons."""
    from modelyard.cli.frames import write_frame

    found = open_project(project).dataset(name).quarantined()
    if out is not None:
        write_frame(found, out)
        show({"file": str(out), "rows": found.height}, as_json)
        return
    if as_json:
        show(found.head(most).to_dicts(), True)
        return
    show(found.head(most).to_dicts(), False, found.columns)
    if found.height > most:
        say(f"{found.height:,} rows in all; --out FILE writes them to a file")


def _text_of(path: Path) -> str:
    from modelyard.cli.frames import file_missing
    from modelyard.core import Problem

    if not path.is_file():
        raise file_missing(path)
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Problem("file.invalid", f"{path} cannot be read", str(error), "give a text of JSON or YAML") from error


def _utc(at: datetime | None) -> datetime | None:
    from datetime import UTC

    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
