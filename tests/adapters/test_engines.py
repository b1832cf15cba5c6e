"""The engine of this process, in full; what each engine's URL may be."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from modelyard.adapters import open_engine
from modelyard.core import Problem
from modelyard.data.lake_files import LakeFolder
from modelyard.prepare.engine import Engine, Tables
from modelyard.testing.engine import EngineContract, Workplace


class TestLocal(EngineContract):
    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        with open_engine("local") as engine:
            yield engine

    def test_a_query_reaches_nothing_but_its_tables(self, engine: Engine, place: Workplace, tmp_path: Path) -> None:
        (tmp_path / "secret.csv").write_text("a\n1\n")
        outside = tmp_path / "outside.parquet"
        for query in (
            f"FROM read_csv('{tmp_path}/secret.csv')",
            f"FROM '{place.files.files[0].path[:-1]}?'",
            "FROM read_parquet('http://127.0.0.1:1/x.parquet')",
            f"FROM rows) TO '{outside}'; --",
            "SELECT 1 AS a) TO 'x' (FORMAT csv); SET lock_configuration=false; SELECT (1",
            "SELECT 1 AS a; SELECT 2 AS a",
        ):
            with pytest.raises(Problem) as told:
                engine.query(query, Tables(place.files), LakeFolder(str(place.target)), tmp_path)
            assert told.value.code == "query.invalid", query
        assert not outside.exists()

    @pytest.mark.parametrize(
        "query", ["{write}; FROM rows", "SELECT 1 AS a); {write}; SELECT * FROM (SELECT 1 AS a", "{write}"]
    )
    def test_a_query_does_not_write_to_the_tables_that_it_reads(
        self, engine: Engine, place: Workplace, tmp_path: Path, query: str
    ) -> None:
        path = Path(place.files.files[0].path)
        before = path.read_bytes()
        asked = query.format(write=f"COPY (SELECT 1 AS a) TO '{path}' (FORMAT parquet, USE_TMP_FILE false)")
        with pytest.raises(Problem) as told:
            engine.query(asked, Tables(place.files), LakeFolder(str(place.target)), tmp_path)
        assert (told.value.code, path.read_bytes() == before) == ("query.invalid", True)

    def test_a_query_may_end_in_a_comment(self, engine: Engine, place: Workplace, tmp_path: Path) -> None:
        engine.query("FROM rows -- all of them", Tables(place.files), LakeFolder(str(place.target)), tmp_path)
        assert list(place.target.glob("*.parquet"))


@pytest.mark.parametrize(
    ("url", "code"),
    [("here", "adapter.missing"), ("local://x", "engine.invalid"), ("hive://h:1", "adapter.missing")],
)
def test_what_names_no_engine_is_told(url: str, code: str) -> None:
    with pytest.raises(Problem) as told:
        open_engine(url)
    assert told.value.code == code
