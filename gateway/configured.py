"""What a configuration names, opened: the pair, the database and the folders of a node home.

The node and the commands that look into a home beside it open the same things in the same way.

Spec: docs/operating.md, "Configuration".
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import sqlalchemy as sa

from gateway.config import Config, resolve
from gateway.errors import ConfigError
from gateway.keyring.home import NodeHome
from gateway.node.pair import Pair
from gateway.storage.snapshot import remove_leftovers
from gateway.storage.store import SqlStore

_SQLITE: Final = "sqlite:///"


def pair_of(config: Config) -> Pair:
    """Return the two nodes that a configuration names, with the first generation of their logs."""
    return Pair(
        nation=config.node.nation,
        node=config.node.name,
        peer_nation=config.peer_nation,
        peer_node=config.peer.name,
    )


def store_url(home: Path, config: Config) -> str:
    """Return the address of the database: a file's path made absolute, or with the password of PostgreSQL.

    Raises:
        ConfigError: The address is not one, or the file with the password cannot be read.
    """
    path = _database_file(home, config)
    if path is not None:
        return f"{_SQLITE}{path}"
    file = config.store.password_file
    try:
        # The configuration itself never holds the password.
        secret = None if file is None else resolve(home, file).read_text(encoding="utf-8").strip()
    except OSError as error:
        msg = f"store.password_file cannot be read ({error.strerror})"
        raise ConfigError(msg) from error
    except UnicodeDecodeError as error:
        msg = "store.password_file is not UTF-8"
        raise ConfigError(msg) from error
    try:
        url = sa.make_url(config.store.url)
    except (sa.exc.ArgumentError, ValueError) as error:
        msg = "store.url is not the address of a database"
        raise ConfigError(msg) from error
    return (url if secret is None else url.set(password=secret)).render_as_string(hide_password=False)


def open_store(home: Path, config: Config) -> SqlStore:
    """Open the database of a node home to write to it.

    Raises:
        ConfigError: As `store_url` and `make_folder` do.
    """
    path = _database_file(home, config)
    if path is not None:
        make_folder(path.parent, "store.url")
        remove_leftovers(path)
    return SqlStore.open(store_url(home, config))


def make_folder(folder: Path, setting: str) -> None:
    """Make a folder that a setting names, unless it is there.

    Raises:
        ConfigError: It cannot be made: a file has its name, or the rights or the room are missing.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"{setting}: the folder {folder} cannot be made ({error.strerror})"
        raise ConfigError(msg) from error


def written_folders(home: Path, config: Config) -> list[Path]:
    """Return the folders of a home that a node writes to, each perhaps a disk of its own."""
    files = [resolve(home, file) for file in (config.store.high_water_file, config.store.orders_file)]
    database = _database_file(home, config)
    if database is not None:
        files.append(database)
    folders = dict.fromkeys([NodeHome(path=home).data, *(file.parent for file in files)])
    return [folder for folder in folders if folder.is_dir()]


def _database_file(home: Path, config: Config) -> Path | None:
    """Return the file of a SQLite database, None for PostgreSQL."""
    url = config.store.url
    return resolve(home, Path(url.removeprefix(_SQLITE))) if url.startswith(_SQLITE) else None
