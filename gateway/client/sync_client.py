"""The agency API for programs that do not run on asyncio.

The same calls as `AsyncClient`, which does the work in an event loop of its own thread.
Safe to use from several threads, each with iterators of its own, and in the process that opened
it alone: a thread does not survive a fork.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import ssl
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from gateway.client.async_client import AsyncClient, Message
from gateway.client.errors import ClientClosedError, ProblemError
from gateway.client.identity import known_url, open_context
from gateway.client.model import (
    Accepted,
    Checked,
    Conversation,
    InboxPage,
    MessageType,
    Received,
    Summary,
    Tracked,
    WhoAmI,
)
from gateway.client.transport import Language, Retries

T = TypeVar("T")


class Client:
    """An agency at its node. Use it as a context manager; see `AsyncClient` for what is raised."""

    def __init__(
        self,
        url: str,
        *,
        context: ssl.SSLContext | None,
        language: Language = "en",
        retries: Retries | None = None,
    ) -> None:
        """Take what `AsyncClient` takes, and start the thread."""
        self._client = AsyncClient(url, context=context, language=language, retries=retries)
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        # Between a call and `close`: what is handed to the loop has to be there before it stops.
        self._lock = threading.Lock()
        self._is_open = True
        self._thread = threading.Thread(target=self._loop.run_forever, name="entente-client", daemon=True)
        self._thread.start()

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        *,
        url: str | None = None,
        language: Language = "en",
        retries: Retries | None = None,
    ) -> Self:
        """Return a client with the identity in a folder; see `AsyncClient.from_folder`."""
        return cls(known_url(folder, url), context=open_context(folder), language=language, retries=retries)

    def __enter__(self) -> Self:
        """Return the client; it connects when it is used."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close every connection and end the thread."""
        self.close()

    def close(self) -> None:
        """Close every connection and end the thread.

        Calls of other threads that are under way end with `ClientClosedError`.
        """
        if os.getpid() != self._process:
            return
        with self._lock:
            if not self._is_open:
                return
            self._is_open = False
            ending = asyncio.run_coroutine_threadsafe(self._end(), self._loop)
        ending.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _end(self) -> None:
        """End every call, so that no thread waits for a loop that has stopped."""
        calls = asyncio.all_tasks() - {asyncio.current_task()}
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._client.close()

    def send(self, message: Message, *, key: str | None = None) -> Accepted:
        """Post a message or a draft."""
        return self._run(self._client.send(message, key=key))

    def send_batch(
        self, messages: Sequence[Message], *, key: str | None = None
    ) -> list[Accepted | ProblemError]:
        """Post many messages at once; results are in order, refusals as values."""
        return self._run(self._client.send_batch(messages, key=key))

    def check(self, message: Message, *, strict: bool = False) -> Checked:
        """Return the completed message, and warnings, if it would be accepted now; nothing is kept."""
        return self._run(self._client.check(message, strict=strict))

    def status(self, message_id: str, *, wait_s: float = 0.0, known_events: int | None = None) -> Tracked:
        """Return an own message with its timeline."""
        return self._run(self._client.status(message_id, wait_s=wait_s, known_events=known_events))

    def watch(self, message_id: str, *, wait_s: float = 30.0) -> Iterator[Tracked]:
        """Yield an own message now and after every step, until nothing can follow."""
        return self._iterate(self._client.watch(message_id, wait_s=wait_s))

    def withdraw(self, message_id: str) -> datetime:
        """Take an accepted message back before it is sent; return when."""
        return self._run(self._client.withdraw(message_id))

    def evidence(self, message_id: str, *, disclose: bool = False) -> bytes:
        """Return the ZIP that proves a message to others, with its content key if asked for."""
        return self._run(self._client.evidence(message_id, disclose=disclose))

    def sent(self, *, limit: int = 100) -> Iterator[Summary]:
        """Yield what this agency posted, newest first."""
        return self._iterate(self._client.sent(limit=limit))

    def inbox_page(
        self,
        *,
        wait_s: float = 0.0,
        limit: int = 100,
        after: str | None = None,
        collected: bool = False,
    ) -> InboxPage:
        """Return one page of the inbox, by precedence, then arrival."""
        return self._run(
            self._client.inbox_page(wait_s=wait_s, limit=limit, after=after, collected=collected)
        )

    def inbox(self, *, wait_s: float = 30.0, limit: int = 100, follow: bool = True) -> Iterator[Received]:
        """Yield messages that are not acknowledged, each once, the most urgent first."""
        return self._iterate(self._client.inbox(wait_s=wait_s, limit=limit, follow=follow))

    def read(self, message_id: str) -> Received:
        """Return one received message with what the node verified."""
        return self._run(self._client.read(message_id))

    def ack(self, message_id: str) -> datetime:
        """Acknowledge a message: it is stored here."""
        return self._run(self._client.ack(message_id))

    def ack_batch(self, message_ids: Sequence[str]) -> list[datetime | ProblemError]:
        """Acknowledge many messages at once: they are stored here. Results are in order."""
        return self._run(self._client.ack_batch(message_ids))

    def conversations(self, *, limit: int = 50, states: Sequence[str] = ()) -> Iterator[Conversation]:
        """Yield conversations: open ones by the deadline of the answer, then the others, newest first."""
        return self._iterate(self._client.conversations(limit=limit, states=states))

    def conversation(self, conversation_id: str, *, limit: int = 500) -> Conversation:
        """Return one conversation with all of its messages."""
        return self._run(self._client.conversation(conversation_id, limit=limit))

    def types(self) -> tuple[MessageType, ...]:
        """Return every message type, without schemas."""
        return self._run(self._client.types())

    def type(self, type_id: str) -> MessageType:
        """Return one message type with its JSON Schema."""
        return self._run(self._client.type(type_id))

    def agreement(self) -> dict[str, Any]:
        """Return what both nations have agreed on."""
        return self._run(self._client.agreement())

    def whoami(self) -> WhoAmI:
        """Return who the certificate says we are, and what we may send."""
        return self._run(self._client.whoami())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine in the loop's thread; an interrupt of the caller cancels it."""
        # Asked before the lock, which another thread may have held when this process was forked.
        if os.getpid() != self._process:
            work.close()
            msg = "the client was opened in another process: open one after the fork"
            raise ClientClosedError(msg)
        with self._lock:
            if not self._is_open:
                work.close()
                msg = "the client is closed"
                raise ClientClosedError(msg)
            future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except concurrent.futures.CancelledError as error:
            msg = "the client was closed during the call"
            raise ClientClosedError(msg) from error
        except BaseException:
            future.cancel()
            raise

    def _iterate(self, source: AsyncIterator[T]) -> Iterator[T]:
        async def following() -> T | None:
            return await anext(source, None)

        while (item := self._run(following())) is not None:
            yield item
