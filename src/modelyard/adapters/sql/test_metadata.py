import inspect
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from modelyard.adapters.sql import SqlMetadata, SqlTransaction
from modelyard.adapters.sql.engine import open_engine, told
from modelyard.adapters.sql.session import Session
from modelyard.core import PageRequest, Problem
from modelyard.jobs import JobId
from modelyard.reactions import Metadata, ReactionTransaction
from modelyard.testing import examples
from modelyard.testing.examples import FLIGHTS, NOON
from modelyard.testing.isolation import STORES
from modelyard.testing.metadata import TIMEOUT_S
from modelyard.training import MetricPoint, RunId


@pytest.fixture
def metadata(metadata_url: str) -> Iterator[SqlMetadata]:
    metadata = SqlMetadata(metadata_url)
    metadata.upgrade()
    yield metadata
    metadata.close()


def as_port(metadata: SqlMetadata) -> Metadata:
    """Hold the types together: this module does not type-check once they part."""
    return metadata


def as_transaction(session: Session) -> ReactionTransaction:
    return SqlTransaction(session)


def test_the_stores_take_and_name_what_their_ports_do(tmp_path: Path) -> None:
    metadata = SqlMetadata(f"sqlite:///{tmp_path / 'metadata.sqlite'}")
    with metadata.reading() as tx:
        for name, port in STORES.items():
            store = type(getattr(tx, name))
            for verb in (verb for verb in vars(port) if not verb.startswith("_")):
                ours, theirs = (inspect.signature(getattr(kind, verb)).parameters for kind in (store, port))
                assert list(ours) == list(theirs), verb
                assert [p.default for p in ours.values()] == [p.default for p in theirs.values()], verb
    metadata.close()


@contextmanager
def statements() -> Iterator[list[str]]:
    """Collect what is sent to any database meanwhile; one text for a batch, as the driver sends it."""
    sent: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        sent.append(statement)

    sa.event.listen(Engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        sa.event.remove(Engine, "before_cursor_execute", note)


def many(example: Callable[[int], Any], count: int) -> list[Any]:
    return [example(number) for number in range(1, count + 1)]


BATCHES: dict[str, Callable[[ReactionTransaction, int], object]] = {
    "tokens": lambda tx, n: tx.tenancy.memberships(examples.AIRPORT),
    "jobs.add": lambda tx, n: tx.jobs.add(FLIGHTS, [replace(job, cause=job.id) for job in many(examples.job, n)]),
    "jobs.get": lambda tx, n: tx.jobs.get(FLIGHTS, [job.id for job in many(examples.job, n)]),
    "jobs.find": lambda tx, n: tx.jobs.find(FLIGHTS, PageRequest(limit=n)),
    "jobs.cancel": lambda tx, n: tx.jobs.request_cancel(FLIGHTS, [job.id for job in many(examples.job, n)], at=NOON),
    "jobs.requeue": lambda tx, n: tx.jobs.requeue(FLIGHTS, [job.id for job in many(examples.job, n)]),
    "jobs.log": lambda tx, n: tx.jobs.log(FLIGHTS, JobId("job_0001"), [(NOON, "stdout", "a")] * n),
    "datasets.add": lambda tx, n: tx.datasets.add(FLIGHTS, [examples.dataset(), *many(lambda i: examples.dataset(f"d{i}"), n)]),
    "datasets.save": lambda tx, n: tx.datasets.save(FLIGHTS, many(lambda i: examples.dataset(f"d{i}"), n)),
    "datasets.add_versions": lambda tx, n: tx.datasets.add_versions(FLIGHTS, many(examples.dataset_version, n)),
    "datasets.save_versions": lambda tx, n: tx.datasets.save_versions(FLIGHTS, many(examples.dataset_version, n)),
    "datasets.get_versions": lambda tx, n: tx.datasets.get_versions(
        FLIGHTS, [version.id for version in many(examples.dataset_version, n)]
    ),
    "runs.add": lambda tx, n: tx.runs.add(FLIGHTS, many(examples.run, n)),
    "runs.save": lambda tx, n: tx.runs.save(FLIGHTS, many(examples.run, n)),
    "runs.get": lambda tx, n: tx.runs.get(FLIGHTS, [run.id for run in many(examples.run, n)]),
    "runs.find": lambda tx, n: tx.runs.find(FLIGHTS, PageRequest(limit=n), sort="log_loss"),
    "runs.log": lambda tx, n: tx.runs.log(FLIGHTS, RunId("run_0001"), many(lambda i: MetricPoint(f"m{i % 3}", i, i, NOON), n)),
    "runs.points": lambda tx, n: tx.runs.points(FLIGHTS, [run.id for run in many(examples.run, n)], "m1"),
    "models.add": lambda tx, n: tx.models.add(FLIGHTS, [examples.model(), *many(lambda i: examples.model(f"m{i}"), n)]),
    "models.add_versions": lambda tx, n: tx.models.add_versions(FLIGHTS, many(examples.model_version, n)),
    "models.save_versions": lambda tx, n: tx.models.save_versions(FLIGHTS, many(examples.model_version, n)),
    "models.get_versions": lambda tx, n: tx.models.get_versions(FLIGHTS, "delay", list(range(1, n + 1))),
    "models.save_aliases": lambda tx, n: tx.models.save_aliases(FLIGHTS, many(lambda i: examples.alias(f"a{i}"), n)),
    "deployments.add": lambda tx, n: tx.deployments.add(
        FLIGHTS, [examples.deployment(), *many(lambda i: examples.deployment(f"d{i}"), n)]
    ),
    "deployments.add_revisions": lambda tx, n: tx.deployments.add_revisions(FLIGHTS, many(examples.revision, n)),
    "deployments.latest": lambda tx, n: tx.deployments.latest_revisions(FLIGHTS),
    "deployments.save_rollouts": lambda tx, n: tx.deployments.save_rollouts(FLIGHTS, many(examples.rollout, n)),
    "monitors.add": lambda tx, n: tx.monitors.add(FLIGHTS, [examples.monitor(), *many(lambda i: examples.monitor(f"m{i}"), n)]),
    "monitors.add_windows": lambda tx, n: tx.monitors.add_windows(FLIGHTS, many(examples.window, n)),
    "monitors.add_alerts": lambda tx, n: tx.monitors.add_alerts(FLIGHTS, many(examples.alert, n)),
    "policies.save": lambda tx, n: tx.policies.save(FLIGHTS, many(lambda i: examples.policy(f"p{i}"), n)),
    "policies.add_decisions": lambda tx, n: tx.policies.add_decisions(FLIGHTS, many(examples.decision, n)),
    "policies.get_decisions": lambda tx, n: tx.policies.get_decisions(FLIGHTS, [d.id for d in many(examples.decision, n)]),
}


def statements_of_each_batch(url: str, count: int) -> dict[str, int]:
    """Run every batch with `count` things, one after another on one database, and return how many statements each took."""
    metadata = SqlMetadata(url)
    metadata.upgrade()
    taken = {}
    for name, run in BATCHES.items():
        with metadata.transaction() as tx, statements() as sent:
            run(tx, count)
        taken[name] = len(sent)
    metadata.close()
    return taken


@pytest.mark.contract
def test_no_verb_queries_in_a_loop(tmp_path: Path) -> None:
    few, some = (statements_of_each_batch(f"sqlite:///{tmp_path / str(count)}.sqlite", count) for count in (2, 40))
    assert few == some
    assert max(some.values()) <= 5


def test_no_verb_queries_in_a_loop_on_postgresql(postgresql_url: str) -> None:
    [several] = [statements_of_each_batch(postgresql_url, count) for count in (40,)]
    assert max(several.values()) <= 6  # one more: the lock on the project


@pytest.mark.contract
def test_the_next_job_is_found_by_its_index_alone(tmp_path: Path) -> None:
    """Otherwise a worker's every question would read all jobs that ever were."""
    metadata = SqlMetadata(f"sqlite:///{tmp_path / 'metadata.sqlite'}")
    metadata.upgrade()
    with metadata.transaction() as tx, statements() as sent:
        tx.jobs.lease("worker", lease_s=1, kinds=["run.train"], projects=[FLIGHTS], at=NOON)
        tx.jobs.lapse(at=NOON)
    metadata.close()
    plain = sqlite3.connect(tmp_path / "metadata.sqlite")
    plans = [
        str(row[3])
        for statement in sent
        if "UPDATE job" in statement
        for row in plain.execute(f"EXPLAIN QUERY PLAN {statement}", [0] * statement.count("?"))
    ]
    plain.close()
    assert any("USING INDEX ix_job_next" in plan for plan in plans)
    assert any("USING INDEX ix_job_lease" in plan for plan in plans)
    assert not any("TEMP B-TREE" in plan or plan == "SCAN job" for plan in plans)


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("sqlite://", "metadata.invalid"),
        ("sqlite:///:memory:", "metadata.invalid"),
        ("sqlite:////nowhere/at/all/metadata.sqlite", "metadata.missing"),
        ("mysql://root:hunter2@localhost/x", "metadata.invalid"),
        ("not a url", "metadata.invalid"),
    ],
)
def test_a_url_of_no_database_is_told_without_its_password(url: str, code: str) -> None:
    with pytest.raises(Problem) as problem:
        SqlMetadata(url)
    assert problem.value.code == code
    assert "hunter2" not in str(problem.value)


def test_people_are_told_of_a_server_without_its_password() -> None:
    engine = open_engine("postgresql://root:hunter2@localhost:5432/x")
    assert told(engine) == "The database postgresql+psycopg://root:***@localhost:5432/x"


def test_a_server_that_is_not_there_is_told() -> None:
    pytest.importorskip("psycopg")
    metadata = SqlMetadata("postgresql://root:hunter2@127.0.0.1:1/x")
    with pytest.raises(Problem, match="does not answer") as problem:
        metadata.upgrade()
    assert problem.value.code == "metadata.unavailable"
    assert "hunter2" not in str(problem.value)


@pytest.mark.contract
def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "metadata.sqlite").write_bytes(b"flights" * 1000)
    metadata = SqlMetadata(f"sqlite:///{tmp_path / 'metadata.sqlite'}")
    with pytest.raises(Problem, match="not a sound database") as problem:
        metadata.upgrade()
    assert problem.value.code == "metadata.unavailable"
    metadata.close()


@pytest.mark.contract
def test_a_full_disk_keeps_nothing_of_the_transaction_and_all_before_it(tmp_path: Path) -> None:
    def fill_up(driver: sqlite3.Connection, record: object) -> None:
        driver.execute("PRAGMA max_page_count = 120")  # the engine's own end of the disk

    metadata = SqlMetadata(f"sqlite:///{tmp_path / 'metadata.sqlite'}")
    metadata.upgrade()
    metadata.close()
    sa.event.listen(Engine, "connect", fill_up)
    try:
        with metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset()])
        with pytest.raises(Problem, match="its disk is full") as problem, metadata.transaction() as tx:
            tx.datasets.add(FLIGHTS, [examples.dataset("planes")])
            tx.runs.add(FLIGHTS, many(examples.run, 2000))
        with metadata.transaction() as tx:
            assert tx.datasets.find(FLIGHTS) == [examples.dataset()]
            tx.datasets.add(FLIGHTS, [examples.dataset("airports")])
    finally:
        sa.event.remove(Engine, "connect", fill_up)
        metadata.close()
    assert problem.value.code == "metadata.unavailable"


@pytest.mark.parametrize("same", [True, False], ids=["this process", "another process"])
def test_a_database_that_stays_busy_is_told(metadata_url: str, same: bool) -> None:
    metadata = SqlMetadata(metadata_url, busy_timeout_s=0.05)
    other = metadata if same else SqlMetadata(metadata_url)
    other.upgrade()
    held, tried = Event(), Event()

    def hold() -> None:
        with other.transaction() as tx:
            tx.datasets.find(FLIGHTS)
            held.set()
            assert tried.wait(TIMEOUT_S)

    with ThreadPoolExecutor(1) as thread:
        holding = thread.submit(hold)
        assert held.wait(TIMEOUT_S)
        with pytest.raises(Problem, match="is busy") as problem, metadata.transaction() as tx:
            tx.datasets.find(FLIGHTS)
        with metadata.reading() as tx:
            assert tx.datasets.find(FLIGHTS) == []
        tried.set()
        holding.result(TIMEOUT_S)
    with metadata.transaction() as tx:
        tx.datasets.add(FLIGHTS, [examples.dataset()])
    assert problem.value.code == "metadata.unavailable"
    metadata.close()
    other.close()


def test_a_forked_process_has_connections_of_its_own(metadata_url: str) -> None:
    """It would otherwise speak over its parent's, and meet its parent's open transaction."""
    script = f"""
import os
from modelyard.adapters.sql import SqlMetadata
from modelyard.testing import examples
metadata = SqlMetadata({metadata_url!r})
metadata.upgrade()
for _ in range(3):
    with metadata.transaction() as tx:
        tx.datasets.find(examples.FLIGHTS)
        child = os.fork()
        if child == 0:
            with metadata.reading() as own:
                assert own.datasets.find(examples.FLIGHTS) == []
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        tx.datasets.find(examples.FLIGHTS)
with metadata.transaction() as tx:
    tx.datasets.add(examples.FLIGHTS, [examples.dataset()])
metadata.close()
"""
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)
    metadata = SqlMetadata(metadata_url)
    with metadata.reading() as tx:
        assert tx.datasets.find(FLIGHTS) == [examples.dataset()]
    metadata.close()


def test_a_lost_connection_is_told_and_the_next_transaction_has_another(postgresql_url: str) -> None:
    metadata = SqlMetadata(postgresql_url)
    metadata.upgrade()
    with pytest.raises(Problem, match="does not answer") as problem, metadata.transaction() as tx:
        tx.datasets.add(FLIGHTS, [examples.dataset()])
        end_all_sessions(postgresql_url)
        tx.datasets.find(FLIGHTS)
    assert problem.value.code == "metadata.unavailable"
    with metadata.transaction() as tx:
        assert tx.datasets.find(FLIGHTS) == []
    end_all_sessions(postgresql_url)
    with metadata.transaction() as tx:
        assert tx.datasets.find(FLIGHTS) == []
    metadata.close()


def end_all_sessions(url: str) -> None:
    """End every session on the database but the one that asks: what a restarted server does."""
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(
            sa.text(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND datname = current_database()"
            )
        )
    engine.dispose()


def test_two_transactions_that_wait_for_each_other_are_parted(postgresql_url: str) -> None:
    """Only those that touch two projects in crossed order can; the server ends one, which is told to try again."""
    metadata = SqlMetadata(postgresql_url)
    metadata.upgrade()
    both_hold = [Event(), Event()]

    def cross(mine: int) -> str:
        projects = [FLIGHTS, examples.CHURN]
        try:
            with metadata.transaction() as tx:
                tx.datasets.find(projects[mine])
                both_hold[mine].set()
                assert both_hold[1 - mine].wait(TIMEOUT_S)
                tx.datasets.find(projects[1 - mine])
        except Problem as problem:
            return problem.code
        return "done"

    with ThreadPoolExecutor(2) as threads:
        assert sorted(threads.map(cross, range(2))) == ["done", "metadata.conflict"]
    metadata.close()


def test_what_cannot_be_told_of_changes_is_not_told_and_later_it_is_again(tmp_path: Path) -> None:
    metadata = SqlMetadata(f"sqlite:///{tmp_path / 'metadata.sqlite'}")
    metadata.upgrade()
    before = metadata.changes()
    assert before is not None
    assert metadata._watch is not None
    assert metadata._watch.driver_connection is not None
    metadata._watch.driver_connection.close()  # as a disk that goes: its very driver raises
    assert metadata.changes() is None
    assert metadata.changes() not in {None, before}, "another connection counts anew: whoever remembers has to look"
    metadata.close()
