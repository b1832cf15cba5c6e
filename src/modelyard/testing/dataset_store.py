"""What every catalogue of datasets must do."""

from dataclasses import replace

import pytest

from modelyard.core import PageRequest, Problem
from modelyard.data import DatasetId, DatasetVersionId
from modelyard.reactions import Metadata
from modelyard.testing import examples
from modelyard.testing.examples import CHURN, FLIGHTS
from modelyard.testing.metadata import StoreContract
from modelyard.testing.pages import through


class DatasetStoreContract(StoreContract):
    """Datasets and their versions."""

    def test_datasets_come_back_whole_and_by_name(self, metadata: Metadata) -> None:
        bare = replace(examples.dataset("airports"), time=None, source=None, checks=(), key=(), stop_share=0.1)
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset(), bare])
        with metadata.transaction() as tx:
            assert tx.datasets.find(FLIGHTS) == [bare, examples.dataset()]

    def test_a_taken_name_is_refused_within_the_project_only(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset()])
            with pytest.raises(Problem) as told:
                tx.datasets.add(FLIGHTS, [replace(examples.dataset(), id=DatasetId("dataset_2"))])
            tx.datasets.add(CHURN, [examples.dataset(of=CHURN)])
        assert told.value.code == "dataset.exists"
        assert "'weather'" in told.value.what

    def test_of_a_refused_batch_nothing_is_kept(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            with pytest.raises(Problem):
                tx.datasets.add(FLIGHTS, [examples.dataset("planes"), examples.dataset(), examples.dataset()])
            assert tx.datasets.find(FLIGHTS) == []

    def test_a_dataset_is_replaced_by_id(self, metadata: Metadata) -> None:
        changed = replace(examples.dataset(), source="s3://lake/weather/*.parquet", checks=())
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset(), examples.dataset("planes")])
            tx.datasets.save(FLIGHTS, [changed])
            tx.datasets.save(FLIGHTS, [])
            assert tx.datasets.find(FLIGHTS) == [examples.dataset("planes"), changed]

    def test_an_unknown_dataset_cannot_be_replaced(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset()])
            with pytest.raises(Problem) as told:
                tx.datasets.save(FLIGHTS, [examples.dataset(), examples.dataset("planes")])
        assert told.value.code == "dataset.missing"
        assert "dataset_planes" in told.value.what

    def test_versions_come_back_whole_and_in_order(self, metadata: Metadata) -> None:
        first = examples.dataset_version(1)
        second = replace(examples.dataset_version(2), event_from=None, event_until=None, parents=(), outcomes=(), note="")
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset()])
            tx.datasets.add_versions(FLIGHTS, [first, second])
        with metadata.transaction() as tx:
            assert tx.datasets.get_versions(FLIGHTS, [second.id, first.id]) == [second, first]
            with pytest.raises(Problem) as told:
                tx.datasets.get_versions(FLIGHTS, [first.id, DatasetVersionId("version_none")])
        assert told.value.code == "dataset.missing"

    def test_a_dropped_version_is_saved_and_an_unknown_one_is_missing(self, metadata: Metadata) -> None:
        first, second = examples.dataset_version(1), replace(examples.dataset_version(2), commit="2-sha256:x", whole=True)
        dropped = replace(first, dropped_at=examples.NOON)
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset()])
            tx.datasets.add_versions(FLIGHTS, [first, second])
            tx.datasets.save_versions(FLIGHTS, [dropped])
        with metadata.transaction() as tx:
            assert tx.datasets.get_versions(FLIGHTS, [first.id, second.id]) == [dropped, second]
            with pytest.raises(Problem) as told:
                tx.datasets.save_versions(FLIGHTS, [examples.dataset_version(3)])
        assert told.value.code == "dataset.missing"

    def test_a_taken_number_is_a_conflict(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset()])
            tx.datasets.add_versions(FLIGHTS, [examples.dataset_version(1)])
            with pytest.raises(Problem) as told:
                tx.datasets.add_versions(FLIGHTS, [replace(examples.dataset_version(1), id=DatasetVersionId("version_2"))])
        assert told.value.code == "dataset.conflict"

    def test_a_version_belongs_to_a_dataset(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx, pytest.raises(Problem) as told:
            tx.datasets.add_versions(FLIGHTS, [examples.dataset_version()])
        assert told.value.code == "dataset.missing"

    def test_versions_are_paged_newest_first(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset(), examples.dataset("planes")])
            tx.datasets.add_versions(FLIGHTS, [examples.dataset_version(number) for number in range(1, 6)])
            tx.datasets.add_versions(FLIGHTS, [examples.dataset_version(1, name="planes")])
            named = through(lambda page: tx.datasets.versions(FLIGHTS, page, name="weather"), 2)
            every = tx.datasets.versions(FLIGHTS, PageRequest())
        assert [[version.number for version in items] for items in named] == [[5, 4], [3, 2], [1]]
        assert len(every.items) == 6

    def test_a_key_that_no_page_gave_is_refused_or_leads_nowhere_wrong(self, metadata: Metadata) -> None:
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset()])
            tx.datasets.add_versions(FLIGHTS, [examples.dataset_version(1)])
            assert tx.datasets.versions(FLIGHTS, PageRequest("' OR 1=1 --")).items == ()
