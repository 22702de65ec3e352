"""Key statements as an auditor reads them: which keys a nation says its node has.

A statement is a note whose text is lines of a word and a value. The auditor needs few of
them: whose node, which version, the keys of the logs and of the cosigner. Who may write statements, and the
form of every line, is the business of the nodes; here the signature of the root stands for
that.

Spec: docs/spec/keys.md, "Key statement".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from gateway.audit.trust import Trust, first_generation
from gateway.core.cosignature import verify_text_note
from gateway.core.note import parse_note
from gateway.core.signature import HybridVerifier
from gateway.errors import MalformedError, SignatureInvalidError

TITLE: Final = "entente/key-statement/v1"

_HEAD: Final = re.compile(
    r"entente/key-statement/v1\n"
    r"nation (?P<nation>[A-Z]{2})\n"
    r"node (?P<node>[a-z0-9.-]{1,253})\n"
    r"version (?P<version>[1-9][0-9]{0,15})\n"
    r"issued [0-9TZ:-]{20}\n"
    r"mode (?P<mode>test|production)\n"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a key statement says, as far as an audit asks.

    Attributes:
        note: The statement as it stands in the log.
        nation: Two letters.
        node: Node name.
        version: From 1; only grows.
        is_test: Whether it calls its keys test keys.
        log_keys: The verifier keys of all logs, one a line, as they stand there.
        cosigner_keys: The verifier keys of the node as cosigner, likewise.
    """

    note: bytes
    nation: str
    node: str
    version: int
    is_test: bool
    log_keys: frozenset[str]
    cosigner_keys: frozenset[str]

    def names(self, verifier: HybridVerifier) -> bool:
        """Return whether it gives exactly these keys to a log."""
        origin = first_generation(verifier.name)
        first = HybridVerifier(name=origin, ed25519=verifier.ed25519, mldsa87=verifier.mldsa87)
        stated = {line for line in self.log_keys if line.startswith(f"{origin}+")}
        return stated == {key.encode() for key in first.verifier_keys(cosigner=False)}

    def names_cosigner(self, verifier: HybridVerifier) -> bool:
        """Return whether it gives exactly these keys to its node as cosigner."""
        return self.cosigner_keys == {key.encode() for key in verifier.verifier_keys(cosigner=True)}

    def speaks_for(self, agencies: Iterable[str]) -> bool:
        """Return whether all these agencies are of its nation, with which the code of an agency begins.

        A root vouches for its own nation alone: without this the root of one nation could name keys
        for the node of the other, and whoever trusts both roots would believe it.
        """
        return all(agency.partition(".")[0] == self.nation for agency in agencies)

    def is_foreign(self, trust: Trust) -> bool:
        """Return whether its nation is one with which its node exchanges, as trusted logs are named."""
        return bool(trust.log_keys(f"{self.node}/exchange/{self.nation.lower()}"))

    def roots(self, trust: Trust) -> tuple[HybridVerifier, ...]:
        """Return the trusted roots of its nation, the newest first: one has to have signed it."""
        return trust.root_keys(f"entente/root/{self.nation.lower()}")

    def verify(self, roots: Sequence[HybridVerifier]) -> int:
        """Verify both signatures of one of these roots, and return which it is.

        Raises:
            SignatureInvalidError: At least one of them does not verify, for each of the roots.
        """
        for number, root in enumerate(roots):
            try:
                verify_text_note(self.note, verifier=root)
            except SignatureInvalidError:
                continue
            return number
        msg = "no trusted root has signed the key statement"
        raise SignatureInvalidError(msg)


def read_statement(note: bytes) -> Statement:
    """Return what a statement says; nothing is verified.

    Raises:
        MalformedError: Not a note, or not one that begins as a key statement does.
    """
    text = parse_note(note).text
    head = _HEAD.match(text)
    if head is None:
        msg = "the entry does not hold a key statement"
        raise MalformedError(msg)
    lines = text[head.end() :].split("\n")
    return Statement(
        note=note,
        nation=head["nation"],
        node=head["node"],
        version=int(head["version"]),
        is_test=head["mode"] == "test",
        log_keys=_keys(lines, "log "),
        cosigner_keys=_keys(lines, "cosigner "),
    )


def _keys(lines: Iterable[str], word: str) -> frozenset[str]:
    return frozenset(line.removeprefix(word) for line in lines if line.startswith(word))
