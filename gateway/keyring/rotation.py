"""Changing keys of a home that exists: TLS, log and cosigner keys, certificates, lists, passphrases.

Every change can be interrupted and run again: a new key lies in a ``…-new.key`` until
everything that names it is written, and a second run goes on where the first one stopped.

Spec: docs/spec/keys.md, "Rotation", "Revocation".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.core.signature import HybridSigner, HybridVerifier
from gateway.keyring.anchors import refuse_while_authorities_wait
from gateway.keyring.authorities import authority_keys, certify, install, open_root_issuer
from gateway.keyring.ceremony import (
    ServerNames,
    issue_peer_certificate,
    issue_server_certificate,
    publish_crls,
    publish_statement,
    server_names,
)
from gateway.keyring.files import destroy, fsync_folder
from gateway.keyring.home import (
    COSIGNER_KEY,
    TLS_PEER_KEY,
    TLS_PEER_NEXT_KEY,
    TLS_SERVER_KEY,
    AuthorityHome,
    NodeHome,
    key_file_of,
    later_key,
)
from gateway.keyring.issuing import Issued, IssuingAuthority
from gateway.keyring.keyfile import Purpose
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.newroot import refuse_while_prepared
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.refusals import CeremonyError, KeyFileError, Refusal
from gateway.keyring.registry import read_registry, spki_of_key, write_registry
from gateway.keyring.statement import KeyStatement, next_statement
from gateway.keyring.token_key import TokenHalf
from gateway.keyring.trust import read_published_as_stated
from gateway.keyring.x509_profile import Authority

REASONS: Final = {
    "unspecified": x509.ReasonFlags.unspecified,
    "key-compromise": x509.ReasonFlags.key_compromise,
    "affiliation-changed": x509.ReasonFlags.affiliation_changed,
    "superseded": x509.ReasonFlags.superseded,
    "cessation": x509.ReasonFlags.cessation_of_operation,
}
"""Reasons to revoke, by the word of the command line."""

_TLS_PEER_NEW_KEY: Final = "tls-peer-new.key"
_TLS_SERVER_NEW_KEY: Final = "tls-server-new.key"


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedCertificate:
    """A certificate that was revoked.

    Attributes:
        authority: Who had issued it.
        issued: The certificate.
    """

    authority: Authority
    issued: Issued


def rotate_peer_tls(
    home: NodeHome, folder: KeyFolder, nodes: IssuingAuthority, root: HybridSigner, *, now: datetime
) -> KeyStatement:
    """Put the next TLS key of the peer port in use, make another next one, and state both.

    The peer already pins the key that comes into use, so the link keeps working; the peer
    has to have the new statement before the rotation after this one.

    Args:
        home: Node home.
        folder: Its opened keys.
        nodes: The authority for nodes.
        root: The root that signs the new statement.
        now: Aware time.

    Returns:
        The new statement.
    """
    refuse_while_authorities_wait(home)
    statement = _to_follow(home)
    if (folder.path / TLS_PEER_NEXT_KEY).exists():
        coming = folder.open_p384(TLS_PEER_NEXT_KEY, purpose=Purpose.TLS).public_key()
        following = _new_key(folder, _TLS_PEER_NEW_KEY, name=statement.node, now=now)
        pins = (spki_of_key(coming), spki_of_key(following.public_key()))
        if statement.tls_spki != pins:
            statement = next_statement(statement, issued=now, tls_spki=pins)
            publish_statement(home, statement, root=root)
        issue_peer_certificate(home, nodes, coming, node=statement.node, now=now)
        _move(folder, TLS_PEER_NEXT_KEY, TLS_PEER_KEY)
    # A crash above leaves no next key but a new one: only this step is left to do.
    _move(folder, _TLS_PEER_NEW_KEY, TLS_PEER_NEXT_KEY)
    return statement


@dataclass(frozen=True, slots=True, kw_only=True)
class Staged:
    """New keys in a home, and the statement that will name them once the root has signed it."""

    statement: KeyStatement


def stage_logs(home: NodeHome, folder: KeyFolder, *, now: datetime) -> Staged:
    """Make new keys for the node's logs, or find those that were made and not stated yet."""
    statement = _to_follow(home)
    logs = tuple(
        _later(folder, key_file_of(log.name, node=statement.node), log.name, Purpose.LOG, statement, now=now)
        for log in statement.logs
    )
    return Staged(statement=next_statement(statement, issued=now, logs=logs))


def stage_cosigner(home: NodeHome, folder: KeyFolder, *, now: datetime) -> Staged:
    """Make a new cosigner key, or find the one that was made and not stated yet."""
    statement = _to_follow(home)
    cosigner = _later(folder, COSIGNER_KEY, statement.node, Purpose.COSIGNER, statement, now=now)
    return Staged(statement=next_statement(statement, issued=now, cosigner=cosigner))


STAGES: Final[Mapping[str, Callable[..., Staged]]] = {"log": stage_logs, "cosigner": stage_cosigner}
"""What makes new signing keys, by the word of the command line."""


def rotate_signing_keys(
    what: str, home: NodeHome, folder: KeyFolder, root: HybridSigner, *, now: datetime
) -> KeyStatement:
    """Make new keys of the logs or of the cosigner and state them.

    A running node takes them up by itself: it puts the statement into both logs, signs with new
    log keys from there on, and cosigns with a new cosigner key once the peer holds the statement.
    The old ones stay in the folder: what was signed under them may have to be signed once more
    for a peer that was restored from a backup.

    Args:
        what: One of `STAGES`.
        home: Node home.
        folder: Its opened keys.
        root: The root that signs the new statement.
        now: Aware time.

    Returns:
        The new statement.
    """
    statement = STAGES[what](home, folder, now=now).statement
    publish_statement(home, statement, root=root)
    return statement


def rotate_server_tls(
    home: NodeHome,
    folder: KeyFolder,
    nodes: IssuingAuthority,
    *,
    now: datetime,
    names: ServerNames | None = None,
) -> ServerNames:
    """Replace key and certificate of the agency and operator ports, and return the names it bears.

    Args:
        home: Node home.
        folder: Its opened keys.
        nodes: The authority for nodes.
        now: Aware time.
        names: Under which the ports are reached from now on, beside the name of the node; None for
            those of the present certificate.
    """
    refuse_while_authorities_wait(home)
    node = read_published_as_stated(home.own).statement.node
    borne = server_names(home) if names is None else names.behind(node)
    key = _new_key(folder, _TLS_SERVER_NEW_KEY, name=node, now=now)
    issue_server_certificate(home, nodes, key.public_key(), borne, node=node, now=now)
    _move(folder, _TLS_SERVER_NEW_KEY, TLS_SERVER_KEY)
    return borne


def renew_node_certificates(
    home: NodeHome, folder: KeyFolder, nodes: IssuingAuthority, *, now: datetime
) -> None:
    """Issue new certificates for the TLS keys in use; keys and names stay the same."""
    refuse_while_authorities_wait(home)
    node = read_published_as_stated(home.own).statement.node
    peer = folder.open_p384(TLS_PEER_KEY, purpose=Purpose.TLS).public_key()
    server = folder.open_p384(TLS_SERVER_KEY, purpose=Purpose.TLS).public_key()
    issue_peer_certificate(home, nodes, peer, node=node, now=now)
    issue_server_certificate(home, nodes, server, server_names(home), node=node, now=now)


def renew_authorities(
    home: NodeHome, authority: AuthorityHome, passphrase: Passphrase, *, now: datetime
) -> datetime:
    """Let the root certify the three authorities anew, and return until when they are good.

    That is five years, or the end of the root if it comes earlier.

    Name and key of each stay the same, so everything that it has issued stays good, lists included,
    and nobody has to be issued anything. It can be interrupted and run again.

    Raises:
        KeyFileError: The root does not open.
        TrustError: It is not the root of this home, or has not issued what the home has of an authority.
        CeremonyError: New authorities wait to take their place.
    """
    refuse_while_authorities_wait(home)
    statement = read_published_as_stated(home.own).statement
    root = open_root_issuer(home, authority, passphrase)
    certificates = certify(root, authority_keys(home), statement, now=now)
    install(home, certificates)
    return min(item.not_valid_after_utc for item in (root.certificate, *certificates.values()))


def revoke(
    home: NodeHome,
    authorities: dict[Authority, IssuingAuthority],
    wanted: str,
    *,
    reason: x509.ReasonFlags,
    now: datetime,
) -> list[RevokedCertificate]:
    """Revoke certificates, take their keys out of the registry and publish new lists.

    A revocation that was interrupted, or whose stick was lost, is on the authority's record already:
    said again, it does the rest.

    Args:
        home: Node home.
        authorities: All three, opened.
        wanted: An agency code or holder's name (every certificate of it), a serial number
            or the SHA-256 of a public key, both in hexadecimal.
        reason: Why.
        now: Aware time.

    Returns:
        What was revoked; if nothing was left to revoke, what is meant and was revoked before. Nothing
            if the registry alone knew the key: the authority that certified it is gone.

    Raises:
        CeremonyError: No certificate is meant, and no holder.
    """
    text = wanted.strip().lower()

    def is_meant(item: Issued) -> bool:
        return text in (item.name.lower(), f"{item.serial:x}", item.spki.hex())

    # Before anything is recorded: a home that cannot be used is found out while nothing has happened.
    registry = read_registry(home.registry)
    revoked = [
        RevokedCertificate(authority=kind, issued=issued)
        for kind, authority in authorities.items()
        for issued in authority.revoke(is_meant, reason=reason, now=now)
    ]
    issued = [(kind, item) for kind, authority in authorities.items() for item in authority.record().issued]
    meant = [RevokedCertificate(authority=kind, issued=item) for kind, item in issued if is_meant(item)]
    listed = {item.spki for item in registry.holders if text in (item.code.lower(), item.spki.hex())}
    if not meant and not listed:
        msg = "no certificate of that name, serial number or key was issued here"
        raise CeremonyError(msg)
    # A key of which a valid certificate was issued later stays: its older one was revoked before.
    valid = {item.spki for _, item in issued if item.revoked is None}
    gone = listed | {item.issued.spki for item in revoked} | ({item.issued.spki for item in meant} - valid)
    # Registry first: it takes effect at once, also for whoever cannot read the new lists.
    if any(holder.spki in gone for holder in registry.holders):
        write_registry(home.registry, registry.without(gone))
    publish_crls(home, authorities, now=now)
    return revoked or meant


def _to_follow(home: NodeHome) -> KeyStatement:
    """Return the statement in force, which the next one is to follow.

    Raises:
        CeremonyError: A new root has made the next one already.
    """
    refuse_while_prepared(home)
    return read_published_as_stated(home.own).statement


def _later(
    folder: KeyFolder, file: str, name: str, purpose: Purpose, statement: KeyStatement, *, now: datetime
) -> HybridVerifier:
    """Return the public keys for the next statement: those that an interrupted run has left, or new ones."""
    later = later_key(file, statement.version + 1)
    if (folder.path / later).exists():
        signer = folder.open_hybrid(later, purpose=purpose)
        if isinstance(signer.ed25519, TokenHalf):
            # It may have been made in a token that is lost by now: the root must not state that.
            signer.ed25519.prove()
        return signer.verifier
    return folder.create_hybrid(later, purpose=purpose, name=name, now=now).verifier


def _new_key(folder: KeyFolder, file: str, *, name: str, now: datetime) -> ec.EllipticCurvePrivateKey:
    """Return the key that an interrupted run has left, or a new one."""
    if (folder.path / file).exists():
        return folder.open_p384(file, purpose=Purpose.TLS)
    return folder.create_p384(file, purpose=Purpose.TLS, name=name, now=now)


def _move(folder: KeyFolder, source: str, target: str) -> None:
    if not (folder.path / source).exists():
        raise KeyFileError(folder.path / source, Refusal.ABSENT)
    destroy(folder.path / target)
    (folder.path / source).rename(folder.path / target)
    fsync_folder(folder.path)
