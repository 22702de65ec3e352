"""How a node is, told to whoever may open its data folder: one JSON line a connection.

A supervisor on the node's own machine (the health check of a container, a service manager)
asks every few seconds. It should not have to hold an operator's certificate for that, so
the node also answers on a socket in its data folder, which only its own user may enter. It
says what ``/health/ready`` says and takes no commands.

Spec: docs/operating.md, "Operator port".
"""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Final

import orjson
import structlog

from gateway.console.app import HealthCalls, health_document
from gateway.errors import StoreError

log = structlog.get_logger(__name__)

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_ANSWER_S: Final = 5.0
_SOCKET_MODE: Final = 0o600


@asynccontextmanager
async def tell_health(node: HealthCalls, path: Path) -> AsyncGenerator[None]:
    """Answer on a socket as long as the context lasts.

    A node runs without it where there can be no socket (a path of more than some 100 bytes,
    a file system without sockets); the event ``health.unavailable`` says so.

    Args:
        node: Says how it is.
        path: The socket, in a folder that only the node's user may enter.

    Raises:
        StoreError: The disk is full, so the node could not write either.
    """

    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Who does not read, or went away, has no claim to an answer.
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_ANSWER_S):
                writer.write(orjson.dumps(health_document(await node.health())) + b"\n")
                await writer.drain()
        writer.close()

    try:
        # A socket that a killed process left behind is replaced: the home's lock is ours.
        server = await asyncio.start_unix_server(answer, path)
        _keep_private(path)
    except OSError as error:
        if error.errno in _FULL:
            msg = "the data folder takes no more files: make room on its disk"
            raise StoreError(msg) from error
        log.warning("health.unavailable", error=type(error).__name__)
        yield
        return
    try:
        yield
    finally:
        server.close()
        _remove(path)


def _keep_private(path: Path) -> None:
    path.chmod(_SOCKET_MODE)


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
