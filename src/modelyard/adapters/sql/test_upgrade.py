import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Connection

from modelyard.adapters.sql import SqlMetadata
from modelyard.adapters.sql.engine import open_engine
from modelyard.adapters.sql.tables import HEAD, METADATA
from modelyard.adapters.sql.upgrade import migrate
from modelyard.core import OrganisationId, Problem
from modelyard.testing import examples

VERSION = "alembic_version"
VERSION_NUMBER = sa.Table(VERSION, sa.MetaData(), sa.Column("version_num", sa.Text)).c.version_num


def form_of(connection: Connection) -> dict[str, Any]:
    """Return all that a database says of its tables."""
    inspector = sa.inspect(connection)
    form: dict[str, Any] = {
        table: {
            "columns": [str(column | {"type": repr(column["type"])}) for column in inspector.get_columns(table)],
            "key": inspector.get_pk_constraint(table),
            "foreign": sorted(map(str, inspector.get_foreign_keys(table))),
            "unique": sorted(map(str, inspector.get_unique_constraints(table))),
            "indexes": sorted(f"{where_of(index)} {index}" for index in inspector.get_indexes(table)),
        }
        for table in inspector.get_table_names()
        if table != VERSION
    }
    if connection.dialect.name == "sqlite":
        for table, sql in connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'table'"):
            if table in form:
                form[table]["kept"] = ("WITHOUT ROWID" in sql, "AUTOINCREMENT" in sql)
    return form


def where_of(index: Any) -> str:
    """Return the condition of a partial index, and take it out: it is an object, whose text is its address."""
    options = index.pop("dialect_options", {})
    return str(options.get("sqlite_where", options.get("postgresql_where", "")))


def test_the_migrations_lead_to_the_tables_that_a_new_database_gets(metadata_url: str) -> None:
    engine = open_engine(metadata_url)
    with engine.begin() as connection:
        METADATA.create_all(connection)
        at_once = form_of(connection)
        METADATA.drop_all(connection)
    with engine.begin() as connection:
        migrate(connection)
        step_by_step = form_of(connection)
        recorded = connection.execute(sa.select(VERSION_NUMBER)).scalars().all()
    engine.dispose()
    assert set(at_once) == set(METADATA.tables)
    for table, form in at_once.items():
        assert step_by_step[table] == form
    assert set(step_by_step) == set(at_once)
    assert recorded == [HEAD]


def test_a_database_made_by_migrations_serves(metadata_url: str) -> None:
    engine = open_engine(metadata_url)
    with engine.begin() as connection:
        migrate(connection)
    engine.dispose()
    metadata = SqlMetadata(metadata_url)
    metadata.upgrade()
    with metadata.transaction() as tx:
        tx.tenancy.add_organisations([examples.organisation()])
        assert tx.tenancy.organisations() == [examples.organisation()]
    metadata.close()


def test_tokens_of_the_first_form_have_no_limit(metadata_url: str) -> None:
    engine = open_engine(metadata_url)
    with engine.begin() as connection:
        migrate(connection, to="0001")
        row = "'token_1', 'org_1', 'mem_1', 'old', 'hash', NULL, '2026-01-01T00:00:00.000000Z', NULL, NULL"
        for table, values in (
            ("organisation", "'org_1', 'local', '2026-01-01T00:00:00.000000Z'"),
            ("member", "'mem_1', 'org_1', 'owner', NULL, '2026-01-01T00:00:00.000000Z'"),
            ("token", row),
        ):
            connection.exec_driver_sql(f"INSERT INTO {table} VALUES ({values})")  # noqa: S608 - our own words
    engine.dispose()
    metadata = SqlMetadata(metadata_url)
    metadata.upgrade()
    with metadata.reading() as tx:
        assert [(token.name, token.limit) for token in tx.tenancy.tokens(OrganisationId("org_1"))] == [("old", None)]
    metadata.close()


def test_a_database_of_a_newer_version_is_left_alone(metadata_url: str) -> None:
    metadata = SqlMetadata(metadata_url)
    metadata.upgrade()
    engine = open_engine(metadata_url)
    with engine.begin() as connection:
        connection.execute(sa.update(VERSION_NUMBER.table).values(version_num="9999"))
    with pytest.raises(Problem, match="knows forms up to") as told:
        metadata.upgrade()
    assert told.value.code == "metadata.conflict"
    assert "9999" in told.value.what
    with engine.begin() as connection:
        assert connection.execute(sa.select(VERSION_NUMBER)).scalar() == "9999"
    engine.dispose()
    metadata.close()


def test_an_upgrade_that_fails_leaves_nothing_half_made(metadata_url: str) -> None:
    engine = open_engine(metadata_url)
    with engine.begin() as connection:  # in the way of one that comes late
        connection.execute(sa.text("CREATE TABLE other (id INTEGER)"))
        connection.execute(sa.text("CREATE INDEX uq_decision_retrain ON other (id)"))
    metadata = SqlMetadata(metadata_url)
    with pytest.raises(sa.exc.DBAPIError, match="uq_decision_retrain"):
        metadata.upgrade()
    with engine.begin() as connection:
        assert sa.inspect(connection).get_table_names() == ["other"]
        connection.execute(sa.text("DROP TABLE other"))
    metadata.upgrade()
    with metadata.reading() as tx:
        assert tx.tenancy.organisations() == []
    metadata.close()
    engine.dispose()


@pytest.mark.contract
def test_neither_a_new_nor_a_current_database_costs_the_import_of_alembic(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'metadata.sqlite'}"
    script = f"""
import sys
from modelyard.adapters.sql import SqlMetadata
for _ in range(2):
    metadata = SqlMetadata({url!r})
    metadata.upgrade()
    metadata.close()
print([name for name in ("alembic", "mako", "psycopg") if name in sys.modules])
"""
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "[]"


@pytest.mark.contract
def test_a_sqlite_database_lets_readers_and_a_writer_go_side_by_side(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'metadata.sqlite'}"
    metadata = SqlMetadata(url)
    metadata.upgrade()
    metadata.close()
    engine = open_engine(url)
    with engine.begin() as connection:
        mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar()
        foreign_keys = connection.exec_driver_sql("PRAGMA foreign_keys").scalar()
    engine.dispose()
    assert (mode, foreign_keys) == ("wal", 1)
