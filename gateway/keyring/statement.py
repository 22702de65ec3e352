"""What a nation says about its node's keys, signed by its root.

A key statement is a signed note. Its text is lines in a fixed order::

    entente/key-statement/v1
    nation FR
    node fr.gateway.test
    version 1
    issued 2026-03-14T09:26:53Z
    mode test
    root-certificate-sha384 <96 hex digits>
    ceremony-sha384 <96 hex digits>         of the transcript; absent if there was none
    log <verifier key>                      two lines a log, Ed25519 first; logs by origin
    cosigner <verifier key>                 two lines
    tls-spki-sha256 <64 hex digits>         current, then next

Verifier keys are those of C2SP signed-note, so the lines of a statement serve any tool that
knows that form. The key of a log also signs its successor generations (``…/exchange/us/2``),
which begin only after a fork or a recovery and never beside it.

Spec: docs/spec/keys.md, "Key statement"; C2SP signed-note.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha384
from typing import Final

from gateway.core.cosignature import sign_text_note, verify_text_note
from gateway.core.note import parse_verifier_key
from gateway.core.signature import HybridSigner, HybridVerifier
from gateway.errors import MalformedError, PeerError, SignatureInvalidError

TITLE: Final = "entente/key-statement/v1"
MAX_VERSION: Final = 2**53 - 1
SPKI_DIGEST_BYTES: Final = 32
CERTIFICATE_DIGEST_BYTES: Final = 48
MAX_NODE_NAME_LENGTH: Final = 64
"""A common name holds no more."""
MAX_LOGS: Final = 3
"""More would not leave room for the signatures within an entry's 60 KiB, nor make sense."""

_TIME_FORMAT: Final = "%Y-%m-%dT%H:%M:%SZ"
_NATION: Final = re.compile(r"[A-Z]{2}")
_NODE: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]*[a-z0-9])?)+")
_GENERATION: Final = re.compile(r"/(?:[2-9]|[1-9][0-9]{1,8})")
_MALFORMED: Final = "the text is not a key statement in canonical form"


class StatementRefusedError(PeerError):
    """A key statement is signed, but is not the one that is expected here."""

    code = "statement-refused"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyStatement:
    """The keys of a node, as its nation's root states them.

    Attributes:
        nation: Two letters.
        node: Node name.
        version: From 1; only grows.
        issued: UTC, whole seconds.
        test: Whether these are test keys.
        root_certificate: SHA-384 of the root certificate of the same nation, 48 bytes.
        ceremony: SHA-384 of the ceremony's transcript, 48 bytes, or None.
        logs: Public keys of the logs, by origin.
        cosigner: Public keys of the cosigner, under the node's name.
        tls_spki: SHA-256 of the SubjectPublicKeyInfo on the peer port: current, next.
    """

    nation: str
    node: str
    version: int
    issued: datetime
    test: bool
    root_certificate: bytes
    logs: tuple[HybridVerifier, ...]
    cosigner: HybridVerifier
    tls_spki: tuple[bytes, bytes]
    ceremony: bytes | None = None

    def log(self, origin: str) -> HybridVerifier:
        """Return the public keys of a log or of one of its successor generations.

        Raises:
            MalformedError: The statement names no such log.
        """
        for log in self.logs:
            if origin == log.name:
                return log
            if origin.startswith(log.name) and _GENERATION.fullmatch(origin, len(log.name)):
                return HybridVerifier(name=origin, ed25519=log.ed25519, mldsa87=log.mldsa87)
        msg = "the key statement names no log of this origin"
        raise MalformedError(msg)

    def verifier_keys(self) -> str:
        """Return one verifier key a line: both of each log, then both of the cosigner."""
        return "".join(f"{line}\n" for _, line in self._key_lines())

    def _key_lines(self) -> list[tuple[str, str]]:
        lines = [("log", key.encode()) for log in self.logs for key in log.verifier_keys(cosigner=False)]
        return lines + [("cosigner", key.encode()) for key in self.cosigner.verifier_keys(cosigner=True)]

    def format(self) -> str:
        """Return the canonical text."""
        current, following = self.tls_spki
        fields = [
            ("nation", self.nation),
            ("node", self.node),
            ("version", str(self.version)),
            ("issued", self.issued.strftime(_TIME_FORMAT)),
            ("mode", "test" if self.test else "production"),
            ("root-certificate-sha384", self.root_certificate.hex()),
            *([("ceremony-sha384", self.ceremony.hex())] if self.ceremony is not None else []),
            *self._key_lines(),
            ("tls-spki-sha256", current.hex()),
            ("tls-spki-sha256", following.hex()),
        ]
        return "".join(f"{line}\n" for line in (TITLE, *(f"{word} {value}" for word, value in fields)))


def root_name(nation: str) -> str:
    """Return the name under which a nation's root signs statements."""
    return f"entente/root/{nation.lower()}"


def is_nation(text: str) -> bool:
    """Return whether a text is a nation's two capital letters."""
    return _NATION.fullmatch(text) is not None


def is_node_name(text: str) -> bool:
    """Return whether a text is a node name: lower case, DNS-like, with a dot."""
    return len(text) <= MAX_NODE_NAME_LENGTH and _NODE.fullmatch(text) is not None


def parse_statement(text: str) -> KeyStatement:
    """Read the text of a key statement; nothing is verified.

    Raises:
        MalformedError: Not in the one form that `KeyStatement.format` writes.
    """
    title, *lines = text.split("\n")
    try:
        fields = [(word, value) for word, _, value in (line.partition(" ") for line in lines[:-1])]
        values = iter(fields)
        head = [_take(values, word) for word in ("nation", "node", "version", "issued", "mode")]
        certificate = bytes.fromhex(_take(values, "root-certificate-sha384"))
        ceremony = [bytes.fromhex(value) for word, value in fields if word == "ceremony-sha384"]
        keys = [field for field in fields if field[0] in ("log", "cosigner")]
        pins = [bytes.fromhex(value) for word, value in fields if word == "tls-spki-sha256"]
        statement = KeyStatement(
            nation=head[0],
            node=head[1],
            version=int(head[2]),
            issued=datetime.strptime(head[3], _TIME_FORMAT).replace(tzinfo=UTC),
            test=head[4] == "test",
            root_certificate=certificate,
            logs=tuple(_pairs([value for word, value in keys if word == "log"])),
            cosigner=_pairs([value for word, value in keys if word == "cosigner"])[0],
            tls_spki=(pins[0], pins[1]),
            ceremony=ceremony[0] if ceremony else None,
        )
    except (ValueError, IndexError, StopIteration, MalformedError) as error:
        raise MalformedError(_MALFORMED) from error
    # One comparison covers order, repetition, spaces, signs and unknown lines alike.
    if title != TITLE or statement.format() != text or not _is_sound(statement):
        raise MalformedError(_MALFORMED)
    return statement


def sign_statement(statement: KeyStatement, *, root: HybridSigner) -> bytes:
    """Return the statement as a note signed by the root, about 17 kB.

    Raises:
        ValueError: The root belongs to another nation, or the statement is not sound.
    """
    if root.name != root_name(statement.nation) or not _is_sound(statement):
        msg = "a sound statement is signed by the root of its own nation"
        raise ValueError(msg)
    return sign_text_note(statement.format(), signer=root)


def verify_statement(
    note: bytes, *, root: HybridVerifier, nation: str, node: str, lowest_version: int
) -> KeyStatement:
    """Verify that a nation's pinned root makes this statement about the expected node.

    Args:
        note: The note as received.
        root: Pinned public keys of the root.
        nation: Whose statement is expected.
        node: Which node it has to be about.
        lowest_version: An older statement is refused: its keys may be stolen.

    Raises:
        MalformedError: Not a note, or not a statement in canonical form.
        SignatureInvalidError: Not signed by that root with both keys.
        StatementRefusedError: Of another nation or node, or too old.
    """
    if root.name != root_name(nation):
        msg = "the pinned root is not that of this nation"
        raise SignatureInvalidError(msg)
    statement = parse_statement(verify_text_note(note, verifier=root))
    if (statement.nation, statement.node) != (nation, node):
        msg = "the key statement is about another nation or node"
        raise StatementRefusedError(msg)
    if statement.version < lowest_version:
        msg = "the key statement is older than the lowest version that is pinned"
        raise StatementRefusedError(msg)
    return statement


def next_statement(
    statement: KeyStatement,
    *,
    issued: datetime,
    tls_spki: tuple[bytes, bytes] | None = None,
    logs: tuple[HybridVerifier, ...] | None = None,
    cosigner: HybridVerifier | None = None,
) -> KeyStatement:
    """Return the statement that follows a change of keys; what is not given stays as it is."""
    return replace(
        statement,
        version=statement.version + 1,
        issued=issued.astimezone(UTC).replace(microsecond=0),
        tls_spki=tls_spki or statement.tls_spki,
        logs=logs or statement.logs,
        cosigner=cosigner or statement.cosigner,
    )


def with_verifier_keys(known: str, statement: KeyStatement) -> str:
    """Return the lines of a file of verifier keys with those that a statement adds, behind them.

    Earlier keys stay: auditors verify with them what was signed before.
    """
    lines = known.splitlines()
    added = [line for line in statement.verifier_keys().splitlines() if line not in lines]
    return "".join(f"{line}\n" for line in (*lines, *added))


def root_fingerprint(root: HybridVerifier) -> str:
    """Return what two people read aloud: SHA-384 of the root's verifier keys, in groups of 4.

    It covers the root certificate as well, because every statement names its digest.
    """
    return grouped(sha384(root_verifier_keys(root).encode()).hexdigest())


def root_verifier_keys(root: HybridVerifier) -> str:
    """Return both verifier keys of a root, one a line."""
    return "".join(f"{key.encode()}\n" for key in root.statement_keys())


def parse_root_verifier_keys(text: str) -> HybridVerifier:
    """Read both verifier keys of a root.

    Raises:
        MalformedError: Not the two lines that `root_verifier_keys` writes.
    """
    lines = text.split("\n")
    if len(lines) != 3 or lines[2]:
        msg = "the verifier keys of a root are two lines"
        raise MalformedError(msg)
    root = HybridVerifier.from_verifier_keys(parse_verifier_key(lines[0]), parse_verifier_key(lines[1]))
    if root_verifier_keys(root) != text:
        msg = "the verifier keys of a root are not in canonical form"
        raise MalformedError(msg)
    return root


def grouped(digits: str) -> str:
    """Return hexadecimal digits in groups of four, for reading aloud."""
    return " ".join(digits[start : start + 4] for start in range(0, len(digits), 4))


def _take(values: Iterator[tuple[str, str]], word: str) -> str:
    found, value = next(values)
    if found != word:
        raise ValueError
    return value


def _pairs(lines: Sequence[str]) -> list[HybridVerifier]:
    keys = [parse_verifier_key(line) for line in lines]
    if not keys or len(keys) % 2:
        raise ValueError
    return [
        HybridVerifier.from_verifier_keys(keys[index], keys[index + 1]) for index in range(0, len(keys), 2)
    ]


def _is_sound(statement: KeyStatement) -> bool:
    """Return whether the parts fit together; the form has been compared already."""
    origins = [log.name for log in statement.logs]
    public = {
        key
        for verifier in (*statement.logs, statement.cosigner)
        for key in (verifier.ed25519, verifier.mldsa87)
    }
    return (
        is_nation(statement.nation)
        and is_node_name(statement.node)
        and 1 <= statement.version <= MAX_VERSION
        and 1 <= len(origins) <= MAX_LOGS
        and origins == sorted(set(origins))
        and all(origin.startswith(f"{statement.node}/") for origin in origins)
        and statement.cosigner.name == statement.node
        # One key has one use: no key may stand twice.
        and len(public) == 2 * (len(origins) + 1)
        and len(statement.root_certificate) == CERTIFICATE_DIGEST_BYTES
        and (statement.ceremony is None or len(statement.ceremony) == CERTIFICATE_DIGEST_BYTES)
        and len(set(statement.tls_spki)) == 2
        and all(len(digest) == SPKI_DIGEST_BYTES for digest in statement.tls_spki)
    )
