"""What every store of saved pipelines must do."""

from dataclasses import replace

import pytest

from modelyard.core import PageRequest, Problem
from modelyard.reactions import Metadata
from modelyard.testing import examples
from modelyard.testing.examples import CHURN, FLIGHTS
from modelyard.testing.metadata import StoreContract
from modelyard.testing.pages import through


class PipelineStoreContract(StoreContract):
    """Versions of pipelines."""

    def test_versions_come_back_whole_and_in_the_order_asked(self, metadata: Metadata) -> None:
        first, second = examples.pipeline_version(1), replace(examples.pipeline_version(2), checks=(), note="")
        with metadata.transaction() as tx:
            tx.pipelines.add(FLIGHTS, [first, second])
        with metadata.transaction() as tx:
            assert tx.pipelines.get(FLIGHTS, [("features", 2), ("features", 1)]) == [second, first]
            with pytest.raises(Problem) as told:
                tx.pipelines.get(FLIGHTS, [("features", 3)])
        assert told.value.code == "pipeline_version.missing"

    def test_a_number_is_given_once(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.pipelines.add(FLIGHTS, [examples.pipeline_version(1)])
            with pytest.raises(Problem) as told:
                tx.pipelines.add(FLIGHTS, [examples.pipeline_version(2), replace(examples.pipeline_version(1), note="other")])
            assert told.value.code == "pipeline_version.conflict"
            tx.pipelines.add(CHURN, [examples.pipeline_version(1, CHURN)])
            assert tx.pipelines.newest(FLIGHTS) == [examples.pipeline_version(1)]

    def test_the_newest_of_each_name_is_found_by_name(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            assert tx.pipelines.newest(FLIGHTS) == []
            tx.pipelines.add(FLIGHTS, [examples.pipeline_version(number) for number in (1, 2, 10)])
            tx.pipelines.add(FLIGHTS, [examples.pipeline_version(3, name="another")])
            tx.pipelines.add(CHURN, [examples.pipeline_version(11, CHURN)])
            assert [(one.name, one.number) for one in tx.pipelines.newest(FLIGHTS)] == [("another", 3), ("features", 10)]

    def test_versions_of_one_name_are_paged_newest_first(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.pipelines.add(FLIGHTS, [examples.pipeline_version(number) for number in range(1, 6)])
            tx.pipelines.add(FLIGHTS, [examples.pipeline_version(1, name="another")])
            pages = through(lambda page: tx.pipelines.versions(FLIGHTS, "features", page), 3)
            assert tx.pipelines.versions(FLIGHTS, "none", PageRequest()).items == ()
        assert [[one.number for one in items] for items in pages] == [[5, 4, 3], [2, 1]]
