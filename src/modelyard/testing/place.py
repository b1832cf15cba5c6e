"""What every place must do. Subclass `PlaceContract`, give its fixture, and run it with pytest."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelyard.core import Place, Problem

Opener = Callable[[], Place]


class PlaceContract:
    """The verbs, their promises, and what must not happen. Each test gets an empty place."""

    @pytest.fixture
    def opener(self) -> Opener:
        """Return what opens the place under test; each call a new one on the same address."""
        raise NotImplementedError

    @pytest.fixture
    def place(self, opener: Opener) -> Place:
        """Return the place, opened."""
        return opener()

    @pytest.fixture
    def filled(self, place: Place) -> Place:
        """Return the place with files in folders."""
        for name in ("b.csv", "a.csv", "c.parquet", "2013/a.csv", "2013/01/x.csv", "_SUCCESS", "2013/_log", ".part/x.csv"):
            place.put(name, name.encode())
        return place

    def test_what_was_put_is_there_for_others(self, opener: Opener) -> None:
        assert opener().put("out/part-1", b"one")
        assert opener().get("out/part-1") == b"one"
        assert opener().put("out/part-1", b"other")
        assert opener().get("out/part-1") == b"other"

    def test_what_is_not_there_is_none(self, filled: Place) -> None:
        assert filled.get("no.csv") is None
        assert filled.get("a.csv/x") is None
        assert filled.find("no.csv") == []
        assert filled.find("no/*.csv") == []

    @pytest.mark.parametrize(
        ("pattern", "names"),
        [
            ("", ["2013/01/x.csv", "2013/a.csv", "a.csv", "b.csv", "c.parquet"]),
            ("a.csv", ["a.csv"]),
            ("2013", ["2013/01/x.csv", "2013/a.csv"]),
            ("2013/", ["2013/01/x.csv", "2013/a.csv"]),
            ("*.csv", ["a.csv", "b.csv"]),
            ("**/*.csv", ["2013/01/x.csv", "2013/a.csv", "a.csv", "b.csv"]),
            ("*/a.csv", ["2013/a.csv"]),
            ("[ac].*", ["a.csv", "c.parquet"]),
            ("[!a].csv", ["b.csv"]),
            ("2013/**", ["2013/01/x.csv", "2013/a.csv"]),
            ("_SUCCESS", ["_SUCCESS"]),
            ("*", ["a.csv", "b.csv", "c.parquet"]),
        ],
    )
    def test_files_are_found_by_name_folder_and_pattern(self, filled: Place, pattern: str, names: list[str]) -> None:
        assert [file.name for file in filled.find(pattern)] == names

    def test_a_name_that_looks_like_a_pattern_is_a_name(self, place: Place) -> None:
        place.put("a[1].csv", b"one")
        place.put("a1.csv", b"other")
        assert [file.name for file in place.find("a[1].csv")] == ["a[1].csv"]

    def test_a_file_is_fetched_as_it_was_found(self, filled: Place, tmp_path: Path) -> None:
        [file] = filled.find("2013/a.csv")
        assert file.size_bytes == len("2013/a.csv")
        assert filled.fetch(file, tmp_path / "fetched").read_bytes() == b"2013/a.csv"
        filled.confirm(file)

    def test_a_file_that_changed_since_is_not_given(self, filled: Place, tmp_path: Path) -> None:
        [file] = filled.find("a.csv")
        before = filled.fingerprint(file)
        filled.put("a.csv", b"other")
        with pytest.raises(Problem) as told:
            filled.fetch(file, tmp_path)
        assert told.value.code == "file.conflict"
        [now] = filled.find("a.csv")
        assert filled.fingerprint(now) != before
        filled.remove(["a.csv"])
        with pytest.raises(Problem) as told:
            filled.fetch(now, tmp_path)
        assert told.value.code == "file.conflict"

    def test_the_same_content_has_the_same_fingerprint(self, filled: Place) -> None:
        [file] = filled.find("a.csv")
        before = filled.fingerprint(file)
        filled.put("a.csv", b"a.csv")
        [again] = filled.find("a.csv")
        assert filled.fingerprint(again) == before

    def test_a_new_file_is_written_once(self, place: Place) -> None:
        assert place.put("plan", b"one", new=True)
        assert not place.put("plan", b"other", new=True)
        assert place.get("plan") == b"one"

    def test_of_many_new_ones_at_once_one_is_written(self, opener: Opener) -> None:
        places = [opener() for _ in range(8)]
        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(lambda number: places[number].put("plan", b"%d" % number, new=True), range(8)))
        assert won.count(True) == 1
        assert places[0].get("plan") == b"%d" % won.index(True)

    def test_what_is_removed_is_gone(self, filled: Place) -> None:
        filled.remove(["a.csv", "2013/a.csv", "no.csv"])
        filled.remove(["a.csv"])
        assert [file.name for file in filled.find()] == ["2013/01/x.csv", "b.csv", "c.parquet"]

    @pytest.mark.parametrize("name", ["", "../x", "a/../../x", "/x", "a//b", "a\0b", "."])
    def test_no_name_leads_outside(self, place: Place, name: str) -> None:
        for ask in (lambda: place.put(name, b""), lambda: place.get(name), lambda: place.remove([name])):
            with pytest.raises(Problem) as told:
                ask()
            assert told.value.code == "file.invalid"
