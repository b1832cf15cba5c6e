"""What every store of models must do."""

from dataclasses import replace

import pytest

from modelyard.core import PageRequest, Problem
from modelyard.reactions import Metadata
from modelyard.registry import ModelId, Origin
from modelyard.testing import examples
from modelyard.testing.examples import CHURN, FLIGHTS
from modelyard.testing.metadata import StoreContract
from modelyard.testing.pages import through


class ModelStoreContract(StoreContract):
    """Models, versions, aliases, approvals."""

    def test_models_come_back_whole_and_by_name(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.models.add(FLIGHTS, [examples.model(), examples.model("cancelled")])
        with metadata.transaction() as tx:
            assert tx.models.find(FLIGHTS) == [examples.model("cancelled"), examples.model()]

    def test_a_taken_name_is_refused_within_the_project_only(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.models.add(FLIGHTS, [examples.model()])
            with pytest.raises(Problem) as told:
                tx.models.add(FLIGHTS, [replace(examples.model(), id=ModelId("model_2"))])
            tx.models.add(CHURN, [examples.model(of=CHURN)])
        assert told.value.code == "model.exists"

    def test_versions_come_back_whole_and_in_order(self, metadata: Metadata) -> None:
        first = examples.model_version(1)
        second = replace(examples.model_version(2), slices=(), evaluations=(), metrics={}, refit_of=None, cause=None)
        with metadata.transaction() as tx:
            tx.models.add(FLIGHTS, [examples.model()])
            tx.models.add_versions(FLIGHTS, [first, second])
        with metadata.transaction() as tx:
            assert tx.models.get_versions(FLIGHTS, "delay", [2, 1]) == [second, first]
            for model, number in (("delay", 3), ("none", 1)):
                with pytest.raises(Problem) as told:
                    tx.models.get_versions(FLIGHTS, model, [number])
                assert told.value.code == "version.missing"
                assert f"{model} {number}" in told.value.what

    def test_a_version_that_was_imported_has_neither_run_nor_rows(self, metadata: Metadata) -> None:
        origin = Origin("delay.onnx", {"delay.onnx": examples.DIGEST})
        trained = examples.model_version(1)
        imported = replace(trained, number=2, run=None, recipe=None, data=None, pipeline=None, metrics={}, origin=origin)
        with metadata.transaction() as tx:
            tx.models.add(FLIGHTS, [examples.model()])
            tx.models.add_versions(FLIGHTS, [trained, imported])
        with metadata.transaction() as tx:
            assert tx.models.get_versions(FLIGHTS, "delay", [1, 2]) == [trained, imported]

    def test_a_taken_number_is_a_conflict(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.models.add(FLIGHTS, [examples.model()])
            tx.models.add_versions(FLIGHTS, [examples.model_version(1)])
            with pytest.raises(Problem) as told:
                tx.models.add_versions(FLIGHTS, [examples.model_version(2), examples.model_version(1)])
            assert told.value.code == "version.conflict"
            assert tx.models.versions(FLIGHTS, "delay", PageRequest()).items == (examples.model_version(1),)

    def test_versions_and_aliases_belong_to_a_model(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            with pytest.raises(Problem) as version:
                tx.models.add_versions(FLIGHTS, [examples.model_version()])
            with pytest.raises(Problem) as alias:
                tx.models.save_aliases(FLIGHTS, [examples.alias()])
            with pytest.raises(Problem) as approval:
                tx.models.add_approvals(FLIGHTS, [examples.approval()])
        assert [told.value.code for told in (version, alias, approval)] == ["model.missing"] * 3

    def test_evaluations_are_added_by_replacing_a_version(self, metadata: Metadata) -> None:
        first = examples.model_version(1)
        judged = replace(first, evaluations=(*first.evaluations, replace(first.evaluations[0], rows=7)))
        with metadata.transaction() as tx:
            tx.models.add(FLIGHTS, [examples.model()])
            tx.models.add_versions(FLIGHTS, [first, examples.model_version(2)])
            tx.models.save_versions(FLIGHTS, [judged])
            assert tx.models.get_versions(FLIGHTS, "delay", [1, 2]) == [judged, examples.model_version(2)]
            with pytest.raises(Problem) as told:
                tx.models.save_versions(FLIGHTS, [examples.model_version(3)])
        assert told.value.code == "version.missing"

    def test_versions_are_paged_newest_first_by_number(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.models.add(FLIGHTS, [examples.model(), examples.model("other")])
            tx.models.add_versions(FLIGHTS, [examples.model_version(number) for number in range(1, 12)])
            tx.models.add_versions(FLIGHTS, [examples.model_version(99, name="other")])
            pages = through(lambda page: tx.models.versions(FLIGHTS, "delay", page), 4)
        assert [[version.number for version in items] for items in pages] == [[11, 10, 9, 8], [7, 6, 5, 4], [3, 2, 1]]

    def test_a_key_that_is_no_number_is_refused(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx, pytest.raises(Problem) as told:
            tx.models.versions(FLIGHTS, "delay", PageRequest("x"))
        assert told.value.code == "page.invalid"

    def test_aliases_are_replaced_by_model_and_name(self, metadata: Metadata) -> None:
        moved = examples.alias(version=2)
        others = [examples.alias("challenger", version=None), examples.alias(model="another")]
        with metadata.transaction() as tx:
            tx.models.add(FLIGHTS, [examples.model(), examples.model("another")])
            tx.models.save_aliases(FLIGHTS, [examples.alias(), *others])
            tx.models.save_aliases(FLIGHTS, [moved])
            assert tx.models.aliases(FLIGHTS, "delay") == [others[0], moved]
            assert tx.models.aliases(FLIGHTS) == [others[1], others[0], moved]

    def test_approvals_come_oldest_first(self, metadata: Metadata) -> None:
        given = [examples.approval(by) for by in ("member_z", "member_a", "member_m")]
        with metadata.transaction() as tx:
            tx.models.add(FLIGHTS, [examples.model()])
            tx.models.add_approvals(FLIGHTS, [*given, examples.approval(version=2)])
            assert tx.models.approvals(FLIGHTS, "delay", 1) == given
            assert tx.models.approvals(FLIGHTS, "delay", 3) == []
