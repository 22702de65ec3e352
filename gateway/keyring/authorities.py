"""Certifying the issuing authorities of a home anew, under the names and keys that they have.

So everything that they have issued stays good, lists included, and nobody has to be issued anything.

Spec: docs/spec/keys.md, "Rotation", "New root"; docs/adr/0057-authorities-keep-their-keys.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.keyring.certificates import read_anchor, read_certificate, verify_issued
from gateway.keyring.files import read_public, write_public
from gateway.keyring.home import ROOT_CERTIFICATE_KEY, AuthorityHome, NodeHome
from gateway.keyring.issuing import new_serial
from gateway.keyring.keyfile import Purpose
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.refusals import TrustError
from gateway.keyring.statement import KeyStatement
from gateway.keyring.x509_profile import Authority, Issuer, build_authority

Keys = Mapping[Authority, ec.EllipticCurvePublicKey]
Certificates = Mapping[Authority, x509.Certificate]


def authority_keys(home: NodeHome) -> Keys:
    """Return the public keys of the three authorities, which the root of the home has certified.

    Raises:
        KeyFileError: A certificate is absent.
        TrustError: The root of the home has not issued it: nobody else's key is certified anew.
    """
    root = read_anchor(home.own.root)
    keys: dict[Authority, ec.EllipticCurvePublicKey] = {}
    for kind in Authority:
        anchor = read_anchor(home.own.authority(kind))
        verify_issued(anchor, issuer=root)
        key = anchor.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            msg = f"{kind.value}.pem is no certificate of ours"
            raise TrustError(msg)
        keys[kind] = key
    return keys


def open_root_issuer(home: NodeHome, authority: AuthorityHome, passphrase: Passphrase) -> Issuer:
    """Return what certifies the authorities of a home: the key of its root.

    Raises:
        KeyFileError: The root does not open.
        TrustError: It is not the root of this home.
    """
    folder = KeyFolder.open(authority.root, passphrase=passphrase, allow_test=True)
    root = Issuer(
        certificate=read_anchor(home.own.root),
        key=folder.open_p384(ROOT_CERTIFICATE_KEY, purpose=Purpose.ROOT_CERTIFICATE),
    )
    if root.key.public_key() != root.certificate.public_key():
        msg = "this is not the root of this home"
        raise TrustError(msg)
    return root


def certify(root: Issuer, keys: Keys, statement: KeyStatement, *, now: datetime) -> Certificates:
    """Return certificates of a root for these keys.

    Args:
        root: The root, in force or new.
        keys: Of the three authorities.
        statement: Says of which nation they are, and whether for tests.
        now: Aware time.
    """
    return {
        kind: build_authority(
            root,
            key,
            authority=kind,
            nation=statement.nation,
            test=statement.test,
            serial=new_serial(),
            now=now,
        )
        for kind, key in keys.items()
    }


def install(home: NodeHome, certificates: Certificates) -> None:
    """Put certificates of the authorities in force; ports show that for nodes behind their own."""
    for kind, certificate in certificates.items():
        write_public(home.own.authority(kind), certificate.public_bytes(Encoding.PEM))
    # Whoever trusts the root needs the new one there.
    nodes = read_public(home.own.authority(Authority.NODES))
    for chain in (home.own.peer_chain, home.own.server_chain):
        write_public(chain, read_certificate(chain).public_bytes(Encoding.PEM) + nodes)
