"""Posting, checking, following and withdrawing messages."""

from __future__ import annotations

import asyncio
import re
from typing import Final
from uuid import UUID

import orjson

from gateway.api.answers import (
    acceptance_json,
    checked_json,
    listing_json,
    own_summary,
    tracked_json,
    uuid_text,
)
from gateway.api.callers import Caller
from gateway.api.cursors import CURSOR, MESSAGES, decode_place, encode_place
from gateway.api.services import Services
from gateway.core.message.instants import time_text
from gateway.core.message.wording import Language, Wording
from gateway.core.states import State
from gateway.errors import GatewayError, forget_frames
from gateway.node.posts import Submission
from gateway.node.second_stage import Acceptance
from gateway.web.exchange import Reply, Request
from gateway.web.problems import body_of, problem_of
from gateway.web.refusals import BadParameter, BodyTooLargeError, ParameterError

NDJSON: Final = "application/x-ndjson"
ZIP: Final = "application/zip"
MAX_BATCH_LINES: Final = 5_000
MAX_PAGE: Final = 1_000
MAX_WAIT_S: Final = 60
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}")

_KEY_EXPECTED: Final = Wording(
    en="1 to 128 visible ASCII characters without spaces",
    fr="1 à 128 caractères ASCII visibles, sans espace",
)
CURSOR_EXPECTED: Final = Wording(
    en="a `next` of this listing, unchanged", fr="un `next` de cette liste, inchangé"
)


class MessageHandlers:
    """Calls about messages that this agency sends."""

    def __init__(self, services: Services) -> None:
        """Serve from a node."""
        self._services = services
        self._audit_origin = services.pair.audit_origin

    async def post(self, request: Request[Caller]) -> Reply:
        """Accept a message or a draft."""
        submission = Submission(body=request.body, key=_idempotency_key(request))
        (outcome,) = await self._services.admission.submit(request.caller.principal, [submission])
        if isinstance(outcome, GatewayError):
            raise outcome
        location = f"/v1/messages/{uuid_text(outcome.message_id)}"
        body = self._accepted(outcome, request.language)
        language = request.language if outcome.warnings else None
        return Reply(status=202, body=body, headers=(("Location", location),), language=language)

    async def batch(self, request: Request[Caller]) -> Reply:
        """Decide about each line by itself; one result a line, in order."""
        key = _idempotency_key(request)
        # Counted before they are taken apart: 16 MiB may hold 16 million.
        if request.body.removesuffix(b"\n").count(b"\n") >= MAX_BATCH_LINES:
            msg = f"a batch has at most {MAX_BATCH_LINES} lines"
            raise BodyTooLargeError(msg)
        lines = request.body.split(b"\n")
        if lines[-1] == b"":
            lines.pop()
        submissions = [
            # The key of the call stands for all lines: each gets its own from it.
            Submission(body=line, key=None if key is None else f"{key}:{number}")
            for number, line in enumerate(lines, start=1)
        ]
        outcomes = await self._services.admission.submit(request.caller.principal, submissions)
        results: list[bytes] = []
        for outcome in outcomes:
            if isinstance(outcome, GatewayError):
                status = problem_of(outcome).status
                body = body_of(outcome, request.language)
                results.append(b'{"status":%d,"problem":%b}\n' % (status, body))
                forget_frames(outcome)
            else:
                results.append(b'{"status":202,"result":%b}\n' % self._accepted(outcome, request.language))
        return Reply(body=b"".join(results), media_type=NDJSON, language=request.language)

    async def check(self, request: Request[Caller]) -> Reply:
        """Say what posting would say, and keep nothing."""
        mode = request.query.choice("mode", default="draft", choices=("draft", "strict"))
        request.query.done()
        checked = await self._services.admission.check(
            request.caller.principal, request.body, strict=mode == "strict"
        )
        body = checked_json(checked, request.language, mode=mode)
        return Reply(body=body, language=request.language if checked.warnings else None)

    async def listing(self, request: Request[Caller]) -> Reply:
        """List own messages, newest first."""
        query = request.query
        limit = query.integer("limit", default=100, low=1, high=MAX_PAGE)
        cursor = query.text("after", pattern=CURSOR, expected=CURSOR_EXPECTED)
        query.done()
        after = 0
        if cursor is not None:
            after = place_of(MESSAGES, cursor)
        rows = await self._services.tracking.listing(request.caller.principal, after=after, limit=limit)
        following = encode_place(MESSAGES, rows[-1].number) if len(rows) == limit else None
        items = [orjson.dumps(own_summary(row)) for row in rows]
        return Reply(body=listing_json("messages", items, following))

    async def status(self, request: Request[Caller]) -> Reply:
        """Return state and timeline; with ``wait``, once they have changed."""
        query = request.query
        wait_s = query.seconds("wait", default=0, low=0, high=MAX_WAIT_S)
        known = query.integer("events", default=-1, low=0, high=1_000)
        query.done()
        tracking, principal = self._services.tracking, request.caller.principal
        message_id = UUID(request.names["id"]).bytes
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        gone = asyncio.ensure_future(request.when_gone())
        try:
            while True:
                # Subscribed before the question is asked, so that no step is missed.
                moved = asyncio.ensure_future(tracking.until_moved(max(0.0, deadline - loop.time())))
                try:
                    await asyncio.sleep(0)
                    tracked = await tracking.status(principal, message_id)
                    unchanged = len(tracked.timeline) == known
                    if not unchanged or gone.done() or loop.time() >= deadline:
                        break
                    await asyncio.wait((moved, gone), return_when=asyncio.FIRST_COMPLETED)
                finally:
                    moved.cancel()
        finally:
            gone.cancel()
        return Reply(body=tracked_json(tracked, request.language), language=request.language)

    async def withdraw(self, request: Request[Caller]) -> Reply:
        """Take an accepted message back."""
        message_id = UUID(request.names["id"]).bytes
        at_ms = await self._services.tracking.withdraw(request.caller.principal, message_id)
        document = {
            "message_id": request.names["id"],
            "status": State.WITHDRAWN.label,
            "withdrawn_at": time_text(at_ms),
        }
        return Reply(body=orjson.dumps(document))

    async def evidence(self, request: Request[Caller]) -> Reply:
        """Return the file that proves a message to others; with its content key if that is asked for."""
        disclose = request.query.choice("disclose", default="false", choices=("false", "true"))
        request.query.done()
        message_id = UUID(request.names["id"]).bytes
        archive = await self._services.evidence.prove(
            request.caller.principal, message_id, disclose=disclose == "true"
        )
        name = f'attachment; filename="evidence-{request.names["id"]}.zip"'
        return Reply(body=archive, media_type=ZIP, headers=(("Content-Disposition", name),))

    def _accepted(self, acceptance: Acceptance, language: Language) -> bytes:
        return acceptance_json(acceptance, language, audit_origin=self._audit_origin)


def place_of(kind: bytes, cursor: str) -> int:
    """Return the number in a cursor.

    Raises:
        ParameterError: It is no cursor of this listing.
    """
    number = decode_place(kind, cursor)
    if number is None:
        raise ParameterError([BadParameter(name="after", expected=CURSOR_EXPECTED)])
    return number


def _idempotency_key(request: Request[Caller]) -> str | None:
    """Return the caller's key, with the quotes of a structured field taken off."""
    text = request.headers.get("idempotency-key")
    if text is None:
        return None
    key = text[1:-1] if len(text) > 2 and text[0] == text[-1] == '"' else text
    if _KEY.fullmatch(key) is None:
        raise ParameterError([BadParameter(name="Idempotency-Key", expected=_KEY_EXPECTED)])
    return key
