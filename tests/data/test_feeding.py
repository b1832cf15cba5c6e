"""Feature tables in the online store: published, followed as their datasets grow, and equal to the join at every moment."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.adapters.online.sqlite import SqliteOnline
from modelyard.core import Problem, ProjectId
from modelyard.data.features import declare_lookup, join_features
from modelyard.data.features.joining import feature_rows
from modelyard.data.features.online import KEPT, Published, entity_of_values
from modelyard.data.features.service import last_rows, look_up, publish, rows_of
from modelyard.data.service import append, create_dataset
from modelyard.data.types import Dataset, DatasetId
from modelyard.wiring import Follower
from tests.runner_steps.place import START, Place, opened

KEY = ("place", "at")
SCHEMA = {"place": pl.String(), "at": pl.Datetime("us", "UTC"), "wind": pl.Int64()}


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with opened(tmp_path / "home", tmp_path / "scratch") as found:
        yield found


def winds(*rows: tuple[str, int, int | None]) -> pl.DataFrame:
    """Return rows of a place, an hour, and the wind."""
    return pl.DataFrame(
        [(where, START + timedelta(hours=hour), wind) for where, hour, wind in rows], schema=SCHEMA, orient="row"
    )


def wind(place: Place, where: str, hour: int) -> object:
    found = look_up(*place.who, "weather", [where], START + timedelta(hours=hour))
    return None if found is None else found.values["wind"]


def published(place: Place) -> dict[str, Published]:
    return dict(place.platform.online().published(place.project))


def turn(place: Place) -> None:
    """Let the platform follow what has happened."""
    follower = Follower(place.platform)
    while follower.turn(place.project):
        pass
    assert follower.failing == {}


def test_what_is_published_is_followed_from_then_on(place: Place) -> None:
    place.data(winds(("JFK", 1, 1), ("LGA", 1, 10), ("JFK", 2, 2)), "weather", key=KEY)
    assert publish(*place.who, "weather") == Published(1, START + timedelta(hours=2))
    assert (wind(place, "JFK", 9), wind(place, "JFK", 2), wind(place, "EWR", 9)) == (2, 1, None)
    append(*place.who, "weather", winds(("JFK", 3, 3), ("EWR", 3, 30)))
    append(*place.who, "weather", winds(("LGA", 4, 40)))
    assert wind(place, "JFK", 9) == 2, "nobody has turned yet"
    turn(place)
    assert [wind(place, where, 9) for where in ("JFK", "LGA", "EWR")] == [3, 40, 30]
    assert published(place) == {"weather": Published(3, START + timedelta(hours=4))}
    turn(place)
    assert published(place)["weather"].number == 3


def test_a_dataset_that_nobody_published_is_not_followed_and_makes_no_store(place: Place) -> None:
    place.data(winds(("JFK", 1, 1)), "weather", key=KEY)
    turn(place)
    assert published(place) == {}
    assert not list(place.platform.settings.home.glob("online.*"))
    with pytest.raises(Problem, match="yard feature publish weather"):
        wind(place, "JFK", 9)


def test_rows_that_come_late_do_not_stand_above_newer_ones(place: Place) -> None:
    place.data(winds(("JFK", 5, 5)), "weather", key=KEY)
    publish(*place.who, "weather")
    append(*place.who, "weather", winds(("JFK", 3, 3)))
    turn(place)
    assert (wind(place, "JFK", 9), wind(place, "JFK", 5)) == (5, 3)


def test_a_row_that_was_replaced_is_replaced_online_too(place: Place) -> None:
    place.data(winds(("JFK", 1, 1), ("JFK", 2, 2)), "weather", key=KEY)
    publish(*place.who, "weather")
    append(*place.who, "weather", winds(("JFK", 1, 11)), replacing=True)
    turn(place)
    assert (wind(place, "JFK", 2), wind(place, "JFK", 9)) == (11, 2)
    publish(*place.who, "weather")
    assert (wind(place, "JFK", 2), wind(place, "JFK", 9)) == (11, 2)


@pytest.mark.parametrize("anew", [False, True])
def test_what_a_whole_version_does_not_hold_is_not_looked_up_any_more(place: Place, *, anew: bool) -> None:
    late = [("JFK", hour, hour) for hour in range(20, 20 + KEPT)]
    place.data(winds(*late, ("LGA", 1, 10), ("EWR", 1, 1)), "weather", key=KEY)
    publish(*place.who, "weather")
    append(*place.who, "weather", winds(("JFK", 2, 2), ("LGA", 1, 11)), whole=True)
    append(*place.who, "weather", winds(("LGA", 2, 12)))
    if anew:
        publish(*place.who, "weather")
    turn(place)
    assert [wind(place, where, 40) for where in ("JFK", "LGA", "EWR")] == [2, 12, None]
    assert wind(place, "LGA", 2) == 11
    append(*place.who, "weather", winds(("EWR", 3, 3)))
    turn(place)
    assert [wind(place, where, 40) for where in ("JFK", "LGA", "EWR")] == [2, 12, 3]


def test_a_store_that_was_lost_is_made_again(place: Place) -> None:
    place.data(winds(("JFK", 1, 1)), "weather", key=KEY)
    publish(*place.who, "weather")
    place.platform.online().close()
    for file in place.platform.settings.home.glob("online.*"):
        file.unlink()
    with opened(place.platform.settings.home, place.scratch) as again:
        assert published(again) == {}
        publish(*again.who, "weather")
        assert wind(again, "JFK", 9) == 1


def test_what_is_read_is_bounded_by_what_an_entity_keeps(place: Place) -> None:
    rows = winds(*(("JFK", hour, hour) for hour in range(3 * KEPT)), ("LGA", 0, 0))
    place.data(rows, "weather", key=KEY)
    kept = last_rows(rows.lazy(), ["place"], "at").collect()
    assert kept["place"].value_counts().sort("place")["count"].to_list() == [KEPT, 1]


@pytest.mark.parametrize("rest", [{"key": ("place",), "time": None}, {"key": (), "time": "at"}])
def test_a_dataset_that_is_no_feature_table_is_not_published(place: Place, rest: dict[str, Any]) -> None:
    place.data(winds(("JFK", 1, 1)), "weather", **rest)
    with pytest.raises(Problem) as caught:
        publish(*place.who, "weather")
    assert caught.value.code == "lookup.invalid"


def test_an_empty_dataset_is_not_published_yet(place: Place) -> None:
    create_dataset(*place.who, "weather", key=KEY, time="at")
    with pytest.raises(Problem) as caught:
        publish(*place.who, "weather")
    assert caught.value.code == "dataset_version.missing"


def test_an_entity_is_named_by_as_many_values_as_its_key_has(place: Place) -> None:
    place.data(winds(("JFK", 1, 1)), "weather", key=KEY)
    with pytest.raises(Problem, match="named by place"):
        look_up(*place.who, "weather", ["JFK", "7"], START)


WEATHER = Dataset(DatasetId("ds"), ProjectId("p"), "weather", KEY, "at", None, (), START)
LOOKUP = declare_lookup(WEATHER, ["wind"])
observed = st.lists(st.tuples(st.sampled_from("AB"), st.integers(0, 9), st.none() | st.integers(0, 99)), max_size=12)


@given(batches=st.lists(observed, min_size=1, max_size=3), hour=st.integers(0, 11), order=st.randoms(use_true_random=False))
def test_what_is_looked_up_is_what_the_join_gives(batches: list[Any], hour: int, order: Any) -> None:
    """Parity: batches put in any order, asked about any moment, against the join over all of their rows."""
    frames = [winds(*rows).unique(["place", "at"], keep="last", maintain_order=True) for rows in batches]
    entity, moment, project = ["place"], START + timedelta(hours=hour), ProjectId("p")
    with TemporaryDirectory() as folder:
        store = SqliteOnline(f"sqlite:///{folder}/online.db")
        places = list(enumerate(frames, 1))
        order.shuffle(places)
        for number, frame in places:
            store.put(project, "weather", rows_of(last_rows(frame.lazy(), entity, "at").collect(), entity, "at"), number=number)
        store.publish(project, "weather", Published(len(frames), None))
        found = store.get(project, "weather", [(entity_of_values([where]), moment) for where in "ABC"])
        store.close()
    whole = feature_rows(pl.concat(frames).unique(["place", "at"], keep="last", maintain_order=True).lazy()).collect()
    rows = pl.DataFrame({"place": list("ABC"), "time": [moment] * 3})
    joined = join_features(rows, "time", [LOOKUP], [whole])["wind"].to_list()
    beyond = [whole.filter(pl.col("place") == where, pl.col("at") >= moment).height >= KEPT for where in "ABC"]
    online = [None if one is None else one.values["wind"] for one in found]
    assert [one for one, gone in zip(online, beyond, strict=True) if not gone] == [
        one for one, gone in zip(joined, beyond, strict=True) if not gone
    ]
