"""Pipelines over stored sets, on a whole platform: their rows are those that a trainer sees, in one version or in none."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
import pytest

from modelyard.core import Problem, ProjectId, canonical_json
from modelyard.data import Check, DatasetVersion, reading
from modelyard.data.content import batch_digest, chain
from modelyard.data.lake_files import LakeFolder
from modelyard.data.rules import table_of
from modelyard.data.service import append, create_dataset
from modelyard.data.split import default_split, split_frame
from modelyard.prepare import DeclaredStep, Pipeline, SetStep, Transform, fit, prep
from modelyard.prepare.engine import Done, Engine, Tables, joined, prepare_piece
from modelyard.prepare.stored import Request, Trying, store_prepared
from modelyard.serving.lineage import lineage
from modelyard.tenancy import Actor
from modelyard.tenancy.service import bootstrap, create_project
from modelyard.wiring import Platform, open_platform, read_settings

START = datetime(2013, 1, 1, 5, tzinfo=UTC)
STEPS = (prep.drop("id", "note"), prep.date_parts("at", "hour"), prep.one_hot("origin"), prep.standardise("delay"))


def flights(start: int, stop: int) -> pl.DataFrame:
    ids = pl.int_range(start, stop, eager=True).alias("id")
    return pl.DataFrame(
        {
            "id": ids,
            "at": [START + timedelta(minutes=n) for n in range(start, stop)],
            "origin": [("JFK", "LGA", None)[n % 3] for n in range(start, stop)],
            "delay": [None if n % 11 == 0 else n / 7 for n in range(start, stop)],
            "late": [n % 4 == 0 for n in range(start, stop)],
            "note": [f"n{n}" for n in range(start, stop)],
        },
        schema_overrides={"at": pl.Datetime("us", "UTC")},
    )


@dataclass(frozen=True)
class Place:
    platform: Platform
    actor: Actor
    project: ProjectId
    folder: Path

    def run(
        self, *steps: DeclaredStep | SetStep, job: str = "job_1", engine: Engine | None = None, **rest: Any
    ) -> DatasetVersion:
        sets = tuple(step for step in steps if isinstance(step, SetStep))
        rows = tuple(step for step in steps if not isinstance(step, SetStep))
        document = canonical_json(Pipeline(rows, sets).to_json()).encode()
        [digest] = self.platform.objects.put(self.project, [document])
        request = Request(**{"data": "flights", "pipeline": digest, "into": "prepared", "label": "late", **rest})
        scratch = self.folder / f"scratch-{len(list(self.folder.iterdir()))}"
        scratch.mkdir()
        platform = self.platform if engine is None else replace(self.platform, engine=opener(engine))
        return store_prepared(platform, self.actor, self.project, request, Trying(job, scratch, lambda *_: None))

    def rows(self, ref: str) -> pl.DataFrame:
        version = reading.find_version(self.platform, self.project, ref)
        return reading.read(self.platform, self.project, version).collect()

    def staged(self) -> list[Path]:
        found = self.folder.rglob("staged-*")
        return [path for path in found if any(path.iterdir())]


def opener(engine: Engine) -> Any:
    def opened(url: str) -> AbstractContextManager[Engine]:
        return nullcontext(engine)

    return opened


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    platform = open_platform(read_settings(home=tmp_path / "home", environment={}, folder=tmp_path))
    actor, _ = bootstrap(platform)
    project = create_project(platform, actor, "flights").id
    create_dataset(platform, actor, project, "flights", key=["id"], time="at")
    yield Place(platform, actor, project, tmp_path)
    platform.close()


@pytest.fixture
def filled(place: Place) -> Place:
    """Return a place with 141,000 flights, in two batches."""
    for part in (flights(0, 70_000), flights(70_000, 141_000)):
        append(place.platform, place.actor, place.project, "flights", part)
    return place


def expected(rows: pl.DataFrame, keep: Sequence[str] = ("id", "at", "late")) -> pl.DataFrame:
    learning, _ = split_frame(rows, default_split(["id"], "at"), key=["id"], time="at")
    return joined(rows, Transform(fit(Pipeline(STEPS), learning, "late")), keep)


def test_the_rows_are_those_that_a_trainer_sees(filled: Place) -> None:
    made = filled.run(*STEPS)
    raw = filled.rows("flights")
    assert filled.rows("prepared").equals(expected(raw))
    assert made.digest == chain(None, batch_digest(expected(raw)))
    assert (made.number, made.rows, made.whole) == (1, 141_000, True)
    assert (made.event_from, made.event_until) == (START, START + timedelta(minutes=140_999))
    assert [parent.kind for parent in made.parents] == ["dataset_version", "pipeline"]
    profile = reading.profile_of(filled.platform, filled.project, made)
    assert profile.rows == 141_000
    assert profile.columns["delay"].null == raw["delay"].null_count()
    assert filled.staged() == list(filled.folder.rglob("staged-job_1"))


def test_the_same_rows_are_the_same_version_and_others_the_next(filled: Place) -> None:
    first = filled.run(*STEPS)
    assert filled.run(*STEPS, job="job_2") == first
    append(filled.platform, filled.actor, filled.project, "flights", flights(141_000, 141_010))
    second = filled.run(*STEPS, job="job_3")
    assert (second.number, second.rows) == (2, 141_010)
    assert filled.rows("prepared@1").height == 141_000
    narrow = filled.run(*STEPS[1:], prep.drop("id", "note"), prep.keep("delay"), job="job_4")
    assert [column.name for column in narrow.schema.columns] == ["id", "at", "late", "delay"]
    assert filled.rows("prepared@3").columns == ["id", "at", "late", "delay"]
    assert len(list(filled.folder.rglob("staged-*"))) == 3


def test_rows_that_were_replaced_are_prepared_as_they_are_now(filled: Place) -> None:
    mended = flights(10, 20).with_columns(delay=pl.lit(1.5))
    append(filled.platform, filled.actor, filled.project, "flights", mended, replacing=True)
    made = filled.run(*STEPS)
    raw = filled.rows("flights")
    assert made.rows == raw.height == 141_000
    assert filled.rows("prepared").equals(expected(raw))


def test_a_step_over_sets_is_asked_first_and_its_rows_are_prepared(filled: Place) -> None:
    names = pl.DataFrame({"origin": ["JFK", "LGA"], "lanes": [4, 2]})
    create_dataset(filled.platform, filled.actor, filled.project, "airports", key=["origin"])
    append(filled.platform, filled.actor, filled.project, "airports", names)
    query = "SELECT r.id, r.at, r.late, r.delay, a.lanes FROM rows r JOIN airports a USING (origin) WHERE r.id < 999"
    made = filled.run(prep.sql(query, airports="airports@1"), prep.drop("id", "at"), prep.fill_null("delay", 0))
    raw = filled.rows("flights").head(999).join(names, on="origin", how="inner", maintain_order="left")
    assert filled.rows("prepared")["lanes"].to_list() == raw["lanes"].to_list()
    assert filled.rows("prepared")["id"].to_list() == raw["id"].to_list()
    assert [parent.told for parent in made.parents] == ["flights v2", "airports v1", "3 steps here"]
    graph = lineage(filled.platform, filled.actor, filled.project, "dataset:prepared@1", down=False)
    assert {node.kind for node in graph.nodes} == {"dataset_version", "pipeline"}
    assert {node.told for node in graph.nodes} >= {"airports v1", "flights v2", "prepared v1"}


def test_what_steps_over_sets_made_on_the_way_is_not_left(filled: Place) -> None:
    append(filled.platform, filled.actor, filled.project, "flights", flights(0, 9).with_columns(delay=1.0), replacing=True)
    mended = prep.sql("SELECT r.* FROM rows r SEMI JOIN before USING (id) WHERE id < 999", before="flights@3")
    made = filled.run(mended, prep.sql('SELECT id, "at", late, delay FROM rows'), prep.drop("id", "at"))
    assert made.rows == 999
    assert filled.rows("prepared")["delay"].head(9).to_list() == [1.0] * 9
    assert [path.name for path in filled.folder.rglob("staged-*")] == ["staged-job_1"]


def newest(rows: pl.LazyFrame, names: pl.LazyFrame) -> pl.LazyFrame:
    """Return the newest flight of each origin that has a name."""
    return rows.sort("at").group_by("origin").last().join(names, on="origin")


def test_a_function_over_sets_is_called_with_frames(filled: Place) -> None:
    names = pl.DataFrame({"origin": ["JFK", "LGA"], "lanes": [4, 2]})
    create_dataset(filled.platform, filled.actor, filled.project, "airports", key=["origin"])
    append(filled.platform, filled.actor, filled.project, "airports", names)
    filled.run(prep.over_set(newest, names="airports"), prep.keep("lanes"), keep=["origin"], label=None)
    assert filled.rows("prepared").sort("origin").to_dicts() == [
        {"origin": "JFK", "lanes": 4.0},
        {"origin": "LGA", "lanes": 2.0},
    ]


class Broken:
    """An engine that loses its workers after the first piece, or says nothing of what became of it."""

    def __init__(self, told: str) -> None:
        self.told = told

    def each(self, work: str, pieces: Sequence[str]) -> Iterator[str]:
        done = prepare_piece(work, pieces[0])
        if self.told == "raised":
            yield done
            raise Problem("engine.unavailable", "Its workers are gone", "they were killed")

    def query(self, sql: str, tables: Tables, folder: LakeFolder, scratch: Path) -> None:
        raise NotImplementedError


@pytest.mark.parametrize("how", ["raised", "silent"])
def test_a_lost_engine_leaves_nothing_and_the_next_try_finishes(filled: Place, how: str) -> None:
    with pytest.raises(Problem) as told:
        filled.run(*STEPS, engine=Broken(how))
    assert told.value.code == "engine.unavailable"
    assert filled.staged() == []
    assert filled.platform.lake.version(filled.project, table_of("prepared")) is None
    assert filled.run(*STEPS).rows == 141_000


def test_a_try_that_was_killed_is_finished_by_the_next(filled: Place) -> None:
    folder = filled.platform.lake.folder(filled.project, table_of("prepared"), "job_1")
    (Path(folder.path) / "part-000000.parquet").write_bytes(b"half")
    (Path(folder.path) / "part-000001.parquet.x.draft").write_bytes(b"half")
    assert filled.run(*STEPS).rows == 141_000
    assert filled.rows("prepared").equals(expected(filled.rows("flights")))


@pytest.mark.parametrize(
    ("rest", "steps", "code"),
    [
        ({"into": "flights"}, STEPS, "dataset.conflict"),
        ({"into": "checked"}, STEPS, "dataset.conflict"),
        ({"data": "flight"}, STEPS, "dataset.missing"),
        ({"label": "lat"}, STEPS, "column.missing"),
        ({"keep": ["idd"]}, STEPS, "column.missing"),
        ({"keep": ["delay"]}, STEPS, "column.exists"),
        ({"on": "spark"}, STEPS, "adapter.unavailable"),
        ({}, (prep.sql("SELECT nothing FROM rows"), *STEPS), "query.invalid"),
        ({}, (prep.sql("SELECT * FROM rows WHERE id < 0"), *STEPS), "frame.invalid"),
        ({}, (prep.sql("SELECT * FROM rows", weather="weather@1"), *STEPS), "dataset.missing"),
        ({}, (prep.drop("id"),), "column.invalid"),
        ({"into": "no/name"}, STEPS, "dataset.invalid"),
        ({}, (SetStep("SELECT 1 AS a", {"../x": "flights@1"}), *STEPS), "pipeline.invalid"),
        ({}, (SetStep("SELECT 1 AS a", {"rows": "flights@1"}), *STEPS), "pipeline.invalid"),
    ],
)
def test_what_cannot_be_is_told_and_leaves_nothing(
    filled: Place, rest: dict[str, Any], steps: tuple[DeclaredStep | SetStep, ...], code: str
) -> None:
    check = Check("not_null", ("id",))
    create_dataset(filled.platform, filled.actor, filled.project, "checked", checks=[check])
    with pytest.raises(Problem) as told:
        filled.run(*steps, **rest)
    assert told.value.code == code
    assert filled.staged() == []


def test_a_step_over_sets_is_in_no_model() -> None:
    with pytest.raises(Problem, match=r"pipeline\.run") as told:
        fit(Pipeline(STEPS, (prep.sql("SELECT * FROM rows"),)), flights(0, 10), "late")
    assert told.value.code == "pipeline.invalid"


def test_a_pipeline_with_steps_over_sets_is_read_back() -> None:
    whole = Pipeline(STEPS, (prep.sql("SELECT 1", a="b@1"), prep.over_set(newest, names="airports")))
    assert Pipeline.from_json(msgspec.json.decode(msgspec.json.encode(whole.to_json()))) == whole
    assert "sets" not in Pipeline(STEPS).to_json()


def test_done_is_told_whole() -> None:
    one = Done(3, problem={"code": "column.invalid"})
    assert msgspec.json.decode(msgspec.json.encode(one), type=Done) == one


@pytest.mark.parametrize(
    ("key", "time", "keep", "steps", "why"),
    [
        (("origin", "at"), "at", [], (), "'origin' is of its key or time, and is not kept"),
        (("id",), "at", ["id"], (), "'at' is of its key or time, and is not kept"),
        (("note",), None, ["note"], (prep.sql("SELECT * FROM rows UNION ALL SELECT * FROM rows"),), "60 rows have a key"),
        (("origin",), None, ["origin"], (), "20 rows have no origin"),
        (("id",), None, ["id"], (prep.sql("SELECT * FROM rows WHERE origin IS NOT NULL"),), ""),
        (("origin",), "at", ["origin", "at"], (prep.sql("FROM rows WHERE origin IS NOT NULL"),), "38 rows have a key (origin)"),
        (("id",), "at", ["id", "at"], (), ""),
    ],
)
def test_rows_have_the_key_and_time_that_their_dataset_promises(
    place: Place, key: Sequence[str], time: str | None, keep: list[str], steps: Sequence[SetStep], why: str
) -> None:
    append(place.platform, place.actor, place.project, "flights", flights(0, 60))
    create_dataset(place.platform, place.actor, place.project, "prepared", key=key, time=time)
    if not why:
        assert place.run(*steps, *STEPS, keep=keep).number == 1
        return
    with pytest.raises(Problem) as told:
        place.run(*steps, *STEPS, keep=keep)
    assert (told.value.code, why in told.value.why) == ("dataset.conflict", True), told.value
    assert not list(place.folder.rglob("staged-*"))


def test_a_set_has_no_column_that_the_lake_names_itself(place: Place) -> None:
    append(place.platform, place.actor, place.project, "flights", flights(0, 60))
    with pytest.raises(Problem) as told:
        place.run(prep.sql("SELECT *, 1 AS _content FROM rows"), *STEPS)
    assert told.value.code == "column.invalid"


def test_nothing_is_left_of_the_copies_of_what_a_set_is_joined_with(place: Place) -> None:
    who = place.platform, place.actor, place.project
    append(*who, "flights", flights(0, 60))
    create_dataset(*who, "names", key=["origin"])
    for name in ("Kennedy", "JFK"):
        append(*who, "names", pl.DataFrame({"origin": ["JFK"], "named": [name]}), replacing=True)
    made = place.run(
        prep.sql("SELECT rows.*, named FROM rows LEFT JOIN names USING (origin)", names="names"), *STEPS, prep.drop("named")
    )
    assert made.rows == 60
    assert [path.name for path in place.folder.rglob("staged-*")] == ["staged-job_1"]
