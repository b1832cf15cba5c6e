"""What every store of policies must do."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier

import pytest

from modelyard.core import PageRequest, Problem
from modelyard.reactions import ActionKind, DecisionId, Metadata
from modelyard.testing import examples
from modelyard.testing.examples import ANN, CHURN, FLIGHTS, NOON
from modelyard.testing.metadata import TIMEOUT_S, StoreContract
from modelyard.testing.pages import through


class PolicyStoreContract(StoreContract):
    """Policies and decisions."""

    def test_policies_come_back_whole_by_name_and_are_replaced_by_name(self, metadata: Metadata) -> None:
        bare = replace(examples.policy(), rules=(), retraining=None, enabled=False, state={})
        with metadata.transaction() as tx:
            tx.policies.save(FLIGHTS, [examples.policy(), examples.policy("another")])
            assert tx.policies.find(FLIGHTS) == [examples.policy("another"), examples.policy()]
            tx.policies.save(FLIGHTS, [bare])
        with metadata.transaction() as tx:
            assert tx.policies.find(FLIGHTS) == [examples.policy("another"), bare]

    def test_decisions_come_back_whole_and_in_order(self, metadata: Metadata) -> None:
        by_hand = replace(examples.decision(2), policy=None, version=None, evidence={}, by=ANN)
        with metadata.transaction() as tx:
            tx.policies.add_decisions(FLIGHTS, [examples.decision(1), by_hand])
            assert tx.policies.get_decisions(FLIGHTS, [by_hand.id, examples.decision(1).id]) == [by_hand, examples.decision(1)]
            with pytest.raises(Problem) as told:
                tx.policies.get_decisions(FLIGHTS, [DecisionId("decision_none")])
        assert told.value.code == "decision.missing"

    def test_one_cause_has_one_retraining(self, metadata: Metadata) -> None:
        retrain = examples.decision(1, action=ActionKind.RETRAIN)
        with metadata.transaction() as tx:
            tx.policies.add_decisions(FLIGHTS, [retrain, examples.decision(2), examples.decision(3)])
            with pytest.raises(Problem) as told:
                tx.policies.add_decisions(FLIGHTS, [examples.decision(5), examples.decision(4, action=ActionKind.RETRAIN)])
            assert told.value.code == "decision.conflict"
            tx.policies.add_decisions(FLIGHTS, [examples.decision(6, action=ActionKind.RETRAIN, cause="alert_2")])
            tx.policies.add_decisions(CHURN, [replace(retrain, project=CHURN)])
            found = tx.policies.decisions(FLIGHTS, PageRequest()).items
        assert [decision.id[-1] for decision in found] == ["6", "3", "2", "1"]

    def test_of_many_who_retrain_for_one_cause_at_once_one_does(self, metadata: Metadata) -> None:
        together = Barrier(4)

        def retrain(number: int) -> bool:
            together.wait(TIMEOUT_S)
            try:
                with metadata.transaction() as tx:
                    tx.policies.add_decisions(FLIGHTS, [examples.decision(number, action=ActionKind.RETRAIN)])
            except Problem as problem:
                assert problem.code == "decision.conflict"
                return False
            return True

        with ThreadPoolExecutor(4) as threads:
            assert sum(threads.map(retrain, range(4))) == 1

    def test_a_decision_is_undone_by_replacing_it(self, metadata: Metadata) -> None:
        undone = replace(examples.decision(1, action=ActionKind.RETRAIN), undone_at=NOON, undone_by=ANN)
        with metadata.transaction() as tx:
            tx.policies.add_decisions(FLIGHTS, [examples.decision(1, action=ActionKind.RETRAIN), examples.decision(2)])
            tx.policies.save_decisions(FLIGHTS, [undone])
            assert tx.policies.get_decisions(FLIGHTS, [undone.id, examples.decision(2).id]) == [undone, examples.decision(2)]
            with pytest.raises(Problem) as told:
                tx.policies.save_decisions(FLIGHTS, [examples.decision(3)])
        assert told.value.code == "decision.missing"

    def test_decisions_are_picked_and_paged_newest_first(self, metadata: Metadata) -> None:
        decisions = [examples.decision(number, action=list(ActionKind)[number], cause=f"alert_{number}") for number in range(5)]
        decisions.append(replace(examples.decision(5), deployment="another"))
        with metadata.transaction() as tx:
            tx.policies.add_decisions(FLIGHTS, decisions)
            pages = through(lambda page: tx.policies.decisions(FLIGHTS, page, deployment="delay"), 3)
            picked = tx.policies.decisions(FLIGHTS, PageRequest(), actions=[ActionKind.RETRAIN, ActionKind.REFUSE]).items
            recent = tx.policies.decisions(FLIGHTS, PageRequest(), since=NOON + timedelta(minutes=4)).items
        assert [[decision.id[-1] for decision in items] for items in pages] == [["4", "3", "2"], ["1", "0"]]
        assert picked == (decisions[2], decisions[0])
        assert recent == (decisions[5], decisions[4])
