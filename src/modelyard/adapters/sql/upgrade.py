"""From whatever form the tables have to this version's."""

import sqlite3
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DatabaseError

from modelyard.adapters.sql.session import LOCK_UPGRADE
from modelyard.adapters.sql.tables import HEAD, METADATA
from modelyard.core import Problem

MIGRATIONS = Path(__file__).parent / "migrations"

_VERSION = sa.Table("alembic_version", sa.MetaData(), sa.Column("version_num", sa.String(32), primary_key=True))


def upgrade(engine: Engine) -> None:
    """Bring the tables to the form of `HEAD`, one process at a time.

    A database at `HEAD` costs one query. An empty one gets the tables at once, without the import of Alembic; a test holds that
    the migrations lead to the same tables.
    """
    with engine.connect() as connection:
        recorded = _recorded(connection)
    if recorded == HEAD:
        return
    if engine.dialect.name == "sqlite":
        _write_ahead(engine)
    with engine.begin() as connection:  # on SQLite this waits for every other writer
        if engine.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(LOCK_UPGRADE, 0)))
        recorded = _recorded(connection)
        if recorded is None:
            METADATA.create_all(connection)
            _VERSION.create(connection)
            connection.execute(sa.insert(_VERSION).values(version_num=HEAD))
        elif recorded != HEAD:
            migrate(connection, recorded)


def migrate(connection: Connection, recorded: str | None = None, *, to: str = HEAD) -> None:
    """Run the migrations after the recorded one (None: from the first on) up to one, in the open transaction.

    Raises
    ------
    Problem
        `metadata.conflict` when the database was made by a version of Modelyard that this one does not know.
    """
    from alembic.config import Config  # heavy, and needed at an upgrade only
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    scripts = ScriptDirectory.from_config(config)
    if recorded is not None and recorded not in {script.revision for script in scripts.walk_revisions()}:
        raise Problem(
            "metadata.conflict",
            f"The database has the form {recorded}, and this Modelyard knows forms up to {HEAD}",
            "a newer Modelyard has upgraded it",
            "pip install --upgrade modelyard",
        )
    with EnvironmentContext(config, scripts, fn=lambda revision, _: scripts._upgrade_revs(to, revision)) as environment:
        environment.configure(connection=connection, target_metadata=METADATA, transactional_ddl=True)
        environment.run_migrations()


def _recorded(connection: Connection) -> str | None:
    if not sa.inspect(connection).has_table(_VERSION.name):
        return None
    return connection.execute(sa.select(_VERSION.c.version_num)).scalar()


def _write_ahead(engine: Engine) -> None:
    """Let readers and one writer go on side by side. The mode stays with the file, and cannot change inside a transaction."""
    connection = engine.raw_connection()
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    except sqlite3.DatabaseError as error:
        raise DatabaseError("PRAGMA journal_mode = WAL", None, error) from error  # as every other statement does
    finally:
        connection.close()
