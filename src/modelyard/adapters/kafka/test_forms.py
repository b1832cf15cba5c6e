"""Each message becomes a row or is told to be none; no value changes on the way."""

import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from modelyard.adapters.delta import DeltaLake
from modelyard.adapters.kafka.forms import ArrowStreams, Documents, Form, Rows, Undecodable, csv_lines, json_object, rows_of
from modelyard.core import ProjectId
from modelyard.data.schema import stored_type

NAMES = st.sampled_from(["a", "b", "A", "é", "", "_row", "\0", "a.b", "*", "^a$"]) | st.text(max_size=3)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["2013-01-01T05:00:00Z", "12", "2.5", "true", "2013-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)
TEXTS = OBJECTS.map(json.dumps) | VALUES.map(json.dumps) | st.sampled_from(['{"a":1,"a":2}', '{"a":1e999}', '{"a":"\\ud800"}'])
MESSAGES = st.lists(TEXTS.map(str.encode) | st.binary(max_size=12), max_size=12)
TYPES = st.dictionaries(
    st.sampled_from(["a", "b"]),
    st.sampled_from([
        pl.Int64(), pl.Float64(), pl.String(), pl.Boolean(), pl.Datetime("us", "UTC"), pl.Date(), pl.Decimal(10, 2), pl.Int8(),
        pl.List(pl.Int64()), pl.Struct({"a": pl.Int64()}), pl.Binary(), pl.List(pl.Datetime("us", "UTC")),
    ]),
)  # fmt: skip


def parted(messages: Sequence[bytes], size: int = 4) -> list[Sequence[bytes]]:
    return [messages[start : start + size] for start in range(0, len(messages), size)]


def read(form: Form, messages: Sequence[bytes]) -> tuple[pl.DataFrame, dict[int, str]]:
    """Return the rows of messages, with that of each as `#`, and what is wrong with the others."""
    frames: list[pl.DataFrame] = []
    wrong: dict[int, str] = {}
    for number, rows in enumerate(rows_of(form, parted(messages))):
        frames.append(rows.frame.with_columns((rows.owners + 4 * number).alias("#")))
        wrong |= {4 * number + place: why for place, why in rows.wrong.items()}
    return pl.concat(frames, how="diagonal") if frames else pl.DataFrame({"#": []}), wrong


def without_nulls(value: Any) -> Any:
    """Return a value without fields that are null, as they are those that are not there."""
    if isinstance(value, dict):
        left = {name: without_nulls(one) for name, one in value.items()}
        return {name: one for name, one in left.items() if one is not None and one != {}}
    return (
        [without_nulls(one) or None if isinstance(one, dict) else without_nulls(one) for one in value]
        if isinstance(value, list)
        else value
    )


def says(value: Any, said: Any) -> bool:
    """Return whether a value is what was said, or what a text said."""
    if isinstance(value, dict) and isinstance(said, dict):
        return value.keys() == said.keys() and all(says(value[name], said[name]) for name in said)
    if isinstance(value, list) and isinstance(said, list):
        return len(value) == len(said) and all(map(says, value, said))
    if isinstance(value, bool) and isinstance(said, str):
        return said.lower() == str(value).lower()
    if isinstance(value, int | float) and isinstance(said, str):
        return float(said) == value
    return bool(value == said)


@given(MESSAGES, TYPES)
@settings(max_examples=300)
def test_each_message_is_a_row_or_told(messages: list[bytes], types: dict[str, pl.DataType]) -> None:
    found, wrong = read(Documents(json_object, types), messages)
    assert sorted([*found["#"].to_list(), *wrong]) == list(range(len(messages)))
    assert all(wrong.values())
    for name, dtype in types.items():
        assert not messages or found.width == 1 or found.schema[name] == dtype


@given(MESSAGES)
@settings(max_examples=300)
def test_what_is_a_row_says_what_the_message_said(messages: list[bytes]) -> None:
    found, _ = read(Documents(json_object, {}), messages)
    for row in found.to_dicts():
        said = json.loads(messages[row.pop("#")])
        assert says(without_nulls(row), without_nulls(said)), (row, said)


@given(MESSAGES)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_lake_can_hold_whatever_comes(tmp_path_factory: pytest.TempPathFactory, messages: list[bytes]) -> None:
    found, _ = read(Documents(json_object, {}), messages)
    rows = found.drop("#")
    if rows.width and rows.height:
        lake = DeltaLake(tmp_path_factory.mktemp("lake"))
        lake.append(ProjectId("flights"), "datasets/flights", rows, commit="one")
        assert lake.scan(ProjectId("flights"), "datasets/flights").collect().height == rows.height


@given(MESSAGES)
@example([b'{"a": 1, "b": {}}', b"{}", b"{}", b"{}", b'{"b": []}'])
@example([b'{"a": 1, "b": {}}', b"{}", b"{}", b"{}", b'{"b": {"c": 1}}'])
def test_a_reading_by_the_types_that_were_found_finds_the_same(messages: list[bytes]) -> None:
    found, wrong = read(Documents(json_object, {}), messages)
    types = {name: dtype for name, dtype in found.schema.items() if name != "#"}
    again, _ = read(Documents(json_object, types), messages)
    right = again.filter(~pl.col("#").is_in(list(wrong)))
    assert right.select(found.columns).equals(found)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b'{"a": 1} x', "behind its end"),
        (b"[1]", "no object"),
        (b"1", "no object"),
        (b'{"a": NaN}', "NaN is no JSON"),
        (b'{"a": -Infinity}', "-Infinity is no JSON"),
        (b'{"a": 1e400}', "1e400 is beyond 64 bits"),
        (b'{"a": 1, "b": 2, "a": 3}', "'a' twice"),
        (b'{"b": {"a": 1, "a": 3}}', "'a' twice"),
        (b'{"a": "\\ud800"}', "no JSON"),
        (b'{"a": "\xff"}', "UTF-8"),
        (b'{"a": ' + b"[" * 100_000, "nested too deep"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "no JSON"),
        (b'\xef\xbb\xbf{"a": 1}', "no JSON"),
    ],
)
def test_what_is_no_object_is_told(message: bytes, why: str) -> None:
    with pytest.raises(Undecodable, match=why):
        json_object(message)


def rows(*documents: Any, types: dict[str, pl.DataType] | None = None) -> Rows:
    [found] = rows_of(Documents(json_object, types or {}), [[json.dumps(one).encode() for one in documents]])
    return found


def test_a_field_is_what_it_is_in_most_messages() -> None:
    found = rows({"a": "x"}, {"a": 1}, {"a": 2.5}, {"a": None})
    assert found.frame["a"].to_list() == [1.0, 2.5, None]
    assert found.wrong == {0: "the field a holds 'x', and Float64 is expected"}


def test_of_as_many_the_first_kind_counts() -> None:
    assert rows({"a": "x"}, {"a": 1}).frame["a"].to_list() == ["x"]


def test_a_number_that_would_be_rounded_is_told() -> None:
    found = rows({"a": 2**53 + 1}, {"a": 0.5}, {"a": 2**53})
    assert found.frame["a"].to_list() == [0.5, 2.0**53]
    assert "9007199254740993" in found.wrong[0]


def test_a_number_beyond_64_bits_is_told() -> None:
    found = rows({"a": 2**63}, {"a": 2**63 - 1}, {"a": -(2**63)})
    assert found.frame["a"].to_list() == [2**63 - 1, -(2**63)]
    assert found.wrong == {0: "the field a holds 9223372036854775808, which is beyond 64 bits"}


def test_objects_and_lists_stay_what_they_are() -> None:
    found = rows(
        {"wind": {"speed": 1, "gusts": [1, None, 2.5]}}, {"wind": {"speed": 2.5, "from": "N"}}, {"wind": None}, {"x": []}
    )
    assert found.frame.to_dicts() == [
        {"wind": {"speed": 1.0, "gusts": [1.0, None, 2.5], "from": None}, "x": None},
        {"wind": {"speed": 2.5, "gusts": None, "from": "N"}, "x": None},
        {"wind": None, "x": None},
        {"wind": None, "x": []},
    ]
    assert not found.wrong


def test_what_is_wrong_within_is_told_with_its_place() -> None:
    found = rows(
        {"wind": {"gusts": [1]}}, {"wind": {"gusts": [1, "x"]}}, {"wind": {"gusts": 3}}, {"wind": 4}, {"wind": {"gusts": []}}
    )
    assert found.wrong == {
        1: "the field wind.gusts[] holds 'x', and Int64 is expected",
        2: "the field wind.gusts holds 3, and a list is expected",
        3: "the field wind holds 4, and an object is expected",
    }


@pytest.mark.parametrize(
    ("value", "dtype", "expected"),
    [
        ("12", pl.Int64(), 12),
        (12.0, pl.Int64(), 12),
        (12, pl.Float64(), 12.0),
        ("2013-01-01", pl.Datetime("us", "UTC"), "2013-01-01 00:00:00+00:00"),
        ("2013-01-01T05:00:00.25+02:00", pl.Datetime("us", "UTC"), "2013-01-01 03:00:00.250000+00:00"),
        ("TRUE", pl.Boolean(), True),
        ({"at": "2013-01-01"}, pl.Struct({"at": pl.Date()}), "{'at': datetime.date(2013, 1, 1)}"),
    ],
)
def test_a_value_becomes_what_it_says(value: Any, dtype: pl.DataType, expected: object) -> None:
    found = rows({"a": "nothing"}, {"a": value}, types={"a": dtype})
    assert str(found.frame["a"][0]) == str(expected)
    assert list(found.wrong) == [0]


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        (12.5, pl.Int64()),
        (300, pl.Int8()),
        (12, pl.String()),
        (True, pl.String()),
        ("x", pl.Date()),
        (12, pl.Date()),
        ([1], pl.Int64()),
        ({"b": 1}, pl.Struct({"a": pl.Int64()})),
        ("2013-01-01T05:00:00Z", pl.Datetime("us")),
    ],
)
def test_a_value_of_another_type_is_told(value: Any, dtype: pl.DataType) -> None:
    found = rows({"a": None}, {"a": value}, types={"a": dtype})
    assert found.frame["a"].to_list() == [None]
    assert "the field a" in found.wrong[1]


@pytest.mark.parametrize(
    ("document", "why"),
    [
        ({"delay": 1, "Delay": 2}, "upper and lower case"),
        ({"_row": 1}, "added to each row"),
        ({"": 1}, "no column can have that name"),
        ({"a\0": 1}, "no column can have that name"),
        ({"*": 1}, "no column can have that name"),
        ({"^.*$": 1}, "no column can have that name"),
        ({"wind": {"x": 1, "X": 2}}, "none of"),
    ],
)
def test_names_that_no_column_can_have_are_told(document: Any, why: str) -> None:
    found = rows({"wind": {"x": 1}}, {"delay": 1}, document)
    assert why in found.wrong[2]
    assert found.frame.height == 2


def test_fields_that_nobody_wants_are_passed_over() -> None:
    messages = [b'{"a": 1, "_row": 2, "b": 1}', b'{"a": 2, "b": "x", "A": []}']
    [found] = rows_of(Documents(json_object, {}, only=["a"]), [messages])
    assert found.frame.rows(named=True) == [{"a": 1}, {"a": 2}]
    frames = pl.DataFrame({"a": [1], "b": [1]}), pl.DataFrame({"a": [2], "b": [[1]]})
    [found] = rows_of(ArrowStreams({}, only=["a"]), [[stream(frame) for frame in frames]])
    assert found.frame.rows(named=True) == [{"a": 1}, {"a": 2}]


def test_fields_that_hold_nothing_make_no_columns() -> None:
    found = rows({"a": 1, "b": None, "c": {}, "_row": None}, {"a": 2, "": None})
    assert found.frame.to_dicts() == [{"a": 1}, {"a": 2}]


def test_messages_that_tell_no_column_are_told() -> None:
    assert rows({"a": None}, {}).wrong == dict.fromkeys((0, 1), "nothing in it tells a column")


def test_a_flood_of_names_ends() -> None:
    found = rows(*({f"f{n}": n} for n in range(1_200)))
    assert found.frame.width == 1_000
    assert len(found.wrong) == 200


def test_a_late_field_is_null_in_what_came_before() -> None:
    stretches = [[b'{"a": 1}'], [b'{"a": 2.5, "b": "x"}'], [b'{"b": "y"}']]
    frames = [found.frame for found in rows_of(Documents(json_object, {}), stretches)]
    assert {str(frame.schema) for frame in frames} == {str(pl.Schema({"a": pl.Float64(), "b": pl.String()}))}
    assert pl.concat(frames).rows() == [(1.0, None), (2.5, "x"), (None, "y")]


def test_lines_of_csv_are_typed_by_all_of_them() -> None:
    decode = csv_lines(("id", "at", "zip"))
    stretches = [[b'1,2013-01-01T05:00:00Z,"00,501"'], [b"2.5,,00501\n3,2013-01-01T06:00:00Z,\n"], [b"1,2", b'"', b"\xff", b""]]
    found = list(rows_of(Documents(decode, {}, texts=True), stretches))
    frame = pl.concat(one.frame for one in found)
    assert frame["id"].to_list() == [1.0, 2.5, 3.0]
    assert frame["at"].dtype == pl.Datetime("us", "UTC")
    assert frame["zip"].to_list() == ["00,501", "00501", None]
    assert list(found[2].wrong) == [0, 1, 2, 3]


def test_a_message_of_csv_may_name_its_columns() -> None:
    [found] = rows_of(
        Documents(csv_lines(), {"b": pl.Int64()}, texts=True), [[b"a,b\nx,1\ny,2", b"b\n3", b"a,a\n1,2", b"a,b\n", b"b\nx"]]
    )
    assert found.frame.select("a", "b").rows() == [("x", 1), ("y", 2), (None, 3)]
    assert found.owners.to_list() == [0, 0, 1]
    assert list(found.wrong) == [2, 3, 4]


def stream(frame: pl.DataFrame) -> bytes:
    content = BytesIO()
    frame.write_ipc_stream(content)
    return content.getvalue()


def test_arrow_streams_keep_their_types() -> None:
    first = pl.DataFrame({"id": [1, 2], "zip": ["00501", None]}, schema={"id": pl.Int32, "zip": pl.Categorical})
    other = pl.DataFrame({"id": [3], "more": [0.5]}, schema={"id": pl.Int64, "more": pl.Float32})
    wide = pl.DataFrame({"id": [2**40]})
    odd = [pl.DataFrame({"id": ["x"]}), pl.DataFrame({"wind": [{"x": 1, "X": 2}]}), pl.DataFrame({"gone": [{}]})]
    messages = [
        stream(first),
        stream(other),
        stream(first),
        stream(wide),
        *map(stream, odd),
        b"ARROW1",
        b"",
        stream(first.head(0)),
    ]
    [found] = rows_of(ArrowStreams({}), [messages])
    assert found.frame.schema == {"id": pl.Int32, "zip": pl.String, "more": pl.Float32}
    assert found.frame["id"].to_list() == [1, 2, 3, 1, 2]
    assert found.owners.to_list() == [0, 0, 1, 2, 2]
    assert list(found.wrong) == [3, 4, 5, 6, 7, 8]
    assert found.wrong[3] == "the column 'id' holds '1099511627776' in row 0, and Int32 is expected"


@given(st.binary(max_size=60), st.integers(0, 600), st.integers(0, 255))
@settings(max_examples=200)
def test_broken_arrow_streams_are_told(noise: bytes, place: int, byte: int) -> None:
    good = stream(pl.DataFrame({"id": [1, 2], "zip": ["00501", None]}))
    broken = bytearray(good)
    broken[place % len(good)] = byte
    messages = [good, noise, bytes(broken), good[: place % len(good)]]
    [found] = rows_of(ArrowStreams({}), [messages])
    assert {*found.owners.to_list(), *found.wrong} <= {0, 1, 2, 3}
    assert 1 in found.wrong
    for name, dtype in found.frame.schema.items():
        assert stored_type(dtype) == dtype, name
