"""TLS contexts: who may connect to whom.

=============  ======================  =====================================  ==============
context        presents                trusts                                 checked after
=============  ======================  =====================================  ==============
agency server  server certificate      own agency authority                   registry
operator s.    server certificate      own operator authority                 registry, role
peer server    peer certificate        the peer's node authority              pinned key
peer client    peer certificate        the peer's node authority, host name   pinned key
agency client  agency's certificate    own root, host name
=============  ======================  =====================================  ==============

TLS 1.3 only, no tickets, no compression, strict X.509. Trust is the issuing authority, not
the root above it: an agency's certificate is worth nothing on the peer port. The system's
trust store is never loaded. A context does not see a newer revocation list, so whoever
serves with it builds a new one when `TrustStamp` changes, and closes what is open.

Group: with OpenSSL 3.5 or later the library's own order applies (hybrid post-quantum
first, or what an ``OPENSSL_CONF`` file says); before that P-384 is set, since Python has
no other way to name a group.

Spec: RFC 8446; docs/spec/keys.md, "TLS".
"""

from __future__ import annotations

import secrets
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NewType

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from gateway.keyring.anchors import read_anchors
from gateway.keyring.certificates import read_certificate
from gateway.keyring.files import write_private
from gateway.keyring.home import NEXT_AUTHORITIES, NodeHome, TrustFiles
from gateway.keyring.pins import need_import, read_pin
from gateway.keyring.refusals import TrustError
from gateway.keyring.registry import spki_of_key
from gateway.keyring.x509_profile import Authority

TrustStamp = NewType("TrustStamp", tuple[tuple[int, int, int], ...])
"""Changes when one of the files changes that a context was built from."""

_HYBRID_BY_DEFAULT: Final = (3, 5)
_CLASSICAL_GROUP: Final = "secp384r1"
_PROTOCOL: Final = "http/1.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsIdentity:
    """What an end of a connection presents.

    Attributes:
        chain: PEM file with the certificate and its issuer.
        key: Its private key.
    """

    chain: Path
    key: ec.EllipticCurvePrivateKey

    def __repr__(self) -> str:
        """Return a text without the key."""
        return f"TlsIdentity({self.chain})"


def tls_identity(chain: Path, key: ec.EllipticCurvePrivateKey) -> TlsIdentity:
    """Return an identity whose certificate is that of the key.

    Raises:
        TrustError: It is not.
    """
    if spki_of_key(read_certificate(chain).public_key()) != spki_of_key(key.public_key()):
        msg = f"{chain.name} is not the certificate of the TLS key beside it"
        raise TrustError(msg)
    return TlsIdentity(chain=chain, key=key)


def agency_server(home: NodeHome, identity: TlsIdentity) -> ssl.SSLContext:
    """Return the context of the agency port."""
    return _server(identity, trust=home.own, authority=Authority.AGENCIES)


def operator_server(home: NodeHome, identity: TlsIdentity) -> ssl.SSLContext:
    """Return the context of the operator port."""
    return _server(identity, trust=home.own, authority=Authority.OPERATORS)


def peer_server(home: NodeHome, identity: TlsIdentity) -> ssl.SSLContext:
    """Return the context of the peer port. The pins come after the handshake: `gateway.link.pinning`.

    Raises:
        TrustError: The peer's keys are not imported yet.
    """
    need_import(read_pin(home.peer))
    return _server(identity, trust=home.peer, authority=Authority.NODES)


def peer_client(home: NodeHome, identity: TlsIdentity) -> ssl.SSLContext:
    """Return the context that connects to the peer. The pins come after: `gateway.link.pinning`.

    The certificate bears the node's name, so the caller gives that as ``server_hostname``,
    whatever address the configuration has for the peer.

    Raises:
        TrustError: The peer's keys are not imported yet.
    """
    need_import(read_pin(home.peer))
    context = _client()
    _load(context, identity)
    _trust(context, home.peer, Authority.NODES)
    return context


def agency_client(folder: Path) -> ssl.SSLContext:
    """Return the context of an agency, operator or auditor from its folder.

    Args:
        folder: Holds ``client.pem``, ``client.key`` and ``ca.pem``.
    """
    context = _client()
    context.load_cert_chain(folder / "client.pem", folder / "client.key")
    context.load_verify_locations(cafile=folder / "ca.pem")
    return context


def trust_stamp(paths: Iterable[Path]) -> TrustStamp:
    """Return what changes when one of the files is replaced. Costs one stat a file.

    Raises:
        OSError: One is absent; those of authorities that wait may be.
    """
    return TrustStamp(tuple(map(_stamp, paths)))


def anchor_files(trust: TrustFiles, authority: Authority) -> tuple[Path, ...]:
    """Return the files that say which certificates of a nation are good, also those that may be absent."""
    folders = (trust, trust.next_authorities)
    return tuple(
        [path for item in folders for path in (item.authority(authority.value), item.crl(authority.value))]
    )


def context_files(trust: TrustFiles, authority: Authority, chain: Path) -> tuple[Path, ...]:
    """Return the files that a server context is built from."""
    return (*anchor_files(trust, authority), chain)


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        facts = path.stat()
    except FileNotFoundError:
        if path.parent.name != NEXT_AUTHORITIES:
            raise
        return 0, 0, 0
    return facts.st_mtime_ns, facts.st_ino, facts.st_size


def _server(identity: TlsIdentity, *, trust: TrustFiles, authority: Authority) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.num_tickets = 0
    _load(context, identity)
    _trust(context, trust, authority)
    return context


def _client() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    # Names are matched against the alternative name only, never the common name.
    context.hostname_checks_common_name = False
    return context


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.maximum_version = ssl.TLSVersion.TLSv1_3
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_TRUSTED_FIRST
    context.set_alpn_protocols([_PROTOCOL])
    if ssl.OPENSSL_VERSION_INFO[:2] < _HYBRID_BY_DEFAULT:
        context.set_ecdh_curve(_CLASSICAL_GROUP)


def _trust(context: ssl.SSLContext, trust: TrustFiles, authority: Authority) -> None:
    """Trust one kind of issuing authority and its revocation lists, and nothing else."""
    # Partial chain: the issuing authority is the anchor, so its siblings are not trusted.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_CRL_CHECK_LEAF
    anchors = read_anchors(trust, authority)
    for anchor in anchors.certificates:
        context.load_verify_locations(cadata=anchor.public_bytes(Encoding.DER))
    for path, _ in anchors.lists:
        # Python takes a revocation list from a file only.
        context.load_verify_locations(cafile=path)


def _load(context: ssl.SSLContext, identity: TlsIdentity) -> None:
    """Hand the key to OpenSSL, which takes it from a file only.

    The file is encrypted under a random password that never leaves this process, and it is
    gone when this returns: the key is never readable on a disk.
    """
    password = secrets.token_hex(32).encode()
    pem = identity.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password))
    with tempfile.TemporaryDirectory(prefix="entente-") as folder:
        path = Path(folder) / "tls.key"
        write_private(path, pem)
        context.load_cert_chain(identity.chain, path, password=password)
