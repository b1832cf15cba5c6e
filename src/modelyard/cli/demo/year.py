"""Stages 6 to 8: April to December replayed in lockstep with the loop, day by day."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import polars as pl

from modelyard.cli.demo.flights import FAULT_FROM
from modelyard.cli.demo.plan import Plan
from modelyard.cli.demo.telling import Bar, Telling
from modelyard.cli.demo.world import Answers, Arrivals, Counts, Passengers, days_of
from modelyard.core import FileClock, Problem, to_text

SETTLE_S = 240.0
PROBE_AFTER_S = 0.5
POLL_S = 0.04
STYLES = {"notice": "yellow", "alarm": "bold red", "retrain": "cyan", "canary": "cyan", "promote": "bold green"}
LOUD = {"roll_back": "bold red", "refuse": "magenta", "break_glass": "bold magenta", "hold": "dim", "undo": "magenta"}


@dataclass
class Incident:
    """What a person does in the replay: push a bad version past its gate, once, when no canary is under way."""

    start: datetime
    push: Any  # (day) → version pushed
    done: bool = False
    version: int | None = None


@dataclass
class Replay:
    """One year's replay: passengers ask, arrivals come back, the clock moves on, the loop is waited for."""

    clock: FileClock
    project: str
    deployment: str
    passengers: Passengers
    arrivals: Arrivals
    counts: Counts
    answers: Answers
    told: Telling
    plan: Plan
    incident: Incident
    control: httpx.AsyncClient
    seen: set[str] = field(default_factory=set)  # alerts and decisions that were told

    async def run(self, departures: pl.DataFrame, start: datetime, bar: Bar) -> None:
        """Replay every day, and then the labels that were still on their way."""
        days = days_of(departures, start)
        for number, (day, flights) in enumerate(days):
            bar.move(number, f"{day:%d %b %Y}")
            if day.date() == FAULT_FROM:
                self.told.mark(
                    "bold yellow", f"{day:%d %b}  planted: from today the feed sends scheduled times in UTC, not local time"
                )
            await self.passengers.ask(flights)
            self._check_answers()
            self.arrivals.happen(number, flights)
            await self._send_labels(self.arrivals.due(number))
            await self.passengers.flush()
            self.clock.set(day + timedelta(days=1))
            await self._settle(flights)
            await self._tell_news()
            if await self._incident(day + timedelta(days=1)):
                await self._settle(flights)  # the next day's passengers meet the canary from the first one on, in every replay
        await self._send_labels(list(self.arrivals.rest()))
        self.clock.set(days[-1][0] + timedelta(days=12))
        await self._settle(days[-1][1])
        await self.passengers.flush()  # what was asked while the loop came to rest
        await self._tell_news()

    def _check_answers(self) -> None:
        """Stop when nobody was answered: a replay of failures shows nothing."""
        if self.counts.failed_requests and not self.answers.ids:
            raise Problem(
                "demo.failed", "The gateway answers no request", self.counts.failures[0], "see logs in the demo's home"
            )

    async def _send_labels(self, labels: Sequence[tuple[str, float, datetime]]) -> None:
        for place in range(0, len(labels), 5000):
            part = labels[place : place + 5000]
            ids = [label[0] for label in part]
            body = {
                "predictions": ids,
                "values": [label[1] for label in part],
                "times": [to_text(label[2]) for label in part],
            }
            await self._post(f"/deployments/{self.deployment}/labels", body)
            self.counts.labels_sent += len(part)
            self.counts.labelled_ids.update(ids)

    async def _settle(self, flights: pl.DataFrame) -> None:
        """Wait until everything due by the clock has been done; passengers go on asking meanwhile."""
        began = time.monotonic()
        stop = asyncio.Event()
        probing: asyncio.Task[None] | None = None
        try:
            while True:
                state = await self._get("/loop")
                if state["settled"] and await self._gateway_follows():
                    return
                waited = time.monotonic() - began
                if state["failing"] and waited > 10:  # noqa: PLR2004 - a turn is repeated; one that breaks for so long will not mend
                    raise Problem("demo.failed", "The loop broke", state["failing"], "see up.log in the demo's home")
                if waited > SETTLE_S:
                    raise Problem("demo.failed", "The loop did not come to rest", f"pending: {state['pending']}")
                if probing is None and waited > PROBE_AFTER_S:
                    probing = asyncio.create_task(self.passengers.probe(flights, stop))
                await asyncio.sleep(POLL_S)
        finally:
            stop.set()
            if probing is not None:
                await probing

    async def _gateway_follows(self) -> bool:
        """Return whether the gateway answers by the newest catalogue."""
        newest = await self._get("/loop/catalogue")
        answer = await self.passengers.status()
        return int(answer["position"]) >= int(newest["position"])

    async def _tell_news(self) -> None:
        """Tell the alerts and decisions that are new, in the order they were made."""
        alerts = (await self._get("/alerts", limit=20))["items"]
        decisions = (await self._get("/decisions", limit=20))["items"]
        news = [(one["id"], one["at"], one["kind"], one["told"]) for one in alerts]
        news += [(one["id"], one["at"], one["action"], one["told"]) for one in decisions]
        for name, at, kind, text in sorted(news, key=lambda one: (one[1], one[0])):
            if name in self.seen:
                continue
            self.seen.add(name)
            style = STYLES.get(kind) or LOUD.get(kind, "dim")
            day = datetime.fromisoformat(at).astimezone(UTC)
            self.told.mark(style, f"{day:%d %b}  {kind.replace('_', ' ')}: {text}")

    async def _incident(self, now: datetime) -> bool:
        """Push the bad version when its day has come and no canary is under way; return whether it was pushed now."""
        if self.incident.done or now < self.incident.start:
            return False
        rollouts = (await self._get(f"/deployments/{self.deployment}/rollouts", limit=1))["items"]
        if rollouts and rollouts[0]["state"] == "running":
            return False
        self.incident.done = True
        self.incident.version = await asyncio.to_thread(self.incident.push, now)
        await self._tell_news()
        return True

    async def _get(self, path: str, **query: Any) -> Any:
        answer = await self.control.get(f"/v1/projects/{self.project}{path}", params=query)
        answer.raise_for_status()
        return answer.json()

    async def _post(self, path: str, body: Any) -> Any:
        answer = await self.control.post(f"/v1/projects/{self.project}{path}", json=body)
        answer.raise_for_status()
        return answer.json()
