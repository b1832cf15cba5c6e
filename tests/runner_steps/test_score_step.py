"""The job `model.score`: each row of a source is answered once, whatever comes between."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from sklearn.linear_model import LogisticRegression

from modelyard.core import Digest, Place, Problem
from modelyard.jobs.service import submit
from modelyard.registry.service import get_version, promote
from modelyard.serving.batch import rules
from tests.runner_steps.place import START, trips
from tests.runner_steps.place import Place as Yard

ROWS = trips(1000, START, seed=4).drop("late")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 100 rows: the rules are those of large ones."""
    monkeypatch.setattr(rules, "MOST_ROWS", 100)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the rows in three files."""
    made = tmp_path / "in"
    made.mkdir()
    for name, start, height in (("a", 0, 450), ("b", 450, 50), ("c", 500, 500)):
        ROWS.slice(start, height).write_parquet(made / f"{name}.parquet")
    return made


def ask(place: Yard, source: str, target: str, *, model: str = "late@champion", kind: str = "url", anew: bool = False) -> None:
    """Queue a scoring into a URL."""
    payload = {"model": model, "source": {"kind": kind, "ref": source}, "target": {"kind": "url", "ref": target}, "anew": anew}
    submit(*place.who, kind="model.score", title="score", payload=payload)


def scored(place: Yard, source: str, target: str, **rest: Any) -> Mapping[str, Any]:
    """Queue it and do it."""
    ask(place, source, target, **rest)
    return place.work()


def answers(target: Path) -> pl.DataFrame:
    """Return all rows of a target, in the order of the parts' names."""
    return pl.concat([pl.read_parquet(path) for path in sorted(target.glob("part-*.parquet"))])


def require_answers(place: Yard, found: pl.DataFrame, rows: pl.DataFrame = ROWS) -> None:
    """Assert that each row has the answer of the door that serves, once and in order."""
    assert_frame_equal(found.select(rows.columns), rows)
    expected = place.infer(get_version(*place.who, "late@1"), rows)
    assert np.array_equal(found["probability"].to_numpy(), expected)


class Stopped(Exception):
    """Somebody ends the try."""


def stop_after(monkeypatch: pytest.MonkeyPatch, parts: int) -> None:
    """Have a try end when so many parts are written, as a kill would."""
    from modelyard.serving.batch.targets import PlaceTarget  # noqa: PLC0415

    written: list[str] = []
    write = PlaceTarget.write

    def counting(self: PlaceTarget, name: str, content: bytes) -> None:
        if len(written) >= parts:
            raise Stopped
        write(self, name, content)
        written.append(name)

    monkeypatch.setattr(PlaceTarget, "write", counting)


@pytest.mark.parametrize("pattern", ["/*.parquet", "", "/", "/**/*.parquet"])
def test_files_of_a_folder_are_answered_into_parts_in_order(place: Yard, folder: Path, tmp_path: Path, pattern: str) -> None:
    result = scored(place, f"{folder}{pattern}", (tmp_path / "out").as_uri())
    assert (result["rows"], result["parts"], result["version"], result["form"]) == (1000, 11, 1, "onnx")
    require_answers(place, answers(tmp_path / "out"))
    names = [path.name for path in sorted((tmp_path / "out").glob("part-*"))]
    assert names[4:6] == ["part-000004-a.parquet", "part-000005-b.parquet"]
    assert json.loads((tmp_path / "out" / "_SUCCESS").read_bytes())["rows"] == 1000


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "ndjson", "arrow"])
def test_each_form_is_answered_alike(place: Yard, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    match ending:
        case "csv":
            ROWS.write_csv(path)
        case "csv.gz":
            ROWS.write_csv(path, compression="gzip", check_extension=False)
        case "ndjson":
            ROWS.write_ndjson(path)
        case _:
            ROWS.write_ipc(path)
    scored(place, path.as_uri(), (tmp_path / "out").as_uri())
    found = answers(tmp_path / "out")
    if ending == "ndjson":  # there times are texts
        found = found.with_columns(pl.col("at").str.to_datetime(time_unit="us", time_zone="UTC"))
    require_answers(place, found)


def test_a_dataset_is_answered_at_its_version(place: Yard, tmp_path: Path) -> None:
    result = scored(place, "trips@1", (tmp_path / "out").as_uri(), kind="dataset")
    found = answers(tmp_path / "out")
    assert found.height == result["rows"] == 1500
    assert found["trip"].is_sorted() or found["trip"].n_unique() == 1500
    assert json.loads((tmp_path / "out" / "_SCORING.json").read_bytes())["source"]["ref"] == "trips@1"


def test_what_was_answered_before_a_kill_stays_and_the_rest_is_answered_once(
    place: Yard, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    ask(place, str(folder), out.as_uri())
    lease = place.take()
    with monkeypatch.context() as context:
        stop_after(context, 4)
        with pytest.raises(Stopped):
            place.step(lease.job)
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert 0 < len(kept) < 11
    assert not (out / "_SUCCESS").exists()
    place.step(lease.job)
    require_answers(place, answers(out))
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}.items() >= kept.items()


def test_another_job_of_the_same_goes_on_and_a_third_has_nothing_to_do(
    place: Yard, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as context:
        stop_after(context, 3)
        ask(place, str(folder), out.as_uri())
        with pytest.raises(Stopped):
            place.step(place.take().job)
    second = scored(place, str(folder), out.as_uri())
    require_answers(place, answers(out))
    kept = {path.name: path.stat().st_mtime_ns for path in out.iterdir()}
    assert scored(place, str(folder), out.as_uri()) == second
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir()} == kept


def test_a_part_that_somebody_removed_is_answered_again(place: Yard, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scored(place, str(folder), out.as_uri())
    (out / "part-000007-c.parquet").unlink()
    scored(place, str(folder), out.as_uri())
    require_answers(place, answers(out))


def test_a_try_keeps_its_version_when_the_alias_moves_and_another_job_is_refused(
    place: Yard, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    ask(place, str(folder), out.as_uri())
    job = place.take().job
    with monkeypatch.context() as context:
        stop_after(context, 3)
        with pytest.raises(Stopped):
            place.step(job)
    place.registered(place.trained())
    promote(*place.who, "late", 2, "champion")
    with pytest.raises(Problem, match="late@2 was asked for") as told:
        scored(place, str(folder), out.as_uri())
    assert told.value.code == "target.conflict"
    place.step(job)
    assert answers(out)["model_version"].unique().to_list() == [1]
    require_answers(place, answers(out))
    scored(place, str(folder), out.as_uri(), anew=True)
    assert answers(out)["model_version"].unique().to_list() == [2]
    assert answers(out).height == 1000


def test_a_source_that_changed_is_told_and_anew_begins_again(place: Yard, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    scored(place, str(folder), out.as_uri())
    ROWS.slice(450, 30).write_parquet(folder / "b.parquet")
    with pytest.raises(Problem, match=r"b\.parquet has changed") as told:
        scored(place, str(folder), out.as_uri())
    assert told.value.code == "source.conflict"
    assert answers(out).height == 1000
    scored(place, str(folder), out.as_uri(), anew=True)
    require_answers(place, answers(out), pl.concat([ROWS[:480], ROWS[500:]]))


def test_anew_goes_on_where_its_own_first_try_was(
    place: Yard, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    scored(place, str(folder), out.as_uri())
    ask(place, str(folder), out.as_uri(), anew=True)
    job = place.take().job
    with monkeypatch.context() as context:
        stop_after(context, 4)
        with pytest.raises(Stopped):
            place.step(job)
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert 0 < len(kept) < 11
    place.step(job)
    assert {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}.items() >= kept.items()
    require_answers(place, answers(out))


def test_a_folder_with_other_files_is_left_alone(place: Yard, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.pdf").write_bytes(b"mine")
    for anew in (False, True):
        with pytest.raises(Problem, match=r"report\.pdf") as told:
            scored(place, str(folder), (tmp_path / "out").as_uri(), anew=anew)
        assert told.value.code == "target.exists"
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["report.pdf"]


def logistic(run: Any, fit: Any, test: Any) -> Any:
    """Return a model that has no answer where a number is missing."""
    return LogisticRegression().fit(fit.X, fit.y)


def test_a_row_that_is_refused_is_told_by_file_and_row(place: Yard, folder: Path, tmp_path: Path) -> None:
    place.registered(place.trained(logistic), "brittle")
    gap = pl.when(pl.int_range(pl.len()) == 321).then(None).otherwise("wind")
    ROWS.slice(500, 500).with_columns(wind=gap).write_parquet(folder / "c.parquet")
    with pytest.raises(Problem) as told:
        scored(place, str(folder), (tmp_path / "out").as_uri(), model="brittle@1")
    assert told.value.code == "row.invalid"
    assert told.value.detail["row"] == 321
    assert told.value.what == "Row 321 has no finite answer"
    assert "that is row 321 of in/c.parquet" in told.value.why
    assert not (tmp_path / "out" / "_SUCCESS").exists()


def test_a_text_among_the_numbers_of_a_csv_file_is_told_by_file_and_row(place: Yard, tmp_path: Path) -> None:
    ROWS[:300].write_csv(tmp_path / "a.csv")
    ROWS[300:].write_csv(tmp_path / "b.csv")
    lines = (tmp_path / "b.csv").read_text().splitlines()
    trip, at, _, where = lines[42].split(",")
    (tmp_path / "b.csv").write_text("\n".join([*lines[:42], f"{trip},{at},windy,{where}", *lines[43:]]) + "\n")
    with pytest.raises(Problem, match=r"Column 'wind' has a text in row 41 of b\.csv") as told:
        scored(place, f"{tmp_path}/*.csv", (tmp_path / "out").as_uri())
    assert told.value.code == "column.invalid"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("b.parquet", b"", "b.parquet"),
        ("b.csv", b"trip\n1\n", "different forms"),
        ("b.parquet", None, "b.parquet .*has no wind"),
    ],
)
def test_files_that_do_not_fit_are_told_before_anything_is_written(
    place: Yard, folder: Path, tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    if content is None:
        ROWS.drop("wind").write_parquet(folder / name)
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(Problem, match=told) as problem:
        scored(place, str(folder), (tmp_path / "out").as_uri())
    assert problem.value.code == "source.invalid"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("source", "code"),
    [("/no/such/*.parquet", "source.missing"), ("rows.csv", "source.invalid"), ("gopher://x/y.csv", "adapter.missing")],
)
def test_what_is_not_there_is_told(place: Yard, tmp_path: Path, source: str, code: str) -> None:
    with pytest.raises(Problem) as told:
        scored(place, source, (tmp_path / "out").as_uri())
    assert told.value.code == code


def test_a_column_that_is_missing_or_taken_is_told(place: Yard, tmp_path: Path) -> None:
    ROWS.rename({"wind": "win"}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(Problem, match="wind") as told:
        scored(place, str(tmp_path / "x.parquet"), (tmp_path / "out").as_uri())
    assert told.value.code == "column.missing"
    ROWS.with_columns(probability=0.5).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(Problem) as told:
        scored(place, str(tmp_path / "x.parquet"), (tmp_path / "other").as_uri())
    assert told.value.code == "column.exists"


def test_no_rows_are_one_part_without_rows(place: Yard, tmp_path: Path) -> None:
    ROWS.clear().write_parquet(tmp_path / "x.parquet")
    assert scored(place, str(tmp_path / "x.parquet"), (tmp_path / "out").as_uri())["rows"] == 0
    found = answers(tmp_path / "out")
    assert found.height == 0
    assert found.schema == {**ROWS.schema, "probability": pl.Float64, "model_version": pl.Int64}


def test_a_file_that_changes_while_it_is_read_is_told(
    place: Yard, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelyard.serving.batch.targets import PlaceTarget  # noqa: PLC0415

    write = PlaceTarget.write

    def meddling(self: PlaceTarget, name: str, content: bytes) -> None:
        ROWS.slice(0, 450).reverse().write_parquet(folder / "a.parquet")
        write(self, name, content)

    monkeypatch.setattr(PlaceTarget, "write", meddling)
    with pytest.raises(Problem) as told:
        scored(place, str(folder), (tmp_path / "out").as_uri())
    assert told.value.code in {"file.conflict", "source.invalid", "source.conflict"}
    assert not (tmp_path / "out" / "_SUCCESS").exists()


@pytest.mark.parametrize(
    "payload", [{}, {"model": "late@1", "source": {"kind": "tape", "ref": "x"}, "target": {"kind": "url"}}]
)
def test_a_job_that_does_not_say_what_to_score_is_told(place: Yard, payload: dict[str, Any]) -> None:
    submit(*place.who, kind="model.score", title="score", payload=payload)
    with pytest.raises(Problem) as told:
        place.work()
    assert told.value.code == "job.invalid"


class TestS3:
    """The same against a real server."""

    @pytest.fixture
    def bucket(self, place: Yard, s3_url: str) -> Place:
        """Return the bucket as a place."""
        return place.platform.place(s3_url)

    def url(self, s3_url: str, path: str) -> str:
        return s3_url.replace("?", f"/{path}?")

    def fill(self, bucket: Place, folder: Path) -> None:
        for path in folder.iterdir():
            bucket.put(f"in/{path.name}", path.read_bytes())

    def found(self, bucket: Place, tmp_path: Path) -> pl.DataFrame:
        files = bucket.find("out/part-*")
        return pl.concat([pl.read_parquet(bucket.fetch(file, tmp_path / "fetched")) for file in files])

    def test_a_pattern_is_answered_into_a_prefix_and_resumed(
        self, place: Yard, bucket: Place, s3_url: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        self.fill(bucket, folder)
        source, target = self.url(s3_url, "in/*.parquet"), self.url(s3_url, "out/")
        ask(place, source, target)
        job = place.take().job
        with monkeypatch.context() as context:
            stop_after(context, 4)
            with pytest.raises(Stopped):
                place.step(job)
        before = {file.name: file.tag for file in bucket.find("out/part-*")}
        place.step(job)
        require_answers(place, self.found(bucket, tmp_path))
        assert {file.name: file.tag for file in bucket.find("out/part-*")}.items() >= before.items()
        assert bucket.get("out/_SUCCESS") is not None

    def test_a_changed_object_is_told(self, place: Yard, bucket: Place, s3_url: str, folder: Path) -> None:
        self.fill(bucket, folder)
        source, target = self.url(s3_url, "in/"), self.url(s3_url, "out")
        scored(place, source, target)
        bucket.put("in/b.parquet", (folder / "a.parquet").read_bytes())
        with pytest.raises(Problem, match=r"b\.parquet has changed"):
            scored(place, source, target)

    def test_wrong_keys_are_told(self, place: Yard, s3_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        with pytest.raises(Problem, match="secret key is wrong") as told:
            scored(place, self.url(s3_url, "in/x.csv"), self.url(s3_url, "out"))
        assert told.value.code == "object.unavailable"


def test_uploaded_pieces_are_answered_into_objects_and_found_again(place: Yard, tmp_path: Path) -> None:
    ROWS.write_csv(tmp_path / "rows.csv")
    content = (tmp_path / "rows.csv").read_bytes()
    objects = place.platform.objects
    pieces = objects.put(place.project, [content[:1000], content[1000:]])
    [listing] = objects.put(place.project, [json.dumps([{"name": "rows.csv", "pieces": pieces}]).encode()])
    payload = {
        "model": "late@1",
        "source": {"kind": "upload", "ref": listing},
        "target": {"kind": "objects", "form": "arrow"},
    }
    submit(*place.who, kind="model.score", title="score", payload=payload)
    first = place.work()
    [parts] = objects.get(place.project, [Digest(first["listing"])])
    named = json.loads(parts)
    assert [one["name"] for one in named] == [f"part-{number:06}.arrow" for number in range(10)]
    contents = objects.get(place.project, [Digest(one["digest"]) for one in named])
    require_answers(place, pl.concat([pl.read_ipc(content) for content in contents]))
    submit(*place.who, kind="model.score", title="score", payload=payload)
    assert place.work() == first
