"""The works of the table: what is timed beside whom, and what has to come of it."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bench.results import Result
from bench.serving.batch import batch
from bench.serving.contenders import Contender, Stage, post, same_answers, say
from bench.serving.load import Measured, median, press
from bench.serving.models import Made, Model, Row, batches
from bench.serving.peers import Peer, Unavailable
from bench.serving.start import Start, first_answer
from bench.serving.switch import Switching, switching
from bench.serving.tax import taxed, with_and_without_ledger

REQUESTS: Final = 16  # different ones, asked by turns
FASTER, TAIL, CPU = "req/s", "p99 ms", "cpu ms"


@dataclass(frozen=True)
class Pace:
    """How long and how often."""

    seconds: int
    rounds: int
    switch_requests: int
    batch_rows: int


QUICK = Pace(seconds=2, rounds=2, switch_requests=3_000, batch_rows=1_000_000)
FULL = Pace(seconds=5, rounds=5, switch_requests=10_500, batch_rows=4_000_000)


@dataclass(frozen=True)
class Goal:
    """What is wanted beside one peer: the ratio of a figure, larger is better for us."""

    peer: str
    floor: float
    aim: float
    metric: str = FASTER
    form: str = ""  # which form of the model the peer is given; "": the work's


@dataclass(frozen=True)
class Race:
    """One deployment of ours beside servers with the same model."""

    title: str
    model: str
    form: str
    rows: int
    connections: int
    goals: tuple[Goal, ...]


GIVEN = "columns-onnx"
RACES: Final[Mapping[str, Race]] = {
    "small": Race(
        "small ONNX, 1 row, 8 connections", "small", "matrix-onnx", 1, 8,
        (
            Goal("mlserver", 9, 14), Goal("kserve", 8, 13), Goal("pytriton", 6, 9.5), Goal("fastapi", 3.5, 5.5),
            Goal("kserve", 6, 10, TAIL), Goal("bentoml", 1, 1), Goal("litserve", 1, 1), Goal("mlflow", 1, 1), Goal("ray", 1, 1),
        ),
    ),
    "churn": Race(
        "churn, 1 row, 8 connections", "churn", "columns-sklearn", 1, 8,
        (
            Goal("mlserver", 50, 80), Goal("kserve", 50, 80), Goal("pytriton", 18, 28), Goal("fastapi", 1, 1),
            Goal("kserve", 50, 100, TAIL), Goal("bentoml", 1, 1), Goal("litserve", 1, 1), Goal("mlflow", 1, 1),
            Goal("ray", 1, 1),
        ),
    ),
    "churn-onnx": Race(
        "churn, given our ONNX, 8 connections", "churn", GIVEN, 1, 8, (Goal("mlserver", 8, 12), Goal("fastapi", 2.5, 4)),
    ),
    "native-1": Race("left as scikit-learn, 1 connection", "native", "columns-sklearn", 1, 1, (Goal("kserve", 1, 1),)),
    "native-8": Race("left as scikit-learn, 8 connections", "native", "columns-sklearn", 1, 8, (Goal("mlserver", 4, 8),)),
    "native-64": Race("left as scikit-learn, 64 connections", "native", "columns-sklearn", 1, 64, (Goal("mlserver", 30, 60),)),
    "rows-small": Race(
        "small ONNX, 64 rows, 8 connections", "small", "matrix-onnx", 64, 8,
        (Goal("mlserver", 1.5, 2.1), Goal("mlserver", 1 / 0.4, 1 / 0.26, CPU)),
    ),
    "rows-churn": Race(
        "churn, 64 rows, 8 connections", "churn", "columns-sklearn", 64, 8,
        (Goal("mlserver", 11, 17), Goal("mlserver", 2, 3, form=GIVEN)),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """One run of the benchmark."""

    stage: Stage
    made: Made
    peers: Mapping[str, Peer]
    pace: Pace

    def model(self, name: str, form: str) -> Model:
        """Return a model as peers are given it."""
        return self.made.files[name, form]

    def in_turns(self, contenders: Sequence[Contender], rows: int, name: str, connections: int) -> list[Measured]:
        """Return the medians of each, timed in turns, each first warmed up for a second."""
        asked = batches(name, rows, REQUESTS)
        found: list[list[Measured]] = [[] for _ in contenders]
        for number, (place, contender) in itertools.product(range(self.pace.rounds + 1), enumerate(contenders)):
            seconds = self.pace.seconds if number else 1
            bodies = [contender.body(one) for one in asked]
            with self.stage.awake(contender):
                measured = press(contender.target, bodies, connections=connections, seconds=seconds)
            if number:
                found[place].append(measured)
        return [median(stretches) for stretches in found]


def race(bench: Bench, work: Race) -> Iterator[Result]:
    """Time ours beside the peers of a work; a peer that cannot be held still has a heat of its own, and ends after it."""
    named = [goal for goal in work.goals if goal.peer in bench.peers]
    lively = dict.fromkeys(goal.peer for goal in named if not bench.peers[goal.peer].pausable)
    yield from heat(bench, work, [goal for goal in named if goal.peer not in lively])
    for peer in lively:
        yield from heat(bench, work, [goal for goal in named if goal.peer == peer])
        bench.stage.dismiss(peer)


def heat(bench: Bench, work: Race, goals: Sequence[Goal]) -> Iterator[Result]:
    """Time ours beside some peers, in turns."""
    ours = bench.stage.ours(work.model)
    agreed: dict[tuple[str, str], Contender] = {}
    requests: list[list[Row]] = batches(work.model, work.rows, REQUESTS)
    for goal in goals:
        key = (goal.peer, goal.form or work.form)
        if key not in agreed:
            found = bench.stage.peer(bench.peers[goal.peer], bench.model(work.model, key[1]))
            if found is not None and agrees(bench, work, ours, found, requests):
                agreed[key] = found
    if not agreed:
        return
    measured = bench.in_turns([ours, *agreed.values()], work.rows, work.model, work.connections)
    mine, theirs = measured[0], dict(zip(agreed, measured[1:], strict=True))
    for goal in goals:
        key = (goal.peer, goal.form or work.form)
        if key in theirs:
            yield compared(work, goal, bench.peers[goal.peer], mine, theirs[key])


def agrees(bench: Bench, work: Race, ours: Contender, other: Contender, requests: Sequence[Sequence[Row]]) -> bool:
    """Return whether both give the same answers; where not, the row is left out aloud."""
    with bench.stage.awake(ours), bench.stage.awake(other):
        try:
            worst = same_answers(ours, other, requests)
        except Unavailable as reason:
            bench.stage.left_out[f"{other.target.title} in '{work.title}'"] = str(reason)
            say(f"left out: {reason}")
            return False
    say(f"{work.title}: {other.target.title} answers as ours does (within {worst:.0e})")
    return True


def compared(work: Race, goal: Goal, peer: Peer, mine: Measured, theirs: Measured) -> Result:
    """Return the row of one goal."""
    read: Callable[[Measured], float] = {
        FASTER: lambda one: one.requests_s, TAIL: lambda one: one.p99_ms, CPU: lambda one: one.cpu_ms,
    }[goal.metric]  # fmt: skip
    ours, other = read(mine), read(theirs)
    ratio = ours / other if goal.metric == FASTER else other / ours
    title = f"{peer.title} (our ONNX)" if (goal.form or work.form) == GIVEN else peer.title
    return row(work.title, goal.metric, title, (ours, other), ratio, (goal.floor, goal.aim))


def row(work: str, metric: str, peer: str, pair: tuple[float, float], ratio: float, goal: tuple[float, float]) -> Result:
    """Return a row of the table."""
    return Result(work, metric, peer, round(pair[0], 4), round(pair[1], 4), round(ratio, 3), *goal)


def even(bench: Bench) -> Iterator[Result]:
    """Hold our slowest answers against our usual ones, where batches of 64 rows come on 64 connections."""
    [mine] = bench.in_turns([bench.stage.ours("native")], 64, "native", 64)
    yield row(
        "left as scikit-learn, 64 rows x 64",
        TAIL,
        "ours, p50",
        (mine.p99_ms, mine.p50_ms),
        mine.p50_ms / mine.p99_ms,
        (0.25, 0.25),
    )


def start(bench: Bench) -> Iterator[Result]:
    """Time starts and weigh processes with one ONNX model."""
    peer = bench.peers.get("kserve")
    if peer is None:
        return
    for name, form, told in (("churn", "columns-sklearn", "scikit-learn"), ("small", "matrix-onnx", "ONNX too")):
        try:
            mine, theirs = first_answer(bench.stage, peer, bench.model(name, form), bench.pace.rounds)
        except Unavailable as reason:
            bench.stage.left_out[f"{peer.title} from its start"] = str(reason)
            return
        yield from started(f"a process with {name} as ONNX only", f"{peer.title} ({told})", mine, theirs)


def started(work: str, peer: str, mine: Start, theirs: Start) -> Iterator[Result]:
    """Return the rows of a start."""
    memory = theirs.memory_mb / mine.memory_mb
    yield row(work, "s", peer, (mine.seconds, theirs.seconds), theirs.seconds / mine.seconds, (7, 11))
    yield row(work, "MB", peer, (mine.memory_mb, theirs.memory_mb), memory, (1 / 0.45, 1 / 0.3))


def tax(bench: Bench) -> Iterator[Result]:
    """Hold our whole way, ledger and metrics on, against a constant answer on the same server."""
    for connections, goal in ((8, (0.35, 0.45)), (64, (0.45, 0.6))):
        mine, bare = taxed(bench.stage, lambda two, c=connections: bench.in_turns(two, 1, "small", c))  # type: ignore[misc]
        work = f"our way, small ONNX, {connections} connections"
        yield row(work, FASTER, "bare uvicorn", (mine.requests_s, bare.requests_s), mine.requests_s / bare.requests_s, goal)


def replicas(bench: Bench) -> Iterator[Result]:
    """Hold two gateways against one."""
    with bench.stage.replicas("churn", 2) as two:
        one, both = bench.in_turns([bench.stage.ours("churn"), two], 1, "churn", 64)
    pair = (both.requests_s, one.requests_s)
    yield row("two gateways, churn, 64 connections", FASTER, "one gateway", pair, both.requests_s / one.requests_s, (1.6, 1.85))


def ledger(bench: Bench) -> Iterator[Result]:
    """Hold the usual answer against one without the ledger."""
    kept, none = with_and_without_ledger(bench.stage, lambda two: bench.in_turns(two, 1, "small", 8))
    pair = (kept.p50_ms, none.p50_ms)
    yield row("ledger, small ONNX, 8 connections", "p50 ms", "no ledger", pair, none.p50_ms / kept.p50_ms, (0.95, 0.95))


def switch(bench: Bench) -> Iterator[Result]:
    """Move an alias to and fro under a steady load; beside it, MLServer loads its model anew as often."""
    ours, versions = bench.stage.ours("churn"), bench.made.versions

    def move(flip: int) -> None:
        versions[(flip + 1) % 2].promote("champion")

    mine = switched(bench, ours, move)
    work = f"{mine.flips} switches, 300 requests a second"
    during, before = mine.p99_during_ms, mine.p99_before_ms
    yield row(work, "failed", "none", (mine.failed, 0), float(not mine.failed), (1, 1))
    yield row(work, TAIL, "ours, before", (during, before), before / during, (1 / 1.5, 1 / 1.2))
    yield row(work, "gap ms", "60 ms", (mine.gap_ms, 60), 60 / mine.gap_ms, (1, 1.5))
    peer = bench.peers.get("mlserver")
    found = bench.stage.peer(peer, bench.model("churn", GIVEN)) if peer else None
    if peer is None or found is None:
        return
    load = found.target.url.removesuffix("/v2/models/m/infer") + "/v2/repository/models/m/load"
    theirs = switched(bench, found, lambda _: post(load, b""))
    title = f"{peer.title} (our ONNX)"
    yield row(work, "failed", title, (mine.failed, theirs.failed), float(mine.failed <= theirs.failed), (1, 1))
    yield row(work, TAIL, title, (during, theirs.p99_during_ms), theirs.p99_during_ms / during, (1, 1))
    yield row(work, "gap ms", title, (mine.gap_ms, theirs.gap_ms), theirs.gap_ms / mine.gap_ms, (1, 1))


def switched(bench: Bench, contender: Contender, move: Callable[[int], object]) -> Switching:
    """Return what came of switching one server's model under load."""
    bodies = [contender.body(one) for one in batches("churn", 1, REQUESTS)]
    target = contender.target
    with bench.stage.awake(contender):
        found = switching(target.url, target.authorization, bodies, move, bench.pace.switch_requests)
    told = f"{found.flips} switches, {found.requests} requests, {found.failed} failed, versions {', '.join(found.versions)}"
    say(f"{target.title}: {told}")
    return found


def scored(bench: Bench) -> Iterator[Result]:
    """Answer for millions of rows in files, beside others over the same files."""
    pace = bench.pace
    bench.stage.dismiss()
    found = batch(bench.stage, bench.model("churn", "columns-sklearn").file, rows=pace.batch_rows, rounds=min(pace.rounds, 3))
    work = f"batch, churn, {pace.batch_rows:,} rows"
    mine, goals = found.ours, {"scikit-learn": (3.0, 4.0), "Spark": (5.0, 6.0)}
    for title, theirs in found.theirs.items():
        goal = next(goal for name, goal in goals.items() if title.startswith(name))
        yield row(work, "rows/s", title, (mine.rows_s, theirs.rows_s), mine.rows_s / theirs.rows_s, goal)
        yield row(work, "MB", title, (mine.peak_mb, theirs.peak_mb), theirs.peak_mb / mine.peak_mb, (0.5, 1))
    pair = (mine.peak_mb, found.quarter.peak_mb)
    yield row(work, "MB", "ours, a quarter of the rows", pair, found.quarter.peak_mb / mine.peak_mb, (0.8, 0.9))


def _race(work: Race) -> Callable[[Bench], Iterator[Result]]:
    return lambda bench: race(bench, work)


WORKS: Final[Mapping[str, Callable[[Bench], Iterator[Result]]]] = {
    **{name: _race(work) for name, work in RACES.items()},
    "native-even": even,
    "start": start,
    "tax": tax,
    "ledger": ledger,
    "replicas": replicas,
    "switch": switch,
    "batch": scored,
}
