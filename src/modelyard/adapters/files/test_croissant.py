"""Croissant files of others as sources."""

import hashlib
import json
import zipfile
from copy import deepcopy
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.adapters import open_source
from modelyard.core import Problem
from modelyard.data.croissant_records import read_records
from modelyard.data.sources import Ask, LeadsOn
from modelyard.data.store import Stretch
from tests.listening import giving

CSV = "id,placed,paid,zip,given\n1,2026-01-01,9,00501,true\n2,2026-01-02,12.5,10001,false\n"
FIELDS = {"id": ("number", "sc:Integer"), "placed": ("day", "sc:Date"), "paid": ("paid", "sc:Float"), "zip": ("zip", "sc:Text")}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def field(column: str, name: str, kind: Any, source: dict[str, Any]) -> dict[str, Any]:
    of = {**source, "extract": {"column": column}}
    return {"@type": "cr:Field", "@id": f"orders/{name}", "name": name, "dataType": kind, "source": of}


def metadata(files: list[dict[str, Any]], source: dict[str, Any] | None = None) -> dict[str, Any]:
    source = source or {"fileObject": {"@id": files[0]["@id"]}}
    fields = [field(column, name, kind, source) for column, (name, kind) in FIELDS.items()]
    return {
        "@context": {"@vocab": "https://schema.org/", "cr": "http://mlcommons.org/croissant/"},
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "orders",
        "distribution": files,
        "recordSet": [{"@type": "cr:RecordSet", "@id": "orders", "name": "orders", "field": fields}],
    }


def object_of(path: Path, **rest: Any) -> dict[str, Any]:
    told = {
        "@type": "cr:FileObject",
        "@id": path.name,
        "name": path.name,
        "contentUrl": path.name,
        "encodingFormat": "text/csv",
    }
    return {**told, "sha256": digest(path), **rest}


def written(folder: Path, told: dict[str, Any]) -> Path:
    path = folder / "croissant.json"
    path.write_text(json.dumps(told), encoding="utf-8")
    return path


def read(url: object, ask: Ask | None = None) -> pl.DataFrame:
    with open_source(str(url)).read(ask or Ask()) as reading:
        return pl.concat(list(reading.frames))


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "orders.csv"
    path.parent.mkdir()
    path.write_text(CSV)
    return path


def test_fields_name_and_type_the_columns(orders: Path) -> None:
    found = read(written(orders.parent, metadata([object_of(orders)])))
    assert found.schema == {"number": pl.Int64, "day": pl.Date, "paid": pl.Float64, "zip": pl.String}
    assert found.rows() == [(1, date(2026, 1, 1), 9.0, "00501"), (2, date(2026, 1, 2), 12.5, "10001")]


def test_columns_and_stretches_are_asked_for_by_the_fields_names(orders: Path) -> None:
    path = written(orders.parent, metadata([object_of(orders)]))
    within = Stretch("day", datetime(2026, 1, 2, tzinfo=UTC), None)
    assert read(path, Ask(columns=("zip", "number"), within=within)).rows() == [("10001", 2)]


def test_a_file_that_is_another_one_is_not_read(orders: Path) -> None:
    path = written(orders.parent, metadata([object_of(orders)]))
    orders.write_text(CSV + "3,2026-01-03,1,00000,true\n")
    with pytest.raises(Problem) as refused:
        read(path)
    assert refused.value.code == "source.invalid"
    assert digest(orders) in refused.value.why


@pytest.mark.parametrize(
    "url",
    ["../orders.csv", "/etc/passwd", "file:///etc/passwd", "a/../../orders.csv", "file:/etc/passwd", "s3://b/k.csv", "*.csv"],
)
def test_a_file_outside_of_its_folder_is_not_reached(orders: Path, url: str) -> None:
    (orders.parent.parent / "orders.csv").write_text(CSV)
    path = written(orders.parent, metadata([object_of(orders, contentUrl=url)]))
    with pytest.raises(Problem) as refused:
        read(path)
    assert refused.value.code in ("source.invalid", "source.missing", "file.invalid")


def test_a_guard_is_asked_of_every_file(orders: Path) -> None:
    source = open_source(str(written(orders.parent, metadata([object_of(orders)]))))
    asked: list[str] = []

    def check(url: str) -> None:
        asked.append(url)
        raise Problem("source.forbidden", "no")

    assert isinstance(source, LeadsOn)
    with pytest.raises(Problem, match="no"), source.guarded(check).read(Ask()):
        pass
    assert asked == [orders.as_uri()]


def test_members_of_a_zip_file_are_read(orders: Path) -> None:
    packed = orders.parent / "all.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("in/orders.csv", CSV)
        archive.writestr("in/other.csv", "x\n1\n")
    member = object_of(orders, contentUrl="in/orders.csv", containedIn={"@id": "all.zip"})
    del member["sha256"]
    whole = [member, object_of(packed, encodingFormat="application/zip")]
    path = written(orders.parent, metadata(whole))
    orders.unlink()
    assert read(path)["zip"].to_list() == ["00501", "10001"]
    member["contentUrl"] = "in/none.csv"
    with pytest.raises(Problem) as refused:
        read(written(orders.parent, metadata(whole)))
    assert refused.value.code == "source.invalid"


def test_a_set_of_files_is_read_with_the_part_that_a_name_tells(tmp_path: Path) -> None:
    for name in ("train", "test"):
        pl.DataFrame({"x": [1, 2]}).write_parquet(tmp_path / f"{name}.parquet")
    files = [object_of(tmp_path / f"{name}.parquet", encodingFormat="application/x-parquet") for name in ("test", "train")]
    fileset = {"@type": "cr:FileSet", "@id": "set", "includes": "*.parquet", "encodingFormat": "application/x-parquet"}
    told = metadata([*files, fileset])
    of = {"fileSet": {"@id": "set"}}
    told["recordSet"][0]["field"] = [
        field("x", "x", "sc:Integer", of),
        {
            "name": "part",
            "dataType": "sc:Text",
            "source": {**of, "extract": {"fileProperty": "filename"}, "transform": {"regex": r"^(\w+)\.parquet$"}},
        },
    ]
    assert read(written(tmp_path, told)).rows() == [(1, "test"), (2, "test"), (1, "train"), (2, "train")]


def test_what_lies_on_the_web_is_pinned_by_both_digests(orders: Path) -> None:
    path = written(orders.parent, metadata([object_of(orders)]))
    with giving(orders.parent) as url:
        with pytest.raises(Problem, match="could be another file tomorrow"):
            read(f"{url}/croissant.json")
        for named in (f"{url}/croissant.json", f"croissant+{url}/croissant.json"):
            assert read(f"{named}#sha256={digest(path)}")["number"].to_list() == [1, 2]
        orders.write_text("id\n")
        with pytest.raises(Problem, match="is not the file that is known"):
            read(f"{url}/croissant.json#sha256={digest(path)}")


def test_one_of_several_record_sets_is_named(orders: Path) -> None:
    told = metadata([object_of(orders)])
    told["recordSet"].append({**told["recordSet"][0], "@id": "again", "name": "again"})
    path = written(orders.parent, told)
    with pytest.raises(Problem, match="orders, again"):
        read(path)
    assert read(f"{path.as_uri()}#records=again").height == 2
    with pytest.raises(Problem, match="no record set 'never'"):
        read(f"{path.as_uri()}#records=never")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda told: told["distribution"][0].pop("sha256"), "no SHA-256"),
        (lambda told: told["distribution"][0].update(encodingFormat="image/png", contentUrl="a.png"), "no form that is read"),
        (lambda told: told["recordSet"][0]["field"][0]["source"].update(transform={"regex": "x"}), "transformed"),
        (lambda told: told["recordSet"][0]["field"][0]["source"].update(fileObject={"@id": "other"}), "several files"),
        (lambda told: told["recordSet"][0]["field"][0]["source"]["extract"].update(column="none"), "no column 'none'"),
        (lambda told: told.pop("recordSet"), "no record sets"),
        (lambda told: told["recordSet"][0].update(field=[]), "record sets are none"),
    ],
)
def test_what_cannot_be_read_says_why(orders: Path, change: Any, why: str) -> None:
    told = metadata([object_of(orders)])
    change(told)
    with pytest.raises(Problem) as refused:
        read(written(orders.parent, told))
    assert why in str(refused.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["@id", "name", "source", "field"]), inner),
)


@given(
    st.sampled_from(
        [("recordSet",), ("distribution",), ("recordSet", 0), ("recordSet", 0, "field"), ("distribution", 0, "contentUrl")]
    ),
    JSON,
)
def test_metadata_in_any_other_form_is_a_problem_or_none(place: tuple[str | int, ...], value: Any) -> None:
    file = {"@type": "cr:FileObject", "@id": "a.csv", "contentUrl": "a.csv", "encodingFormat": "text/csv", "sha256": "0" * 64}
    told: Any = deepcopy(metadata([file]))
    within = told
    for part in place[:-1]:
        within = within[part]
    within[place[-1]] = value
    try:
        read_records(told)
    except Problem as problem:
        assert problem.code == "croissant.invalid"
