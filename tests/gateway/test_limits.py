"""A token with a limit is told so at every door, and hurts no other."""

from collections.abc import Callable, Iterator

import grpc
import httpx
import polars as pl
import pytest

from modelyard.serving import Route
from modelyard.serving.ledger import failure_table
from modelyard.tenancy import Limit
from tests.gateway import doors
from tests.gateway.control import Control
from tests.gateway.packages import flights
from tests.gateway.world import CONTROL_TOKEN, World

LIMITED = "yard_limited"
HOUR = 3600.0


def publish(world: World, limit: Limit | None) -> None:
    """Let both tokens ask, one of them so much."""
    world.publish(world.served(Route(1, 100)), limits={LIMITED: limit})


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    control = Control(CONTROL_TOKEN)
    control.start()
    made = World(tmp_path_factory.mktemp("limits"), control)
    try:
        publish(made, None)
        made.start("--grpc-port", "0")
        yield made
    finally:
        made.close()


def http(path: str, body: Callable[[World, pl.DataFrame], object]) -> Callable[[World], httpx.Response]:
    def ask(world: World) -> httpx.Response:
        with world.client(LIMITED) as client:
            return client.post(path, json=body(world, flights(1)))

    return ask


HTTP = {
    "REST": http("/v2/models/delay/infer", lambda world, rows: world.body(rows)),
    "MLflow": http("/mlflow/delay/invocations", lambda world, rows: {"dataframe_records": doors.records(world, rows)}),
    "TensorFlow": http("/v1/models/delay:predict", lambda world, rows: {"instances": doors.records(world, rows)}),
}


@pytest.mark.parametrize("door", HTTP)
def test_over_its_limit_a_token_is_told_to_wait(limited: World, door: str) -> None:
    publish(limited, Limit(requests=1 / HOUR, burst=1))
    limited.taken_up(limited.position)
    answers = [HTTP[door](limited) for _ in range(3)]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) >= 2  # the one request of this hour may have been another door's
    told = refused[-1]
    assert told.json()["code"] == "token.limited"
    assert HOUR - 60 < float(told.headers["retry-after"]) <= HOUR
    with limited.client() as client:
        assert client.post("/v2/models/delay/infer", json=limited.body(flights(1))).status_code == 200


def test_grpc_tells_it_in_its_own_words(limited: World) -> None:
    publish(limited, Limit(requests=1 / HOUR, burst=1))
    limited.taken_up(limited.position)
    asked = doors.message(doors.columns(limited, flights(1)), raw=True)
    with pytest.raises(grpc.RpcError) as told:
        for _ in range(2):
            doors.infer(limited, asked, token=LIMITED)
    assert told.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailing = dict(told.value.trailing_metadata())
    assert trailing["modelyard-code"] == "token.limited"
    assert 1000 * (HOUR - 60) < int(trailing["grpc-retry-pushback-ms"]) <= 1000 * HOUR
    doors.infer(limited, asked)


def test_rows_are_made_up_for_and_a_limit_taken_away_holds_no_more(limited: World) -> None:
    publish(limited, Limit(rows=1))
    limited.taken_up(limited.position)
    ask = http("/v2/models/delay/infer", lambda world, _rows: world.body(flights(100)))
    assert ask(limited).status_code == 200
    assert ask(limited).status_code == 429
    publish(limited, None)
    limited.taken_up(limited.position)
    assert [ask(limited).status_code for _ in range(3)] == [200] * 3


def test_what_was_refused_is_counted_and_kept(limited: World) -> None:
    publish(limited, Limit(rows=0.001))
    limited.taken_up(limited.position)
    ask = HTTP["REST"]
    before = refusals(limited)
    while ask(limited).status_code == 200:
        pass
    assert refusals(limited) == before + 1
    with limited.client() as client:
        client.post("/v1/ledger/flush").raise_for_status()
    kept = limited.table(failure_table("delay")).filter(pl.col("code") == "token.limited")
    assert set(kept["status"]) == {429}
    assert kept["requests"].sum() == before + 1


def refusals(world: World) -> int:
    """Return how many requests the gateway counted with the status 429."""
    with world.client() as client:
        lines = client.get("/metrics").text.splitlines()
    return sum(int(float(line.rpartition(" ")[2])) for line in lines if 'status="429"' in line)
