"""What every store of deployments must do."""

from dataclasses import replace

import pytest

from modelyard.core import PageRequest, Problem
from modelyard.reactions import Metadata
from modelyard.serving import DeploymentId, RolloutId, RolloutState
from modelyard.testing import examples
from modelyard.testing.examples import CHURN, FLIGHTS
from modelyard.testing.metadata import StoreContract
from modelyard.testing.pages import through


class DeploymentStoreContract(StoreContract):
    """Deployments, revisions, rollouts."""

    def test_deployments_come_back_whole_by_name_and_are_replaced(self, metadata: Metadata) -> None:
        changed = replace(examples.deployment(), canary=(100,), time=None)
        with metadata.transaction() as tx:
            tx.deployments.add(FLIGHTS, [examples.deployment(), examples.deployment("another")])
            tx.deployments.save(FLIGHTS, [changed])
        with metadata.transaction() as tx:
            assert tx.deployments.find(FLIGHTS) == [examples.deployment("another"), changed]
            with pytest.raises(Problem) as told:
                tx.deployments.save(FLIGHTS, [examples.deployment("none")])
        assert told.value.code == "deployment.missing"

    def test_a_taken_name_is_refused_within_the_project_only(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.deployments.add(FLIGHTS, [examples.deployment()])
            with pytest.raises(Problem) as told:
                tx.deployments.add(FLIGHTS, [replace(examples.deployment(), id=DeploymentId("deployment_2"))])
            tx.deployments.add(CHURN, [examples.deployment(of=CHURN)])
        assert told.value.code == "deployment.exists"

    def test_revisions_are_paged_newest_first_and_the_latest_of_all_come_at_once(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.deployments.add(FLIGHTS, [examples.deployment(name) for name in ("delay", "another", "fresh")])
            tx.deployments.add_revisions(FLIGHTS, [examples.revision(number) for number in range(1, 12)])
            tx.deployments.add_revisions(FLIGHTS, [examples.revision(1, name="another")])
            latest = tx.deployments.latest_revisions(FLIGHTS)
            pages = through(lambda page: tx.deployments.revisions(FLIGHTS, examples.deployment().id, page), 6)
        assert latest == [examples.revision(1, name="another"), examples.revision(11)]
        assert [[revision.number for revision in items] for items in pages] == [[11, 10, 9, 8, 7, 6], [5, 4, 3, 2, 1]]

    def test_a_taken_number_is_a_conflict(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.deployments.add(FLIGHTS, [examples.deployment()])
            tx.deployments.add_revisions(FLIGHTS, [examples.revision(1)])
            with pytest.raises(Problem) as told:
                tx.deployments.add_revisions(FLIGHTS, [examples.revision(1)])
        assert told.value.code == "deployment.conflict"

    def test_a_revision_belongs_to_a_deployment(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx, pytest.raises(Problem) as told:
            tx.deployments.add_revisions(FLIGHTS, [examples.revision(1)])
        assert told.value.code == "deployment.missing"

    def test_rollouts_come_back_whole_and_are_replaced(self, metadata: Metadata) -> None:
        started = replace(examples.rollout(1), judgement=None, finished_at=None, base=None)
        ended = replace(examples.rollout(1), state=RolloutState.PROMOTED)
        with metadata.transaction() as tx:
            tx.deployments.save_rollouts(FLIGHTS, [started, examples.rollout(2)])
            assert tx.deployments.get_rollouts(FLIGHTS, [started.id]) == [started]
            tx.deployments.save_rollouts(FLIGHTS, [ended])
            assert tx.deployments.get_rollouts(FLIGHTS, [examples.rollout(2).id, ended.id]) == [examples.rollout(2), ended]
            with pytest.raises(Problem) as told:
                tx.deployments.get_rollouts(FLIGHTS, [RolloutId("rollout_none")])
        assert told.value.code == "rollout.missing"

    def test_rollouts_are_picked_and_paged_newest_first(self, metadata: Metadata) -> None:
        held = replace(examples.rollout(4), state=RolloutState.HELD)
        with metadata.transaction() as tx:
            tx.deployments.save_rollouts(
                FLIGHTS, [*(examples.rollout(n) for n in (1, 2, 3)), held, examples.rollout(5, name="another")]
            )
            by = examples.deployment().id
            pages = through(lambda page: tx.deployments.rollouts(FLIGHTS, page, deployment=by), 3)
            running = tx.deployments.rollouts(FLIGHTS, PageRequest(), states=[RolloutState.RUNNING]).items
            both = tx.deployments.rollouts(FLIGHTS, PageRequest(), deployment=by, states=[RolloutState.HELD]).items
        assert [[rollout.id[-1] for rollout in items] for items in pages] == [["4", "3", "2"], ["1"]]
        assert [rollout.id[-1] for rollout in running] == ["5", "3", "2", "1"]
        assert both == (held,)
