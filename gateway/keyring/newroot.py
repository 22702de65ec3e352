"""A new root for a home that exists: prepared beside the old one, put in force once everybody has it.

A root ends after ten years, may be lost with its passphrase, or may be known to others. The new one makes
keys of its own, certifies the three authorities under the keys that they have, and states the node's
keys, unchanged, with the next version. All this waits in ``trust/own/next``: the node goes on under the
old root, while the peer imports the new one and agencies add its certificate to their ``ca.pem``. Then
it is put in force, and nothing that anybody holds has to be issued anew.

The old root is not asked. Whoever stole it could vouch for a root of his own, so its word would be
worth nothing where it matters; people compare fingerprints, as at the first exchange.

Spec: docs/spec/keys.md, "New root"; docs/adr/0056-a-new-root.md.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from importlib.metadata import version
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.core.note import parse_note
from gateway.errors import PeerError
from gateway.keyring.anchors import refuse_while_authorities_wait
from gateway.keyring.authorities import authority_keys, certify, install
from gateway.keyring.ceremony import make_root
from gateway.keyring.certificates import certificate_digest, read_anchor, verify_issued
from gateway.keyring.files import (
    fsync_folder,
    make_private_folder,
    make_public_folder,
    read_public,
    write_public,
)
from gateway.keyring.home import AuthorityHome, NodeHome, TrustFiles
from gateway.keyring.keyfolder import UNLOCK_FILE, KeyFolder
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.refusals import CeremonyError, KeyFileError, Refusal, TrustError
from gateway.keyring.roots import write_roots
from gateway.keyring.statement import (
    KeyStatement,
    next_statement,
    parse_statement,
    root_verifier_keys,
    sign_statement,
)
from gateway.keyring.transcript import NOBODY, People, transcript_digest, write_transcript
from gateway.keyring.trust import Published, read_published_as_stated, write_published
from gateway.keyring.x509_profile import Authority

CA_FILE: Final = "ca.pem"
"""What agencies trust, under this name also in their folders."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a new root has made for a home, found to fit together and to the home.

    Attributes:
        published: Root, certificate, statement and node authority.
        anchors: The certificates of the three authorities.
        transcript: Of the ceremony of the root.
    """

    published: Published
    anchors: Mapping[Authority, x509.Certificate]
    transcript: bytes


def prepare_root(
    home: NodeHome,
    authority: AuthorityHome,
    passphrase: Passphrase,
    *,
    now: datetime,
    people: People = NOBODY,
) -> Prepared:
    """Make a new root and what it says of this home; nothing of it is in force when this returns.

    A ceremony that was interrupted is begun again with an empty medium.

    Args:
        home: Node home, or its public files on a stick.
        authority: The medium of the new root; must hold no root.
        passphrase: What seals it.
        now: Aware time.
        people: Who is there.

    Raises:
        KeyFileError: The medium holds a root already, or is not private.
        TrustError: The home's own files do not fit together.
        CeremonyError: Another new root waits to be put in force, or new authorities do.
    """
    refuse_while_prepared(home)
    refuse_while_authorities_wait(home)
    current = read_published_as_stated(home.own)
    stated = current.statement
    if (authority.root / UNLOCK_FILE).exists():
        raise KeyFileError(authority.root / UNLOCK_FILE, Refusal.EXISTS)
    keys = authority_keys(home)
    make_private_folder(authority.path)
    folder = KeyFolder.create(
        authority.root, passphrase=passphrase, name=f"{stated.nation} root", test=stated.test, now=now
    )
    root, signer = make_root(folder, nation=stated.nation, test=stated.test, now=now)
    anchors = certify(root, keys, stated, now=now)
    statement = replace(
        next_statement(stated, issued=now), root_certificate=certificate_digest(root.certificate)
    )
    transcript = write_transcript(
        statement,
        root=signer.verifier,
        root_certificate=root.certificate,
        authorities=list(anchors.items()),
        people=people,
        version=version("entente"),
        now=now,
    )
    statement = replace(statement, ceremony=transcript_digest(transcript))
    prepared = Prepared(
        published=Published(
            root=signer.verifier,
            root_certificate=root.certificate,
            statement=statement,
            statement_note=sign_statement(statement, root=signer),
            node_authority=anchors[Authority.NODES],
            node_crl=current.node_crl,
            former=(*current.former, current.root),
        ),
        anchors=anchors,
        transcript=transcript.encode(),
    )
    install_prepared(home, prepared)
    return prepared


def install_prepared(home: NodeHome, prepared: Prepared) -> None:
    """Write what a new root has made into a home, where it waits; the statement comes last."""
    files = home.own.next
    make_public_folder(files.folder)
    write_public(files.ceremony_record, prepared.transcript)
    for kind, anchor in prepared.anchors.items():
        write_public(files.authority(kind), anchor.public_bytes(Encoding.PEM))
    both = read_public(home.own.root) + prepared.published.root_certificate.public_bytes(Encoding.PEM)
    write_public(files.folder / CA_FILE, both)
    write_published(files, prepared.published)
    # Agencies and operators of test homes live in the home; elsewhere the file is handed to them.
    for folder in (home.agencies, home.operators):
        for path in folder.glob(f"*/{CA_FILE}"):
            write_public(path, both)


def is_prepared(home: NodeHome) -> bool:
    """Return whether a new root waits to be put in force."""
    return home.own.next.statement.exists()


def refuse_while_prepared(home: NodeHome) -> None:
    """Refuse what the old root would state while the new one has made the next statement.

    Raises:
        CeremonyError: A new root waits.
    """
    if is_prepared(home):
        msg = "a new root waits in trust/own/next: put it in force first (entente keys switch-root)"
        raise CeremonyError(msg)


def read_prepared(home: NodeHome, files: TrustFiles) -> Prepared:
    """Return what a new root has made, verified, and compared with the home that it is for.

    Args:
        home: The home; an interrupted `switch_root` may have replaced some of its files.
        files: Where it lies, in the home or on a stick.

    Raises:
        CeremonyError: None is there, or the home has another statement by now.
        KeyFileError, TrustError: The files are refused, or are not for this home.
    """
    if not files.statement.exists():
        msg = "no new root waits to be put in force: entente keys new-root"
        raise CeremonyError(msg)
    published = read_published_as_stated(files)
    stated = _stated(home)
    following = replace(
        next_statement(stated, issued=published.statement.issued),
        root_certificate=published.statement.root_certificate,
        ceremony=published.statement.ceremony,
    )
    if published.statement not in (following, stated):
        msg = (
            "the keys of this home were stated anew since the new root was prepared: "
            "remove trust/own/next and prepare another one"
        )
        raise CeremonyError(msg)
    if read_public(home.own.root_keys) not in [
        root_verifier_keys(root).encode() for root in (*published.former[-1:], published.root)
    ]:
        msg = "the new root was prepared beside another one than that of this home"
        raise TrustError(msg)
    anchors = {kind: read_anchor(files.authority(kind)) for kind in Authority}
    for kind, anchor in anchors.items():
        verify_issued(anchor, issuer=published.root_certificate)
        if anchor.public_key() != read_anchor(home.own.authority(kind)).public_key():
            msg = f"the new root has certified another key than that of {kind.value}.pem"
            raise TrustError(msg)
    transcript = read_public(files.ceremony_record)
    if published.statement.ceremony != transcript_digest(transcript.decode(errors="replace")):
        msg = "the transcript beside the new root is not the one that its statement names"
        raise TrustError(msg)
    return Prepared(published=published, anchors=anchors, transcript=transcript)


def switch_root(home: NodeHome) -> KeyStatement:
    """Put the new root that waits in force, and return its statement.

    A running node takes everything up within seconds. It can be interrupted and run again: what
    waits is removed last. A node that is started in between refuses to, and starts afterwards.

    Raises:
        CeremonyError, KeyFileError, TrustError: As for `read_prepared`; nothing was changed.
    """
    # They are of the root that goes.
    refuse_while_authorities_wait(home)
    prepared = read_prepared(home, home.own.next)
    published = prepared.published
    install(home, prepared.anchors)
    before = read_public(home.ceremony_record) if home.ceremony_record.exists() else prepared.transcript
    if before != prepared.transcript:
        kept = f"ceremony-before-v{published.statement.version}.txt"
        write_public(home.ceremony_record.with_name(kept), before)
        write_public(home.ceremony_record, prepared.transcript)
    write_roots(home.own, (*published.former, published.root))
    write_public(home.own.root, published.root_certificate.public_bytes(Encoding.PEM))
    write_public(home.own.root_keys, root_verifier_keys(published.root).encode())
    # A running node looks at this one: whatever it needs for it is there.
    write_public(home.own.statement, published.statement_note)
    home.own.next.statement.unlink()
    shutil.rmtree(home.own.next.folder)
    fsync_folder(home.own.folder)
    return published.statement


def _stated(home: NodeHome) -> KeyStatement:
    """Return the statement of a home; whether all its files fit together is not looked at here."""
    try:
        return parse_statement(parse_note(read_public(home.own.statement)).text)
    except PeerError as error:
        msg = f"the key statement or the root keys in {home.own.folder} are refused: {error}"
        raise TrustError(msg) from error
