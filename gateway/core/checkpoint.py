"""A checkpoint: what a log commits to when it is signed.

Three lines: the log's origin, its size, its root hash. Extension lines are refused: this
protocol has none, and the ML-DSA-87 line of a note would not cover them.

Spec: C2SP tlog-checkpoint; docs/spec/log.md, "Checkpoints".
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

from gateway.core.merkle import EMPTY_ROOT, HASH_BYTES, MAX_TREE_SIZE, Hash
from gateway.errors import MalformedError

MAX_ORIGIN_BYTES: Final = 255
"""The signed structure of a cosignature holds the origin behind a length of one byte."""

_ORIGIN: Final = re.compile(r"[a-z0-9.-]+(/[a-z0-9-]+)+")
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")
_RESERVED_PREFIX: Final = "cosignature/"
"""First line of what an Ed25519 cosignature signs: no text of a checkpoint may equal it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Origin, size and root of a log: the identity of a state of it.

    Attributes:
        origin: ``<node>/exchange/<peer nation>`` or ``<node>/audit``, at most 255 bytes.
        size: Number of entries, at most 2^63 - 1.
        root: Root hash, 32 bytes.
    """

    origin: str
    size: int
    root: Hash

    def __post_init__(self) -> None:
        """Refuse what no log of this protocol can be in."""
        if not is_origin(self.origin):
            msg = "the origin of a checkpoint is not the name of a log"
            raise MalformedError(msg)
        if not 0 <= self.size <= MAX_TREE_SIZE:
            msg = "the size of a checkpoint is out of range"
            raise MalformedError(msg)
        if len(self.root) != HASH_BYTES or (self.size == 0 and self.root != EMPTY_ROOT):
            msg = "the root of a checkpoint is 32 bytes, and that of an empty log is fixed"
            raise MalformedError(msg)


def is_origin(text: str) -> bool:
    """Return whether a text can be the origin of a log."""
    return (
        len(text) <= MAX_ORIGIN_BYTES
        and _ORIGIN.fullmatch(text) is not None
        and not text.startswith(_RESERVED_PREFIX)
    )


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """Return the text that is signed: three lines, each ended by a line feed."""
    root = b64encode(checkpoint.root).decode()
    return f"{checkpoint.origin}\n{checkpoint.size}\n{root}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint.

    Only the canonical form is accepted, so `format_checkpoint` gives back exactly the text
    that was signed.

    Raises:
        MalformedError: Not three lines in canonical form, an extension line, or an origin,
            size or root that no log of this protocol has.

    Spec: C2SP tlog-checkpoint, "Note text".
    """
    try:
        origin, size, root, rest = text.split("\n")
        root_hash = b64decode(root, validate=True)
    except ValueError as error:
        msg = "a checkpoint is three lines, each ended by a line feed: origin, size, root hash"
        raise MalformedError(msg) from error
    # int() alone reads signs, spaces, underscores and the digits of other scripts.
    if rest or _SIZE.fullmatch(size) is None:
        msg = "the size of a checkpoint is a decimal number, and no line follows the root"
        raise MalformedError(msg)
    checkpoint = Checkpoint(origin=origin, size=int(size), root=Hash(root_hash))
    if format_checkpoint(checkpoint) != text:
        msg = "the checkpoint is not in canonical form"
        raise MalformedError(msg)
    return checkpoint
