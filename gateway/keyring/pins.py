"""What is pinned of the peer: its root, the roots before it, and the lowest version of its statement.

A root is never replaced and a version never goes down without a person who says so. A root that was
replaced goes on vouching for what it has stated before, which stands in the peer's log for ever; for a
version from which on its successor was imported it vouches no more.

Spec: docs/spec/keys.md, "Pins", "New root".
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from gateway.keyring.documents import parse_document
from gateway.keyring.files import make_public_folder, read_public, write_public
from gateway.keyring.home import TrustFiles
from gateway.keyring.refusals import TrustError

PIN_FORMAT: Final = "entente-peer-pin/1"
ROOT_DIGEST_BYTES: Final = 48


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerRoot:
    """A root of the peer that was replaced.

    Attributes:
        root: SHA-384 of its verifier keys, 48 bytes.
        below_version: It vouches for statements of lower versions alone: this one was that of its
            successor when that was imported.
    """

    root: bytes
    below_version: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """What is pinned of the peer.

    Attributes:
        nation: Two letters.
        node: Node name.
        root: SHA-384 of the root's verifier keys, 48 bytes; None before the first import.
        lowest_version: Older statements are refused.
        former: The roots before it, the oldest first.
    """

    nation: str
    node: str
    root: bytes | None
    lowest_version: int
    former: tuple[FormerRoot, ...] = ()


def need_import(pin: Pin) -> None:
    """Refuse to go on without the keys of the peer.

    Raises:
        TrustError: They are not imported yet.
    """
    if pin.root is None:
        msg = f"the keys of {pin.node} are not imported yet: entente keys import-peer"
        raise TrustError(msg)


def read_pin(files: TrustFiles) -> Pin:
    """Return what is pinned of the peer.

    Raises:
        KeyFileError: Absent, or writable by others.
        TrustError: Not in canonical form.
    """
    content = read_public(files.pin)
    try:
        document: dict[str, Any] = parse_document(content)
        root = document["root_sha384"]
        pin = Pin(
            nation=str(document["nation"]),
            node=str(document["node"]),
            root=None if root is None else bytes.fromhex(root),
            lowest_version=int(document["lowest_version"]),
            former=tuple(
                FormerRoot(root=bytes.fromhex(item["root_sha384"]), below_version=int(item["below_version"]))
                for item in document.get("former_roots", ())
            ),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        msg = f"{files.pin} is not in canonical form"
        raise TrustError(msg) from error
    digests = [item.root for item in pin.former] + ([] if pin.root is None else [pin.root])
    if _format_pin(pin) != content or any(len(digest) != ROOT_DIGEST_BYTES for digest in digests):
        msg = f"{files.pin} is not in canonical form"
        raise TrustError(msg)
    return pin


def write_pin(files: TrustFiles, pin: Pin) -> None:
    """Write what is pinned of the peer, durable when this returns."""
    make_public_folder(files.folder)
    write_public(files.pin, _format_pin(pin))


def _format_pin(pin: Pin) -> bytes:
    document: dict[str, Any] = {
        "format": PIN_FORMAT,
        "nation": pin.nation,
        "node": pin.node,
        "root_sha384": None if pin.root is None else pin.root.hex(),
        "lowest_version": pin.lowest_version,
    }
    if pin.former:
        document["former_roots"] = [
            {"root_sha384": item.root.hex(), "below_version": item.below_version} for item in pin.former
        ]
    return json.dumps(document, indent=2).encode() + b"\n"
