"""The world outside: passengers' questions as HTTP traffic in time order, and the arrivals that come back as labels.

The generator counts for itself what it sent and what it got, so that the platform's own records can be held against it.
"""

import asyncio
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx
import orjson
import polars as pl

ROWS_A_REQUEST = 32
CONNECTIONS = 8
LATE_SHARE = 0.08  # of labels come some days later
TWICE_SHARE = 0.03  # of labels come again
PROBE_EVERY_S = 0.1
TIMEOUT_S = 30.0
HOUR = "hour_of_departure"  # column: the hour a flight is scheduled in
_TYPES = {pl.Int64: "INT64", pl.Float64: "FP64", pl.String: "BYTES", pl.Datetime: "BYTES"}


@dataclass
class Counts:
    """What the generator saw."""

    requests: int = 0
    failed_requests: int = 0
    rows_answered: int = 0
    probes: int = 0
    labels_sent: int = 0
    labelled_ids: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)  # the first few, for whoever has to look


@dataclass
class Answers:
    """Every answer, as it came over the wire."""

    ids: list[str] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)

    def frame(self) -> pl.DataFrame:
        """Return one row an answer."""
        schema = {"id": pl.String, "told_version": pl.Int64, "told": pl.Float64}
        return pl.DataFrame({"id": self.ids, "told_version": self.versions, "told": self.values}, schema=schema)


class Passengers:
    """Asks the gateway about flights, over a few connections that stay open."""

    def __init__(self, gateway: str, token: str, model: str, inputs: Sequence[str], counts: Counts, answers: Answers) -> None:
        self._url = f"{gateway}/v2/models/{model}/infer"
        self._flush_url = f"{gateway}/v1/ledger/flush"
        self._status_url = f"{gateway}/v1/status"
        self._inputs = list(inputs)
        self._counts = counts
        self._answers = answers
        limits = httpx.Limits(max_connections=CONNECTIONS, max_keepalive_connections=CONNECTIONS)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._client = httpx.AsyncClient(headers=headers, limits=limits, timeout=TIMEOUT_S)

    async def ask(self, flights: pl.DataFrame) -> None:
        """Ask about flights, hour by hour in time order; within an hour over all connections at once."""
        hours = flights.partition_by(HOUR, maintain_order=True) if flights.height else []
        for hour in hours:
            parts = [hour.slice(start, ROWS_A_REQUEST) for start in range(0, hour.height, ROWS_A_REQUEST)]
            await asyncio.gather(*(self._send(part, part["flight_id"].to_list()) for part in parts))

    async def probe(self, flights: pl.DataFrame, stop: asyncio.Event) -> None:
        """Ask about flights answered already, again and again until `stop`: live traffic while a switch is under way."""
        turn = 0
        parts = [flights.slice(start, 4) for start in range(0, min(flights.height, 400), 4)]
        while parts and not stop.is_set():
            part = parts[turn % len(parts)]
            ids = [f"probe-{self._counts.probes + row}" for row in range(part.height)]
            self._counts.probes += part.height
            await self._send(part, ids)
            turn += 1
            await asyncio.sleep(PROBE_EVERY_S)

    async def flush(self) -> dict[str, Any]:
        """Have the gateway ship its ledger now."""
        answer = await self._client.post(self._flush_url)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def status(self) -> dict[str, Any]:
        """Return what the gateway says of itself."""
        answer = await self._client.get(self._status_url)
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    async def close(self) -> None:
        """Give the connections back."""
        await self._client.aclose()

    async def _send(self, rows: pl.DataFrame, ids: list[str]) -> None:
        self._counts.requests += 1
        body = orjson.dumps(
            {
                "id": ids[0],
                "parameters": {"ids": ids, "time": rows["departs_at"].dt.to_string("iso:strict").to_list()},
                "inputs": [_tensor(rows[name]) for name in self._inputs],
            }
        )
        try:
            answer = await self._client.post(self._url, content=body)
        except httpx.HTTPError as error:
            self._fail(f"{type(error).__name__}: {error}")
            return
        if answer.status_code != httpx.codes.OK:
            self._fail(f"{answer.status_code}: {answer.text[:200]}")
            return
        told = orjson.loads(answer.content)
        values = told["outputs"][0]["data"]
        if len(values) != len(ids):
            self._fail(f"{len(values)} answers for {len(ids)} rows")
            return
        self._counts.rows_answered += len(ids)
        self._answers.ids += ids
        self._answers.versions += [int(told["model_version"])] * len(ids)
        self._answers.values += values

    def _fail(self, why: str) -> None:
        self._counts.failed_requests += 1
        if len(self._counts.failures) < 10:  # noqa: PLR2004 - enough to see what is wrong
            self._counts.failures.append(why)


class Arrivals:
    """Turns arrivals into labels: most come the day after, some days later, some twice, never in order."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - a replay, not a secret
        self._due: dict[int, list[tuple[str, float, datetime]]] = {}

    def happen(self, day: int, flights: pl.DataFrame) -> None:
        """Take in the arrivals of a day's flights."""
        known = flights.filter(pl.col("late").is_not_null())
        for flight, late, at in known.select("flight_id", "late", "arrived_at").iter_rows():
            label = (flight, float(late), at)
            delay = self._random.randint(2, 9) if self._random.random() < LATE_SHARE else 0
            self._due.setdefault(day + delay, []).append(label)
            if self._random.random() < TWICE_SHARE:
                self._due.setdefault(day + delay + self._random.randint(0, 3), []).append(label)

    def due(self, day: int) -> list[tuple[str, float, datetime]]:
        """Return the labels that come in on a day, out of order."""
        labels = self._due.pop(day, [])
        self._random.shuffle(labels)
        return labels

    def rest(self) -> Iterator[tuple[str, float, datetime]]:
        """Return what has not come in when the replay ends."""
        for day in sorted(self._due):
            yield from self._due.pop(day)


def days_of(departures: pl.DataFrame, start: datetime) -> list[tuple[datetime, pl.DataFrame]]:
    """Return each day of 24 hours from `start` on with its flights, in time order."""
    numbered = departures.with_columns(
        ((pl.col("departs_at") - start).dt.total_days()).alias("day"),
        pl.col("departs_at").dt.truncate("1h").alias(HOUR),
    ).sort("departs_at", "flight_id")
    found = {int(key[0]): part for key, part in numbered.partition_by("day", as_dict=True, maintain_order=True).items()}
    last = max(found, default=-1)
    empty = numbered.head(0)
    return [(start + timedelta(days=day), found.get(day, empty)) for day in range(last + 1)]


def _tensor(values: pl.Series) -> dict[str, Any]:
    datatype = _TYPES.get(values.dtype.base_type(), "BYTES")
    data = values.dt.to_string("iso:strict").to_list() if values.dtype.is_temporal() else values.to_list()
    return {"name": values.name, "shape": [len(values)], "datatype": datatype, "data": data}
