"""The file of orders: what was erased by order and what is held, apart from the database.

A database that is restored from a backup has erased content again, and has forgotten holds
that were set after it; this file has not. It lies beside the high-water file, is synced
before an order is carried out, and is replayed at the start. It holds identifiers, times
and the reasons of holds, never content.

The file holds lines of a checksum and a JSON array, and only grows: orders are rare. What a
crash leaves: a last line without its end, of an order that nobody was told of; it is cut
off at the next order. Any other line that does not match its checksum is damage, and refused.

Spec: docs/storage.md, "File of orders"; docs/spec/erasure.md, "After a restore".
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import orjson

from gateway.errors import OperatorError
from gateway.ports import Order, OrderKind

_CHECKSUM_CHARS: Final = 64
_ID_BYTES: Final = 16


class OrdersError(OperatorError):
    """The file of orders cannot be used."""

    code = "orders"


class FileOrders:
    """Implements `gateway.ports.OrderBook` on one file."""

    def __init__(self, path: Path) -> None:
        """Read the file, if there is one. Nothing is created before the first order.

        Args:
            path: Its place; beside the high-water file, not on the disk of the database.

        Raises:
            OrdersError: It is damaged or cannot be read. It is never repaired by itself: what
                it remembered may be what keeps erased content from coming back.
        """
        self._path = path
        self._orders, self._length = _load(path)
        self._turn = asyncio.Lock()

    async def record(self, orders: Sequence[Order]) -> None:
        """Add orders; durable when it returns.

        Raises:
            OrdersError: They could not be written; nothing may be carried out.
        """
        if not orders:
            return
        data = b"".join(map(_line, orders))
        async with self._turn:
            try:
                await asyncio.to_thread(self._append, data)
            except OSError as error:
                msg = f"the file of orders could not be written: {error.strerror}"
                raise OrdersError(msg) from error
            self._orders += orders
            self._length += len(data)

    def read(self) -> Sequence[Order]:
        """Return every order, the oldest first."""
        return tuple(self._orders)

    def _append(self, data: bytes) -> None:
        is_new = not self._path.exists()
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            # Behind this length stands what a crash or a full disk tore off.
            os.ftruncate(descriptor, self._length)
            if os.pwrite(descriptor, data, self._length) != len(data):
                raise OSError(0, "the disk took only a part of a line")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        if is_new:
            folder = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


def _line(order: Order) -> bytes:
    body = orjson.dumps([order.kind.value, order.subject.hex(), order.at_ms, order.reason])
    return hashlib.sha256(body).hexdigest().encode() + b" " + body + b"\n"


def _load(path: Path) -> tuple[list[Order], int]:
    """Return the orders of a file and the length of their lines."""
    try:
        data = path.read_bytes() if path.exists() else b""
    except OSError as error:
        msg = f"the file of orders cannot be read: {error.strerror}"
        raise OrdersError(msg) from error
    *lines, torn = data.split(b"\n")
    return [_parse(line) for line in lines], len(data) - len(torn)


def _parse(line: bytes) -> Order:
    checksum, body = line[:_CHECKSUM_CHARS], line[_CHECKSUM_CHARS + 1 :]
    if hashlib.sha256(body).hexdigest().encode() != checksum:
        raise _damaged()
    try:
        kind, subject, at_ms, reason = orjson.loads(body)
        order = Order(kind=OrderKind(kind), subject=bytes.fromhex(subject), at_ms=at_ms, reason=reason)
    except (ValueError, TypeError) as error:
        raise _damaged() from error
    if len(order.subject) != _ID_BYTES or type(at_ms) is not int or type(reason) is not str:
        raise _damaged()
    return order


def _damaged() -> OrdersError:
    return OrdersError(
        "the file of orders is damaged: what was erased by order could come back. Repair the damaged "
        "line with the audit log at hand before the node starts"
    )
