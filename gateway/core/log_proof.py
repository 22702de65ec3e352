"""A proof that travels: where an entry stands in a log, and the signed checkpoint that says so.

::

    c2sp.org/tlog-proof@v1
    index <decimal>
    <base64 hash>             zero or more, the leaf's sibling first
                              (an empty line)
    <checkpoint as signed>

The index is part of what is proven; size and root are taken from the checkpoint, once its
signatures are verified.

Spec: C2SP tlog-proof; docs/spec/evidence.md, "Proofs".
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

from gateway.core.merkle import HASH_BYTES, MAX_PROOF_HASHES, Hash
from gateway.core.note import MAX_NOTE_BYTES
from gateway.errors import MalformedError

MAX_LOG_PROOF_BYTES: Final = MAX_NOTE_BYTES + 4_096

_FORM: Final = re.compile(
    rb"c2sp\.org/tlog-proof@v1\nindex (0|[1-9][0-9]{0,18})\n((?:[A-Za-z0-9+/]{43}=\n){0,63})\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProof:
    """An inclusion proof with its checkpoint. Nothing in it is verified.

    Attributes:
        index: Position of the entry, from 0.
        hashes: Inclusion proof, the leaf's sibling first.
        note: Signed checkpoint, as its signers made it.
    """

    index: int
    hashes: tuple[Hash, ...]
    note: bytes

    def encode(self) -> bytes:
        """Return the proof as a ``.tlog-proof`` file."""
        lines = b"".join(b"%b\n" % b64encode(node) for node in self.hashes)
        return b"c2sp.org/tlog-proof@v1\nindex %d\n%b\n%b" % (self.index, lines, self.note)


def parse_log_proof(data: bytes) -> LogProof:
    """Read a ``.tlog-proof`` file in the form that `LogProof.encode` writes.

    Raises:
        MalformedError: Another form; also with a line ``extra``, which nothing authenticates.
    """
    match = _FORM.match(data) if len(data) <= MAX_LOG_PROOF_BYTES else None
    if match is not None:
        lines = match[2].splitlines()
        hashes = tuple(Hash(b64decode(line)) for line in lines)
        proof = LogProof(index=int(match[1]), hashes=hashes, note=data[match.end() :])
        # Base64 has pad bits that decode to nothing: the one encoding is the one we write.
        sound = len(hashes) <= MAX_PROOF_HASHES and all(len(node) == HASH_BYTES for node in hashes)
        if sound and proof.encode() == data:
            return proof
    msg = "not a proof of the form c2sp.org/tlog-proof@v1"
    raise MalformedError(msg)
