"""`yard dataset`."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelyard.cli.command import Json, Most, ProjectName, command, group
from modelyard.cli.output import say, show
from modelyard.cli.session import open_project

if TYPE_CHECKING:
    from modelyard.data import Vacuum
    from modelyard.data.diff import VersionDiff
    from modelyard.data.shift import ColumnShift

noun = group("Datasets and their immutable versions.")

VERSION = ["number", "rows", "size_bytes", "event_from", "event_until", "created_at", "note", "digest"]
FATE = ["number", "rows", "created_at", "fate", "needs"]
CHECK = ["check", "severity"]
IMPORTED = {"name": "name", "check": "check", "told": "differs, or why it is left out"}
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


@command(noun, "snapshot", "yard dataset snapshot flights --until 2013-04-01", "yard dataset snapshot planes --replacing")
def snapshot(
    name: Name,
    *,
    since: Time = None,
    until: Time = None,
    replacing: Annotated[
        bool | None, typer.Option(help="Rows of a known key stand in for those held. Default: of a source that is read on.")
    ] = None,
    note: str = "",
    time: Annotated[str | None, typer.Option(help="End it after so long, as in 30m. Default: a day.")] = None,
    disk: Annotated[str | None, typer.Option(help="End it when so much lies on the disk for it, as in 20GiB.")] = None,
    memory: Annotated[str | None, typer.Option(help="End it when it holds so much, as in 8GiB.")] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Read the source and keep what is new of it as a version."""
    dataset = open_project(project).dataset(name)
    resources = {"time": time, "disk": disk, "memory": memory}
    made = dataset.snapshot(since=_utc(since), until=_utc(until), replacing=replacing, note=note, resources=resources)
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


@command(
    noun,
    "append",
    "yard dataset append flights july.parquet --note 'July, from the airport'",
    "yard dataset append airports airports.csv --whole",
)
def append(
    name: Name,
    file: Annotated[Path, typer.Argument(help="A .csv, .parquet, .ndjson or .arrow file on this machine.")],
    note: str = "",
    whole: Annotated[
        bool, typer.Option("--whole", help="The file is all that the version holds, such as a full dump.")
    ] = False,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Add the rows of a file as a version."""
    from modelyard.cli.frames import read_frame
    from modelyard.data import Parent

    parent = Parent("source", file.resolve().as_uri(), file.name)
    made = open_project(project).dataset(name).append(read_frame(file), parents=[parent], note=note, whole=whole)
    show(made.record, as_json)


@command(noun, "versions", "yard dataset versions flights")
def versions(name: Name, project: ProjectName = None, as_json: Json = False) -> None:
    """Show all versions, newest first."""
    show([one.record for one in open_project(project).dataset(name).versions()], as_json, VERSION)


@command(
    noun,
    "vacuum",
    "yard dataset vacuum flights --keep 5 --older-than 90d --dry-run",
    "yard dataset vacuum airports --keep 1 --older-than 0d --yes",
)
def vacuum(
    name: Name,
    *,
    keep: Annotated[int, typer.Option(help="So many of the newest versions stay.")] = 5,
    older_than: Annotated[str, typer.Option(metavar="SPAN", help="Younger versions stay; 0d: of any age.")] = "90d",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Drop versions for good that no model at work, and nothing under way, needs; free their bytes."""
    dataset = open_project(project).dataset(name)
    if dry_run or not yes:
        would = dataset.vacuum(keep=keep, older_than=older_than, dry_run=True)
        _show_vacuum(would, as_json and dry_run)
        if dry_run or not _anything(would):
            return
        typer.confirm("Drop them for good?", abort=True, err=True)
    _show_vacuum(dataset.vacuum(keep=keep, older_than=older_than), as_json)


@command(noun, "diff", "yard dataset diff flights 1 2", "yard dataset diff flights 3 --examples 10 --json")
def diff(
    name: Name,
    before: Annotated[str, typer.Argument(help="A version's number.")],
    after: Annotated[str, typer.Argument(help="Another one's number, or latest.")] = "latest",
    examples: Annotated[int, typer.Option(min=0, help="How many rows of each kind to show.")] = 3,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Show what differs between two versions: columns, rows, values."""
    found = open_project(project).dataset(name).diff(before, after, examples=examples)
    if as_json:
        show(found, True)
        return
    _show_rows(found)
    columns = [{"column": one.name, "is": f"added, {one.dtype}"} for one in found.schema.added]
    columns += [{"column": one.name, "is": f"removed, {one.dtype}"} for one in found.schema.removed]
    columns += [{"column": one.name, "is": f"{one.before}, now {one.after}"} for one in found.schema.retyped]
    if columns:
        show(columns, False, ["column", "is"])
    moved = [
        one for one in found.columns if one.distance or one.nulls_before != one.nulls_after or one.name in found.rows.cells
    ]
    if moved:
        moved.sort(key=lambda one: -(one.distance or 0.0))
        show([_told_shift(one, found) for one in moved], False, ["column", "distance", "cells", "null", "mean", "moved_most"])


@command(
    noun,
    "report",
    "yard dataset report flights@3 --html flights.html",
    "yard dataset report flights --html drift.html --against 2",
)
def report(
    ref: Annotated[str, typer.Argument(metavar="NAME[@NUMBER]", help="The version; without a number the latest.")],
    *,
    html: Annotated[Path, typer.Option(help="The file to write.")],
    against: Annotated[str | None, typer.Option(help="Another version's number, which it is held against.")] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Write a version as one HTML file: its columns drawn, its checks and its lineage; or two of them, with what moved."""
    from datetime import UTC

    from modelyard.console.profile_report import Compared, ProfileReport, render_profile_report
    from modelyard.core.files import whole_file
    from modelyard.data.rules import parse_ref

    name, number = parse_ref(ref)
    opened = open_project(project)
    dataset = opened.dataset(name)
    version = dataset.version(number or "latest")
    compared: Compared | None = None
    if against is not None:
        before = dataset.version(against.removeprefix(f"{name}@"))
        compared = Compared(dataset.diff(before.number, version.number, examples=0), before.profile())
    told = ProfileReport(
        dataset=dataset.record,
        version=version.record,
        profile=version.profile(),
        graph=opened.lineage(f"dataset:{version.record.id}", hops=2),
        made_at=datetime.now(UTC),
        against=compared,
    )
    with whole_file(html) as write:
        write(render_profile_report(told).encode())
    show({"file": str(html), "version": version.ref, "columns": len(version.record.schema.columns)}, as_json)


@command(
    noun,
    "export",
    "yard dataset export flights@3 --croissant flights/ --license CC-BY-4.0 --creator 'Ann Lee'",
    "yard dataset export flights --croissant parts/ --split time --test-share 0.3",
)
def export(
    ref: Annotated[str, typer.Argument(metavar="NAME[@NUMBER]", help="The version; without a number the latest.")],
    *,
    croissant: Annotated[Path, typer.Option(help="An empty or new folder, for Parquet files and croissant.json.")],
    description: Annotated[str, typer.Option(help="What the rows are.")] = "",
    licence: Annotated[str, typer.Option("--license", help="A URL or an SPDX name.")] = "",
    cite_as: Annotated[str, typer.Option(help="How it is to be cited.")] = "",
    creator: Annotated[list[str] | None, typer.Option(help="Who made it; may be repeated.")] = None,
    url: Annotated[str, typer.Option(help="Its home page.")] = "",
    split: Annotated[str | None, typer.Option(help="A file of each part: time, hash, random, group:COLUMN, …")] = None,
    test_share: Annotated[float, typer.Option(help="With --split: how much to test on.")] = 0.2,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Write a version for others: its rows as Parquet, and what they mean as Croissant (MLCommons' JSON-LD)."""
    from modelyard.cli.trainer_file import read_split
    from modelyard.data.croissant import About
    from modelyard.data.rules import parse_ref

    name, number = parse_ref(ref)
    version = open_project(project).dataset(name).version(number or "latest")
    about = About(description, licence, cite_as, tuple(creator or ()), url)
    wanted = None if split is None else read_split(split, test_share, 0)
    written = version.export_croissant(croissant, about, split=wanted)
    show({"file": str(written), "version": version.ref, "rows": version.rows}, as_json)


@command(noun, "sample", "yard dataset sample flights --rows 1000 --out sample.parquet", "yard dataset sample flights --rows 5")
def sample(
    name: Name,
    *,
    rows: Annotated[int, typer.Option(min=1, help="How many to draw.")] = 20,
    version: Annotated[str, typer.Option(help="A number, or latest.")] = "latest",
    seed: Annotated[int, typer.Option(help="Another one draws other rows.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write them to a file.")] = None,
    project: ProjectName = None,
    as_json: Json = False,
) -> None:
    """Draw rows of a version uniformly, the same ones each time."""
    from modelyard.cli.frames import write_frame

    found = open_project(project).dataset(name).version(version).sample(rows, seed)
    if out is not None:
        write_frame(found, out)
        show({"file": str(out), "rows": found.height}, as_json)
    elif as_json:
        show(found.to_dicts(), True)
    else:
        show(found.to_dicts(), False, {column: column for column in found.columns})


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
    show(found.head(most).to_dicts(), False, {column: column for column in found.columns})
    if found.height > most:
        say(f"{found.height:,} rows in all; --out FILE writes them to a file")


def _anything(found: "Vacuum") -> bool:
    return bool(found.files or found.batches) or any(one.fate.value == "dropped" for one in found.versions)


def _show_vacuum(found: "Vacuum", as_json: bool) -> None:
    if as_json:
        show(found, True)
        return
    show(found.versions, False, FATE)
    dropped = sum(one.fate.value == "dropped" for one in found.versions)
    verb = "would go" if found.dry_run else "went"
    size = f"{found.size_bytes:,} bytes in {found.files:,} files"
    say(f"{dropped:,} versions and the rows of {found.batches:,} stopped batches {verb}: {size}")


def _column(text: str) -> tuple[str, str]:
    from modelyard.core import Problem

    name, colon, dtype = text.rpartition(":")
    if not colon:
        raise Problem("dataset.invalid", f"'{text}' declares no column", "it has no type", "write it as day:Date")
    return name, dtype


def _show_rows(found: "VersionDiff") -> None:
    rows, by = found.rows, f"by {', '.join(found.key)}" if found.key else "as they are"
    heads = {"version": f"v{found.before} → v{found.after}", "rows": f"{found.rows_before:,} → {found.rows_after:,}"}
    show({**heads, "added": rows.added, "removed": rows.removed, "changed": rows.changed, "compared": by}, False)
    for kind, examples in (("added", rows.added_examples), ("removed", rows.removed_examples)):
        if examples:
            told = [{**one.row, **({} if one.times == 1 else {"times": one.times})} for one in examples]
            say(f"{kind}, for example")
            show(told, False, {name: name for row in told for name in row})
    if rows.changed_examples:
        told = [
            {**one.key, "column": name, "before": one.before[name], "after": one.after[name]}
            for one in rows.changed_examples
            for name in one.after
        ]
        say("changed, for example")
        show(told, False, {name: name for name in told[0]})


def _told_shift(one: "ColumnShift", found: "VersionDiff") -> dict[str, object]:
    mean = "" if one.mean_before is None or one.mean_after is None else f"{one.mean_before:.6g} → {one.mean_after:.6g}"
    return {
        "column": one.name,
        "distance": one.distance,
        "cells": found.rows.cells.get(one.name, 0),
        "null": f"{one.nulls_before:.1%} → {one.nulls_after:.1%}",
        "mean": mean,
        "moved_most": ", ".join(f"{kind.name} {kind.before:.1%} → {kind.after:.1%}" for kind in one.categories[:3]),
    }


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
