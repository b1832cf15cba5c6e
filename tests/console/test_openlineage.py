"""OpenLineage with its own Python package: our events are of its classes, and its client is understood here."""

import gzip
import json
from collections import Counter
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import attr
import httpx
import msgspec
import pytest
from openlineage.client import OpenLineageClient, generated
from openlineage.client.event_v2 import InputDataset, Job, OutputDataset, Run, RunEvent, RunState
from openlineage.client.transport.http import ApiKeyTokenProvider, HttpCompression, HttpConfig, HttpTransport

from modelyard.serving.openlineage.events import KINDS, run_events
from modelyard.serving.openlineage.received import MOST_BYTES
from modelyard.tenancy.service import get_project
from tests.console.conftest import Site, viewer_token

RUN = "376ad29d-cdde-586d-ab30-f7f0e7bda45c"


def facet_classes() -> dict[str, type]:
    """Return the classes that OpenLineage makes of its facets' schemas, by the address of each."""
    modules = [import_module(f"{generated.__name__}.{one.name}") for one in iter_modules(generated.__path__)]
    found = [kind for module in modules for kind in vars(module).values() if hasattr(kind, "_get_schema")]
    return {kind._get_schema(): kind for kind in found}


def all_events(site: Site) -> list[tuple[str, list[Any]]]:
    project = get_project(site.platform, site.actor, "flights").id
    with site.platform.reading() as tx:
        facts, after = [], 0
        while page := tx.events.read(project, after=after, limit=500, kinds=KINDS):
            facts += page
            after = page[-1].position
    return [(fact.kind, events) for fact, events in run_events(site.platform, project, facts)]


def test_a_whole_life_is_told_in_the_official_form(site: Site) -> None:
    told = all_events(site)
    assert {kind for kind, _ in told} >= {
        "dataset_version.created",
        "run.started",
        "run.finished",
        "run.failed",
        "study.finished",
        "version.registered",
        "revision.made",
    }
    classes, met = facet_classes(), Counter[str]()
    for event in (event for _, events in told for event in events):
        assert msgspec.convert(event, RunEvent).schemaURL == event["schemaURL"]
        datasets = [*event["inputs"], *event["outputs"]]
        kept = [event["run"]["facets"], event["job"]["facets"], *(one["facets"] for one in datasets)]
        kept += [one.get("inputFacets", {}) for one in event["inputs"]] + [
            one.get("outputFacets", {}) for one in event["outputs"]
        ]
        for name, facet in (pair for facets in kept for pair in facets.items()):
            kind = classes[facet["_schemaURL"]]
            content = {part: value for part, value in facet.items() if not part.startswith("_")}
            assert content.keys() <= {one.name for one in attr.fields(kind)}
            msgspec.convert(content, kind)
            met[name] += 1
    assert met.keys() >= {
        "schema", "version", "columnLineage", "dataQualityMetrics", "dataQualityAssertions", "outputStatistics", "jobType",
        "processing_engine", "parent", "sourceCode", "errorMessage",
    }  # fmt: skip


def test_every_run_that_ends_has_begun_and_every_parent_is_told(site: Site) -> None:
    events = [event for _, events in all_events(site) for event in events]
    begun = {event["run"]["runId"] for event in events if event["eventType"] == "START"}
    ended = Counter(event["run"]["runId"] for event in events if event["eventType"] != "START")
    assert ended.keys() <= begun
    assert set(ended.values()) == {1}
    parents = {event["run"]["facets"]["parent"]["run"]["runId"] for event in events if "parent" in event["run"]["facets"]}
    assert parents
    assert parents <= begun


def test_features_are_told_with_the_raw_columns_that_they_come_from(site: Site) -> None:
    events = [event for _, events in all_events(site) for event in events]
    fields = [
        one["facets"]["columnLineage"]["fields"]
        for event in events
        for one in event["outputs"]
        if "columnLineage" in one["facets"]
    ]
    assert fields
    known = {
        field["name"]
        for event in events
        for one in event["inputs"]
        for field in one["facets"].get("schema", {}).get("fields", [])
    }
    for column in (column for named in fields for column in named.values()):
        assert {one["field"] for one in column["inputFields"]} <= known


def client(site: Site, compression: HttpCompression | None = None, token: str | None = None) -> OpenLineageClient:
    config = HttpConfig(
        url=site.url,
        endpoint="v1/projects/flights/lineage",
        auth=ApiKeyTokenProvider({"apiKey": token or site.token}),
        compression=compression,
        retry={"total": 0},
    )
    return OpenLineageClient(transport=HttpTransport(config))


def daily(state: RunState) -> RunEvent:
    return RunEvent(
        eventType=state,
        eventTime="2026-11-01T06:00:00+00:00",
        run=Run(RUN),
        job=Job("airflow", "daily.flights"),
        inputs=[InputDataset("postgres://db:5432", "ops.public.flights")],
        outputs=[OutputDataset("s3://lake", "in/flights")],
        producer="https://airflow.example",
    )


@pytest.mark.parametrize("compression", [None, HttpCompression.GZIP])
def test_the_standard_client_is_understood(own_site: Site, compression: HttpCompression | None) -> None:
    sender = client(own_site, compression)
    for state in (RunState.START, RunState.COMPLETE):
        sender.emit(daily(state))
    page = own_site.page("lineage?of=job:airflow/daily.flights")
    told = page.one("table").text
    assert "ops.public.flights" in told
    assert "external dataset" in told
    assert "in/flights" in told


def test_who_may_not_write_datasets_may_not_send(own_site: Site) -> None:
    with pytest.raises(Exception, match="403"):
        client(own_site, token=viewer_token(own_site)).emit(daily(RunState.START))
    assert own_site.get("lineage?of=job:airflow/daily.flights").text.count("There is no lineage") == 1


def post(site: Site, content: bytes, path: str = "", **headers: str) -> httpx.Response:
    headers = {"authorization": f"Bearer {site.token}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return site.http.post(f"/v1/projects/flights/lineage{path}", content=content, headers=headers)


def test_a_batch_is_taken_and_what_is_too_large_or_broken_is_not(own_site: Site) -> None:
    event = {
        "eventTime": "2026-11-01T06:00:00Z",
        "producer": "https://dbt.example",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/JobEvent",
        "job": {"namespace": "dbt", "name": "marts"},
        "outputs": [{"namespace": "s3://lake", "name": "marts"}],
    }
    taken = post(own_site, json.dumps([event, event]).encode(), "/batch")
    assert (taken.status_code, taken.json()) == (201, {"received": 2})
    packed = gzip.compress(json.dumps(event).encode())
    assert post(own_site, packed, content_encoding="gzip").status_code == 201
    bomb = gzip.compress(b" " * (MOST_BYTES + 1))
    answers = [
        (post(own_site, b" " * (MOST_BYTES + 1)), 413, "lineage.too_large"),
        (post(own_site, bomb, content_encoding="gzip"), 413, "lineage.too_large"),
        (post(own_site, packed[:-9], content_encoding="gzip"), 400, "lineage.invalid"),
        (post(own_site, packed + packed, content_encoding="gzip"), 400, "lineage.invalid"),
        (post(own_site, b"no gzip", content_encoding="gzip"), 400, "lineage.invalid"),
        (post(own_site, b"[]"), 400, "lineage.invalid"),
        (post(own_site, json.dumps(event).encode(), "/batch"), 400, "lineage.invalid"),
    ]
    for answer, status, code in answers:
        assert (answer.status_code, answer.json()["code"]) == (status, code)
