"""What a nation publishes, whether it fits together, and what is pinned of the peer.

A nation publishes five files: its root certificate, the verifier keys of its root, its
key statement, the certificate of its node authority and that authority's revocation list.
They hold each other: the statement is signed by the root keys and names the digest of the
root certificate, which issued the node authority, which signed the list. So one
fingerprint, that of the root keys, covers all of them.

Once its root was replaced there is a sixth file: all roots of the nation in the order in which they
came. While new authorities wait, that of the nodes and its list stand beside those in force. What of all
this counts is pinned of the peer: `gateway.keyring.pins`.

Spec: docs/spec/keys.md, "Trust", "New root", "New authorities".
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.core.note import parse_note
from gateway.core.signature import HybridVerifier
from gateway.errors import PeerError, SignatureInvalidError
from gateway.keyring.anchors import read_anchors, remove_waiting, write_waiting
from gateway.keyring.certificates import certificate_digest, read_anchor, verify_issued
from gateway.keyring.files import make_public_folder, read_public, write_public
from gateway.keyring.home import NodeHome, TrustFiles
from gateway.keyring.pins import FormerRoot, Pin, need_import, read_pin, write_pin
from gateway.keyring.refusals import TrustError
from gateway.keyring.roots import NOT_THE_FORMER, former_roots, known_roots, root_digest, write_roots
from gateway.keyring.statement import (
    KeyStatement,
    grouped,
    parse_root_verifier_keys,
    parse_statement,
    root_fingerprint,
    root_name,
    root_verifier_keys,
    verify_statement,
    with_verifier_keys,
)
from gateway.keyring.words import in_words
from gateway.keyring.x509_profile import Authority


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingAuthority:
    """A node authority that is good beside the one in force, and is to take its place.

    Attributes:
        certificate: Of the same root.
        crl: Its revocation list, PEM.
    """

    certificate: x509.Certificate
    crl: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """What a nation publishes, found to fit together.

    Attributes:
        root: Public keys of the root's statements.
        root_certificate: Root of the nation's certificates.
        statement: The key statement.
        statement_note: The same as signed.
        node_authority: Issues the certificate of the nation's peer port.
        node_crl: Its revocation list, PEM.
        former: Public keys of the roots before this one, the oldest first.
        waiting: Another node authority that waits to take the place of that one; None if none does.
    """

    root: HybridVerifier
    root_certificate: x509.Certificate
    statement: KeyStatement
    statement_note: bytes
    node_authority: x509.Certificate
    node_crl: bytes
    former: tuple[HybridVerifier, ...] = ()
    waiting: WaitingAuthority | None = None

    def fingerprints(self) -> dict[str, str]:
        """Return what two people compare, by what it is; the root keys cover the rest."""
        return {
            "root keys in words": " ".join(in_words(root_digest(self.root))),
            "root keys (SHA-384)": root_fingerprint(self.root),
            "root certificate (SHA-384)": grouped(certificate_digest(self.root_certificate).hex()),
        }


def read_published(files: TrustFiles, *, nation: str, node: str, lowest_version: int = 1) -> Published:
    """Read what a nation published and verify that it fits together.

    Whether the root is the right one is a question of its own: `Pin`.

    Args:
        files: Folder of the five files.
        nation: Whose files these have to be.
        node: Which node the statement has to be about.
        lowest_version: An older statement is refused.

    Raises:
        KeyFileError: A file is absent, or writable by others.
        TrustError: The files do not fit together; the text says which.
    """
    try:
        root = parse_root_verifier_keys(_text(read_public(files.root_keys)))
        note = read_public(files.statement)
        statement = verify_statement(note, root=root, nation=nation, node=node, lowest_version=lowest_version)
        former = former_roots(files, root)
    except PeerError as error:
        msg = f"the key statement or the root keys in {files.folder} are refused: {error}"
        raise TrustError(msg) from error
    root_certificate = read_anchor(files.root)
    if certificate_digest(root_certificate) != statement.root_certificate:
        msg = f"{files.root} is not the root certificate that the key statement names"
        raise TrustError(msg)
    verify_issued(root_certificate, issuer=root_certificate)
    anchors = read_anchors(files, Authority.NODES)
    for certificate in anchors.certificates:
        verify_issued(certificate, issuer=root_certificate)
    lists = [crl.public_bytes(Encoding.PEM) for _, crl in anchors.lists]
    waiting = [
        WaitingAuthority(certificate=certificate, crl=crl)
        for certificate, crl in zip(anchors.certificates[1:], lists[1:], strict=True)
    ]
    return Published(
        root=root,
        root_certificate=root_certificate,
        statement=statement,
        statement_note=note,
        node_authority=anchors.certificates[0],
        node_crl=lists[0],
        former=former,
        waiting=waiting[0] if waiting else None,
    )


def read_published_as_stated(files: TrustFiles) -> Published:
    """Read what a nation published, taking nation and node from the statement itself.

    For a person who is about to compare fingerprints, and for one's own files.

    Raises:
        KeyFileError, TrustError: As for `read_published`.
    """
    try:
        root = parse_root_verifier_keys(_text(read_public(files.root_keys)))
        stated = parse_statement(_text_of_note(read_public(files.statement)))
    except PeerError as error:
        msg = f"the key statement or the root keys in {files.folder} are refused: {error}"
        raise TrustError(msg) from error
    if root.name != root_name(stated.nation):
        msg = f"the root keys in {files.folder} are not those of the nation in the statement"
        raise TrustError(msg)
    return read_published(files, nation=stated.nation, node=stated.node)


def write_published(files: TrustFiles, published: Published) -> None:
    """Write the files of a nation into a folder."""
    make_public_folder(files.folder)
    if published.former:
        write_roots(files, (*published.former, published.root))
    else:
        files.roots.unlink(missing_ok=True)
    write_public(files.root_keys, root_verifier_keys(published.root).encode())
    write_public(files.root, published.root_certificate.public_bytes(Encoding.PEM))
    _write_node_authority(files, published)
    write_public(files.statement, published.statement_note)


def _write_node_authority(files: TrustFiles, published: Published) -> None:
    """Write a node authority, its list, and one that waits; what is interrupted in between fits together."""
    certificate, key = files.authority(Authority.NODES), published.node_authority.public_key()
    if certificate.exists() and read_anchor(certificate).public_key() != key:
        # Another one takes its place. Until certificate and list are written both are good.
        _let_wait(files, WaitingAuthority(certificate=published.node_authority, crl=published.node_crl))
    write_public(files.crl(Authority.NODES), published.node_crl)
    write_public(certificate, published.node_authority.public_bytes(Encoding.PEM))
    if published.waiting is None:
        remove_waiting(files)
    else:
        _let_wait(files, published.waiting)


def _let_wait(files: TrustFiles, waiting: WaitingAuthority) -> None:
    anchor = files.next_authorities.authority(Authority.NODES)
    crl = files.next_authorities.crl(Authority.NODES)
    if anchor.exists() and read_anchor(anchor) == waiting.certificate:
        # As every week: it goes on waiting, without a moment in which it is not there.
        write_public(crl, waiting.crl)
    else:
        content = waiting.certificate.public_bytes(Encoding.PEM)
        write_waiting(files, {anchor.name: content, crl.name: waiting.crl})


def export_trust(home: NodeHome, folder: Path) -> Published:
    """Write what the peer and auditors need to know of this node into a folder.

    Besides the files of `Published` there are the verifier keys of logs and cosigner, for auditors, in a
    file that bears the node's name, and in a folder of its own what a new root has made that waits.

    Raises:
        KeyFileError, TrustError: Our own files are refused.
    """
    published = read_published_as_stated(home.own)
    files = TrustFiles(folder=folder)
    write_published(files, published)
    keep_verifier_keys(home.own_verifier_keys, published.statement)
    write_public(folder / f"{published.statement.node}.vkeys", read_public(home.own_verifier_keys))
    if files.next.folder.exists():
        shutil.rmtree(files.next.folder)
    if home.own.next.statement.exists():
        # With the newest list: the authority that issues it has one key under both roots.
        coming = read_published_as_stated(home.own.next)
        write_published(files.next, replace(coming, node_crl=published.node_crl))
    return published


def offered(home: NodeHome, folder: Path, *, replace_root: bool) -> Published:
    """Return what of an export is for this home: what is in force, or what a new root has made that waits.

    The latter once its root is pinned, or if a person says that another root is to be accepted.

    Raises:
        KeyFileError, TrustError: The files are refused.
    """
    files = TrustFiles(folder=folder)
    if files.next.statement.exists():
        coming = read_published_as_stated(files.next)
        if replace_root or not needs_comparison(read_pin(home.peer), coming):
            return coming
    return read_published_as_stated(files)


def import_peer(home: NodeHome, published: Published, *, replace_root: bool = False) -> Pin:
    """Trust what the peer published. A person has compared the fingerprints if the root is new.

    A new root that goes on where the pinned one stopped, with a higher version, leaves what that one has
    stated as it is. One that begins with an older version is that of a node made anew: what the pinned
    one has vouched for counts no longer.

    The pin is written last: after a crash in between, importing again repairs everything.

    Args:
        home: The node home.
        published: What the peer published.
        replace_root: Whether another root than the pinned one is accepted.

    Raises:
        TrustError: As `check_peer` says.
    """
    check_peer(home, published, replace_root=replace_root)
    pin = read_pin(home.peer)
    statement = published.statement
    former = pin.former
    if pin.root is not None and needs_comparison(pin, published):
        if statement.version > pin.lowest_version:
            former = (*pin.former, FormerRoot(root=pin.root, below_version=statement.version))
        else:
            write_public(home.peer_verifier_keys, b"")
            former = ()
    known = known_roots(home.peer, former) if former else ()
    write_published(home.peer, replace(published, former=known))
    keep_verifier_keys(home.peer_verifier_keys, statement)
    pin = Pin(
        nation=pin.nation,
        node=pin.node,
        root=root_digest(published.root),
        lowest_version=statement.version,
        former=former,
    )
    write_pin(home.peer, pin)
    return pin


def check_peer(home: NodeHome, published: Published, *, replace_root: bool = False) -> None:
    """Refuse what no comparison of fingerprints could make acceptable, before anybody compares any.

    Args:
        home: The node home.
        published: What the peer published.
        replace_root: Whether another root than the pinned one is accepted.

    Raises:
        TrustError: Of another nation or node than expected, under another root than the
            pinned one, or under one that was replaced, of an older version, or with test keys
            where ours are not.
    """
    pin = read_pin(home.peer)
    statement = published.statement
    if (statement.nation, statement.node) != (pin.nation, pin.node):
        msg = f"these are not the keys of {pin.node} of {pin.nation}"
        raise TrustError(msg)
    if root_digest(published.root) in [item.root for item in pin.former]:
        # Whoever has it may have stolen it, and its words stand on paper that looks right.
        msg = "this is signed by a root that was replaced, and is accepted no more"
        raise TrustError(msg)
    if not replace_root and needs_comparison(pin, published) and pin.root is not None:
        msg = (
            "another root than the pinned one signed this: if the other nation says that it has a new root, "
            "compare the fingerprints with its people and repeat with --replace-root"
        )
        raise TrustError(msg)
    if statement.version < pin.lowest_version and pin.root == root_digest(published.root):
        msg = f"this statement is older than version {pin.lowest_version}, which is pinned"
        raise TrustError(msg)
    if pin.root == root_digest(published.root) and _is_of_before(home, published.node_authority):
        msg = "the node authority in this export was replaced since: ask for a newer export"
        raise TrustError(msg)
    if statement.test and not read_published_as_stated(home.own).statement.test:
        msg = "these are TEST keys, and the keys of this home are not"
        raise TrustError(msg)


def _is_of_before(home: NodeHome, offered: x509.Certificate) -> bool:
    """Return whether the peer has replaced a node authority by that which was imported.

    A stolen authority is replaced; an export that somebody has kept must not bring it back.
    """
    path = home.peer.authority(Authority.NODES)
    if not path.exists():
        return False
    imported = read_anchor(path)
    return (
        offered.public_key() != imported.public_key()
        and offered.not_valid_before_utc < imported.not_valid_before_utc
    )


def keep_verifier_keys(path: Path, statement: KeyStatement) -> None:
    """Add the verifier keys of a statement to a file; those of earlier statements stay in it.

    Raises:
        KeyFileError, TrustError: The file is writable by others, or not ASCII.
    """
    known = _text(read_public(path)) if path.exists() else ""
    write_public(path, with_verifier_keys(known, statement).encode())


def needs_comparison(pin: Pin, published: Published) -> bool:
    """Return whether a person has to compare fingerprints before the import."""
    return pin.root != root_digest(published.root)


def read_peer(home: NodeHome) -> tuple[Pin, Published]:
    """Return what is pinned and published of the peer, verified against the pin.

    Raises:
        KeyFileError: A file is absent, or writable by others.
        TrustError: Not imported yet, or the files are not those that were imported.
    """
    pin = read_pin(home.peer)
    need_import(pin)
    published = read_published(home.peer, nation=pin.nation, node=pin.node, lowest_version=pin.lowest_version)
    if root_digest(published.root) != pin.root:
        msg = "the peer's root keys are not those that were pinned at the import"
        raise TrustError(msg)
    if [root_digest(root) for root in published.former] != [item.root for item in pin.former]:
        raise TrustError(NOT_THE_FORMER.format(home.peer.roots))
    return pin, published


def verify_stated(
    note: bytes, published: Published, *, below: Sequence[int], nation: str, node: str
) -> KeyStatement:
    """Verify that a nation's root makes this statement, or that one before it did while it counted.

    Args:
        note: The note as received.
        published: Of the nation; holds its roots.
        below: For each of its former roots, below which version its statements count.
        nation: Whose statement is expected.
        node: Which node it has to be about.

    Raises:
        MalformedError, SignatureInvalidError, StatementRefusedError: As for `verify_statement`.
    """
    expected = {"nation": nation, "node": node}
    try:
        return verify_statement(note, root=published.root, lowest_version=1, **expected)
    except SignatureInvalidError:
        for root, version in zip(published.former, below, strict=True):
            with suppress(SignatureInvalidError):
                stated = verify_statement(note, root=root, lowest_version=1, **expected)
                # The certificate tells under which root a statement was made: see `FileKeyring`.
                own = stated.root_certificate != published.statement.root_certificate
                if own and stated.version < version:
                    return stated
        raise


def _text(content: bytes) -> str:
    try:
        return content.decode("ascii")
    except UnicodeDecodeError as error:
        msg = "a file of verifier keys is ASCII"
        raise TrustError(msg) from error


def _text_of_note(note: bytes) -> str:
    return parse_note(note).text
