"""The peer port: five calls, for one caller.

Bytes go to `gateway.node.peer_service` and come back; nothing here judges a message. Who
is not the peer by a pinned key gets 403 and learns nothing.

Spec: docs/spec/peer-calls.md.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Coroutine
from typing import Any, Final, Protocol, TypeVar

from gateway.core.bundle import MAX_BUNDLE_BYTES
from gateway.core.message.wording import Wording
from gateway.errors import PeerConflictError
from gateway.link.pinning import Pins, verify_pinned
from gateway.link.wire import (
    ADD_CHECKPOINT_PATH,
    BUNDLES_PATH,
    CHECKPOINT,
    ENTRIES_PATH,
    MAX_CHECKPOINT_REQUEST,
    MAX_SIZE,
    MSGPACK,
    SIZE,
    STANDING_PATH,
    VIEW_PATH,
    encode_answer,
    encode_entries,
    encode_size,
    encode_standing,
    encode_view,
)
from gateway.ports import BundleAnswer, PeerView, Standing
from gateway.web.app import App
from gateway.web.exchange import Reply, Request
from gateway.web.identity import Certificate
from gateway.web.refusals import BadParameter, ParameterError
from gateway.web.routing import Route

T = TypeVar("T")

BODY_BYTES: Final = 4 * MAX_BUNDLE_BYTES
"""Memory for bundles that arrive or are in work: no more are in flight at once (`gateway.node.window`). While
it is read, a bundle takes three times its length."""

BUNDLE_DEADLINE_S: Final = 30.0
_ORIGIN: Final = re.compile(r"[a-z0-9.-]+(?:/[a-z0-9-]+)+")
_REQUIRED: Final = Wording(en="required", fr="obligatoire")


class PeerCalls(Protocol):
    """What the node answers its peer; `gateway.node.peer_service.PeerService` does."""

    async def receive(self, data: bytes) -> BundleAnswer:
        """Take a bundle."""
        ...

    async def view(self) -> PeerView:
        """Return what this node holds."""
        ...

    async def standing(self) -> Standing:
        """Return which generations this node knows."""
        ...

    async def entries(self, log: str, start: int, end: int) -> list[bytes]:
        """Return entries of a log that the peer may see."""
        ...

    async def add_checkpoint(self, body: bytes) -> bytes:
        """Cosign the peer's audit log."""
        ...


def peer_app(calls: PeerCalls, pins: Pins) -> App:
    """Return the application of the peer port.

    Args:
        calls: The node's answers.
        pins: Returns the SPKI digests that the peer may use now; asked with every request.
    """

    def identify(certificate: Certificate | None) -> None:
        verify_pinned(certificate, pins())

    handlers = _Handlers(calls)
    return App(
        name="peer",
        identify=identify,
        routes=(
            Route(
                name="bundles",
                method="POST",
                path=BUNDLES_PATH,
                parts={},
                handler=handlers.bundles,
                media_types=frozenset({MSGPACK}),
                max_body=MAX_BUNDLE_BYTES,
                deadline_s=BUNDLE_DEADLINE_S,
            ),
            Route(name="view", method="GET", path=VIEW_PATH, parts={}, handler=handlers.view),
            Route(name="standing", method="GET", path=STANDING_PATH, parts={}, handler=handlers.standing),
            Route(
                name="entries",
                method="GET",
                path=ENTRIES_PATH,
                parts={},
                handler=handlers.entries,
                query=frozenset({"log", "start", "end"}),
            ),
            Route(
                name="add-checkpoint",
                method="POST",
                path=ADD_CHECKPOINT_PATH,
                parts={},
                handler=handlers.add_checkpoint,
                media_types=frozenset({CHECKPOINT, "text/plain"}),
                max_body=MAX_CHECKPOINT_REQUEST,
            ),
        ),
    )


class _Handlers:
    """Turns requests into calls of the node."""

    def __init__(self, calls: PeerCalls) -> None:
        self._calls = calls
        self._running: set[asyncio.Task[Any]] = set()

    async def bundles(self, request: Request[object]) -> Reply:
        try:
            # Whoever takes bundles sees to it himself that what is stored and what is known do not part.
            answer = await self._calls.receive(request.body)
        except PeerConflictError as conflict:
            return _conflict(conflict)
        return Reply(body=encode_answer(answer), media_type=MSGPACK)

    async def view(self, request: Request[object]) -> Reply:
        del request
        return Reply(body=encode_view(await self._calls.view()), media_type=MSGPACK)

    async def standing(self, request: Request[object]) -> Reply:
        del request
        return Reply(body=encode_standing(await self._calls.standing()), media_type=MSGPACK)

    async def entries(self, request: Request[object]) -> Reply:
        query = request.query
        log = query.text("log", pattern=_ORIGIN)
        start = query.integer("start", default=-1, low=0, high=MAX_SIZE)
        end = query.integer("end", default=-1, low=1, high=MAX_SIZE)
        query.done()
        if log is None or start < 0 or end < 0:
            raise ParameterError(
                [BadParameter(name=name, expected=_REQUIRED) for name in ("log", "start", "end")]
            )
        entries = await self._calls.entries(log, start, end)
        return Reply(body=encode_entries(start, entries), media_type=MSGPACK)

    async def add_checkpoint(self, request: Request[object]) -> Reply:
        try:
            lines = await self._to_its_end(self._calls.add_checkpoint(request.body))
        except PeerConflictError as conflict:
            return _conflict(conflict)
        return Reply(body=lines, media_type=CHECKPOINT)

    async def _to_its_end(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what ``work`` returns; it goes on to its end even if nobody waits any more.

        What the node knows of the mirror in memory follows what it has just stored, so a
        deadline or a lost connection must not part the two.
        """
        task = asyncio.ensure_future(work)
        self._running.add(task)
        task.add_done_callback(self._ended)
        return await asyncio.shield(task)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still waits gets it; for others it is looked at here


def _conflict(conflict: PeerConflictError) -> Reply:
    return Reply(status=409, body=encode_size(conflict.size), media_type=SIZE)
