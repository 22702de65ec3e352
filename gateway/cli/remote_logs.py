"""The logs of a running node, read over its operator port with an auditor's certificate.

What comes over the line is believed no more than what lies in a folder: lengths are limited
before anything is read, and every byte is recomputed by `gateway.audit.verify`.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gateway.audit.folder import MAX_BUNDLE_BYTES, FolderError
from gateway.audit.third_parties import MAX_CLAIMS, MAX_EVIDENCE_BYTES, Claim, ClaimKind
from gateway.client.identity import open_context
from gateway.core.merkle import HASH_BYTES, Hash, split_hashes
from gateway.core.message.strict_json import JsonRefusedError, parse_json
from gateway.core.note import MAX_NOTE_BYTES
from gateway.core.tiles import CHECKPOINT_PATH, TILE_WIDTH, decode_bundle, entries_path, tile_path
from gateway.errors import MalformedError, UnavailableError

_ADDRESS: Final = re.compile(r"https://(?P<host>[A-Za-z0-9.-]+|\[[0-9a-fA-F:]+\]):(?P<port>[0-9]{1,5})/?")
_DEADLINE_S: Final = 60.0
_MAX_LIST_BYTES: Final = 65_536
_MAX_SAID_BYTES: Final = 8 * 1_048_576
_PARTY: Final = re.compile("[a-z0-9][a-z0-9-]{0,30}")


class NodeUnreadableError(UnavailableError):
    """The node does not answer, or refuses the certificate."""

    code = "node-unreadable"


class AbsentError(FolderError):
    """The node has no such file."""

    code = "file-absent"


class NodePort:
    """The operator port of a node, on one connection that is opened again when it was closed."""

    def __init__(self, url: str, identity: Path) -> None:
        """Take an address and the folder of an operator or auditor.

        Raises:
            NodeUnreadableError: Not an address of the form ``https://host:port``.
            IdentityError: The folder does not hold a certificate, its key and the anchor.
        """
        match = _ADDRESS.fullmatch(url)
        if match is None:
            msg = "the address of an operator port is https://host:port"
            raise NodeUnreadableError(msg)
        self._connection = http.client.HTTPSConnection(
            match["host"].strip("[]"), int(match["port"]), timeout=_DEADLINE_S, context=open_context(identity)
        )

    def names(self) -> list[str]:
        """Return the names of the logs that the node has signed."""
        data = self.get("/logs", most=_MAX_LIST_BYTES)
        try:
            return [str(log["name"]) for log in parse_json(data)["logs"]]
        except (JsonRefusedError, KeyError, TypeError) as error:
            msg = "the node's list of logs cannot be read"
            raise NodeUnreadableError(msg) from error

    def claims(self, name: str, origin: str) -> Sequence[Claim] | None:
        """Return what third parties said of a log, as the node has kept it; nothing is verified.

        None if the node does not say, as one of an earlier release does not.

        Args:
            name: Name of the log at the node.
            origin: Origin that its verified checkpoint names.

        Raises:
            FolderError: An item is absent or too long.
            NodeUnreadableError: The list is none, or the node does not answer.
        """
        top = f"/logs/{name}/third-parties"
        try:
            listing = self.get(top, most=_MAX_SAID_BYTES)
        except AbsentError:
            return None
        try:
            listed = parse_json(listing)["said"]
            said = [(ClaimKind(item["kind"]), item["name"], item["size"]) for item in listed]
            is_good = len(said) <= MAX_CLAIMS and all(
                type(size) is int and size >= 0 and _PARTY.fullmatch(party) for _, party, size in said
            )
        except (JsonRefusedError, KeyError, TypeError, ValueError) as error:
            msg = "the node's list of what third parties said cannot be read"
            raise NodeUnreadableError(msg) from error
        if not is_good:
            msg = "the node's list of what third parties said cannot be read"
            raise NodeUnreadableError(msg)
        return [
            Claim(
                origin=origin,
                size=size,
                kind=kind,
                name=party,
                evidence=self.get(f"{top}/{kind.value}.{party}.{size}", most=MAX_EVIDENCE_BYTES),
            )
            for kind, party, size in said
        ]

    def get(self, path: str, *, most: int) -> bytes:
        """Return the body of an answer, at most so many bytes.

        Raises:
            FolderError: The node has no such file, or a longer one.
            NodeUnreadableError: It does not answer, or refuses.
        """
        try:
            status, body = self._ask(path, most)
        except (OSError, http.client.HTTPException):
            # A node closes connections that were idle: the call is a read, so it is made again.
            self._connection.close()
            try:
                status, body = self._ask(path, most)
            except (OSError, http.client.HTTPException) as error:
                msg = "the node does not answer, or refuses the certificate"
                raise NodeUnreadableError(msg) from error
        if status == 404:
            msg = f"{path} is absent at the node"
            raise AbsentError(msg)
        if status != 200:
            msg = f"the node answers {status}"
            raise NodeUnreadableError(msg)
        if len(body) > most:
            msg = f"{path} is longer than {most} bytes"
            raise FolderError(msg)
        return body

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _ask(self, path: str, most: int) -> tuple[int, bytes]:
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        body = answer.read(most + 1)
        if len(body) > most or answer.status != 200:
            self._connection.close()
        return answer.status, body


class RemoteLog:
    """One log of a running node, as of the checkpoint that it served first.

    Satisfies `gateway.audit.log.AuditedLog`.
    """

    stored_from = 0

    def __init__(self, node: NodePort, name: str) -> None:
        """Read the log ``name``: ``audit``, ``exchange/us``, ``mirror/us``."""
        self._node = node
        self._prefix = f"/logs/{name}"
        self._note: bytes | None = None

    def note(self) -> bytes:
        """Return the newest signed note at the time of the first call."""
        if self._note is None:
            self._note = self._node.get(f"{self._prefix}/{CHECKPOINT_PATH}", most=MAX_NOTE_BYTES)
        return self._note

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        """Return the entries of one bundle."""
        path = entries_path(start // TILE_WIDTH, end - start)
        data = self._node.get(f"{self._prefix}/{path}", most=MAX_BUNDLE_BYTES)
        try:
            return decode_bundle(data, end - start)
        except MalformedError as error:
            msg = f"{path} does not hold exactly {end - start} entries"
            raise FolderError(msg) from error

    def hashes(self, level: int, start: int, end: int) -> Sequence[Hash]:
        """Return the hashes of one tile."""
        path = tile_path(level, start // TILE_WIDTH, end - start)
        length = (end - start) * HASH_BYTES
        data = self._node.get(f"{self._prefix}/{path}", most=length)
        if len(data) != length:
            msg = f"{path} is not {length} bytes long"
            raise FolderError(msg)
        return split_hashes(data)

    def check_names(self, size: int) -> int:
        """Return 0: a node has no files that could be counted."""
        del size
        return 0
