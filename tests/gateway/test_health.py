"""gRPC's own health protocol, asked by its own client."""

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from modelyard.gateway.messages import SERVICE
from modelyard.serving import Route
from tests.gateway.world import World

TIMEOUT_S = 30.0
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


def check(world: World, service: str = "") -> int:
    with grpc.insecure_channel(world.grpc) as channel:
        return int(HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=TIMEOUT_S).status)


def test_a_gateway_with_a_catalogue_serves(shared: World) -> None:
    assert (check(shared), check(shared, SERVICE)) == (SERVING, SERVING)


def test_an_unknown_service_is_not_found_and_a_watcher_of_it_waits(shared: World) -> None:
    with pytest.raises(grpc.RpcError) as told:
        check(shared, "inference.Other")
    assert told.value.code() is grpc.StatusCode.NOT_FOUND
    with grpc.insecure_channel(shared.grpc) as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest(service="inference.Other"), timeout=TIMEOUT_S)
        assert next(watch).status == HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()


def test_a_watcher_hears_when_it_begins_and_when_it_ends_to_serve(world: World) -> None:
    world.start("--grpc-port", "0")  # there is no catalogue yet
    assert check(world) == NOT_SERVING
    with grpc.insecure_channel(world.grpc) as channel:
        watch = HealthStub(channel).Watch(HealthCheckRequest(), timeout=TIMEOUT_S)
        assert next(watch).status == NOT_SERVING
        world.publish(world.served(Route(1, 100)))
        assert next(watch).status == SERVING
        assert world.stop() == 0
        assert [one.status for one in watch] == [NOT_SERVING]
