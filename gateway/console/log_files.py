"""The logs on the operator port: read-only, as C2SP tlog-tiles, for operators and auditors.

::

    GET /logs                          which logs there are: name, origin, signed size
    GET /logs/<name>/checkpoint        newest signed note
    GET /logs/<name>/tile/…            hash tiles and entry bundles
    GET /logs/<name>/third-parties     what third parties have said of it: kind, name, size
    GET /logs/<name>/third-parties/<kind>.<name>.<size>
                                       a response of RFC 3161, or a note with the line of a witness

A checker that reads C2SP logs over HTTP takes ``/logs/<name>`` as the prefix of the log.

Spec: C2SP tlog-tiles; docs/operating.md, "Operator port".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Protocol

import orjson

from gateway.core.tiles import CHECKPOINT_PATH
from gateway.node.log_files import ServedLog
from gateway.ports import Attestation
from gateway.web.exchange import Reply, Request
from gateway.web.refusals import NoSuchPathError
from gateway.web.routing import Route

_NAME: Final = "(?:audit|exchange/[a-z]{2}|mirror/[a-z]{2})(?:/[0-9]{1,9})?"
_FILE: Final = "checkpoint|tile/[0-9a-z./]{1,80}"
_SAID: Final = r"(?:stamp|witness)\.[a-z0-9][a-z0-9-]{0,30}\.(?:0|[1-9][0-9]{0,15})"

_TEXT: Final = "text/plain; charset=utf-8"
_BYTES: Final = "application/octet-stream"
_NEVER_CHANGES: Final = ("Cache-Control", "private, max-age=31536000, immutable")


class LogCalls(Protocol):
    """What serves the files; see `gateway.node.log_files.LogFiles`."""

    async def logs(self) -> Sequence[ServedLog]:
        """Return every log that has been signed."""
        ...

    async def attestations(self, name: str) -> Sequence[Attestation] | None:
        """Return what third parties said of a log, or None if there is no such log."""
        ...

    async def file(self, name: str, path: str) -> bytes | None:
        """Return the content of one file of a log, or None if the log has no such file."""
        ...


def log_routes(files: LogCalls) -> tuple[Route, ...]:
    """Return the calls that read logs."""

    async def listing(request: Request[Any]) -> Reply:
        del request
        logs = await files.logs()
        return Reply(
            body=orjson.dumps(
                {"logs": [{"name": log.name, "origin": log.origin, "size": log.size} for log in logs]}
            )
        )

    async def file(request: Request[Any]) -> Reply:
        path = request.names["file"]
        content = await files.file(request.names["log"], path)
        if content is None:
            msg = "the log has no such file"
            raise NoSuchPathError(msg)
        if path == CHECKPOINT_PATH:
            return Reply(body=content, media_type=_TEXT, headers=(("Cache-Control", "no-store"),))
        return Reply(body=content, media_type=_BYTES, headers=(_NEVER_CHANGES,))

    async def said_of(name: str) -> Sequence[Attestation]:
        found = await files.attestations(name)
        if found is None:
            msg = "there is no such log"
            raise NoSuchPathError(msg)
        return found

    async def third_parties(request: Request[Any]) -> Reply:
        said = await said_of(request.names["log"])
        body = {"said": [{"kind": item.kind.value, "name": item.name, "size": item.size} for item in said]}
        return Reply(body=orjson.dumps(body))

    async def third_party(request: Request[Any]) -> Reply:
        wanted = request.names["said"]
        for item in await said_of(request.names["log"]):
            if f"{item.kind.value}.{item.name}.{item.size}" == wanted:
                return Reply(body=item.evidence, media_type=_BYTES, headers=(("Cache-Control", "no-store"),))
        msg = "no third party has said that"
        raise NoSuchPathError(msg)

    return (
        Route(name="logs", method="GET", path="/logs", parts={}, handler=listing),
        Route(
            name="log-file",
            method="GET",
            path="/logs/{log}/{file}",
            parts={"log": _NAME, "file": _FILE},
            handler=file,
        ),
        Route(
            name="log-third-parties",
            method="GET",
            path="/logs/{log}/third-parties",
            parts={"log": _NAME},
            handler=third_parties,
        ),
        Route(
            name="log-third-party",
            method="GET",
            path="/logs/{log}/third-parties/{said}",
            parts={"log": _NAME, "said": _SAID},
            handler=third_party,
        ),
    )
