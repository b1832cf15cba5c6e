"""Events of others: ours and the classes that OpenLineage makes of its schema take and refuse the same."""

from copy import deepcopy
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from openlineage.client.generated import base

from modelyard.core import Problem
from modelyard.serving.openlineage.received import MOST_EVENTS, checked_event, decode_events

FACET = {"_producer": "https://spark.example", "_schemaURL": "https://openlineage.io/spec/facets/1-0-1/X.json"}
EVENT: dict[str, Any] = {
    "eventType": "COMPLETE",
    "eventTime": "2026-11-01T06:00:00.000Z",
    "producer": "https://spark.example/3.5",
    "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
    "run": {"runId": "376ad29d-cdde-586d-ab30-f7f0e7bda45c", "facets": {"one": FACET}},
    "job": {"namespace": "spark", "name": "daily.orders", "facets": {}},
    "inputs": [
        {"namespace": "postgres://db:5432", "name": "shop.public.orders", "facets": {"schema": {**FACET, "fields": []}}}
    ],
    "outputs": [{"namespace": "s3://lake", "name": "in", "outputFacets": {}}],
}
PLACES: list[tuple[str | int, ...]] = [
    ("eventType",),
    ("eventTime",),
    ("producer",),
    ("run",),
    ("run", "runId"),
    ("run", "facets"),
    ("job",),
    ("job", "namespace"),
    ("job", "name"),
    ("inputs",),
    ("inputs", 0),
    ("inputs", 0, "name"),
    ("inputs", 0, "facets"),
    ("outputs", 0, "namespace"),
    ("outputs", 0, "outputFacets"),
]
VALUES = st.one_of(
    st.integers(), st.booleans(), st.floats(allow_nan=False), st.lists(st.integers(), min_size=1, max_size=2),
    st.dictionaries(st.text("abc", min_size=1), st.integers(), min_size=1, max_size=2), st.sampled_from(sorted(FACET)),
    st.sampled_from(["START", "RUNNING", "FAIL", "SOMETIME", "2026-11-01T06:00:00Z", "yesterday", "x"]), st.uuids().map(str),
)  # fmt: skip


def theirs(event: dict[str, Any]) -> bool:
    try:
        msgspec.convert(event, base.RunEvent)
    except msgspec.ValidationError:
        return False
    return True


def ours(event: dict[str, Any]) -> bool:
    try:
        checked_event(event)
    except Problem as problem:
        assert problem.code == "lineage.invalid"
        return False
    return True


@given(st.sampled_from(PLACES), VALUES)
def test_an_event_with_another_value_somewhere_is_taken_where_the_specification_takes_it(
    place: tuple[str | int, ...], value: Any
) -> None:
    event: Any = deepcopy(EVENT)
    within = event
    for part in place[:-1]:
        within = within[part]
    within[place[-1]] = value
    assert ours(event) == theirs(event)


@pytest.mark.parametrize("place", [place for place in PLACES if isinstance(place[-1], str)])
def test_an_event_that_lacks_something_is_taken_where_the_specification_takes_it(place: tuple[str | int, ...]) -> None:
    event: Any = deepcopy(EVENT)
    within = event
    for part in place[:-1]:
        within = within[part]
    del within[place[-1]]
    if place == ("run",):  # what is left is a job event, which has no state
        del event["eventType"]
        msgspec.convert(event, base.JobEvent)
        assert ours(event)
    elif place == ("producer",):  # their class would fill it in
        assert not ours(event)
    else:
        assert ours(event) == theirs(event)


def test_a_dataset_event_is_taken() -> None:
    event = {**{name: EVENT[name] for name in ("eventTime", "producer", "schemaURL")}, "dataset": EVENT["outputs"][0]}
    msgspec.convert(event, base.DatasetEvent)
    assert ours(event)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"job": {"namespace": "spark"}}, "missing required field `name` - at `$.job`"),
        ({"run": {"runId": "seven"}}, "$.run.runId"),
        ({"inputs": [{"namespace": "file", "name": "a\x00b"}]}, "$.inputs[0].name"),
        ({"inputs": [{"namespace": "file", "name": "a" * 2_001}]}, "$.inputs[0].name"),
        ({"producer": "a\x00b"}, "$.producer"),
        ({"run": {"runId": EVENT["run"]["runId"], "facets": {"one": {"fields": []}}}}, "_producer"),
    ],
)
def test_a_refusal_tells_what_in_the_event_is_wrong(change: dict[str, Any], why: str) -> None:
    with pytest.raises(Problem) as told:
        checked_event({**EVENT, **change})
    assert told.value.code == "lineage.invalid"
    assert why in told.value.why


def test_a_body_that_is_no_event_or_no_batch_is_refused() -> None:
    wrong = (
        (b"{", False),
        (b'{"a": 1}', True),
        (b"[" * 100_000, False),
        (b"\xff", False),
        (b'{"a": "\\ud800"}', False),
        (b"[" + b"1," * MOST_EVENTS + b"1]", True),
    )
    for content, batch in wrong:
        with pytest.raises(Problem) as told:
            decode_events(content, batch=batch)
        assert told.value.code == "lineage.invalid"


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_that_no_moment_in_utc_is_is_refused(moment: str) -> None:
    with pytest.raises(Problem, match="beyond the calendar") as told:
        checked_event({**EVENT, "eventTime": moment})
    assert told.value.code == "lineage.invalid"
