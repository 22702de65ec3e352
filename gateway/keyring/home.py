"""Where things lie in a node home and in an authority.

::

    <home>/
      gateway.toml
      keys/        unlock.key storage.key log-exchange-us.key log-audit.key cosigner.key
                   and later ones of the last three: cosigner-v<statement version>.key
                   tls-peer.key tls-peer-next.key tls-server.key backup-sender.key
                   kem/<key id>.key
                   passphrase          test homes only
      trust/       own.vkeys peer.vkeys agencies.json ceremony.txt peer-import.txt backup.json
        own/       root.pem root.vkeys statement.note node-ca.pem node-ca.crl agency-ca.pem
                   agency-ca.crl operator-ca.pem operator-ca.crl tls-peer.pem tls-server.pem
        peer/      root.pem root.vkeys statement.note node-ca.pem node-ca.crl pin.json
        own/next/  what a new root has certified and stated, until it is put in force
        own/next-authorities/ peer/next-authorities/   new authorities, until they are put in force
        and, once a root was replaced, roots.vkeys in own/ and peer/
      agencies/<CODE>/ operators/<NAME>/    test homes only
      data/
      authority/   offline; elsewhere in production
        root/      unlock.key root-certificate.key root-statement.key
        issuing/   unlock.key node-ca.key agency-ca.key operator-ca.key and a record of each

Spec: docs/spec/keys.md, "Layout".
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

PASSPHRASE_FILE: Final = "passphrase"  # noqa: S105 - a file name
STORAGE_KEY: Final = "storage.key"
COSIGNER_KEY: Final = "cosigner.key"
AUDIT_LOG_KEY: Final = "log-audit.key"
TLS_PEER_KEY: Final = "tls-peer.key"
TLS_PEER_NEXT_KEY: Final = "tls-peer-next.key"
TLS_SERVER_KEY: Final = "tls-server.key"
BACKUP_SENDER_KEY: Final = "backup-sender.key"
ROOT_CERTIFICATE_KEY: Final = "root-certificate.key"
ROOT_STATEMENT_KEY: Final = "root-statement.key"
NEXT_AUTHORITIES: Final = "next-authorities"
"""Folder of authorities that wait; it is there as a whole or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustFiles:
    """What one nation publishes, in a folder: the same names at home and abroad.

    Attributes:
        folder: The folder.
    """

    folder: Path

    @property
    def root(self) -> Path:
        """Return the root certificate."""
        return self.folder / "root.pem"

    @property
    def root_keys(self) -> Path:
        """Return the verifier keys of the root's statements."""
        return self.folder / "root.vkeys"

    @property
    def roots(self) -> Path:
        """Return the verifier keys of all roots so far, in order; absent before a root was replaced."""
        return self.folder / "roots.vkeys"

    @property
    def next(self) -> TrustFiles:
        """Return what a new root has certified and stated, and what is not in force yet."""
        return TrustFiles(folder=self.folder / "next")

    @property
    def next_authorities(self) -> TrustFiles:
        """Return the new authorities, with their lists, that wait beside those in force."""
        return TrustFiles(folder=self.folder / NEXT_AUTHORITIES)

    @property
    def ceremony_record(self) -> Path:
        """Return the record of the ceremony of a new root, in `next`."""
        return self.folder / "ceremony.txt"

    @property
    def statement(self) -> Path:
        """Return the key statement."""
        return self.folder / "statement.note"

    @property
    def pin(self) -> Path:
        """Return what is pinned of the peer."""
        return self.folder / "pin.json"

    @property
    def peer_chain(self) -> Path:
        """Return the certificate of the peer port and its issuer."""
        return self.folder / "tls-peer.pem"

    @property
    def server_chain(self) -> Path:
        """Return the certificate of the agency and operator ports and its issuer."""
        return self.folder / "tls-server.pem"

    def authority(self, name: str) -> Path:
        """Return the certificate of an authority, such as ``node-ca``."""
        return self.folder / f"{name}.pem"

    def crl(self, name: str) -> Path:
        """Return the revocation list of an authority, such as ``node-ca``."""
        return self.folder / f"{name}.crl"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeHome:
    """A node home.

    Attributes:
        path: The folder.
    """

    path: Path

    @property
    def config(self) -> Path:
        """Return the configuration file."""
        return self.path / "gateway.toml"

    @property
    def keys(self) -> Path:
        """Return the folder of sealed keys."""
        return self.path / "keys"

    @property
    def passphrase(self) -> Path:
        """Return the passphrase file of a test home."""
        return self.keys / PASSPHRASE_FILE

    @property
    def token_pin_refused(self) -> Path:
        """Return the file that remembers which PIN the token has refused."""
        return self.data / "token-pin-refused"

    @property
    def kem(self) -> Path:
        """Return the folder of KEM keys."""
        return self.keys / "kem"

    @property
    def trust(self) -> Path:
        """Return the folder of public files."""
        return self.path / "trust"

    @property
    def own(self) -> TrustFiles:
        """Return what this nation publishes."""
        return TrustFiles(folder=self.trust / "own")

    @property
    def peer(self) -> TrustFiles:
        """Return what the peer nation published, as imported."""
        return TrustFiles(folder=self.trust / "peer")

    @property
    def own_verifier_keys(self) -> Path:
        """Return the verifier keys of this node's logs and cosigner."""
        return self.trust / "own.vkeys"

    @property
    def peer_verifier_keys(self) -> Path:
        """Return the verifier keys of the peer's logs and cosigner."""
        return self.trust / "peer.vkeys"

    @property
    def registry(self) -> Path:
        """Return the agency registry."""
        return self.trust / "agencies.json"

    @property
    def ceremony_record(self) -> Path:
        """Return the record of the ceremony with every fingerprint."""
        return self.trust / "ceremony.txt"

    @property
    def backup_recipient(self) -> Path:
        """Return the public key that backups are sealed for."""
        return self.trust / "backup.json"

    @property
    def import_record(self) -> Path:
        """Return the record of the last exchange of trust at which fingerprints were compared."""
        return self.trust / "peer-import.txt"

    @property
    def agencies(self) -> Path:
        """Return the folder of test agencies."""
        return self.path / "agencies"

    @property
    def operators(self) -> Path:
        """Return the folder of test operators and auditors."""
        return self.path / "operators"

    @property
    def data(self) -> Path:
        """Return the folder of the database."""
        return self.path / "data"

    @property
    def health_socket(self) -> Path:
        """Return the socket on which a running node says how it is."""
        return self.data / "health.sock"

    @property
    def authority(self) -> AuthorityHome:
        """Return the authority of a test home, which lies inside it."""
        return AuthorityHome(path=self.path / "authority")


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorityHome:
    """The offline side of a nation: root and issuing authorities.

    Attributes:
        path: The folder; on a medium of its own in production.
    """

    path: Path

    @property
    def root(self) -> Path:
        """Return the folder of the root's keys."""
        return self.path / "root"

    @property
    def root_passphrase(self) -> Path:
        """Return the passphrase file of a test root."""
        return self.root / PASSPHRASE_FILE

    @property
    def issuing(self) -> Path:
        """Return the folder of the issuing authorities' keys and records."""
        return self.path / "issuing"

    @property
    def issuing_passphrase(self) -> Path:
        """Return the passphrase file of test authorities."""
        return self.issuing / PASSPHRASE_FILE


def later_key(file: str, version: int) -> str:
    """Return the file name of the key that follows one, as the statement of a version names it."""
    return f"{file.removesuffix('.key')}-v{version}.key"


def key_file_of(origin: str, *, node: str) -> str:
    """Return the file name of the first key of one of a node's logs."""
    return AUDIT_LOG_KEY if origin == audit_origin(node) else exchange_log_key(origin.rpartition("/")[2])


def exchange_log_key(peer_nation: str) -> str:
    """Return the file name of the key of the exchange log to a nation."""
    return f"log-exchange-{peer_nation.lower()}.key"


def exchange_origin(node: str, peer_nation: str) -> str:
    """Return the origin of a node's exchange log to a nation."""
    return f"{node}/exchange/{peer_nation.lower()}"


def audit_origin(node: str) -> str:
    """Return the origin of a node's audit log."""
    return f"{node}/audit"
