"""Lineage among dataset versions."""

import pytest

from modelyard.core import Problem
from modelyard.data import DatasetVersion, Parent
from modelyard.data.lineage import Graph
from modelyard.serving.lineage import lineage
from modelyard.tenancy.service import create_project
from tests.data.place import Place, flights, made


def grown(place: Place, name: str, *parents: DatasetVersion | Parent) -> DatasetVersion:
    place.dataset(name)
    told = [Parent("dataset_version", one.id) if isinstance(one, DatasetVersion) else one for one in parents]
    return made(place.append(flights(0, 2), name, told))


def names(graph: Graph) -> tuple[list[str], set[tuple[str, str]]]:
    known = {node.id: node.told for node in graph.nodes}
    return [node.told for node in graph.nodes], {(known[edge.source], known[edge.target]) for edge in graph.edges}


def of(place: Place, version: DatasetVersion, hops: int = 2) -> tuple[list[str], set[tuple[str, str]]]:
    return names(lineage(place.ports, place.actor, place.project, f"dataset:{version.id}", hops=hops))


def test_lineage_goes_up_and_down_as_far_as_asked(place: Place) -> None:
    raw = Parent("source", "file:///flights.csv", "flights.csv")
    a = grown(place, "a", raw)
    b = grown(place, "b")
    c = grown(place, "c", a, b)
    d = grown(place, "d", c)
    grown(place, "sibling", a)
    e = grown(place, "e", d, Parent("ledger", "ledger/delay"))
    assert of(place, c, 1) == (["c v1", "a v1", "b v1", "d v1"], {("a v1", "c v1"), ("b v1", "c v1"), ("c v1", "d v1")})
    nodes, edges = of(place, c)
    assert nodes == ["c v1", "a v1", "b v1", "flights.csv", "d v1", "e v1"]
    assert edges == {("flights.csv", "a v1"), ("a v1", "c v1"), ("b v1", "c v1"), ("c v1", "d v1"), ("d v1", "e v1")}
    assert of(place, e, 1)[0] == ["e v1", "d v1", "ledger/delay"]
    assert of(place, a, 0) == (["a v1"], set())
    kinds = {node.told: node.kind for node in lineage(place.ports, place.actor, place.project, "dataset:e@1", hops=2).nodes}
    assert kinds == {"e v1": "dataset_version", "d v1": "dataset_version", "ledger/delay": "ledger", "c v1": "dataset_version"}


def test_a_thing_that_is_reached_on_two_ways_is_one_node(place: Place) -> None:
    a = grown(place, "a")
    b = grown(place, "b", a)
    c = grown(place, "c", a, b)
    nodes, edges = of(place, c)
    assert nodes == ["c v1", "a v1", "b v1"]
    assert edges == {("a v1", "c v1"), ("b v1", "c v1"), ("a v1", "b v1")}
    assert of(place, a) == (["a v1", "b v1", "c v1"], edges)


def test_what_is_not_there_or_another_projects_is_missing(place: Place) -> None:
    grown(place, "a")
    other = create_project(place.ports, place.actor, "churn").id
    for project, of_ in ((place.project, "dataset:dsv_none"), (other, "dataset:a@1"), (place.project, "prediction:x")):
        with pytest.raises(Problem) as told:
            lineage(place.ports, place.actor, project, of_)
        assert told.value.code == "lineage.missing"
    for form in ("a@1", "row:7", "dataset:", ""):
        with pytest.raises(Problem) as told:
            lineage(place.ports, place.actor, place.project, form)
        assert told.value.code == "lineage.invalid"


def test_what_came_of_a_file_is_in_every_later_version(place: Place) -> None:
    for name, rows in (("january", flights(0, 5)), ("february", flights(5, 9))):
        rows.write_parquet(place.folder / f"{name}.parquet")
        if name == "january":
            place.dataset(source=f"{place.folder.as_uri()}/*.parquet")
        place.snapshot()
    place.append(flights(9, 12))
    grown(place, "derived", place.version("flights@2"))
    down = lineage(place.ports, place.actor, place.project, "file:february.parquet", up=False)
    assert names(down)[0] == ["february.parquet", "flights v2", "flights v3", "derived v1"]
    up = lineage(place.ports, place.actor, place.project, "dataset:derived", down=False)
    assert set(names(up)[0]) == {"derived v1", "flights v2", "flights v1", "*.parquet", "january.parquet", "february.parquet"}


def test_a_column_is_followed_through_versions_that_have_it(place: Place) -> None:
    place.dataset()
    first = made(place.append(flights(0, 2)))
    place.append(flights(2, 4).with_columns(gate=1))
    grown(place, "derived", first)
    graph = lineage(place.ports, place.actor, place.project, "dataset:flights@2", column="gate")
    assert names(graph)[0] == ["flights v2"]
