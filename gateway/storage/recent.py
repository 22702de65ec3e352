"""What was just accepted, kept in memory until it is sent.

Under load a message enters the log some 50 ms after it was accepted, and the transaction of
that asks the database again for what the one before has just handed over: ciphertext, wrapped
key and header, a quarter of what forming a bundle costs. So the session that writes keeps them
for a while, sealed as they are stored. The database alone says which messages wait and in which
order; this only spares reading what cannot have changed meanwhile.

A backlog costs disk, not memory: what does not fit any more is read when its turn comes.

Spec: docs/storage.md, "Tables".
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from gateway.ports import Waiting

MAX_RECENT_BYTES: Final = 8 * 1024 * 1024
"""Ciphertexts and headers that are kept: two or three thousand messages of 2 KiB."""


class Recent:
    """Messages by number, as far as there is room for them."""

    def __init__(self, *, max_bytes: int = MAX_RECENT_BYTES) -> None:
        """Begin empty."""
        self._max_bytes = max_bytes
        self._bytes = 0
        self._messages: dict[int, Waiting] = {}

    def put(self, message: Waiting) -> None:
        """Keep a message that was just stored, if there is room."""
        size = self._bytes + len(message.ciphertext) + len(message.header)
        if size <= self._max_bytes:
            self._bytes = size
            self._messages[message.number] = message

    def find(self, number: int) -> Waiting | None:
        """Return a message that is kept, with the precedence that it was stored with."""
        return self._messages.get(number)

    def drop(self, numbers: Iterable[int]) -> None:
        """Forget messages that wait no longer."""
        for number in numbers:
            message = self._messages.pop(number, None)
            if message is not None:
                self._bytes -= len(message.ciphertext) + len(message.header)

    def clear(self) -> None:
        """Forget everything: what was stored may just have been undone."""
        self._messages.clear()
        self._bytes = 0
