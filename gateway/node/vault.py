"""Opening and sealing content at this node.

The only module of the node that touches content keys. At rest a content key is wrapped
under the node's storage key; the same ciphertext is stored, sent, and stored again.

Spec: docs/spec/content.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import orjson

from gateway.core.envelope import decode_header
from gateway.core.sealing import ContentKey, KeyWrap, StorageKey, reopen_content, seal_content
from gateway.ports import InboxRow


class Vault:
    """Seals, opens, wraps and unwraps with the storage key of one node."""

    def __init__(self, storage_key: StorageKey) -> None:
        """Use a 32-byte storage key."""
        self._key_wrap = KeyWrap(storage_key)

    def seal(
        self, message: bytes, *, content_key: ContentKey, header: bytes, message_id: bytes
    ) -> tuple[bytes, bytes]:
        """Return (ciphertext, wrapped content key) of a message that was validated."""
        ciphertext = seal_content(message, content_key=content_key, header=header)
        return ciphertext, self.wrap(content_key, message_id=message_id)

    def wrap(self, content_key: ContentKey, *, message_id: bytes) -> bytes:
        """Return a content key wrapped for storage."""
        return self._key_wrap.wrap(content_key, message_id=message_id)

    def unwrap(self, wrapped_key: bytes, *, message_id: bytes) -> ContentKey:
        """Return a content key from its stored form.

        Raises:
            SealError: Not wrapped under this storage key for this message.
        """
        return self._key_wrap.unwrap(wrapped_key, message_id=message_id)

    def open(self, *, header: bytes, ciphertext: bytes, wrapped_key: bytes, message_id: bytes) -> bytes:
        """Return the message bytes that were validated.

        Raises:
            SealError: Key, header or ciphertext do not belong together.
        """
        key = self.unwrap(wrapped_key, message_id=message_id)
        return reopen_content(ciphertext, content_key=key, header=header)

    def open_all(self, sealed: Sequence[InboxRow]) -> list[bytes | None]:
        """Return the message bytes of many, None for what is erased.

        Step after step, not message after message: see `gateway.node.steps`.

        Raises:
            SealError: As for `open`.
        """
        keys = [
            None
            if item.wrapped_key is None
            else self.unwrap(item.wrapped_key, message_id=item.row.message_id)
            for item in sealed
        ]
        return [
            None
            if key is None or item.ciphertext is None
            else reopen_content(item.ciphertext, content_key=key, header=item.header)
            for key, item in zip(keys, sealed, strict=True)
        ]

    def document(self, header: bytes, ciphertext: bytes, wrapped_key: bytes) -> dict[str, Any]:
        """Return a stored message as a document.

        Raises:
            SealError: Key, header or ciphertext do not belong together: the database is damaged.
        """
        message = self.open(
            header=header,
            ciphertext=ciphertext,
            wrapped_key=wrapped_key,
            message_id=decode_header(header).message_id,
        )
        return cast("dict[str, Any]", orjson.loads(message))
