"""The ceremony: from nothing to a node home and its offline authority.

Order matters to whoever watches: root, authorities, node keys, the transcript with every
fingerprint, certificates, and the statement, which holds the transcript's digest. Each step
writes files that the next one only reads; nothing is replaced. A ceremony that was
interrupted is begun again in an empty folder, because a half-made authority is worth nothing.

Spec: docs/spec/keys.md, "Ceremony".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.core.signature import HybridSigner
from gateway.keyring.anchors import authorities_wait
from gateway.keyring.certificates import certificate_digest, read_anchor, read_certificate
from gateway.keyring.files import (
    make_private_folder,
    make_public_folder,
    read_public,
    write_public,
)
from gateway.keyring.home import (
    AUDIT_LOG_KEY,
    COSIGNER_KEY,
    ROOT_CERTIFICATE_KEY,
    ROOT_STATEMENT_KEY,
    STORAGE_KEY,
    TLS_PEER_KEY,
    TLS_PEER_NEXT_KEY,
    TLS_SERVER_KEY,
    AuthorityHome,
    NodeHome,
    TrustFiles,
    audit_origin,
    exchange_log_key,
    exchange_origin,
)
from gateway.keyring.issuing import PURPOSES, IssuingAuthority, create_authority, new_serial, open_authority
from gateway.keyring.keyfile import Purpose
from gateway.keyring.keyfolder import UNLOCK_FILE, KeyFolder
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.pins import Pin, write_pin
from gateway.keyring.refusals import CeremonyError, KeyFileError, Refusal, TrustError
from gateway.keyring.registry import Registry, spki_of_key, write_registry
from gateway.keyring.statement import (
    KeyStatement,
    is_nation,
    is_node_name,
    root_name,
    root_verifier_keys,
    sign_statement,
)
from gateway.keyring.token import TokenSettings, look_at_token
from gateway.keyring.transcript import NOBODY, People, transcript_digest, write_transcript
from gateway.keyring.trust import keep_verifier_keys
from gateway.keyring.x509_profile import NODE_DAYS, Authority, Issuer, Leaf, build_root

_HOST_NAME: Final = re.compile(r"(?=.{1,253}$)[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Passphrases:
    """What opens the three folders of keys.

    Attributes:
        node: Opens the node's keys at every start.
        root: Opens the root; held by its custodians.
        issuing: Opens the issuing authorities; held by who issues certificates.
    """

    node: Passphrase
    root: Passphrase
    issuing: Passphrase


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerNames:
    """Under which names and addresses agencies and operators reach a node.

    Attributes:
        dns_names: Host names.
        addresses: IP addresses.
    """

    dns_names: tuple[str, ...] = ()
    addresses: tuple[IPv4Address | IPv6Address, ...] = ()

    def __post_init__(self) -> None:
        """Refuse names that cannot stand in a certificate.

        Raises:
            CeremonyError: A name is no host name in ASCII.
        """
        if any(_HOST_NAME.fullmatch(name) is None for name in self.dns_names):
            msg = "a further name is an IP address, or a host name in ASCII, such as gateway.douane.example"
            raise CeremonyError(msg)

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """Return the names and addresses that people have written.

        Raises:
            CeremonyError: One is neither.
        """
        addresses: list[IPv4Address | IPv6Address] = []
        hosts: list[str] = []
        for text in texts:
            try:
                addresses.append(ip_address(text))
            except ValueError:
                hosts.append(text)
        return cls(dns_names=tuple(hosts), addresses=tuple(addresses))

    def behind(self, node: str) -> ServerNames:
        """Return these names behind that of the node, which its certificate always bears."""
        return replace(self, dns_names=tuple(dict.fromkeys((node, *self.dns_names))))


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePlan:
    """What a ceremony makes.

    Attributes:
        nation: Two letters.
        node: Node name, lower case, with a dot.
        peer_nation: Two letters.
        peer_node: Node name of the peer.
        test: Whether everything is marked as test.
        names: Further names under which agencies reach the node.
    """

    nation: str
    node: str
    peer_nation: str
    peer_node: str
    test: bool
    names: ServerNames = field(default_factory=ServerNames)

    def __post_init__(self) -> None:
        """Refuse names that cannot stand in origins and statements.

        Raises:
            CeremonyError: A nation or node name has another form, or both are the same.
        """
        if not is_nation(self.nation) or not is_nation(self.peer_nation):
            msg = "a nation is two capital letters, such as FR"
            raise CeremonyError(msg)
        if not is_node_name(self.node) or not is_node_name(self.peer_node):
            msg = "a node name is lower case and has a dot, such as fr.gateway.test"
            raise CeremonyError(msg)
        if self.nation == self.peer_nation or self.node == self.peer_node:
            msg = "a node exchanges with another nation's node, not with itself"
            raise CeremonyError(msg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What a ceremony leaves in memory.

    Attributes:
        record: The transcript with every fingerprint, as written to the home.
        authorities: The issuing authorities, still open.
    """

    record: str
    authorities: dict[Authority, IssuingAuthority]


def hold_ceremony(
    home: NodeHome,
    authority: AuthorityHome,
    plan: NodePlan,
    passphrases: Passphrases,
    *,
    now: datetime,
    people: People = NOBODY,
    token: TokenSettings | None = None,
) -> Made:
    """Make all keys, certificates, statement, registry and record of a node.

    Args:
        home: Node home; must hold no keys yet.
        authority: Offline side; must hold no keys yet.
        plan: Names.
        passphrases: What seals the three folders.
        now: Aware time.
        people: Who is there.
        token: Where one half of the log and cosigner keys is made; None for keys in files alone.

    Returns:
        The transcript, and the authorities for whoever issues more at once.

    Raises:
        KeyFileError: There are keys already, or a folder is not private.
        TokenError: The token is away or refuses.
    """
    # All this before the first key is made: a ceremony that stops half-way is begun again from nothing.
    for folder in (authority.root, authority.issuing, home.keys):
        if (folder / UNLOCK_FILE).exists():
            raise KeyFileError(folder / UNLOCK_FILE, Refusal.EXISTS)
    if token is not None:
        look_at_token(token)
    make_private_folder(authority.path)
    make_public_folder(home.path)
    root_folder = KeyFolder.create(
        authority.root, passphrase=passphrases.root, name=f"{plan.nation} root", test=plan.test, now=now
    )
    issuing_folder = KeyFolder.create(
        authority.issuing,
        passphrase=passphrases.issuing,
        name=f"{plan.nation} issuing",
        test=plan.test,
        now=now,
    )
    node_folder = KeyFolder.create(
        home.keys, passphrase=passphrases.node, name=plan.node, test=plan.test, now=now, token=token
    )
    make_private_folder(home.kem)
    make_private_folder(home.data)
    make_public_folder(home.own.folder)

    root, root_signer = make_root(root_folder, nation=plan.nation, test=plan.test, now=now)
    write_public(home.own.root, root.certificate.public_bytes(Encoding.PEM))
    write_public(home.own.root_keys, root_verifier_keys(root_signer.verifier).encode())
    authorities = _make_authorities(home, issuing_folder, root, plan, now=now)
    made = _make_node_keys(node_folder, root, plan, now=now)
    record = write_transcript(
        made.statement,
        root=root_signer.verifier,
        root_certificate=root.certificate,
        authorities=[(kind, item.certificate) for kind, item in authorities.items()],
        people=people,
        version=version("entente"),
        now=now,
    )
    write_public(home.ceremony_record, record.encode())
    statement = replace(made.statement, ceremony=transcript_digest(record))
    nodes = authorities[Authority.NODES]
    names = plan.names.behind(plan.node)
    issue_peer_certificate(home, nodes, made.peer_key, node=plan.node, now=now)
    issue_server_certificate(home, nodes, made.server_key, names, node=plan.node, now=now)
    publish_statement(home, statement, root=root_signer)
    write_registry(home.registry, Registry(nation=plan.nation, version=1, holders=()))
    write_pin(home.peer, Pin(nation=plan.peer_nation, node=plan.peer_node, root=None, lowest_version=1))
    return Made(record=record, authorities=authorities)


def make_root(folder: KeyFolder, *, nation: str, test: bool, now: datetime) -> tuple[Issuer, HybridSigner]:
    """Make both keys of a nation's root in a folder; return what certifies, and what signs statements."""
    name = root_name(nation)
    key = folder.create_p384(ROOT_CERTIFICATE_KEY, purpose=Purpose.ROOT_CERTIFICATE, name=name, now=now)
    certificate = build_root(key, nation=nation, test=test, serial=new_serial(), now=now)
    signer = folder.create_hybrid(ROOT_STATEMENT_KEY, purpose=Purpose.ROOT_STATEMENT, name=name, now=now)
    return Issuer(certificate=certificate, key=key), signer


def publish_statement(home: NodeHome, statement: KeyStatement, *, root: HybridSigner) -> None:
    """Sign a statement with the root and put it where the node and the peer find it.

    Raises:
        TrustError: It is not the root of this home, but one that was replaced, or is of another home.
    """
    if root_verifier_keys(root.verifier).encode() != read_public(home.own.root_keys):
        msg = "this is not the root of this home"
        raise TrustError(msg)
    keep_verifier_keys(home.own_verifier_keys, statement)
    write_public(home.own.statement, sign_statement(statement, root=root))


def issue_server_certificate(
    home: NodeHome,
    nodes: IssuingAuthority,
    key: ec.EllipticCurvePublicKey,
    names: ServerNames,
    *,
    node: str,
    now: datetime,
) -> None:
    """Issue the certificate of the agency and operator ports."""
    certificate = nodes.issue(key, server_leaf(node, names), name=f"{node}/server", now=now)
    write_public(home.own.server_chain, certificate + nodes.certificate.public_bytes(Encoding.PEM))


def issue_peer_certificate(
    home: NodeHome, nodes: IssuingAuthority, key: ec.EllipticCurvePublicKey, *, node: str, now: datetime
) -> None:
    """Issue the certificate of the peer port."""
    certificate = nodes.issue(key, peer_leaf(node), name=f"{node}/peer", now=now)
    write_public(home.own.peer_chain, certificate + nodes.certificate.public_bytes(Encoding.PEM))


def server_leaf(node: str, names: ServerNames) -> Leaf:
    """Return what the certificate of the agency and operator ports looks like: server only."""
    return Leaf(
        common_name=node,
        dns_names=names.dns_names,
        addresses=names.addresses,
        server=True,
        client=False,
        days=NODE_DAYS,
    )


def peer_leaf(node: str) -> Leaf:
    """Return what that of the peer port looks like: server and client, under the node's name alone."""
    return Leaf(common_name=node, dns_names=(node,), server=True, client=True, days=NODE_DAYS)


def server_names(home: NodeHome) -> ServerNames:
    """Return the names of the present certificate of the agency and operator ports."""
    certificate = read_certificate(home.own.server_chain)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    addresses = names.get_values_for_type(x509.IPAddress)
    return ServerNames(
        dns_names=tuple(names.get_values_for_type(x509.DNSName)),
        addresses=tuple(item for item in addresses if isinstance(item, IPv4Address | IPv6Address)),
    )


def open_root_signer(authority: AuthorityHome, passphrase: Passphrase, *, nation: str) -> HybridSigner:
    """Return the signer of statements.

    Raises:
        KeyFileError: It does not open.
        TrustError: It is the root of another nation.
    """
    folder = KeyFolder.open(authority.root, passphrase=passphrase, allow_test=True)
    signer = folder.open_hybrid(ROOT_STATEMENT_KEY, purpose=Purpose.ROOT_STATEMENT)
    if signer.name != root_name(nation):
        msg = "this is the root of another nation"
        raise TrustError(msg)
    return signer


def open_authorities(
    home: NodeHome, authority: AuthorityHome, passphrase: Passphrase, *, nation: str
) -> dict[Authority, IssuingAuthority]:
    """Return the three issuing authorities, opened with one passphrase: those in force, or those that wait.

    Raises:
        KeyFileError: They do not open.
        TrustError: A certificate in the home is not that of the key.
    """
    folder = KeyFolder.open(authority.issuing, passphrase=passphrase, allow_test=True)
    opened: dict[Authority, IssuingAuthority] = {}
    for kind in Authority:
        key = folder.open_p384(f"{kind.value}.key", purpose=PURPOSES[kind]).public_key()
        certificate = read_anchor(files_of(home, kind, key).authority(kind))
        opened[kind] = open_authority(folder, certificate, authority=kind, nation=nation)
    return opened


def publish_crls(home: NodeHome, authorities: dict[Authority, IssuingAuthority], *, now: datetime) -> None:
    """Issue a new revocation list of each authority and put it into the home, beside its certificate."""
    for kind, authority in authorities.items():
        files = files_of(home, kind, authority.certificate.public_key())
        write_public(files.crl(kind), authority.issue_crl(now=now))


def files_of(home: NodeHome, kind: Authority, key: CertificatePublicKeyTypes) -> TrustFiles:
    """Return where the files of the authority lie that has a key: those in force unless it waits."""
    if not authorities_wait(home.own) or read_anchor(home.own.authority(kind)).public_key() == key:
        return home.own
    waiting = home.own.next_authorities
    return waiting if read_anchor(waiting.authority(kind)).public_key() == key else home.own


@dataclass(frozen=True, slots=True, kw_only=True)
class _NodeKeys:
    """Public side of a node's keys: the statement, and what certificates are made of."""

    statement: KeyStatement
    peer_key: ec.EllipticCurvePublicKey
    server_key: ec.EllipticCurvePublicKey


def _make_authorities(
    home: NodeHome, folder: KeyFolder, root: Issuer, plan: NodePlan, *, now: datetime
) -> dict[Authority, IssuingAuthority]:
    authorities = {
        kind: create_authority(folder, root, authority=kind, nation=plan.nation, now=now)
        for kind in Authority
    }
    for kind, authority in authorities.items():
        write_public(home.own.authority(kind), authority.certificate.public_bytes(Encoding.PEM))
    publish_crls(home, authorities, now=now)
    return authorities


def _make_node_keys(folder: KeyFolder, root: Issuer, plan: NodePlan, *, now: datetime) -> _NodeKeys:
    folder.create_symmetric(STORAGE_KEY, purpose=Purpose.STORAGE, name=plan.node, now=now)
    exchange = exchange_origin(plan.node, plan.peer_nation)
    logs = {exchange_log_key(plan.peer_nation): exchange, AUDIT_LOG_KEY: audit_origin(plan.node)}
    signers = [
        folder.create_hybrid(file, purpose=Purpose.LOG, name=origin, now=now) for file, origin in logs.items()
    ]
    cosigner = folder.create_hybrid(COSIGNER_KEY, purpose=Purpose.COSIGNER, name=plan.node, now=now)
    current, following, server = [
        folder.create_p384(file, purpose=Purpose.TLS, name=plan.node, now=now).public_key()
        for file in (TLS_PEER_KEY, TLS_PEER_NEXT_KEY, TLS_SERVER_KEY)
    ]
    statement = KeyStatement(
        nation=plan.nation,
        node=plan.node,
        version=1,
        issued=now.astimezone(UTC).replace(microsecond=0),
        test=plan.test,
        root_certificate=certificate_digest(root.certificate),
        logs=tuple(sorted((signer.verifier for signer in signers), key=lambda log: log.name)),
        cosigner=cosigner.verifier,
        tls_spki=(spki_of_key(current), spki_of_key(following)),
    )
    return _NodeKeys(statement=statement, peer_key=current, server_key=server)
