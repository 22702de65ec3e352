"""The transcript of a ceremony, in English and French: who was there, what was made, every fingerprint.

Its SHA-384 stands in the node's first key statement, which opens both logs of the node: so
the paper that the witnesses sign, the file, and the logs of both nations say the same. The
statement itself comes after it and is covered by the root keys, whose fingerprint is in it.

Spec: docs/spec/keys.md, "Ceremony".
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha384
from typing import Final

from cryptography import x509

from gateway.core.signature import HybridVerifier
from gateway.keyring.certificates import certificate_digest
from gateway.keyring.refusals import CeremonyError
from gateway.keyring.roots import root_digest
from gateway.keyring.statement import KeyStatement, grouped
from gateway.keyring.trust import Published
from gateway.keyring.words import in_words
from gateway.keyring.x509_profile import Authority

TITLE: Final = "Entente key ceremony / Cérémonie des clés"
IMPORT_TITLE: Final = "Entente exchange of trust / Échange de confiance"
TEST_MARK: Final = (
    "*** TEST KEYS: mode production refuses them / CLÉS DE TEST : le mode production les refuse ***"
)
MAX_NAME: Final = 80

_NAME: Final = re.compile(rf"[^\W\d_][\w '’.-]{{0,{MAX_NAME - 1}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """Who holds a ceremony. Their names stand in the transcript, and in no log.

    Attributes:
        custodians: Of the root: each knows one half of its passphrase.
        witness: Who writes and watches; empty if nobody.
    """

    custodians: tuple[str, ...] = ()
    witness: str = ""

    def __post_init__(self) -> None:
        """Refuse what cannot stand on a line.

        Raises:
            CeremonyError: A name has another form, or one person stands there twice.
        """
        names = [*self.custodians, *([self.witness] if self.witness else [])]
        if any(_NAME.fullmatch(name) is None for name in names):
            msg = f"a name is at most {MAX_NAME} letters, spaces, hyphens and apostrophes"
            raise CeremonyError(msg)
        if len({name.casefold() for name in names}) != len(names):
            msg = "custodians and witness are different people"
            raise CeremonyError(msg)


NOBODY: Final = People()


def write_transcript(
    statement: KeyStatement,
    *,
    root: HybridVerifier,
    root_certificate: x509.Certificate,
    authorities: Sequence[tuple[Authority, x509.Certificate]],
    people: People,
    version: str,
    now: datetime,
) -> str:
    """Return the transcript.

    Args:
        statement: What the root is about to state; only its keys and names are written.
        root: Verifier keys of the root.
        root_certificate: The root's certificate.
        authorities: The issuing authorities with their certificates.
        people: Who was there.
        version: Of this program.
        now: Aware time.
    """
    lines = [TITLE, *(["", TEST_MARK] if statement.test else []), ""]
    lines += [
        f"nation            {statement.nation}",
        f"node / nœud       {statement.node}",
        f"held / tenue      {now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        f"program           Entente {version}",
    ]
    lines += [
        f"custodian {number} / dépositaire {number}   {name}"
        for number, name in enumerate(people.custodians, 1)
    ]
    lines += [f"witness / témoin  {people.witness}"] if people.witness else []
    lines += ["", "root keys, SHA-384 (read this one aloud; it covers all that follows)"]
    lines += ["clés racine (à lire à haute voix ; elle couvre tout ce qui suit)"]
    lines += fingerprint_lines(root_digest(root))
    sections = [("root certificate / certificat racine, SHA-384", certificate_digest(root_certificate))]
    sections += [
        (f"{kind.value} certificate / certificat {kind.value}, SHA-384", certificate_digest(certificate))
        for kind, certificate in authorities
    ]
    sections += [
        (f"log keys / clés du journal {log.name}, SHA-384", _digest(log, cosigner=False))
        for log in statement.logs
    ]
    sections += [
        ("cosigner keys / clés de cosignature, SHA-384", _digest(statement.cosigner, cosigner=True)),
        (
            "TLS key of the peer port, current / clé TLS du port pair, actuelle, SHA-256",
            statement.tls_spki[0],
        ),
        ("TLS key of the peer port, next / clé TLS du port pair, suivante, SHA-256", statement.tls_spki[1]),
    ]
    for what, digest in sections:
        lines += ["", what, f"  {grouped(digest.hex())}"]
    return "\n".join(lines) + "\n"


def write_import_record(published: Published, *, people: People, now: datetime) -> str:
    """Return the record of an exchange of trust: which fingerprints were compared, and by whom."""
    statement = published.statement
    lines = [
        IMPORT_TITLE,
        *(["", TEST_MARK] if statement.test else []),
        "",
        f"peer / pair       {statement.node}, {statement.nation}",
        f"statement         version {statement.version}",
        f"compared / comparé {now.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        *(f"by / par          {name}" for name in people.custodians),
        "",
        "root keys of the peer, SHA-384 / clés racine du pair, SHA-384",
        *fingerprint_lines(root_digest(published.root)),
        "",
        "root certificate / certificat racine, SHA-384",
        f"  {grouped(certificate_digest(published.root_certificate).hex())}",
    ]
    return "\n".join(lines) + "\n"


def transcript_digest(transcript: str) -> bytes:
    """Return the SHA-384 of a transcript, 48 bytes, as ``sha384sum`` of its file shows it."""
    return sha384(transcript.encode()).digest()


def fingerprint_lines(digest: bytes) -> list[str]:
    """Return a digest as two people compare it: in words, then in hexadecimal digits."""
    return [*(f"  {line}" for line in in_words(digest)), f"  {grouped(digest.hex())}"]


def _digest(verifier: HybridVerifier, *, cosigner: bool) -> bytes:
    keys = "".join(f"{key.encode()}\n" for key in verifier.verifier_keys(cosigner=cosigner))
    return sha384(keys.encode()).digest()
