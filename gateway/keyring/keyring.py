"""The keys of a running node, opened once from its home.

Opening costs one Argon2id and a few signatures' verifications, about a quarter of a second.
Everything is compared before the first use: the keys in the folder are those that the own
statement names, the statement is signed by the own root, and the peer's files are those
that were pinned.

Spec: docs/spec/keys.md; `gateway.ports.Keyring`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Final

import structlog

from gateway.core.keybox import KemPrivateKey
from gateway.core.note import parse_note
from gateway.core.sealing import StorageKey
from gateway.core.signature import HybridSigner, HybridVerifier, SigningAwayError
from gateway.errors import SignatureInvalidError
from gateway.keyring.certificates import read_anchor, verify_issued
from gateway.keyring.files import write_public
from gateway.keyring.home import STORAGE_KEY, TLS_PEER_KEY, TLS_SERVER_KEY, NodeHome
from gateway.keyring.kemstore import KemStore
from gateway.keyring.keyfile import Purpose
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.own_keys import OwnKeys
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.pins import read_pin, write_pin
from gateway.keyring.refusals import KeyFileError, Refusal, TokenError, TrustError
from gateway.keyring.registry import SpkiDigest
from gateway.keyring.statement import (
    KeyStatement,
    StatementRefusedError,
    parse_statement,
)
from gateway.keyring.tls import TlsIdentity, tls_identity
from gateway.keyring.token import TokenSettings
from gateway.keyring.trust import (
    Published,
    keep_verifier_keys,
    read_peer,
    read_published_as_stated,
    verify_stated,
)
from gateway.keyring.x509_profile import Authority

log = structlog.get_logger(__name__)

STORAGE_KEY_BYTES: Final = 32
MAX_STATEMENTS: Final = 64
"""Statements of the peer that are remembered as verified."""


class FileKeyring:
    """The keys of one node and what it trusts of its peer. Calls may come from several threads."""

    def __init__(self, home: NodeHome, folder: KeyFolder) -> None:
        """Read everything from an opened folder; `open` is how to get here."""
        self.home = home
        self._folder = folder
        self._lock = threading.RLock()
        self._own = read_published_as_stated(home.own)
        self._own_keys = OwnKeys(folder, self._own.statement)
        self._cosigner = self._own_keys.cosigner(self._own.statement)
        for kind in Authority:
            anchor = read_anchor(home.own.authority(kind))
            verify_issued(anchor, issuer=self._own.root_certificate)
        self._pin = read_pin(home.peer)
        self._peer: Published | None = None if self._pin.root is None else read_peer(home)[1]
        # What the peer's root has said, verified, by the bytes of the note.
        self._peer_stated: dict[bytes, KeyStatement] = {}
        if self._peer is not None:
            self._peer_stated[self._peer.statement_note] = self._peer.statement
        header, self._storage_key = folder.get(STORAGE_KEY, purpose=Purpose.STORAGE)
        if len(self._storage_key) != STORAGE_KEY_BYTES or header.name != self.node:
            raise KeyFileError(folder.path / STORAGE_KEY, Refusal.ALTERED)
        self._kem = KemStore(replace(folder, path=home.kem), node=self.node)

    @classmethod
    def open(
        cls, home: Path, *, passphrase: Passphrase, production: bool, token: TokenSettings | None = None
    ) -> FileKeyring:
        """Open the keys of a home, and see that the token signs with those that are stated.

        Args:
            home: The node home.
            passphrase: What opens its ``keys/unlock.key``.
            production: True refuses test keys, and an authority inside the home.
            token: Where one half of the signing keys is; None if all are in files.

        Raises:
            KeyFileError: A file is refused; the text says which and why.
            TokenError: The token is away, or not the one that holds the keys.
            TrustError: Keys, statement and peer do not fit together.
        """
        node_home = NodeHome(path=home)
        if production and node_home.authority.path.exists():
            msg = "the authority lies inside the node home; in production it is kept offline"
            raise TrustError(msg)
        folder = KeyFolder.open(node_home.keys, passphrase=passphrase, allow_test=not production, token=token)
        keyring = cls(node_home, folder)
        keyring._own_keys.prove(keyring.own_statement)
        return keyring

    @property
    def nation(self) -> str:
        """Return the two letters of this node's nation."""
        return self._own.statement.nation

    @property
    def node(self) -> str:
        """Return the name of this node."""
        return self._own.statement.node

    @property
    def peer_nation(self) -> str:
        """Return the two letters of the peer's nation."""
        return self._pin.nation

    @property
    def peer_node(self) -> str:
        """Return the name of the peer."""
        return self._pin.node

    @property
    def is_test(self) -> bool:
        """Return whether these are test keys."""
        return self._folder.test

    @property
    def storage_key(self) -> StorageKey:
        """Return the 32-byte key under which content keys are wrapped at rest."""
        return StorageKey(self._storage_key)

    @property
    def cosigner(self) -> HybridSigner:
        """Return the signer of cosignatures on the peer's logs that is in use, under the node's name."""
        return self._cosigner

    def use_cosigner_of(self, statement: bytes) -> None:
        """Cosign from now on with the key that a statement of this node names.

        Raises:
            TrustError: The home holds no such key.
        """
        self._cosigner = self._own_keys.cosigner(_own_statement(statement))

    def say_token_changes(self) -> None:
        """Let the token, if there is one, log when it is lost, found and slow."""
        if self._folder.token is not None:
            self._folder.token.says_changes = True

    def check_signing(self) -> None:
        """See that the keys in use sign; one signature by each that has a half in a token.

        Raises:
            SigningAwayError: A token is away, or no longer holds the key.
        """
        with self._lock:
            keys, statement, cosigner = self._own_keys, self._own.statement, self._cosigner
        try:
            keys.prove(statement, cosigner=cosigner)
        except TokenError as error:
            raise SigningAwayError(str(error)) from error

    @property
    def statement(self) -> bytes:
        """Return this node's newest key statement, signed by the national root."""
        return self._own.statement_note

    @property
    def own_statement(self) -> KeyStatement:
        """Return what this node's key statement says."""
        return self._own.statement

    @property
    def peer_statement(self) -> bytes:
        """Return the newest accepted key statement of the peer.

        Raises:
            TrustError: The peer's keys are not imported yet.
        """
        return self._imported().statement_note

    @property
    def peer_cosigners(self) -> tuple[HybridVerifier, ...]:
        """Return the verifiers of the peer's cosignatures: the newest, then one that it replaced.

        Raises:
            TrustError: The peer's keys are not imported yet.
        """
        return self._newest_two(lambda stated: stated.cosigner)

    def log_signer(self, origin: str, statement: bytes) -> HybridSigner:
        """Return the key that a statement of this node names for a log or a successor generation.

        Raises:
            MalformedError: This node has no such log.
            TrustError: The home does not hold the key.
        """
        return self._own_keys.log_signer(origin, _own_statement(statement))

    def own_verifiers(self, origin: str) -> tuple[HybridVerifier, ...]:
        """Return every key that this home holds for an own log, the newest first.

        Raises:
            MalformedError: This node has no such log.
        """
        return self._own_keys.log_verifiers(origin, self._own.statement)

    def peer_log_verifiers(self, origin: str) -> tuple[HybridVerifier, ...]:
        """Return the peer's keys for a log: the newest, then one that it replaced.

        Raises:
            MalformedError: The peer has no such log.
            TrustError: The peer's keys are not imported yet.
        """
        return self._newest_two(lambda stated: stated.log(origin))

    def peer_log_verifier(self, origin: str, statement: bytes) -> HybridVerifier:
        """Return the key that a statement of the peer names for one of its logs.

        Raises:
            SignatureInvalidError: The pinned root has not signed the statement.
            StatementRefusedError: It is about another nation or node.
            MalformedError: Not a statement, or the peer has no such log.
            TrustError: The peer's keys are not imported yet.
        """
        return self._peer_statement(statement).log(origin)

    def reload_own(self) -> bool:
        """Read our own statement and the keys that it names anew; return whether it is a newer one.

        Raises:
            KeyFileError, TrustError: They are refused, or do not fit together; what was read
                before stays in force.
        """
        with self._lock:
            own = read_published_as_stated(self.home.own)
            if own.statement.version <= self._own.statement.version:
                return False
            if own.statement.node != self.node or own.statement.test != self.is_test:
                msg = "the key statement of this home is about another node, or of another mode"
                raise TrustError(msg)
            self._own_keys = OwnKeys(self._folder, own.statement)
            self._own = own
            return True

    def take_up_own(self, statement: bytes) -> bool:
        """Take up a newer statement of this node that stands in its own log; return whether it is newer.

        Whoever restores a home may put an older ``trust`` beside newer keys. To state that one
        again would go back to keys that were replaced, which the peer refuses.

        Raises:
            StatementRefusedError: It is about another nation or node.
            MalformedError: Not a statement.
            TrustError: No root of ours that is known here has signed it, the folder does not hold the
                keys that it names, or it is of another mode.
        """
        with self._lock:
            version = self._own.statement.version
            below = [version] * len(self._own.former)
            try:
                stated = verify_stated(statement, self._own, below=below, nation=self.nation, node=self.node)
            except SignatureInvalidError as error:
                msg = (
                    "the log of this node states its keys under another root than trust/own holds: "
                    "put back trust/own as it was after the root was replaced"
                )
                raise TrustError(msg) from error
            if stated.version <= version:
                return False
            if stated.test != self.is_test:
                msg = "the key statement in the log of this node is of another mode"
                raise TrustError(msg)
            self._own_keys = OwnKeys(self._folder, stated)
            try:
                write_public(self.home.own.statement, statement)
                keep_verifier_keys(self.home.own_verifier_keys, stated)
            except KeyFileError as error:
                if error.refusal is not Refusal.UNWRITABLE:
                    raise
                # Read-only, as in a container: it is taken up from the log at each start.
                log.warning("keys.not_kept", file=error.path.name, version=stated.version)
            self._own = replace(self._own, statement=stated, statement_note=statement)
            return True

    def reload_peer(self) -> None:
        """Read what is pinned and published of the peer anew, as after an import.

        Raises:
            KeyFileError, TrustError: It is refused; what was read before stays in force.
        """
        with self._lock:
            if read_pin(self.home.peer).root is None:
                return
            pin, peer = read_peer(self.home)
            self._peer_stated[peer.statement_note] = peer.statement
            known = self._peer
            if (
                known is not None
                and known.root == peer.root
                and known.statement.version > peer.statement.version
            ):
                # What the peer's log said since could not be written here; it stays in force.
                pin = replace(pin, lowest_version=known.statement.version)
                peer = replace(peer, statement=known.statement, statement_note=known.statement_note)
            self._pin, self._peer = pin, peer

    def accept_peer_statement(self, statement: bytes, *, after: bytes | None = None) -> None:
        """Take a statement from the peer's log; durable when this returns.

        A higher version than the newest accepted one takes effect. An older one is history:
        it is verified and changes nothing, so that a mirror can be filled again from its
        beginning after the peer's keys have changed. But a log never goes back: whoever has a
        key that was replaced must not be able to put it in force again.

        Args:
            statement: The note, as it stands in an entry of kind 5.
            after: The one before it in the log, or None for the first.

        Raises:
            SignatureInvalidError: Not signed by the pinned root.
            StatementRefusedError: Of another nation or node, another statement of the same
                version, or one that asks for a ceremony.
            MalformedError: Not a statement in canonical form.
        """
        with self._lock:
            peer = self._imported()
            stated = self._peer_statement(statement)
            if after is not None:
                self._check_order(stated, self._peer_statement(after))
            if stated.version > peer.statement.version:
                self._take(peer, stated, statement)
            elif stated.version == peer.statement.version and stated != peer.statement:
                msg = "the peer's root made two different key statements of one version"
                raise StatementRefusedError(msg)

    def create_kem_key(self, now_ms: int) -> tuple[bytes, bytes]:
        """Make a KEM key, durable before it returns: (key id 8 bytes, public key 1,665 bytes)."""
        return self._kem.create(now_ms)

    def kem_private(self, key_id: bytes) -> KemPrivateKey | None:
        """Return a private KEM key, or None if it was destroyed or never ours."""
        return self._kem.private(key_id)

    def destroy_kem_key(self, key_id: bytes) -> None:
        """Destroy a private KEM key for good; unknown ids are ignored."""
        self._kem.destroy(key_id)

    def kem_keys(self) -> Mapping[bytes, int]:
        """Return creation times in UTC milliseconds by key id, oldest first."""
        return self._kem.created_ms()

    def peer_identity(self) -> TlsIdentity:
        """Return certificate chain and key of the peer port; read anew, so a rotation counts."""
        key = self._folder.open_p384(TLS_PEER_KEY, purpose=Purpose.TLS)
        return tls_identity(self.home.own.peer_chain, key)

    def server_identity(self) -> TlsIdentity:
        """Return certificate chain and key of the agency and operator ports."""
        key = self._folder.open_p384(TLS_SERVER_KEY, purpose=Purpose.TLS)
        return tls_identity(self.home.own.server_chain, key)

    def peer_pins(self) -> tuple[SpkiDigest, ...]:
        """Return the digests one of which the key on the peer's port has to have."""
        return tuple(SpkiDigest(digest) for digest in self._imported().statement.tls_spki)

    def _take(self, peer: Published, stated: KeyStatement, note: bytes) -> None:
        """Let a newer statement of the peer take effect."""
        if stated.root_certificate != peer.statement.root_certificate:
            msg = "a new root certificate asks for a ceremony: entente keys import-peer"
            raise StatementRefusedError(msg)
        if stated.test and not self.is_test:
            msg = "the key statement names TEST keys"
            raise StatementRefusedError(msg)
        pin = replace(self._pin, lowest_version=stated.version)
        # The pin last: until then the next start finds a newer statement than it asks for,
        # which is fine.
        try:
            write_public(self.home.peer.statement, note)
            keep_verifier_keys(self.home.peer_verifier_keys, stated)
            write_pin(self.home.peer, pin)
        except KeyFileError as error:
            if error.refusal is not Refusal.UNWRITABLE:
                raise
            # The folder may be read-only, as in a container. The statement is in the mirror, which
            # is read at each start; auditors at this home need it in the folder.
            log.warning("peer.keys_not_kept", file=error.path.name, version=stated.version)
        self._pin = pin
        self._peer = replace(peer, statement=stated, statement_note=note)

    def _check_order(self, stated: KeyStatement, before: KeyStatement) -> None:
        """Refuse a statement that goes back behind the one before it in the peer's log.

        Raises:
            StatementRefusedError: It is older, another one of the same version, or of a root that
                was replaced where the one before it is of the root in use.
        """
        if stated.version < before.version:
            msg = "the key statement is older than the one before it in the log"
            raise StatementRefusedError(msg)
        newest = self._imported().statement.root_certificate
        back = before.root_certificate == newest != stated.root_certificate
        if back or (stated.version == before.version and stated != before):
            msg = "the key statement contradicts the one before it in the log"
            raise StatementRefusedError(msg)

    def _imported(self) -> Published:
        if self._peer is None:
            msg = f"the keys of {self._pin.node} are not imported yet: entente keys import-peer"
            raise TrustError(msg)
        return self._peer

    def _peer_statement(self, note: bytes) -> KeyStatement:
        """Return what a statement of the peer's pinned roots says; each is verified once."""
        peer = self._imported()
        with self._lock:
            found = self._peer_stated.get(note)
            if found is None:
                pin = self._pin
                below = [item.below_version for item in pin.former]
                found = verify_stated(note, peer, below=below, nation=pin.nation, node=pin.node)
                if len(self._peer_stated) >= MAX_STATEMENTS:
                    self._peer_stated.clear()
                    self._peer_stated[peer.statement_note] = peer.statement
                self._peer_stated[note] = found
            return found

    def _newest_two(self, key: Callable[[KeyStatement], HybridVerifier]) -> tuple[HybridVerifier, ...]:
        """Return a key of the newest statement, and the different one that was in use before it."""
        self._imported()
        with self._lock:
            stated = sorted(self._peer_stated.values(), key=lambda item: item.version, reverse=True)
        return tuple(dict.fromkeys(key(item) for item in stated))[:2]


@lru_cache(maxsize=64)
def _own_statement(note: bytes) -> KeyStatement:
    """Return what a statement in a log of ours says; it was verified before it came there."""
    return parse_statement(parse_note(note).text)
