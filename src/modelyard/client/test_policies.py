import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from modelyard.client.connection import Connection
from modelyard.client.deployments import DeploymentClient
from modelyard.client.policies import Retrain, WrittenRule, apply, on
from modelyard.client.triggers import Trigger, schedule
from modelyard.core import Problem, ProjectId
from modelyard.reactions import ActionKind, Retraining, Rule, TriggerKind
from modelyard.serving import Deployment, DeploymentId

ALARM = Trigger(TriggerKind.ALARM, monitor="arrivals", deployment="delay")
RETRAIN = Retrain(Retraining("departures"))
DELAY = Deployment(
    DeploymentId("dep_1"), ProjectId("proj_1"), "delay", "delay", "champion", (100,), None, 0.02, "log_loss", "mem_1",
    datetime(2013, 4, 1, tzinfo=UTC),
)  # fmt: skip


class Sent:
    """Stands for the server: keeps what was sent, and answers with the policy."""

    def __init__(self) -> None:
        self.body: dict[str, Any] = {}
        self.connection = Connection(httpx.Client(transport=httpx.MockTransport(self._answer), base_url="http://127.0.0.1:1"))

    def apply(self, *rules: WrittenRule, deployment: str | None = None, name: str | None = None) -> dict[str, Any]:
        apply(self.connection, "/v1/projects/p", rules, budget="12/year", deployment=deployment, name=name, enabled=True)
        return self.body

    def _answer(self, request: httpx.Request) -> httpx.Response:
        self.body = json.loads(request.content)
        made = {"id": "pol_1", "project": "proj_1", "created_by": "mem_1", "created_at": "2013-04-01T00:00:00Z"}
        return httpx.Response(201, json={**self.body, **made})


def test_a_rule_reads_as_it_is_written() -> None:
    assert on(ALARM).do(RETRAIN).at_most("1/14d").rule() == Rule(
        TriggerKind.ALARM, ActionKind.RETRAIN, monitor="arrivals", cooldown_s=14 * 86_400
    )
    assert on(schedule("0 6 * * 1")).do(RETRAIN).rule() == Rule(TriggerKind.SCHEDULE, ActionKind.RETRAIN, cron="0 6 * * 1")


def test_a_rule_may_tell_an_address_beside_what_it_does_or_instead() -> None:
    url = "https://hooks.example/T0"
    told = on(ALARM).do(RETRAIN).notify(url).rule()
    assert (told.action, told.url) == (ActionKind.RETRAIN, url)
    assert on(ALARM).notify(url).at_most("1/day").rule() == Rule(
        TriggerKind.ALARM, ActionKind.NOTIFY, monitor="arrivals", cooldown_s=86_400, url=url
    )


def test_a_roll_back_is_named_without_calling_it() -> None:
    client = DeploymentClient(Sent().connection, "/v1/projects/p", "flights", DELAY)
    rule = on(schedule("0 6 * * 1")).do(client.roll_back)
    assert (rule.action, rule.deployment) == (ActionKind.ROLL_BACK, "delay")


def test_a_policy_is_sent_with_the_deployment_that_its_rules_are_about() -> None:
    body = Sent().apply(on(ALARM).do(RETRAIN).at_most("1/14d"), on(schedule("0 6 1,15 * *")).do(RETRAIN))
    assert (body["name"], body["deployment"], body["budget"], body["budget_s"]) == ("delay", "delay", 12, 365 * 86_400)
    assert body["retraining"] == {"dataset": "departures", "held_back_s": 604_800, "history_s": None}
    assert [rule["trigger"] for rule in body["rules"]] == ["alarm", "schedule"]


def test_a_policy_for_nobody_or_for_two_is_refused() -> None:
    rule = on(schedule("0 6 * * 1")).do(RETRAIN)
    other = on(Trigger(TriggerKind.ALARM, monitor="eu", deployment="delay-eu")).do(RETRAIN)
    with pytest.raises(Problem, match="For which deployment"):
        Sent().apply(rule)
    with pytest.raises(Problem, match="For which deployment"):
        Sent().apply(on(ALARM).do(RETRAIN), other)
    assert Sent().apply(rule, deployment="delay", name="weekly")["name"] == "weekly"


def test_two_ways_of_retraining_in_one_policy_are_refused() -> None:
    with pytest.raises(Problem, match="in one way"):
        Sent().apply(on(ALARM).do(RETRAIN), on(schedule("0 6 * * 1")).do(Retrain(Retraining("others"))))


def test_an_unfinished_or_strange_rule_is_refused() -> None:
    strange: Any = "daily"
    with pytest.raises(Problem, match="does not say what to do"):
        on(ALARM).rule()
    with pytest.raises(Problem, match="is no trigger"):
        on(strange)
    with pytest.raises(Problem, match="cannot do"):
        on(ALARM).do(strange)
    with pytest.raises(Problem, match="allows nothing"):
        on(ALARM).at_most("0/day")
