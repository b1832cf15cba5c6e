"""OpenLineage on a real platform: what is sent, in which order, and what others' events come to in the graph."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import pytest

from modelyard.core import PageRequest, Problem, ProjectId
from modelyard.data import Check, Parent
from modelyard.data.service import append, create_dataset
from modelyard.data.snapshots import snapshot
from modelyard.jobs.lease import fail, finish, take
from modelyard.jobs.service import submit
from modelyard.serving.lineage import lineage
from modelyard.serving.openlineage.events import exported
from modelyard.serving.openlineage.received import receive
from modelyard.tenancy import Actor
from modelyard.tenancy.service import create_project, local_owner
from modelyard.wiring import Platform, open_platform, read_settings
from modelyard.wiring.openlineage import LineageSender, open_sender
from tests.data.place import flights
from tests.listening import Quiet, listening

FACETS = {"_producer": "https://spark.example", "_schemaURL": "https://openlineage.io/x.json"}


@pytest.fixture
def platform(tmp_path: Path, metadata_url: str) -> Iterator[Platform]:
    settings = read_settings(home=tmp_path / "home", environment={"MODELYARD_METADATA": metadata_url}, folder=tmp_path)
    opened = open_platform(settings)
    yield opened
    opened.close()


@pytest.fixture
def actor(platform: Platform) -> Actor:
    return local_owner(platform)


@pytest.fixture
def project(platform: Platform, actor: Actor) -> ProjectId:
    return create_project(platform, actor, "shop").id


def orders(platform: Platform, actor: Actor, project: ProjectId, name: str = "orders", **rest: Any) -> None:
    create_dataset(platform, actor, project, name, key=("flight_id",), time="departs_at", **rest)


def event(job: str, inputs: list[tuple[str, str]], outputs: list[tuple[str, str]], state: str = "COMPLETE") -> dict[str, Any]:
    return {
        "eventType": state,
        "eventTime": "2026-11-01T06:00:00Z",
        "producer": "https://spark.example",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": "376ad29d-cdde-586d-ab30-f7f0e7bda45c", "facets": {"x": FACETS}},
        "job": {"namespace": "spark", "name": job},
        "inputs": [{"namespace": one, "name": name} for one, name in inputs],
        "outputs": [{"namespace": one, "name": name} for one, name in outputs],
    }


# Out


def test_a_version_is_told_with_where_its_rows_came_from_and_what_its_checks_found(
    platform: Platform, actor: Actor, project: ProjectId
) -> None:
    orders(platform, actor, project, checks=[Check("between", ("delay",), {"low": 0, "high": 3})], stop_share=0.5)
    append(platform, actor, project, "orders", flights(0, 10), parents=[Parent("source", "s3://lake/in.csv?key=hidden")])
    told = exported(platform, actor, project, PageRequest()).items
    assert [(one["eventType"], one["job"]["name"]) for one in told] == [
        ("START", "dataset.take_in.orders"),
        ("COMPLETE", "dataset.take_in.orders"),
        ("START", "dataset.check.orders"),
        ("COMPLETE", "dataset.check.orders"),
    ]
    taken, checked = told[1], told[3]
    assert [(one["namespace"], one["name"]) for one in taken["inputs"]] == [("s3://lake", "in.csv")]
    [output] = taken["outputs"]
    assert (output["namespace"], output["name"]) == ("modelyard://local/shop", "dataset/orders")
    assert output["facets"]["version"]["datasetVersion"] == "1"
    assert [one["name"] for one in output["facets"]["schema"]["fields"]] == ["flight_id", "departs_at", "origin", "delay"]
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 7
    assert checked["run"]["facets"]["parent"]["run"]["runId"] == taken["run"]["runId"]
    found = checked["inputs"][0]["inputFacets"]
    failed = [one for one in found["dataQualityAssertions"]["assertions"] if not one["success"]]
    assert [(one["assertion"], one["column"], one["actual"]) for one in failed] == [("between", "delay", "3 rows")]
    delay = found["dataQualityMetrics"]["columnMetrics"]["delay"]
    assert (delay["nullCount"], delay["count"], delay["min"], delay["max"]) == (0, 7, 0.0, 3.0)
    assert "hidden" not in json.dumps(told)


def test_a_batch_that_is_stopped_is_a_run_that_failed(platform: Platform, actor: Actor, project: ProjectId) -> None:
    orders(platform, actor, project, checks=[Check("between", ("delay",), {"low": 100, "high": 200})])
    append(platform, actor, project, "orders", flights(0, 10))
    start, end = exported(platform, actor, project, PageRequest()).items
    assert (start["eventType"], end["eventType"]) == ("START", "FAIL")
    assert start["run"]["runId"] == end["run"]["runId"]
    assert "between(delay" in end["run"]["facets"]["errorMessage"]["message"]


def test_a_batch_that_is_scored_is_told_with_its_rows_and_where_the_answers_lie(
    platform: Platform, actor: Actor, project: ProjectId
) -> None:
    source, target = {"kind": "url", "ref": "s3://lake/in/*.parquet?key=hidden"}, {"kind": "url", "ref": "s3://lake/out"}
    asked = {"model": "churn@champion", "source": source, "target": target}
    told = {"model": "churn", "version": 7, "rows": 120}
    for payload in (asked, {**asked, "source": {"kind": "dataset", "ref": "orders@3"}}, {"model": "churn"}):
        submit(platform, actor, project, kind="model.score", title="score", payload=payload, max_attempts=1)
    for number in range(3):
        lease = take(platform, "worker", lease_s=60)
        assert lease is not None
        if number == 0:
            finish(platform, lease, told)
        else:
            fail(platform, lease, Problem("model.missing", "There is no churn", "nobody made it"))
    events = exported(platform, actor, project, PageRequest()).items
    assert [(one["eventType"], one["job"]["name"]) for one in events] == [
        ("START", "model.score.churn"),
        ("COMPLETE", "model.score.churn"),
        ("START", "model.score.churn"),
        ("FAIL", "model.score.churn"),
    ], "what names no rows is no scoring"
    done, failed = events[1], events[3]
    assert [(one["namespace"], one["name"]) for one in done["inputs"]] == [
        ("modelyard://local/shop", "model/churn"),
        ("s3://lake", "in/*.parquet"),
    ]
    assert done["inputs"][0]["facets"]["version"]["datasetVersion"] == "7"
    assert [(one["name"], one["outputFacets"]["outputStatistics"]["rowCount"]) for one in done["outputs"]] == [("out", 120)]
    assert failed["run"]["facets"]["errorMessage"]["message"] == "There is no churn: nobody made it"
    assert failed["inputs"][1]["facets"]["version"]["datasetVersion"] == "3"
    assert "hidden" not in json.dumps(events)


def test_what_is_exported_goes_by_pages_and_by_time(platform: Platform, actor: Actor, project: ProjectId) -> None:
    orders(platform, actor, project)
    for start in (0, 3, 6):
        append(platform, actor, project, "orders", flights(start, start + 3))
    whole = exported(platform, actor, project, PageRequest()).items
    first = exported(platform, actor, project, PageRequest(limit=2))
    second = exported(platform, actor, project, PageRequest(first.next_key, 2))
    assert (*first.items, *second.items) == whole
    assert second.next_key is None
    after = platform.clock()
    append(platform, actor, project, "orders", flights(9, 12))
    assert {one["inputs"][0]["facets"]["version"]["datasetVersion"] for one in exported(
        platform, actor, project, PageRequest(), since=after
    ).items if one["inputs"]} == {"4"}  # fmt: skip
    with pytest.raises(Problem, match="no key"):
        exported(platform, actor, project, PageRequest("next"))


class Receiver:
    """Takes events, or fails as it is told."""

    def __init__(self) -> None:
        self.taken: list[dict[str, Any]] = []
        self.problems: list[Problem] = []

    def __call__(self, content: bytes) -> None:
        if self.problems:
            raise self.problems.pop()
        self.taken.append(json.loads(content))


def test_events_are_sent_once_each_and_in_order(platform: Platform, actor: Actor, project: ProjectId) -> None:
    orders(platform, actor, project)
    append(platform, actor, project, "orders", flights(0, 3))
    receiver = Receiver()
    sender = LineageSender(platform, receiver)
    assert (sender.send_all(), sender.send_all()) == (4, 0)
    append(platform, actor, project, "orders", flights(3, 6))
    assert LineageSender(platform, receiver).send_all() == 4, "where it stood is kept"
    assert receiver.taken == list(exported(platform, actor, project, PageRequest()).items)


def test_what_nobody_takes_waits_and_goes_out_later(platform: Platform, actor: Actor, project: ProjectId) -> None:
    orders(platform, actor, project)
    for start in (0, 3):
        append(platform, actor, project, "orders", flights(start, start + 3))
    receiver = Receiver()
    sender = LineageSender(platform, receiver)
    receiver.problems = [Problem("lineage.unavailable", "away")]
    with pytest.raises(Problem, match="away"):
        sender.send_all()
    assert sender.send_all() == 8
    assert receiver.taken == list(exported(platform, actor, project, PageRequest()).items)


def test_an_event_that_the_receiver_refuses_holds_up_none_after_it(
    platform: Platform, actor: Actor, project: ProjectId
) -> None:
    orders(platform, actor, project)
    append(platform, actor, project, "orders", flights(0, 3))
    receiver = Receiver()
    receiver.problems = [Problem("lineage.refused", "no")]
    LineageSender(platform, receiver).send_all()
    assert [one["eventType"] for one in receiver.taken] == ["COMPLETE", "START", "COMPLETE"]


def test_a_fact_whose_content_is_lost_holds_up_none_after_it(platform: Platform, actor: Actor, project: ProjectId) -> None:
    orders(platform, actor, project)
    lost = append(platform, actor, project, "orders", flights(0, 3)).version
    append(platform, actor, project, "orders", flights(3, 6))
    assert lost is not None
    digest = lost.profile.rpartition(":")[2]
    [path] = [one for one in platform.settings.home.joinpath("objects").rglob("*") if digest in str(one) and one.is_file()]
    path.unlink()
    receiver = Receiver()
    assert LineageSender(platform, receiver).send_all() == 4
    assert {one["outputs"][0]["facets"]["version"]["datasetVersion"] for one in receiver.taken if one["outputs"]} == {"2"}


def test_events_reach_a_server_with_the_token_of_its_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, actor: Actor, platform: Platform, project: ProjectId
) -> None:
    heard: list[tuple[str, str | None, dict[str, Any]]] = []

    class Server(Quiet):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["content-length"]))
            heard.append((self.path, self.headers["authorization"], json.loads(content)))
            self.send_response(503 if len(heard) == 1 else 201)
            self.send_header("content-length", "0")
            self.end_headers()

    orders(platform, actor, project)
    append(platform, actor, project, "orders", flights(0, 3))
    with listening(Server) as url:
        monkeypatch.setenv("MODELYARD_SECRET_MARQUEZ", url.replace("://", "://any:t0ken@"))
        sender = opened_sender(tmp_path, f"{url}/api/v1/lineage?secret=MARQUEZ&of=us", platform)
        with pytest.raises(Problem, match="503"):
            sender.send_all()
        assert sender.send_all() == 4
    assert {(path, token) for path, token, _ in heard} == {("/api/v1/lineage?of=us", "Bearer t0ken")}
    assert [one["eventType"] for _, _, one in heard] == ["START", "START", "COMPLETE", "START", "COMPLETE"]


def test_events_go_to_a_file_until_the_end(tmp_path: Path, actor: Actor, platform: Platform, project: ProjectId) -> None:
    sender = opened_sender(tmp_path, f"file://{tmp_path}/out.ndjson", platform)
    stop = Flag()
    thread = Thread(target=sender.run, args=(stop,))
    thread.start()
    orders(platform, actor, project)
    append(platform, actor, project, "orders", flights(0, 3))
    stop.set()
    thread.join()
    lines = (tmp_path / "out.ndjson").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["job"]["name"] for line in lines[::2]] == ["dataset.take_in.orders", "dataset.check.orders"]


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("ftp://lineage.example/x", "adapter.missing"),
        ("https://", "settings.invalid"),
        ("https://ann:hidden@lineage.example/", "settings.invalid"),
        ("https://lineage.example/?secret=NOBODY", "secret.missing"),
        ("file:///nowhere/at/all.ndjson", "settings.invalid"),
    ],
)
def test_a_receiver_that_cannot_be_is_told_at_the_start(tmp_path: Path, platform: Platform, url: str, code: str) -> None:
    with pytest.raises(Problem) as told:
        opened_sender(tmp_path, url, platform)
    assert told.value.code == code
    assert "hidden" not in str(told.value)


def test_nobody_is_told_where_no_receiver_is_set(platform: Platform) -> None:
    assert open_sender(platform) is None


def opened_sender(folder: Path, url: str, platform: Platform) -> LineageSender:
    settings = replace(platform.settings, openlineage=url)
    found = open_sender(replace(platform, settings=settings))
    assert found is not None
    return found


# In


def test_others_jobs_and_datasets_are_joined_to_ours_by_name(
    tmp_path: Path, platform: Platform, actor: Actor, project: ProjectId
) -> None:
    for name in ("a", "b"):
        (tmp_path / "in").mkdir(exist_ok=True)
        rows = flights(0, 3) if name == "a" else flights(3, 6)
        rows.write_parquet(tmp_path / "in" / f"{name}.parquet")
    orders(platform, actor, project, source=f"{(tmp_path / 'in').as_uri()}/*.parquet")
    snapshot(platform, actor, project, "orders")
    folder, table = ("file", f"{tmp_path}/in"), ("postgres://db:5432", "shop.public.orders")
    mine = ("modelyard://local/shop", "dataset/orders")
    sent = [
        event("daily", [table], [folder]),
        event("one_file", [], [("file", f"{tmp_path}/in/a.parquet")]),
        event("report", [mine], [("s3://reports", "daily")]),
        event("broken", [table], [("s3://reports", "never")], "FAIL"),
    ]
    assert receive(platform, actor, project, sent) == 4
    assert receive(platform, actor, project, sent[:1]) == 1, "a sender may say it again"
    graph = lineage(platform, actor, project, "dataset:orders@1")
    names = {node.id: node.told for node in graph.nodes}
    ways = {(names[one.source], names[one.target]) for one in graph.edges}
    assert {
        ("shop.public.orders", "daily"),
        ("daily", f"{tmp_path}/in"),
        (f"{tmp_path}/in", "*.parquet"),
        (f"{tmp_path}/in", "a.parquet"),
        ("one_file", "a.parquet"),
        ("orders v1", "report"),
        ("report", "daily"),
    } <= ways
    assert len(graph.edges) == len(set(graph.edges))
    down = lineage(platform, actor, project, "source:postgres://db:5432/shop.public.orders", up=False)
    assert "orders v1" in {node.told for node in down.nodes}
    assert "s3://reports/never" not in {node.id.partition(":")[2] for node in down.nodes}
    assert lineage(platform, actor, project, "job:spark/report", hops=1).nodes[0].kind == "external_job"


def test_all_events_of_a_batch_are_kept_or_none(platform: Platform, actor: Actor, project: ProjectId) -> None:
    wrong = event("second", [], [])
    del wrong["job"]["name"]
    with pytest.raises(Problem) as told:
        receive(platform, actor, project, [event("first", [], []), wrong])
    assert told.value.what.startswith("Event 2 of 2 ")
    with pytest.raises(Problem) as told:
        lineage(platform, actor, project, "job:spark/first")
    assert told.value.code == "lineage.missing"


def test_what_was_sent_is_kept_whole(platform: Platform, actor: Actor, project: ProjectId) -> None:
    sent = event("daily", [], [])
    receive(platform, actor, project, [sent])
    with platform.reading() as tx:
        [fact] = tx.events.read(project, kinds=["lineage.received"])
    assert fact.subject == "spark/daily"
    [content] = platform.objects.get(project, [fact.data["content"]])
    assert json.loads(content) == sent
