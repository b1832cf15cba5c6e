"""Pure decisions about datasets: their names and tables, what is promised of every row, when a batch is stopped."""

from collections.abc import Sequence

from modelyard.core import Digest, Problem, check_name
from modelyard.data.quality.rows import not_null, unique
from modelyard.data.schema import dtype_of, refuse_reserved
from modelyard.data.types import Check, Column, Dataset, DatasetVersion

VERSION_PREFIX = "dsv"
LATEST = "latest"
PARENTS = ("source", "file", "ledger", "pipeline")  # kinds of what rows come from, besides versions


def check_dataset_name(name: str) -> str:
    """Return `name` when a dataset may have it. Problem `dataset.invalid` for another form, or one that looks like an id."""
    if name.startswith(f"{VERSION_PREFIX}_"):
        raise Problem(
            "dataset.invalid", f"{name!r} is no name for a dataset", "it looks like the id of a version", "choose another"
        )
    return check_name("dataset", name)


def check_columns_of(key: Sequence[str], time: str | None) -> None:
    """Return when the columns can be a dataset's key and time. Problem `dataset.invalid` for empty or repeated names."""
    if not all(key) or len(set(key)) < len(key) or time == "":
        raise Problem(
            "dataset.invalid", f"The key {list(key)} or the time {time!r} cannot be", "a name is empty or there twice"
        )


def check_declared(columns: Sequence[Column], key: Sequence[str], time: str | None) -> None:
    """Return when columns can be declared so. Problem `dataset.invalid`, `dtype.invalid`."""
    names = [column.name for column in columns]
    refuse_reserved(names)
    for column in columns:
        dtype_of(column.dtype)
    folded = {name.casefold() for name in names}
    lacking = [name for name in [*key, *([time] if time else [])] if names and name not in names]
    if len(folded) < len(names) or not all(name.strip() for name in names) or lacking:
        why = f"'{lacking[0]}' is of its key or time, and not among them" if lacking else "a name is empty or there twice"
        step = "declare each column once, with those of the key"
        raise Problem("dataset.invalid", "The columns cannot be declared so", why, step)


def rows_come(version: DatasetVersion, before: DatasetVersion | None) -> int:
    """Return how many rows came with a version, those that stand in for others among them; `before` is the one before it."""
    return version.rows if version.whole or before is None else version.rows - before.rows + version.replaced


def check_replaceable(dataset: Dataset, *, whole: bool = False) -> None:
    """Return when rows of the dataset can stand in for those held. Problem `dataset.invalid` where it has no key."""
    if whole:
        why = "a whole batch stands in for all rows"
        raise Problem("dataset.invalid", f"Rows of '{dataset.name}' cannot be replaced one by one", why, "say one of both")
    if not dataset.key:
        why = "it has no key to know them by"
        raise Problem("dataset.invalid", f"Rows of '{dataset.name}' cannot be replaced", why, "take them in without replacing")


def check_stop_share(share: float) -> None:
    """Return when `share` is one. Problem `dataset.invalid` else."""
    if not 0 <= share <= 1:
        raise Problem("dataset.invalid", f"The stop share {share} is none", "it is a share of a batch's rows, from 0 to 1")


def table_of(name: str) -> str:
    """Return the lake table that a dataset's rows are in."""
    return f"datasets/{name}"


def quarantine_of(name: str) -> str:
    """Return the lake table that a dataset's quarantined rows are in."""
    return f"quarantine/{name}"


def commit_of(number: int, digest: Digest) -> str:
    """Return what a version's batch is called in the lake's table.

    A retry upon the same version has it again, and no other version ever: one that is dropped takes away nothing but its own,
    and one whose number is taken can never be recorded any more.

    >>> commit_of(3, Digest("sha256:9f2a"))
    '3-sha256:9f2a'
    """
    return f"{number}-{digest}"


def number_of(commit: str) -> int | None:
    """Return the number of the version that a batch was written for; None: it was written before they were told.

    >>> number_of("3-sha256:9f2a"), number_of("sha256:9f2a")
    (3, None)
    """
    number = commit.partition("-")[0]
    return int(number) if number.isascii() and number.isdigit() else None


def batch_of(version: DatasetVersion) -> str:
    """Return what the version's own batch is called in the lake's table."""
    return version.commit or version.digest


def check_there(version: DatasetVersion) -> None:
    """Return when the version's rows are there. Problem `dataset_version.dropped` else."""
    if version.dropped_at is not None:
        raise gone(version, f"it was dropped on {version.dropped_at:%Y-%m-%d}; its record stays")


def gone(version: DatasetVersion, why: str) -> Problem:
    """Return the problem of a version whose rows are not there any more."""
    step = f"yard dataset versions {version.name}"
    return Problem("dataset_version.dropped", f"The rows of {version.ref} are gone", why, step)


def promises(dataset: Dataset) -> tuple[Check, ...]:
    """Return every check of the dataset's rows: key and time are there, the key is unique, and what its owner asked for.

    That no key is there already (`new`) is judged against the table, and so not among these.
    """
    named = tuple(dict.fromkeys([*dataset.key, *([dataset.time] if dataset.time else [])]))
    own = [not_null(*named)] if named else []
    own += [unique(*dataset.key)] if dataset.key else []
    return (*own, *(check for check in dataset.checks if check not in own))


def is_stopped(rows: int, bad: int, stop_share: float) -> bool:
    """Return whether a batch with `bad` bad rows among `rows` is stopped as a whole.

    >>> is_stopped(100, 5, 0.05), is_stopped(100, 6, 0.05), is_stopped(0, 0, 0.0)
    (False, True, False)
    """
    return bad > stop_share * rows


def parse_ref(ref: str, noun: str = "dataset_version") -> tuple[str, int | None]:
    """Return name and number that `flights@3`, `flights@latest` or `flights` say; None: the latest.

    Raises
    ------
    Problem
        `NOUN.invalid` for what is none of these.

    >>> parse_ref("flights@3"), parse_ref("flights@latest"), parse_ref("flights")
    (('flights', 3), ('flights', None), ('flights', None))
    """
    name, at, number = ref.partition("@")
    if not at or number == LATEST:
        return name, None
    if not number.isascii() or not number.isdigit() or int(number) < 1:
        why = "after the @ comes a number from 1, or `latest`"
        what = f"{ref[:200]!r} names no {noun.replace('_', ' ')}"
        raise Problem(f"{noun}.invalid", what, why, "write it as flights@3")
    return name, int(number)
