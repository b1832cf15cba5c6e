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
Name = Annotated[str, typer.Argument(help="The dataset's name.")]
Time = Annotated[datetime | None, typer.Option(help="By event time, in UTC.")]


@command(
    noun,
    "add",
    "yard dataset add customers s3://lake/customers/*.parquet --key customer_id --time signed_at",
    "yard dataset add flights flights.parquet --key flight_id",
    "yard dataset add orders 'postgresql://ann@db/shop?table=orders&watermark=changed_at' --key id",
    "yard dataset add clicks 'kafka://broker:9092/clicks' --time at --column at:Datetime[UTC] --column page:String",
)
def add(
    name: Name,
    *,
    source: Annotated[
        str | None, typer.Argument(help="What to read, as the server sees it: files, or the URL of a bucket, database, topic.")
    ] = None,
    key: Annotated[list[str] | None, typer.Option(help="A column that names a row; may be repeated.")] = None,
    time: Annotated[str | None, typer.Option(help="The column of event time.")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(help="A column to read and its type, NAME:TYPE; may be repeated. Default: all there are."),
    ] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Declare a dataset."""
    columns = dict(_column(text) for text in column or ())
    made = open_project(project).dataset(name, source=source, key=key or (), time=time, columns=columns)
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


@command(noun, "snapshot", "yard dataset snapshot flights --until 2013-04-01", "yard dataset snapshot orders --replacing")
def snapshot(
    name: Name,
    *,
    since: Time = None,
    until: Time = None,
    replacing: Annotated[bool, typer.Option(help="Rows of a known key stand in for those held.")] = False,
    note: str = "",
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Read the source and keep what is new of it as a version."""
    dataset = open_project(project).dataset(name)
    made = dataset.snapshot(since=_utc(since), until=_utc(until), replacing=replacing, note=note)
    show(made.record, as_json)
    if made.admission is not None and made.admission.waiting and not as_json:
        say(f"{made.admission.waiting:,} messages wait beyond it: snapshot again, or yard dataset follow {name}")


@command(noun, "follow", "yard dataset follow clicks", "yard dataset follow orders --every 60")
def follow(
    name: Name,
    every: Annotated[float, typer.Option(help="Seconds between looks when nothing waits.", min=0.1)] = 10.0,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Keep what comes in the source as versions, until it is ended; begun again, it goes on where it ended."""
    from time import monotonic

    began = monotonic()
    for made in open_project(project).dataset(name).follow(every):
        told, took = made.admission, monotonic() - began
        began = monotonic()
        if told is None or not told.rows:
            continue
        line = {
            "version": made.number,
            "admitted": told.admitted,
            "quarantined": told.quarantined,
            "lag": told.waiting,
            "rows_per_s": round(told.rows / took),
        }
        show(line, True) if as_json else say("  ".join(f"{key} {value:,}" for key, value in line.items()))


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


def _column(text: str) -> tuple[str, str]:
    from modelyard.core import Problem

    name, colon, dtype = text.rpartition(":")
    if not colon:
        raise Problem("dataset.invalid", f"'{text}' declares no column", "it has no type", "write it as day:Date")
    return name, dtype


def _utc(at: datetime | None) -> datetime | None:
    from datetime import UTC

    return at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
