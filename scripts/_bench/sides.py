"""The home of a node that is not running, opened as the node opens it.

For what is written into its database as the node would have written it, only faster.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.app import open_home
from gateway.config import resolve
from gateway.configured import open_store
from gateway.keyring.keyring import FileKeyring
from gateway.node.audit_log import AuditLog
from gateway.node.pair import Pair
from gateway.storage.highwater import FileHighWater
from gateway.storage.store import SqlStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """A node's home: keys, database and high-water file."""

    pair: Pair
    keyring: FileKeyring
    store: SqlStore
    audit: AuditLog
    high_water: FileHighWater


@asynccontextmanager
async def open_side(home: Path) -> AsyncIterator[Side]:
    """Open the home of a node that is not running, as the node would."""
    opened = open_home(home)
    keyring, config = opened.keyring, opened.config
    pair = Pair(
        nation=keyring.nation,
        node=keyring.node,
        peer_nation=keyring.peer_nation,
        peer_node=keyring.peer_node,
    )
    high_water = FileHighWater(resolve(home, config.store.high_water_file))
    store = open_store(home, config)
    try:
        yield Side(pair=pair, keyring=keyring, store=store, audit=AuditLog(pair), high_water=high_water)
    finally:
        await store.close()
        high_water.close()
