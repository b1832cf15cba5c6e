import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from modelyard.adapters.online.sqlite import GET, SqliteOnline
from modelyard.core import Problem, ProjectId
from modelyard.data.features.online import OnlineStore, Published
from modelyard.testing.online_store import OnlineStoreContract


class TestSqlite(OnlineStoreContract):
    @pytest.fixture
    def opener(self, tmp_path: Path) -> Iterator[Callable[[], OnlineStore]]:
        opened: list[OnlineStore] = []

        def opener() -> OnlineStore:
            opened.append(SqliteOnline(f"sqlite:///{tmp_path / 'online.db'}"))
            return opened[-1]

        yield opener
        for one in opened:
            one.close()


def test_a_lookup_searches_and_never_reads_the_table_through(tmp_path: Path) -> None:
    store = SqliteOnline(f"sqlite:///{tmp_path / 'online.db'}")
    store.publish(ProjectId("p"), "weather", Published(1, None))
    with closing(sqlite3.connect(tmp_path / "online.db")) as connection:
        plan = [told for *_, told in connection.execute(f"EXPLAIN QUERY PLAN {GET}", ("p", "weather", "[]"))]
    store.close()
    assert [told.partition(" ")[0] for told in plan if "row" in told] == ["SEARCH", "SEARCH"]


def test_looking_makes_no_file(tmp_path: Path) -> None:
    assert SqliteOnline(f"sqlite:///{tmp_path / 'online.db'}").published(ProjectId("p")) == {}
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_no_database_does_not_answer(tmp_path: Path) -> None:
    (tmp_path / "online.db").write_text("no database at all, but long enough to be asked" * 100)
    with pytest.raises(Problem) as caught:
        SqliteOnline(f"sqlite:///{tmp_path / 'online.db'}").published(ProjectId("p"))
    assert caught.value.code == "features.unavailable"


@pytest.mark.parametrize("url", ["sqlite://online.db", "sqlite:///online.db", "sqlite:////a?mode=ro", "sqlite:online.db"])
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(Problem) as caught:
        SqliteOnline(url)
    assert caught.value.code == "online.invalid"
