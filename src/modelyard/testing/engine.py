"""What every engine must do. Subclass `EngineContract`, give its fixture `engine`, and run it with pytest where it runs."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import polars as pl
import pytest

from modelyard.core import Problem
from modelyard.data import Column
from modelyard.data.content import block_digests
from modelyard.data.lake_files import LakeFile, LakeFiles, LakeFolder
from modelyard.data.profile import from_json, profile, to_json
from modelyard.data.schema import schema_of
from modelyard.prepare import Pipeline, Transform, fit, prep
from modelyard.prepare.engine import Done, Engine, Tables, Work, joined, pieces_of
from modelyard.version import __version__

STEPS = Pipeline((prep.one_hot("origin"), prep.standardise("delay"), prep.date_parts("at", "hour"), prep.drop("id")))


def numbered(start: int, stop: int) -> pl.DataFrame:
    """Return rows `start` to below `stop`, one an hour."""
    ids = pl.int_range(start, stop, eager=True).alias("id")
    origins = ["JFK", None, "Łódź", ""]
    at = (ids * 3_600_000_000).cast(pl.Datetime("us", "UTC")).alias("at")
    delay = pl.Series("delay", [None if n % 7 == 3 else n / 3 for n in ids], dtype=pl.Float64)
    return pl.DataFrame([ids, at, pl.Series("origin", [origins[n % 4] for n in ids]), delay])


class Workplace:
    """Files of raw rows in a folder that the engine's workers see, and a folder to write to."""

    def __init__(self, folder: Path, parts: list[pl.DataFrame]) -> None:
        self.rows = pl.concat(parts)
        self.target = folder / "target"
        self.target.mkdir()
        paths = [folder / f"rows-{place}.parquet" for place in range(len(parts))]
        for path, part in zip(paths, parts, strict=True):
            part.write_parquet(path)
        files = tuple(LakeFile(str(path), part.height, 1) for path, part in zip(paths, parts, strict=True))
        self.files = LakeFiles(files, self.rows.schema)
        self.fitted = fit(STEPS, self.rows.head(1_000))

    @property
    def expected(self) -> pl.DataFrame:
        """The prepared rows, as this process makes them."""
        return joined(self.rows, Transform(self.fitted), ["id", "at"])

    def work(self, polars: str = pl.__version__, columns: tuple[Column, ...] | None = None) -> str:
        """Return the work, as a text."""
        told = Work(
            modelyard=__version__,
            polars=polars,
            fitted=self.fitted.to_json(),
            columns=columns or schema_of(self.rows).columns,
            reads={},
            keep=("id", "at"),
            types=(),
            folder=str(self.target),
            writes={},
            profile=to_json(profile(self.expected.head(1_000))),
            time="at",
        )
        return msgspec.json.encode(told).decode()

    def pieces(self, row_bytes: float = 1_000.0) -> list[str]:
        """Return the pieces, as texts."""
        return [msgspec.json.encode(piece).decode() for piece in pieces_of(self.files.files, row_bytes)]


def done(answers: Iterator[str]) -> list[Done]:
    """Return what became of the pieces, in their order."""
    return sorted((msgspec.json.decode(answer, type=Done) for answer in answers), key=lambda one: one.number)


class EngineContract:
    """The promises of an engine whose workers see this machine's files."""

    @pytest.fixture
    def engine(self) -> Iterator[Engine]:
        """Give the engine under test, connected."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, tmp_path: Path) -> Workplace:
        return Workplace(tmp_path, [numbered(0, 70_000), numbered(70_000, 70_001), numbered(70_001, 150_000)])

    def test_every_piece_is_prepared_once_and_as_here(self, engine: Engine, place: Workplace) -> None:
        pieces = place.pieces()
        assert len(pieces) == 2
        found = done(engine.each(place.work(), pieces))
        written = pl.concat([pl.read_parquet(place.target / one.name) for one in found])
        assert written.equals(place.expected)
        assert sorted(path.name for path in place.target.iterdir()) == [one.name for one in found]
        assert [one.rows for one in found] == [131_072, 18_928]
        assert [one.file_bytes for one in found] == [(place.target / one.name).stat().st_size for one in found]
        assert found[0].event_from == "1970-01-01T00:00:00.000000Z"

    def test_what_is_told_of_the_pieces_is_told_of_the_whole(self, engine: Engine, place: Workplace) -> None:
        found = done(engine.each(place.work(), place.pieces()))
        blocks = tuple(tuple(digest for one in found for digest in one.blocks[n]) for n in range(len(found[0].columns)))
        assert blocks == block_digests(place.expected)
        slots = profile(place.expected.head(1_000))
        counted = [from_json(dict(one.profile)) for one in found]
        whole = profile(place.expected, slots)
        assert sum(one.rows for one in counted) == whole.rows
        for name, column in whole.columns.items():
            parts = [one.columns[name].slots for one in counted]
            assert tuple(map(sum, zip(*parts, strict=True))) == column.slots

    def test_the_work_can_be_done_again(self, engine: Engine, place: Workplace) -> None:
        first = done(engine.each(place.work(), place.pieces()))
        assert done(engine.each(place.work(), place.pieces())) == first

    def test_a_wrong_value_comes_back_with_its_place(self, engine: Engine, place: Workplace, tmp_path: Path) -> None:
        late = pl.when(pl.col("id") == 140_000).then(pl.lit("late"))
        wrong = numbered(0, 150_000).with_columns(delay=late)
        wrong.write_parquet(tmp_path / "wrong.parquet")
        place.files = LakeFiles((LakeFile(str(tmp_path / "wrong.parquet"), wrong.height, 1),), wrong.schema)
        found = done(engine.each(place.work(columns=schema_of(wrong).columns), place.pieces()))
        assert found[0].problem is None
        assert found[1].problem is not None
        assert (found[1].problem["code"], found[1].problem["detail"]["row"]) == ("column.invalid", 140_000)
        assert "row 140000" in found[1].problem["what"]
        assert found[1].name == ""

    def test_workers_of_another_release_are_refused(self, engine: Engine, place: Workplace) -> None:
        found = done(engine.each(place.work(polars="0.1.0"), place.pieces()))
        assert [one.problem and one.problem["code"] for one in found] == ["engine.conflict"] * 2
        assert list(place.target.iterdir()) == []

    def test_a_query_joins_sets_and_stands_in_order(self, engine: Engine, place: Workplace, tmp_path: Path) -> None:
        names = pl.DataFrame({"origin": ["JFK", "Łódź"], "name": ["Kennedy", "Reymont"]})
        names.write_parquet(tmp_path / "names.parquet")
        others = {"names": LakeFiles((LakeFile(str(tmp_path / "names.parquet"), 2, 1),), names.schema)}
        query = "SELECT r.id, r.at, n.name FROM rows r JOIN names n ON r.origin = n.origin WHERE r.id < 1000;"
        tables = Tables(place.files, others, ("at", "id"))
        engine.query(query, tables, LakeFolder(str(place.target)), tmp_path)
        found = pl.read_parquet(f"{place.target}/*.parquet")
        expected = (
            place.rows.head(1_000).join(names, on="origin", how="inner", maintain_order="left").select("id", "at", "name")
        )
        assert found.equals(expected)

    def test_a_query_that_cannot_be_is_told(self, engine: Engine, place: Workplace, tmp_path: Path) -> None:
        for query in ("SELECT nothing FROM rows", "SELEC 1", "SELECT * FROM elsewhere"):
            with pytest.raises(Problem) as told:
                engine.query(query, Tables(place.files), LakeFolder(str(place.target)), tmp_path)
            assert told.value.code == "query.invalid", query
