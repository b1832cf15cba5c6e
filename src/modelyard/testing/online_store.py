"""What every online store must do. Subclass `OnlineStoreContract`, give its fixture `opener`, and run it with pytest."""

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from modelyard.core import Problem, ProjectId
from modelyard.data.features.online import KEPT, FeatureRow, OnlineStore, Published

ONE, TWO = ProjectId("one"), ProjectId("two")
START = datetime(2013, 1, 1, tzinfo=UTC)
TABLE = "weather"


def at(hour: float) -> datetime:
    """Return a moment."""
    return START + timedelta(hours=hour)


def row(entity: str, hour: float, **values: Any) -> FeatureRow:
    """Return what is known of an entity from an hour on."""
    return FeatureRow(entity, at(hour), values)


class OnlineStoreContract:
    """The verbs and their promises. Each test gets an empty store."""

    @pytest.fixture
    def opener(self) -> Callable[[], OnlineStore]:
        """Return what opens the store under test; each call as another process would."""
        raise NotImplementedError

    @pytest.fixture
    def store(self, opener: Callable[[], OnlineStore]) -> OnlineStore:
        """Return the store with a published table that holds nothing."""
        store = opener()
        store.publish(ONE, TABLE, Published(1, None))
        return store

    def values(self, store: OnlineStore, entity: str, hour: float) -> Any:
        """Return what the store knows of one entity."""
        [found] = store.get(ONE, TABLE, [(entity, at(hour))])
        return None if found is None else dict(found.values)

    def test_each_entity_has_the_last_row_strictly_before_the_moment(self, store: OnlineStore) -> None:
        store.put(ONE, TABLE, [row("a", 1, wind=1), row("a", 3, wind=3), row("b", 2, wind=20)], number=1)
        wanted = [("b", at(9)), ("a", at(9)), ("a", at(3)), ("a", at(1)), ("c", at(9)), ("a", at(9))]
        found = store.get(ONE, TABLE, wanted)
        told = [one and (one.entity, one.at, one.values["wind"]) for one in found]
        assert told == [("b", at(2), 20), ("a", at(3), 3), ("a", at(1), 1), None, None, ("a", at(3), 3)]
        assert store.get(ONE, TABLE, []) == []

    def test_rows_may_come_in_any_order(self, store: OnlineStore) -> None:
        store.put(ONE, TABLE, [row("a", 5, wind=5)], number=2)
        store.put(ONE, TABLE, [row("a", 4, wind=4)], number=3)
        assert self.values(store, "a", 9) == {"wind": 5}
        assert self.values(store, "a", 5) == {"wind": 4}

    def test_of_two_rows_of_one_time_that_of_the_later_version_stays(self, store: OnlineStore) -> None:
        store.put(ONE, TABLE, [row("a", 1, wind=2)], number=2)
        store.put(ONE, TABLE, [row("a", 1, wind=1)], number=1)
        assert self.values(store, "a", 9) == {"wind": 2}
        store.put(ONE, TABLE, [row("a", 1, wind=3)], number=2)
        assert self.values(store, "a", 9) == {"wind": 3}

    def test_what_is_put_twice_is_there_once(self, store: OnlineStore) -> None:
        rows = [row("a", hour, wind=hour) for hour in range(KEPT)]
        for _ in range(2):
            store.put(ONE, TABLE, rows, number=1)
        assert self.values(store, "a", 1) == {"wind": 0}

    def test_the_newest_rows_of_an_entity_are_kept_and_older_ones_go(self, store: OnlineStore) -> None:
        store.put(ONE, TABLE, [row("b", 0, wind=0)], number=1)
        for hour in (*range(4, KEPT + 3), 2, 3, 1):
            store.put(ONE, TABLE, [row("a", hour, wind=hour)], number=1)
        assert self.values(store, "a", 4) == {"wind": 3}
        assert self.values(store, "a", 3) is None
        assert self.values(store, "b", 1) == {"wind": 0}

    def test_rows_of_versions_that_are_no_more_are_forgotten(self, store: OnlineStore) -> None:
        other = "weather2"
        for table, project in ((TABLE, ONE), (TABLE, TWO), (other, ONE)):
            store.put(project, table, [row("a", 1, wind=1), row("b*", 1, wind=10)], number=1)
            store.publish(project, table, Published(1, None))
        store.put(ONE, TABLE, [row("a", 2, wind=2)], number=10)
        store.forget(ONE, TABLE, before=10)
        store.forget(ONE, TABLE, before=10)
        assert [self.values(store, "a", 9), self.values(store, "a", 2), self.values(store, "b*", 9)] == [
            {"wind": 2},
            None,
            None,
        ]
        for table, project in ((TABLE, TWO), (other, ONE)):
            found = store.get(project, table, [("a", at(9)), ("b*", at(9))])
            assert [one and one.values["wind"] for one in found] == [1, 10]

    def test_values_come_back_as_they_were(self, store: OnlineStore) -> None:
        held = {
            "x": 0.1 + 0.2,
            "most": math.inf,
            "n": 2**62,
            "yes": True,
            "no": None,
            "text": "dichter Nebel\u0000☃",
            "seen": at(1),
        }
        store.put(ONE, TABLE, [row("a", 1, **held)], number=1)
        found = self.values(store, "a", 9)
        assert found == held
        assert [type(one) for one in found.values()] == [type(one) for one in held.values()]

    def test_names_of_entities_may_be_any_text(self, store: OnlineStore) -> None:
        names = ['["JFK"]', '["a:b",1]', "", "☃ {} *", "a" * 2000]
        store.put(ONE, TABLE, [row(name, 1, place=place) for place, name in enumerate(names)], number=1)
        assert [self.values(store, name, 9) for name in names] == [{"place": place} for place in range(len(names))]

    def test_moments_are_told_apart_to_the_microsecond(self, store: OnlineStore) -> None:
        tick = timedelta(microseconds=1)
        late = datetime(2199, 12, 31, 23, 59, 59, 999_998, tzinfo=UTC)
        store.put(ONE, TABLE, [FeatureRow("a", late, {"wind": 1}), FeatureRow("a", late + tick, {"wind": 2})], number=1)
        found = store.get(ONE, TABLE, [("a", late), ("a", late + tick), ("a", late + 2 * tick)])
        assert [one and one.values["wind"] for one in found] == [None, 1, 2]

    def test_a_time_before_1970_is_one_too(self, store: OnlineStore) -> None:
        store.put(ONE, TABLE, [row("a", -500_000, wind=1)], number=1)
        assert self.values(store, "a", -499_999) == {"wind": 1}
        assert self.values(store, "a", -500_001) is None

    def test_a_table_that_was_not_published_is_not_taken_for_an_empty_one(self, opener: Callable[[], OnlineStore]) -> None:
        store = opener()
        with pytest.raises(Problem) as caught:
            store.get(ONE, TABLE, [("a", at(1))])
        assert caught.value.code == "features.unavailable"
        store.put(ONE, TABLE, [row("a", 1, wind=1)], number=1)
        with pytest.raises(Problem, match="yard feature publish weather"):
            store.get(ONE, TABLE, [("a", at(2))])

    def test_how_far_tables_are_published_is_told_and_never_goes_back(self, opener: Callable[[], OnlineStore]) -> None:
        store = opener()
        assert store.published(ONE) == {}
        store.publish(ONE, TABLE, Published(3, at(3)))
        store.publish(ONE, TABLE, Published(2, at(2)))
        store.publish(ONE, "prices", Published(1, None))
        assert store.published(ONE) == {TABLE: Published(3, at(3)), "prices": Published(1, None)}

    def test_projects_and_tables_are_apart(self, store: OnlineStore) -> None:
        store.put(ONE, TABLE, [row("a", 1, wind=1)], number=1)
        store.publish(ONE, "prices", Published(1, None))
        assert store.get(ONE, "prices", [("a", at(9))]) == [None]
        assert store.published(TWO) == {}
        with pytest.raises(Problem):
            store.get(TWO, TABLE, [("a", at(9))])
        store.put(TWO, TABLE, [row("a", 1, wind=2)], number=1)
        assert self.values(store, "a", 9) == {"wind": 1}

    def test_what_one_process_puts_another_gets(self, store: OnlineStore, opener: Callable[[], OnlineStore]) -> None:
        other = opener()
        assert other.published(ONE) == {TABLE: Published(1, None)}
        store.put(ONE, TABLE, [row("a", 1, wind=1)], number=1)
        assert self.values(other, "a", 9) == {"wind": 1}
        other.close()
        assert self.values(store, "a", 9) == {"wind": 1}

    def test_writers_and_readers_side_by_side_meet_whole_rows(
        self, store: OnlineStore, opener: Callable[[], OnlineStore]
    ) -> None:
        stores = [store, opener()]

        def write(number: int) -> None:
            stores[number % 2].put(ONE, TABLE, [row("a", number, wind=number, twice=2 * number)], number=1)

        def read(number: int) -> Any:
            return self.values(stores[number % 2], "a", 99)

        with ThreadPoolExecutor(8) as pool:
            writing = [pool.submit(write, number) for number in range(40)]
            seen = list(pool.map(read, range(80)))
            for one in writing:
                one.result()
        assert all(one is None or one["twice"] == 2 * one["wind"] for one in seen)
        assert self.values(store, "a", 99) == {"wind": 39, "twice": 78}
        assert self.values(store, "a", 40 - KEPT) is None
