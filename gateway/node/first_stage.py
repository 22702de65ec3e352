"""Where posts pass the first stage of admission: on the loop, in a thread, or at the crew.

One small post that came alone is examined on the loop, with others (`gateway.node.line`); what
came together is examined in a thread, or by the processes beside the node if it has any. What
is done is the same everywhere (`gateway.node.preparation`).

Spec: docs/spec/exchange.md, "Admission".
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any

from gateway.core.message.draft import assign_number
from gateway.core.message.rule import rule_number
from gateway.core.message.schedule import Schedule
from gateway.core.message.threads import (
    StoredMessage,
    examine_thread,
    is_known_to,
    subjects_of,
    uuid_bytes,
)
from gateway.core.message.violation import MAX_VIOLATIONS
from gateway.errors import GatewayError
from gateway.node.crew import Crew, pieces
from gateway.node.hand import Made, Posts, examine_posts
from gateway.node.posts import Candidate, Posted, Principal, Submission
from gateway.node.preparation import Preparation
from gateway.node.refusal import RefusedError
from gateway.node.steps import given, run_steps
from gateway.node.thread_memory import ThreadMemory
from gateway.node.vault import Vault
from gateway.node.workers import Workers
from gateway.ports import Clock, Store, Transaction


class FirstStage:
    """Turns posts into candidates, or into the errors that their agency gets."""

    def __init__(
        self,
        preparation: Preparation,
        *,
        schedule: Schedule,
        store: Store,
        vault: Vault,
        clock: Clock,
        workers: Workers,
        crew: Crew,
    ) -> None:
        """Wire the stage.

        Args:
            preparation: Examines.
            schedule: Catalogues of this node.
            store: Holds the messages that reply drafts are completed from.
            vault: Opens them.
            clock: Times of arrival.
            workers: The thread for batches.
            crew: Processes for them; it may have none.
        """
        self._preparation = preparation
        self._schedule = schedule
        self._store = store
        self._vault = vault
        self._clock = clock
        self._workers = workers
        self._crew = crew

    def begin(self, principal: Principal, submissions: Sequence[Submission]) -> list[Posted]:
        """Return posts that nobody has looked at yet."""
        now_ms = self._clock.now_ms()
        return [Posted(principal, post.body, post.key, now_ms=now_ms, strict=False) for post in submissions]

    async def prepare(self, posted: Sequence[Posted]) -> list[Candidate | GatewayError]:
        """Return a candidate or an error for each post, in order."""
        new = [item for item in posted if item.is_new]
        if self._crew.takes(len(new)):
            await self._examine_at_crew(new)
            new = [item for item in new if item.is_new]  # what it left to the node
        if new:
            await self._workers.compute(self._preparation.examine, new, sealing=True)
        for item in posted:
            if item.parent_id is not None and item.failure is None and item.candidate is None:
                await self._complete_from_parent(item, item.parent_id, sealing=True)
        await self._tell(posted, sealing=True)
        return [item.result() for item in posted]

    async def examine(self, principal: Principal, body: bytes, *, strict: bool) -> Candidate:
        """Return the candidate that a body gives; with ``strict``, complete nothing.

        Raises:
            RejectedError: What an agency would be answered.
        """
        item = Posted(principal, body, None, now_ms=self._clock.now_ms(), strict=strict)
        await self._workers.compute(self._preparation.examine, [item], sealing=False)
        if item.parent_id is not None and item.failure is None:
            await self._complete_from_parent(item, item.parent_id, sealing=False)
        await self._tell([item], sealing=False)
        await self.ask_conversations([item])
        result = item.result()
        if isinstance(result, GatewayError):
            raise result
        return result

    async def ask_conversations(self, posted: Sequence[Posted]) -> None:
        """Add to the refusals of posts that break rules what their conversations hold against them.

        Of a batch this is asked once all others are decided, which they may build on.
        """
        broken = [item for item in posted if item.broken]
        if broken:
            await self._store.read(partial(self._ask_conversations, broken))

    def _ask_conversations(self, broken: Sequence[Posted], tx: Transaction) -> None:
        memory = ThreadMemory(tx, open_content=self._vault.document)
        talks = [item.document["header"]["conversation"] for item in broken]
        memory.fetch(
            answered=[uuid_bytes(talk["in_reply_to"]) for talk in talks if "in_reply_to" in talk],
            numbered=[
                (uuid_bytes(talk["id"]), item.principal.agency)
                for talk, item in zip(talks, broken, strict=True)
            ],
            subjects=[subject for item in broken for subject in subjects_of(item.document)],
        )
        run_steps(broken, (partial(_ask_conversation, memory),))

    async def _tell(self, posted: Sequence[Posted], *, sealing: bool) -> None:
        if any(isinstance(item.failure, RefusedError) for item in posted):
            await self._workers.compute(self._preparation.tell, posted, sealing=sealing)

    async def _examine_at_crew(self, posted: Sequence[Posted]) -> None:
        """Have the crew examine posts of one agency; those that need another message stay new."""
        parts = list(pieces(posted, lambda item: len(item.body)))
        works = [
            Posts(principal=part[0].principal, posts=[(item.body, item.key, item.now_ms) for item in part])
            for part in parts
        ]
        results = await asyncio.gather(*(self._crew.do(examine_posts, work) for work in works))
        for part, examined in zip(parts, results, strict=True):
            for item, (digest, made) in zip(part, examined, strict=True):
                if made is not None:
                    self._take(item, digest, made)

    def _take(self, item: Posted, digest: bytes, made: Made | Exception) -> None:
        item.digest = digest
        if isinstance(made, Exception):
            item.failure = made
            return
        item.candidate = Candidate(
            principal=item.principal,
            name=made.name,
            digest=digest,
            document=made.document,
            catalogue=self._schedule.at(item.now_ms),
            derived=made.derived,
            message=item.body if made.as_posted else made.message,
            warnings=made.warnings,
            sealed=made.sealed,
        )

    async def _complete_from_parent(self, item: Posted, parent_id: bytes, *, sealing: bool) -> None:
        """Complete a reply draft from the message that it answers, if its agency may know that."""
        agency, catalogue = item.principal.agency, self._schedule.at(item.now_ms)
        message_type = catalogue.find(item.document.get("type"))
        is_answer = message_type is not None and bool(message_type.terms.reply_to)

        def find(tx: Transaction) -> tuple[StoredMessage | None, dict[str, Any] | None]:
            memory = ThreadMemory(tx, open_content=self._vault.document)
            parent = memory.find(parent_id)
            # Who was not asked is refused an answer (RF-PARTY). A mere link to a message of others would
            # be accepted, and what was filled in would show their purpose, areas and conversation.
            if parent is None or not (is_answer or is_known_to(agency, parent, catalogue.agreement, memory)):
                return None, None
            return parent, memory.content(parent_id)

        parent, content = await self._store.read(find)
        now_ms = self._clock.now_ms()
        self._preparation.complete_from(item, parent, content, now_ms=now_ms, sealing=sealing)


def _ask_conversation(memory: ThreadMemory, item: Posted) -> None:
    """Refuse a post for all that it breaks, with and without other messages."""
    found = [*item.broken]
    if item.seq_missing:
        conversation_id = uuid_bytes(item.document["header"]["conversation"]["id"])
        found += assign_number(item.document, memory.last_seq(conversation_id, item.principal.agency))
    found += examine_thread(
        item.document, catalogue=given(item.catalogue), threads=memory, side="sender"
    ).violations
    found.sort(key=lambda broken: rule_number(broken.rule))
    raise RefusedError(tuple(dict.fromkeys(found))[:MAX_VIOLATIONS])
