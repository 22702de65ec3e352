"""Which version the tables have, and how an older database becomes a current one.

The version is one row of the table `alembic_version`. A database of this version opens
without Alembic being loaded; an older one is migrated in one transaction; one that this
program does not know is refused, because a newer program made it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.storage.engine import Database
from gateway.storage.session import Session
from gateway.storage.statements import Statement
from gateway.storage.tables import SCHEMA_REVISION, lease, logs

MIGRATIONS: Final = Path(__file__).parent / "migrations"

_version: Final = sa.table("alembic_version", sa.column("version_num", sa.Text()))
_VERSION: Final = Statement(sa.select(_version.c.version_num))
_EPOCH: Final = Statement(sa.select(lease.c.epoch).where(lease.c.id == 1))
_NEXT_EPOCH: Final = Statement(sa.update(lease).where(lease.c.id == 1).values(epoch=sa.bindparam("next")))
_ALL_LOGS: Final = Statement(sa.update(logs).values(epoch=sa.bindparam("next")))


def check_schema(database: Database) -> None:
    """Refuse a database that cannot be read as it is.

    Raises:
        StoreError: It is empty, or of another version.
    """
    session = Session(database, writable=False)
    try:
        row = session.first(_VERSION)
    except StoreError as error:
        msg = "the database holds no tables of this program: start the node once"
        raise StoreError(msg) from error
    finally:
        session.close()
    if row is None or row[0] != SCHEMA_REVISION:
        msg = "the database is of another version than this program: start the node of this version once"
        raise StoreError(msg)


def migrate(database: Database) -> None:
    """Bring the tables to this program's version.

    Raises:
        StoreError: The database is of a newer version, or cannot be migrated.
    """
    try:
        with database.engine.begin() as connection:
            found = _revision(connection)
            if found == SCHEMA_REVISION:
                return
            _upgrade(connection, found)
    except sa.exc.SQLAlchemyError as error:
        msg = "the tables of the database could not be made or migrated"
        raise StoreError(msg) from error


def take_lease(session: Session) -> None:
    """Raise the epoch and take every log over, so that an earlier holder can move none."""
    session.begin_unfenced()
    row = session.first(_EPOCH)
    epoch = 1 + (row[0] if row else 0)
    session.change(_NEXT_EPOCH, next=epoch)
    session.change(_ALL_LOGS, next=epoch)
    session.commit()
    session.epoch = epoch


def _revision(connection: sa.Connection) -> str | None:
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(sa.select(_version.c.version_num))
    return revision


def _upgrade(connection: sa.Connection, found: str | None) -> None:
    # Loaded only when there is something to do: it costs a tenth of a second.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", MIGRATIONS.as_posix())
    config.attributes["connection"] = connection
    if found is not None:
        known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
        if found not in known:
            msg = "the database was made by a newer version of this program: run that version"
            raise StoreError(msg)
    command.upgrade(config, SCHEMA_REVISION)
