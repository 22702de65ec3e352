"""A running node's eye on the folder of newer reference lists: a list that is replaced counts at once.

Lists only warn, and belong to no agreement, so nothing waits for a restart. A file that is no list
changes nothing: what was read before stays, and the operator is told, once for each change.

Spec: docs/reference-lists.md, "Refreshing a list".
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Final

import structlog

from gateway.catalogue import read_lists
from gateway.core.digest import digest_of
from gateway.core.message.reference_lists import ReferenceListError
from gateway.node.runtime import Node
from gateway.ports import Clock

log = structlog.get_logger(__name__)

LOOK_S: Final = 1.0
"""Seconds between two looks at the folder."""

_Stamp = tuple[tuple[str, int, int, int], ...]


class ListWatch:
    """Looks at the folder of lists of a running node. One task owns `run`."""

    def __init__(self, folder: Path, node: Node, *, clock: Clock) -> None:
        """Remember the files as they are now, which the node has read; `run` acts on changes."""
        self._folder = folder
        self._node = node
        self._clock = clock
        self._stamp = _stamp_of(folder)

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self._clock.sleep(LOOK_S)
            await self.look()

    async def look(self) -> None:
        """Read the lists again if a file was put there, replaced or removed."""
        stamp = _stamp_of(self._folder)
        if stamp == self._stamp:
            return
        # Before it is read: what is written meanwhile is another change, and read with the next look.
        self._stamp = stamp
        try:
            lists = await asyncio.to_thread(read_lists, self._folder)
        except ReferenceListError as error:
            # Its text names the file and never what is in it.
            log.error("lists.refused", error=str(error))  # noqa: TRY400 - the text says it
            return
        editions = {name: lists[name].edition.name for name in sorted(lists)}
        # On record first: lists that nobody could find out about later decide about no message.
        await self._node.own_events.record("lists.renewed", details=[digest_of(repr(editions).encode())])
        self._node.use_lists(lists)
        log.info("lists.renewed", **editions)


def _stamp_of(folder: Path) -> _Stamp:
    """Return what changes with every change of a list; nothing for a folder that is absent."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            facts = path.stat()
        except FileNotFoundError:
            continue  # removed since the folder was read
        found.append((path.name, facts.st_ino, facts.st_size, facts.st_mtime_ns))
    return tuple(found)
