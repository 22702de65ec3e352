"""Which version the tables have, and how an older database becomes a current one.

The version is one row of the table `alembic_version`. A database of this version opens
without Alembic being loaded; an older one is migrated in one transaction; one that this
program does not know is never written, because a newer program made it.

Reading is another matter. An export or a verification of the last release goes on beside a
node of the next one: each migration says whether what it changes is seen by older readers
(``STEP``), and the database names the oldest version that still reads it.

Spec: docs/storage.md, "Versions".
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Final

import sqlalchemy as sa

from gateway.errors import StoreError
from gateway.storage.engine import Database, replace_row
from gateway.storage.session import Session
from gateway.storage.statements import Statement
from gateway.storage.tables import SCHEMA_REVISION, lease, logs, settings

MIGRATIONS: Final = Path(__file__).parent / "migrations"

OLDEST_READER: Final = "schema.oldest_reader"
"""Setting: the oldest version of the tables whose programs read this database."""

MADE_BY: Final = "schema.made_by"
"""Setting: the release that brought the tables to their version."""

PRE: Final = "pre"
"""Step of a migration that older programs do not notice when they read: it only adds."""

_version: Final = sa.table("alembic_version", sa.column("version_num", sa.Text()))
_VERSION: Final = Statement(sa.select(_version.c.version_num))
_SETTING: Final = Statement(sa.select(settings.c.value).where(settings.c.key == sa.bindparam("name")))
_EPOCH: Final = Statement(sa.select(lease.c.epoch).where(lease.c.id == 1))
_NEXT_EPOCH: Final = Statement(sa.update(lease).where(lease.c.id == 1).values(epoch=sa.bindparam("next")))
_ALL_LOGS: Final = Statement(sa.update(logs).values(epoch=sa.bindparam("next")))


def check_schema(database: Database) -> bool:
    """Refuse a database that cannot be read as it is.

    A newer one can be read if every migration since this program's version only added.

    Returns:
        Whether it is such a newer one, which this program can read and must not write.

    Raises:
        StoreError: It is empty, older, or too new.
    """
    session = Session(database, writable=False)
    try:
        row = session.first(_VERSION)
        oldest = session.first(_SETTING, name=OLDEST_READER)
    except StoreError as error:
        msg = "the database holds no tables of this program: start the node once"
        raise StoreError(msg) from error
    finally:
        session.close()
    found = None if row is None else row[0]
    # Versions are numbers of four digits in one chain, so the order of texts is their order.
    newer = found is not None and found > SCHEMA_REVISION
    if found == SCHEMA_REVISION or (newer and oldest is not None and oldest[0] <= SCHEMA_REVISION):
        return newer
    if newer:
        msg = "the database is of a newer version than this program can read: use the program of the node"
    else:
        msg = "the database is of an older version than this program: start the node of this version once"
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
    chain = list(ScriptDirectory.from_config(config).walk_revisions())
    if found is not None and found not in {script.revision for script in chain}:
        raise StoreError(_newer(connection))
    command.upgrade(config, SCHEMA_REVISION)
    # The chain is walked from its head: the first one that older readers notice is the newest.
    # A migration that says nothing is taken for one of those.
    breaking = (script.revision for script in chain if getattr(script.module, "STEP", None) != PRE)
    facts = {OLDEST_READER: next(breaking), MADE_BY: version("entente")}
    put = replace_row(settings)(connection.dialect.name)
    connection.execute(put, [{"key": key, "value": value} for key, value in facts.items()])


def _newer(connection: sa.Connection) -> str:
    """Return why a database that a newer program made is not written."""
    made_by = connection.scalar(sa.select(settings.c.value).where(settings.c.key == MADE_BY))
    release = "" if made_by is None else f" ({made_by})"
    return (
        f"the database was made by a newer version of this program{release}: run that version, or restore "
        "the backup that was made before the upgrade; nothing was changed"
    )
