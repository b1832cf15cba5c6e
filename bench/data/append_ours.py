"""Batches appended by Modelyard, as its API does it: `python -m bench.data.append_ours HOME FILE COMMITS`."""

import sys
from pathlib import Path

import polars as pl

from bench.data.arrays import keep_array
from bench.data.side import take_turns
from modelyard.core import ProjectId
from modelyard.data import reading
from modelyard.data.service import append, create_dataset
from modelyard.tenancy import Actor
from modelyard.tenancy.service import create_project, find_projects, local_owner
from modelyard.wiring import Platform, open_platform, read_settings


def main() -> None:
    """Append the same rows so many times, as often as asked; keep the count of all rows and the sums of two columns."""
    home, file, commits = sys.argv[1:]
    platform = open_platform(read_settings(home=Path(home)))
    owner = local_owner(platform)
    project = place(platform, owner)
    batch = pl.read_parquet(file)

    def appended() -> None:
        for _ in range(int(commits)):
            append(platform, owner, project, "events", batch)

    def keep(_: None, path: str) -> None:
        rows = reading.read(platform, project, reading.find_version(platform, project, "events"))
        keep_array(rows.select(pl.len(), pl.col("id").sum(), pl.col("x0").sum().alias("x")).collect().to_numpy(), path)

    take_turns(appended, keep)


def place(platform: Platform, owner: Actor) -> ProjectId:
    """Return the project of the dataset; the first writer makes both."""
    for project in find_projects(platform, owner):
        return project.id
    made = create_project(platform, owner, "bench").id
    create_dataset(platform, owner, made, "events", time="at")
    return made


if __name__ == "__main__":
    main()
