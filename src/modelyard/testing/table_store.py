"""What every lake must do. Subclass `TableStoreContract`, give its fixture `opener`, and run it with pytest."""

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any

import polars as pl
import pytest

from modelyard.core import Problem, ProjectId
from modelyard.data import Stretch, TableStore, Vacuumed
from modelyard.data.lake_files import LakeFile

Opener = Callable[[], TableStore]

FLIGHTS = ProjectId("project_flights")
CHURN = ProjectId("project_churn")
TABLE = "datasets/flights"
DAY = timedelta(days=1)
HOSTILE_TABLES = [
    "",
    "/",
    ".",
    "..",
    "../x",
    "a/../../x",
    "a//b",
    "/etc",
    "a/",
    "a\0b",
    "a\nb",
    "_delta_log",
    "a/_delta_log",
    "x" * 500,
]
HOSTILE_PROJECTS = ["", ".", "..", "../project_churn", "a/b", "a\0b", "project_flights\n", "x" * 500]
HOSTILE_COMMITS = ["", "\0", "a\nb", "x" * 201]
ODD_COMMITS = ["a/b", "../x", "a b", "a%2Fb", "a:b=c", "ä{}*?[x]", "'; drop table--", "x" * 200]


def rows(start: int, stop: int) -> pl.DataFrame:
    """Return rows whose column `id` counts from `start` to below `stop`."""
    ids = pl.int_range(start, stop, dtype=pl.Int64, eager=True).alias("id")
    return pl.DataFrame([ids, (ids * 0.5).alias("half"), ids.cast(pl.String).alias("name")])


class TableStoreContract:
    """The verbs, their promises, and what must not happen. Each test gets an empty lake."""

    @pytest.fixture
    def opener(self) -> Opener:
        """Return what opens the lake under test; each call a new one on the same place. It must survive pickling."""
        raise NotImplementedError

    @pytest.fixture
    def lake(self, opener: Opener) -> TableStore:
        return opener()

    def test_what_was_appended_is_read_in_the_order_of_the_commits(self, lake: TableStore) -> None:
        for start in range(0, 120, 10):
            lake.append(FLIGHTS, TABLE, rows(start, start + 10), commit=f"batch {start}")
        assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 120))

    def test_a_large_frame_keeps_its_order(self, lake: TableStore) -> None:
        lake.append(FLIGHTS, TABLE, rows(0, 300_000), commit="a")
        assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 300_000))

    def test_each_append_is_a_version_and_older_ones_stay(self, lake: TableStore) -> None:
        assert lake.version(FLIGHTS, TABLE) is None
        versions = [lake.append(FLIGHTS, TABLE, rows(n, n + 1), commit=f"c{n}") for n in range(25)]
        assert versions == sorted(set(versions))
        assert lake.version(FLIGHTS, TABLE) == versions[-1]
        for count in (1, 10, 11, 24):
            assert lake.scan(FLIGHTS, TABLE, version=versions[count - 1]).collect().equals(rows(0, count))

    def test_files_are_adopted_in_one_commit_and_in_their_order(self, lake: TableStore) -> None:
        lake.append(FLIGHTS, TABLE, rows(0, 5), commit="a")
        folder = lake.folder(FLIGHTS, TABLE, "job_1")
        wide = [rows(start, start + 10).with_columns(gate=pl.lit("B7")) for start in (5, 15)]
        files = []
        for part, name in zip(wide, ("part-0.parquet", "part-1.parquet"), strict=True):
            content = BytesIO()
            part.write_parquet(content)
            part.write_parquet(f"{folder.path}/{name}", storage_options=dict(folder.options))
            files.append(LakeFile(name, part.height, content.tell()))
        assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 5))
        versions = [lake.adopt(FLIGHTS, TABLE, "job_1", files, wide[0].schema, commit="b") for _ in range(2)]
        assert versions == [lake.version(FLIGHTS, TABLE)] * 2
        lake.append(FLIGHTS, TABLE, rows(25, 26), commit="c")
        lake.discard(FLIGHTS, TABLE, "job_1")
        assert lake.scan(FLIGHTS, TABLE).select("id", "half", "name").collect().equals(rows(0, 26))
        assert lake.scan(FLIGHTS, TABLE, commits=["b"]).collect().equals(pl.concat(wide))

    def test_what_is_not_adopted_can_be_discarded(self, lake: TableStore) -> None:
        folder = lake.folder(FLIGHTS, TABLE, "job_2")
        rows(0, 3).write_parquet(f"{folder.path}/part-0.parquet", storage_options=dict(folder.options))
        lake.discard(FLIGHTS, TABLE, "job_2")
        lake.discard(FLIGHTS, TABLE, "job_2")
        assert lake.version(FLIGHTS, TABLE) is None

    def test_files_of_another_type_are_not_adopted(self, lake: TableStore) -> None:
        lake.append(FLIGHTS, TABLE, rows(0, 5), commit="a")
        other = pl.Schema({"id": pl.String()})
        with pytest.raises(Problem, match="'id'") as told:
            lake.adopt(FLIGHTS, TABLE, "job_3", [LakeFile("part-0.parquet", 1, 1)], other, commit="b")
        assert told.value.code == "column.invalid"
        with pytest.raises(Problem) as told:
            lake.folder(FLIGHTS, TABLE, "../x")
        assert told.value.code == "table.invalid"

    def test_the_files_of_commits_hold_their_rows(self, lake: TableStore) -> None:
        for start in (0, 10, 20):
            version = lake.append(FLIGHTS, TABLE, rows(start, start + 10), commit=f"batch {start}")
        found = lake.files(FLIGHTS, TABLE, version=version, commits=["batch 20", "batch 0"])
        assert [one.rows for one in found.files] == [10, 10]
        assert found.schema == rows(0, 1).schema
        read = [pl.read_parquet(one.path, storage_options=dict(found.options), hive_partitioning=False) for one in found.files]
        assert pl.concat(read).equals(pl.concat([rows(20, 30), rows(0, 10)]))
        assert all(one.size_bytes > 0 for one in found.files)

    def test_a_stretch_of_time_loses_no_row_of_a_files_last_microsecond(self, lake: TableStore) -> None:
        last = datetime(2013, 1, 1, 23, 59, 59, 999_999, tzinfo=UTC)
        lake.append(FLIGHTS, TABLE, pl.DataFrame({"at": [last, None]}), commit="a")
        for since in (last, last.replace(microsecond=999_500)):
            assert lake.scan(FLIGHTS, TABLE, within=Stretch("at", since, None)).collect().height == 2

    @pytest.mark.parametrize("ticks", [2**63 - 1, -(2**63), 8 * 10**18])
    def test_moments_that_no_calendar_has_are_kept(self, lake: TableStore, ticks: int) -> None:
        frame = pl.DataFrame({"at": pl.Series([ticks, None, 0], dtype=pl.Int64).cast(pl.Datetime("us"))})
        lake.append(FLIGHTS, TABLE, frame, commit="a")
        assert lake.scan(FLIGHTS, TABLE).collect().equals(frame)
        days = pl.DataFrame({"day": pl.Series([2**31 - 1, -(2**31)], dtype=pl.Int32).cast(pl.Date)})
        lake.append(FLIGHTS, "datasets/days", days, commit="a")
        assert lake.scan(FLIGHTS, "datasets/days").collect().equals(days)

    def test_files_that_tell_nothing_of_a_time_are_read(self, lake: TableStore) -> None:
        far = datetime(2013, 1, 1, tzinfo=UTC)
        lake.append(FLIGHTS, TABLE, pl.DataFrame({"at": pl.Series([None], dtype=pl.Datetime("us", "UTC"))}), commit="a")
        assert lake.scan(FLIGHTS, TABLE, within=Stretch("at", far, None)).collect().height == 1
        lake.append(FLIGHTS, TABLE, pl.DataFrame({"at": [far]}), commit="b")
        assert lake.scan(FLIGHTS, TABLE, within=Stretch("at", far, None)).collect().height == 2

    def test_a_stretch_of_time_loses_no_row_that_lies_in_it(self, lake: TableStore) -> None:
        for day in range(1, 6):
            at = [datetime(2013, 1, day, hour, tzinfo=UTC) for hour in range(24)]
            lake.append(FLIGHTS, TABLE, pl.DataFrame({"at": [*at, None]}), commit=f"day {day}")
        since, until = datetime(2013, 1, 2, 12, tzinfo=UTC), datetime(2013, 1, 4, tzinfo=UTC)
        inside = pl.col("at").is_between(since, until, closed="left")
        whole = lake.scan(FLIGHTS, TABLE).filter(inside).collect()
        assert whole.height == 36
        assert lake.scan(FLIGHTS, TABLE, within=Stretch("at", since, until)).filter(inside).collect().equals(whole)
        unknown = lake.scan(FLIGHTS, TABLE, within=Stretch("no such column", since, until))
        assert unknown.collect().height == 125

    def test_a_commit_that_is_there_is_not_written_twice(self, lake: TableStore, opener: Opener) -> None:
        first = lake.append(FLIGHTS, TABLE, rows(0, 3), commit="a")
        assert lake.append(FLIGHTS, TABLE, rows(0, 3), commit="a") == first
        second = lake.append(FLIGHTS, TABLE, rows(3, 5), commit="b")
        assert opener().append(FLIGHTS, TABLE, rows(0, 3), commit="a") == second
        assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 5))

    def test_chosen_commits_come_in_the_order_asked_for(self, lake: TableStore) -> None:
        for name, start in (("a", 0), ("b", 10), ("c", 20)):
            lake.append(FLIGHTS, TABLE, rows(start, start + 10), commit=name)
        found = lake.scan(FLIGHTS, TABLE, commits=["c", "a"]).collect()
        assert found.equals(pl.concat([rows(20, 30), rows(0, 10)]))
        assert lake.scan(FLIGHTS, TABLE, commits=[]).collect().equals(rows(0, 0))
        with pytest.raises(Problem) as told:
            lake.scan(FLIGHTS, TABLE, commits=["a", "z"])
        assert told.value.code == "commit.missing"
        with pytest.raises(Problem) as later:
            lake.scan(FLIGHTS, TABLE, version=0, commits=["c"])
        assert later.value.code == "commit.missing"

    @pytest.mark.parametrize("commit", ODD_COMMITS)
    def test_a_commit_id_may_be_any_printable_text(self, lake: TableStore, commit: str) -> None:
        lake.append(FLIGHTS, TABLE, rows(0, 2), commit=commit)
        lake.append(FLIGHTS, TABLE, rows(2, 4), commit="other")
        lake.append(FLIGHTS, TABLE, rows(0, 2), commit=commit)
        assert lake.scan(FLIGHTS, TABLE, commits=[commit]).collect().equals(rows(0, 2))
        assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 4))

    @pytest.mark.parametrize("commit", HOSTILE_COMMITS)
    def test_a_hostile_commit_id_is_refused(self, lake: TableStore, commit: str) -> None:
        with pytest.raises(Problem) as told:
            lake.append(FLIGHTS, TABLE, rows(0, 1), commit=commit)
        assert told.value.code == "commit.invalid"

    def test_an_empty_frame_makes_a_table_and_is_a_commit(self, lake: TableStore) -> None:
        lake.append(FLIGHTS, TABLE, rows(0, 0), commit="a")
        assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 0))
        lake.append(FLIGHTS, TABLE, rows(0, 2), commit="b")
        assert lake.scan(FLIGHTS, TABLE, commits=["a"]).collect().equals(rows(0, 0))
        assert lake.scan(FLIGHTS, TABLE, commits=["a", "b"]).collect().equals(rows(0, 2))

    def test_new_columns_widen_the_table_and_lacking_ones_are_null(self, lake: TableStore) -> None:
        lake.append(FLIGHTS, TABLE, rows(0, 2), commit="a")
        lake.append(FLIGHTS, TABLE, pl.DataFrame({"delay": [7], "id": [2]}), commit="b")
        found = lake.scan(FLIGHTS, TABLE).collect()
        assert found.to_dict(as_series=False) == {
            "id": [0, 1, 2],
            "half": [0.0, 0.5, None],
            "name": ["0", "1", None],
            "delay": [None, None, 7],
        }

    def test_values_come_back_as_they_were(self, lake: TableStore) -> None:
        frame = pl.DataFrame(
            {
                "whole": [1, None],
                "small": pl.Series([1, None], dtype=pl.Int8),
                "share": [float("nan"), float("-inf")],
                "single": pl.Series([0.1, None], dtype=pl.Float32),
                "text": ["", "ä\0\n'\""],
                "on": [True, None],
                "day": [date(1969, 12, 31), None],
                "at": [datetime(2013, 1, 1, 0, 0, 0, 1), None],
                "utc": [datetime(2013, 1, 1, tzinfo=UTC), None],
                "bytes": [b"\0\xff", None],
                "list": [[1, None], None],
                "struct": [{"a": 1, "b": ["x"]}, {"a": None, "b": []}],
                "odd name (x), =;": [1, 2],
                "nothing": pl.Series([None, None], dtype=pl.String),
            }
        )
        lake.append(FLIGHTS, TABLE, frame, commit="a")
        assert lake.scan(FLIGHTS, TABLE).collect().equals(frame, null_equal=True)

    def test_types_that_a_table_has_not_become_those_it_has(self, lake: TableStore) -> None:
        frame = pl.DataFrame({"c": pl.Series(["x"], dtype=pl.Categorical), "u": pl.Series([7], dtype=pl.UInt32), "n": [None]})
        lake.append(FLIGHTS, TABLE, frame, commit="a")
        assert lake.scan(FLIGHTS, TABLE).collect_schema() == {"c": pl.String(), "u": pl.Int64(), "n": pl.String()}
        lake.append(FLIGHTS, TABLE, frame.with_columns(u=pl.lit(8.0)), commit="b")
        assert lake.scan(FLIGHTS, TABLE).collect()["u"].to_list() == [7, 8]

    @pytest.mark.parametrize("value", ["x", 1.5, datetime(2013, 1, 1), 2**70])
    def test_a_value_that_does_not_fit_is_refused_and_nothing_is_written(self, lake: TableStore, value: Any) -> None:
        lake.append(FLIGHTS, TABLE, rows(0, 2), commit="a")
        with pytest.raises(Problem, match="id") as told:
            lake.append(FLIGHTS, TABLE, pl.DataFrame({"id": [value]}), commit="b")
        assert told.value.code == "column.invalid"
        assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 2))

    @pytest.mark.parametrize("commit", [*ODD_COMMITS, "a"])
    def test_a_dropped_commit_is_missing_and_all_others_stay(self, lake: TableStore, commit: str) -> None:
        lake.append(FLIGHTS, TABLE, rows(0, 2), commit="first")
        held = lake.append(FLIGHTS, TABLE, rows(2, 400), commit=commit)
        lake.append(FLIGHTS, TABLE, rows(400, 402), commit="last")
        sizes = lake.commits(FLIGHTS, TABLE)
        assert set(sizes) == {"first", commit, "last"}
        assert sizes[commit] > sizes["first"] > 0
        would = lake.vacuum(FLIGHTS, TABLE, [commit, "none"], left_for=DAY, dry_run=True)
        assert lake.scan(FLIGHTS, TABLE).collect().height == 402
        assert lake.vacuum(FLIGHTS, TABLE, [commit, "none"], left_for=DAY) == would == Vacuumed(1, sizes[commit])
        assert lake.commits(FLIGHTS, TABLE) == {"first": sizes["first"], "last": sizes["last"]}
        assert lake.scan(FLIGHTS, TABLE).collect()["id"].to_list() == [0, 1, 400, 401]
        assert lake.scan(FLIGHTS, TABLE, version=held, commits=["first"]).collect().equals(rows(0, 2))
        with pytest.raises(Problem) as told:
            lake.scan(FLIGHTS, TABLE, commits=["first", commit])
        assert told.value.code == "commit.missing"

    def test_a_vacuum_may_be_repeated_and_drops_nothing_that_was_not_named(self, lake: TableStore) -> None:
        assert lake.commits(FLIGHTS, TABLE) == {}
        assert lake.vacuum(FLIGHTS, TABLE, ["a"], left_for=DAY) == Vacuumed()
        lake.append(FLIGHTS, TABLE, rows(0, 2), commit="a")
        assert lake.vacuum(FLIGHTS, TABLE, [], left_for=DAY) == Vacuumed()
        before = lake.version(FLIGHTS, TABLE)
        assert lake.vacuum(FLIGHTS, TABLE, ["b"], left_for=DAY) == Vacuumed()
        assert lake.version(FLIGHTS, TABLE) == before
        lake.vacuum(FLIGHTS, TABLE, ["a"], left_for=DAY)
        assert lake.vacuum(FLIGHTS, TABLE, ["a"], left_for=DAY) == Vacuumed()
        assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 0))

    def test_a_dropped_commit_that_comes_again_is_written_again(self, lake: TableStore) -> None:
        for _ in range(3):
            for _ in range(2):
                lake.append(FLIGHTS, TABLE, rows(0, 3), commit="a")
            lake.append(FLIGHTS, TABLE, rows(3, 5), commit="b")
            assert lake.scan(FLIGHTS, TABLE, commits=["a", "b"]).collect().equals(rows(0, 5))
            lake.vacuum(FLIGHTS, TABLE, ["a"], left_for=DAY)
            assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(3, 5))

    def test_many_commits_are_dropped_at_once(self, lake: TableStore) -> None:
        names = [f"c{n}" for n in range(30)]
        for n, name in enumerate(names):
            lake.append(FLIGHTS, TABLE, rows(n, n + 1), commit=name)
        assert lake.vacuum(FLIGHTS, TABLE, names[:25], left_for=DAY).files == 25
        assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(25, 30))

    def test_who_reads_a_commit_while_it_is_dropped_gets_no_other_rows(self, lake: TableStore) -> None:
        lake.append(FLIGHTS, TABLE, rows(0, 3), commit="a")
        lake.append(FLIGHTS, TABLE, rows(3, 5), commit="b")
        dropped, kept = lake.scan(FLIGHTS, TABLE, commits=["a"]), lake.scan(FLIGHTS, TABLE, commits=["b"])
        lake.vacuum(FLIGHTS, TABLE, ["a"], left_for=DAY)
        with pytest.raises((OSError, pl.exceptions.PolarsError)):
            dropped.collect()
        assert kept.collect().equals(rows(3, 5))

    def test_vacuums_race_with_each_other_and_with_writers(self, opener: Opener) -> None:
        for n in range(12):
            opener().append(FLIGHTS, TABLE, rows(n, n + 1), commit=f"old {n}")
        with ThreadPoolExecutor(4) as threads:
            done: list[Future[Any]] = [threads.submit(append_many, opener, n) for n in (1, 2)]
            for share in (range(8), range(4, 12)):
                names = [f"old {n}" for n in share]
                done.append(threads.submit(opener().vacuum, FLIGHTS, TABLE, names, left_for=DAY))
            for one in done:
                one.result()
        found = opener().scan(FLIGHTS, TABLE).select("id").sort("id").collect()["id"].to_list()
        assert found == [n * 100 + i for n in (1, 2) for i in range(6)]

    def test_a_guarded_lake_writes_a_table_under_its_guard_alone(self, lake: TableStore) -> None:
        held: list[str] = []
        asked: list[str] = []

        @contextmanager
        def guard(table: str) -> Iterator[Callable[[], None]]:
            held.append(table)
            yield lambda: asked.append(table)
            held.remove(table)

        guarded = lake.guarded(guard)
        guarded.append(FLIGHTS, TABLE, rows(0, 2), commit="a")
        guarded.append(FLIGHTS, TABLE, rows(2, 4), commit="b")
        guarded.append(FLIGHTS, "labels/x", rows(0, 1), commit="a")
        guarded.vacuum(FLIGHTS, TABLE, ["a"], left_for=DAY)
        assert guarded.scan(FLIGHTS, TABLE).collect().equals(rows(2, 4))
        assert held == []
        assert len(set(asked)) == 2
        assert len(asked) >= 7

        def lost() -> None:
            raise Problem("lock.conflict", "lost")

        with pytest.raises(Problem, match="lost"):
            lake.guarded(lambda _: nullcontext(lost)).append(FLIGHTS, TABLE, rows(4, 6), commit="c")
        with pytest.raises(Problem, match="lost"):
            lake.guarded(lambda _: nullcontext(lost)).vacuum(FLIGHTS, TABLE, ["b"], left_for=DAY)
        assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(2, 4))

    def test_an_unknown_table_or_version_is_missing(self, lake: TableStore) -> None:
        lake.append(FLIGHTS, TABLE, rows(0, 1), commit="a")
        for table, version in (("datasets/fligths", None), ("datasets", None), (TABLE, 99), (TABLE, -1)):
            with pytest.raises(Problem) as told:
                lake.scan(FLIGHTS, table, version=version)
            assert told.value.code == "table.missing"

    def test_projects_do_not_see_each_other(self, lake: TableStore) -> None:
        lake.append(FLIGHTS, TABLE, rows(0, 3), commit="a")
        assert lake.version(CHURN, TABLE) is None
        with pytest.raises(Problem) as told:
            lake.scan(CHURN, TABLE)
        assert told.value.code == "table.missing"
        lake.append(CHURN, TABLE, rows(5, 6), commit="a")
        assert lake.scan(CHURN, TABLE).collect().equals(rows(5, 6))
        assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 3))

    @pytest.mark.parametrize("table", HOSTILE_TABLES)
    def test_a_hostile_table_name_is_refused(self, lake: TableStore, table: str) -> None:
        self._refused(lake, FLIGHTS, table, "table.invalid")

    @pytest.mark.parametrize("project", HOSTILE_PROJECTS)
    def test_a_hostile_project_is_refused(self, lake: TableStore, project: str) -> None:
        self._refused(lake, ProjectId(project), TABLE, "project.invalid")

    def _refused(self, lake: TableStore, project: ProjectId, table: str, code: str) -> None:
        attempts: list[Callable[[], object]] = [
            lambda: lake.append(project, table, rows(0, 1), commit="a"),
            lambda: lake.scan(project, table),
            lambda: lake.version(project, table),
            lambda: lake.commits(project, table),
            lambda: lake.vacuum(project, table, ["a"], left_for=DAY),
        ]
        for attempt in attempts:
            with pytest.raises(Problem) as told:
                attempt()
            assert told.value.code == code

    def test_threads_and_processes_that_race_lose_and_double_nothing(self, opener: Opener) -> None:
        with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes, ThreadPoolExecutor(2) as threads:
            writers = [processes.submit(append_many, opener, n) for n in range(3)]
            writers += [threads.submit(append_many, opener, n) for n in range(2, 4)]
            for writer in writers:
                writer.result()
        found = opener().scan(FLIGHTS, TABLE).select("id").sort("id").collect()["id"].to_list()
        assert found == [n * 100 + i for n in range(4) for i in range(6)]

    def test_writers_that_race_with_one_commit_write_it_once(self, opener: Opener) -> None:
        with ThreadPoolExecutor(4) as threads:
            for round_ in range(5):
                list(threads.map(lambda _, n=round_: opener().append(FLIGHTS, f"t{n}", rows(0, 3), commit="a"), range(4)))
                list(threads.map(lambda _, n=round_: opener().append(FLIGHTS, f"t{n}", rows(3, 5), commit="b"), range(4)))
        for round_ in range(5):
            assert opener().scan(FLIGHTS, f"t{round_}").collect().equals(rows(0, 5))

    def test_racing_writers_may_widen_the_table_at_once(self, opener: Opener) -> None:
        opener().append(FLIGHTS, TABLE, rows(0, 1), commit="first")
        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda n: opener().append(FLIGHTS, TABLE, pl.DataFrame({f"x{n}": [n]}), commit=f"c{n}"), range(4)))
        found = opener().scan(FLIGHTS, TABLE).collect()
        assert sorted(found.columns) == ["half", "id", "name", "x0", "x1", "x2", "x3"]
        assert [found[f"x{n}"].drop_nulls().to_list() for n in range(4)] == [[n] for n in range(4)]

    @pytest.mark.parametrize("acknowledged", [0, 1, 4])
    def test_a_killed_writer_leaves_a_readable_table_and_the_retry_is_exact(self, opener: Opener, acknowledged: int) -> None:
        context = get_context("spawn")
        here, there = context.Pipe()
        writer = context.Process(target=append_until_killed, args=(opener, there))
        writer.start()
        there.close()
        assert here.recv() == "ready"
        for _ in range(acknowledged):
            here.recv()
        os.kill(writer.pid or 0, signal.SIGKILL)
        writer.join()
        told = acknowledged
        while here.poll():
            try:
                here.recv()
            except EOFError:
                break
            told += 1
        lake = opener()
        if told:
            held = lake.scan(FLIGHTS, TABLE).select("id").collect()["id"].to_list()
            assert held in ([i for n in range(count) for i in (2 * n, 2 * n + 1)] for count in (told, told + 1))
        for n in range(told + 2):
            lake.append(FLIGHTS, TABLE, rows(2 * n, 2 * n + 2), commit=f"c{n}")
        assert lake.scan(FLIGHTS, TABLE).collect().equals(rows(0, 2 * (told + 2)))


def append_many(opener: Opener, writer: int) -> None:
    """Append six rows in six commits, each of them twice, in a table that others make and fill too."""
    lake = opener()
    for i in range(6):
        for _ in range(2):
            lake.append(FLIGHTS, TABLE, rows(writer * 100 + i, writer * 100 + i + 1), commit=f"{writer} {i}")


def append_until_killed(opener: Opener, acknowledge: Connection) -> None:
    """Append without end, and tell of each commit."""
    lake = opener()
    acknowledge.send("ready")
    n = 0
    while True:
        lake.append(FLIGHTS, TABLE, rows(2 * n, 2 * n + 2), commit=f"c{n}")
        acknowledge.send(n)
        n += 1
