"""A backlog of a million messages, made quickly: what admission leaves while the peer is away.

Each message is made and written by the functions by which admission does it, in groups of its
size: header, what follows from the document, sealing, the row, what it does in its
conversation, its idempotency key, the event in the audit log. Left out is what decides and
writes nothing: HTTP, and the examination of each single message, which the template that it
is a copy of has passed. A test compares the rows with those of messages that a node admitted.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from time import time
from typing import Any, Final
from uuid import UUID

import orjson

from gateway.catalogue import read_catalogue
from gateway.core.digest import digest_of
from gateway.core.envelope import header_of
from gateway.core.message.registry import Catalogue
from gateway.core.message.threads import effects_of, endings_of
from gateway.core.sealing import ContentKey
from gateway.keyring.registry import read_registry
from gateway.node.audit_log import Actor
from gateway.node.line import MAX_GROUP
from gateway.node.message_rows import derive, new_message
from gateway.node.posts import agency_actor
from gateway.node.thread_memory import ThreadMemory
from gateway.node.vault import Vault
from gateway.ports import POST_DIGEST_BYTES, NewMessage, Step, Transaction
from scripts._bench.messages import Template, make_templates, stamped
from scripts._bench.sides import Side, open_side

CHUNK: Final = 12_800
"""Messages whose ids are drawn together, and which are in memory."""

Message = tuple[Template, str, bytes]


def fill_outbox(home: Path, count: int, *, accepted: Path) -> None:
    """Let so many messages of the ordinary mix wait in a home whose node is not running.

    Args:
        home: Of the sending node.
        count: Messages.
        accepted: File that their ids are appended to, as those of the load generator are.
    """
    asyncio.run(_fill(home, count, accepted))


async def _fill(home: Path, count: int, accepted: Path) -> None:
    async with open_side(home) as side:
        desk = _Desk(side)
        for begun in range(0, count, CHUNK):
            messages = stamped(desk.templates, min(CHUNK, count - begun))
            with accepted.open("a", encoding="ascii") as file:
                writes = []
                while group := list(islice(messages, MAX_GROUP)):
                    writes.append(side.store.write(Step.ACCEPTED, desk.admitting(group)))
                    file.writelines(f"{message_id}\n" for _, message_id, _ in group)
                await asyncio.gather(*writes)


class _Desk:
    """Writes groups of messages as admission does."""

    def __init__(self, side: Side) -> None:
        self.templates = make_templates(side.pair.nation, now=datetime.now(UTC))
        self._side = side
        self._catalogue: Catalogue = read_catalogue()
        self._vault = Vault(side.keyring.storage_key)
        self._actors: Mapping[str, Actor] = {
            holder.code: agency_actor(holder.spki)
            for holder in read_registry(side.keyring.home.registry).holders
        }

    def admitting(self, group: Sequence[Message]) -> Any:
        """Return the closure that writes a group."""
        return lambda tx: self._admit(tx, group)

    def _admit(self, tx: Transaction, group: Sequence[Message]) -> None:
        at_ms = int(time() * 1_000)
        audit = self._side.audit
        first = audit.next_place(tx)
        by_agency: dict[str, list[bytes]] = {}
        for template, message_id, _ in group:
            by_agency.setdefault(template.agency, []).append(UUID(message_id).bytes)
        places = {agency: first + place for place, agency in enumerate(by_agency)}
        events = [
            event
            for agency, ids in by_agency.items()
            for event in audit.event(
                at_ms=at_ms, actor=self._actors[agency], event="message.accepted", objects=ids
            )
        ]
        audit.append(tx, events)
        tx.outbox.insert(list(self._rows(tx, group, places, at_ms)))

    def _rows(
        self, tx: Transaction, group: Sequence[Message], places: Mapping[str, int], at_ms: int
    ) -> Iterator[NewMessage]:
        catalogue, vault, pair = self._catalogue, self._vault, self._side.pair
        memory = ThreadMemory(tx, open_content=vault.document)
        for template, _, body in group:
            document = orjson.loads(body)
            header = header_of(
                document,
                from_node=pair.node,
                to_node=pair.peer_node,
                type_digest=catalogue.type(template.type).digest,
            )
            derived = derive(document, catalogue=catalogue, header=header, header_bytes=header.encode())
            memory.fetch(subjects=derived.subjects)
            ciphertext, wrapped_key = vault.seal(
                body,
                content_key=ContentKey(os.urandom(32)),
                header=derived.header_bytes,
                message_id=header.message_id,
            )
            effects = effects_of(document, catalogue=catalogue, threads=memory)
            yield new_message(
                derived,
                seq=document["header"]["conversation"]["seq"],
                effects=effects,
                arrived_ms=at_ms,
                audit_index=places[template.agency],
                ciphertext=ciphertext,
                wrapped_key=wrapped_key,
                endings=endings_of(
                    document, derived.ending, catalogue=catalogue, threads=memory, effects=effects
                ),
                post_digest=digest_of(body)[:POST_DIGEST_BYTES],
            )
