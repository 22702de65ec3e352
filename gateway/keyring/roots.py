"""The roots of a nation, one after the other: ``roots.vkeys`` holds the keys of all, in order.

The file is absent before a root was replaced. It ends with the root in use, so auditors see in one
file which came first, and a node finds those that have signed what stands further down in a log.

Spec: docs/spec/keys.md, "New root".
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha384
from typing import Final

from gateway.core.signature import HybridVerifier
from gateway.errors import MalformedError, PeerError
from gateway.keyring.files import read_public, write_public
from gateway.keyring.home import TrustFiles
from gateway.keyring.pins import FormerRoot
from gateway.keyring.refusals import TrustError
from gateway.keyring.statement import parse_root_verifier_keys, root_verifier_keys

NOT_THE_FORMER: Final = "{} does not hold the roots of the peer that were pinned before this one"


def root_digest(root: HybridVerifier) -> bytes:
    """Return the SHA-384 of a root's verifier keys, 48 bytes."""
    return sha384(root_verifier_keys(root).encode()).digest()


def former_roots(files: TrustFiles, root: HybridVerifier) -> tuple[HybridVerifier, ...]:
    """Return the roots of a nation that were replaced, the oldest first.

    Args:
        files: What the nation has published.
        root: The root in use.

    Raises:
        KeyFileError: The file is writable by others.
        MalformedError: It does not hold roots, or does not end with the one in use.
    """
    if not files.roots.exists():
        return ()
    roots = _read(files)
    if roots[-1] != root:
        msg = "roots.vkeys does not end with the root in use"
        raise MalformedError(msg)
    return tuple(roots[:-1])


def known_roots(files: TrustFiles, former: Sequence[FormerRoot]) -> tuple[HybridVerifier, ...]:
    """Return the keys of pinned roots of the peer, each of which is or was the one in use in these files.

    Raises:
        KeyFileError: A file is absent, or writable by others.
        TrustError: One is not there.
    """
    try:
        held = [parse_root_verifier_keys(_text(read_public(files.root_keys)))]
        held += _read(files) if files.roots.exists() else []
        by_digest = {root_digest(root): root for root in held}
        return tuple(by_digest[item.root] for item in former)
    except (PeerError, KeyError) as error:
        raise TrustError(NOT_THE_FORMER.format(files.roots)) from error


def write_roots(files: TrustFiles, roots: Sequence[HybridVerifier]) -> None:
    """Write the roots of a nation, the one in use last."""
    write_public(files.roots, "".join(map(root_verifier_keys, roots)).encode())


def _read(files: TrustFiles) -> list[HybridVerifier]:
    lines = _text(read_public(files.roots)).splitlines(keepends=True)
    pairs = ["".join(lines[start : start + 2]) for start in range(0, len(lines), 2)]
    return [parse_root_verifier_keys(pair) for pair in pairs or [""]]


def _text(content: bytes) -> str:
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        msg = "a file of verifier keys is ASCII"
        raise MalformedError(msg) from error
