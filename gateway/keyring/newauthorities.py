"""New keys for the issuing authorities of a home that exists: good beside the old ones, then alone.

The medium of the authorities may be stolen, copied or lost for good. The root certifies three new keys;
certificates of theirs for the ports of the node, under the keys in use, and lists wait with them in
``trust/own/next-authorities``. For as long as they wait both are good, at the node and at the peer once it
has imported them. So holders get certificates of the new ones, for the keys that they have, and messages
go on. Then the new ones are put in force, and certificates of the old ones open nothing.

What the old ones have issued until then does no harm: a key needs a line in the registry as well, or a
pin. But agencies trust whatever the root has certified, and it certified the old node authority: against
whoever has its key, a new root follows.

Spec: docs/spec/keys.md, "New authorities"; docs/adr/0060-new-keys-of-authorities.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.keyring.anchors import (
    authorities_wait,
    refuse_while_authorities_wait,
    remove_waiting,
    write_waiting,
)
from gateway.keyring.authorities import authority_keys, certify, open_root_issuer
from gateway.keyring.ceremony import peer_leaf, server_leaf, server_names
from gateway.keyring.certificates import (
    crl_next_update,
    read_anchor,
    read_certificate,
    verify_crl,
    verify_issued,
)
from gateway.keyring.files import make_private_folder, read_public, write_public
from gateway.keyring.home import AuthorityHome, NodeHome, TrustFiles
from gateway.keyring.issuing import IssuingAuthority, keep_authority, open_authority
from gateway.keyring.keyfolder import UNLOCK_FILE, KeyFolder
from gateway.keyring.newroot import refuse_while_prepared
from gateway.keyring.passphrase import Passphrase
from gateway.keyring.refusals import CeremonyError, TrustError
from gateway.keyring.trust import read_published_as_stated
from gateway.keyring.x509_profile import Authority


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAuthorities:
    """Authorities that wait, found to fit together and to the home.

    Attributes:
        certificates: Of the three, by the root of the home.
        contents: All files of their folder, by name.
        ends: When the first of their lists, or of the ports' certificates, runs out.
    """

    certificates: Mapping[Authority, x509.Certificate]
    contents: Mapping[str, bytes]
    ends: datetime


def prepare_authorities(
    home: NodeHome,
    root: AuthorityHome,
    root_passphrase: Passphrase,
    medium: AuthorityHome,
    passphrase: Passphrase,
    *,
    now: datetime,
) -> NewAuthorities:
    """Make new keys of the three authorities and what has to wait with them in the home.

    It can be interrupted and run again: keys that are on the medium are taken, and nothing waits before
    all of it is made. Run once more, it changes nothing.

    Args:
        home: Node home, or its public files on a stick.
        root: Where the root of the home is.
        root_passphrase: What opens it.
        medium: Where the new keys are sealed; holds none, or those of a run that was interrupted.
        passphrase: What seals them.
        now: Aware time.

    Raises:
        KeyFileError: The root or the medium does not open.
        TrustError: It is not the root of this home, or the home's own files do not fit together.
        CeremonyError: A new root waits, other new authorities do, or the medium is that in use.
    """
    refuse_while_prepared(home)
    stated = read_published_as_stated(home.own).statement
    in_force = authority_keys(home)
    issuer = open_root_issuer(home, root, root_passphrase)
    folder = _open_medium(medium, passphrase, nation=stated.nation, test=stated.test, now=now)
    keys = {kind: keep_authority(folder, authority=kind, nation=stated.nation, now=now) for kind in Authority}
    if any(keys[kind] == in_force[kind] for kind in Authority):
        msg = "this medium holds the authorities that are in force: new keys need an empty one"
        raise CeremonyError(msg)
    if authorities_wait(home.own):
        waiting = read_waiting(home, home.own.next_authorities)
        if any(waiting.certificates[kind].public_key() != keys[kind] for kind in Authority):
            refuse_while_authorities_wait(home)
        return waiting
    certificates = certify(issuer, keys, stated, now=now)
    made = {
        kind: open_authority(folder, certificates[kind], authority=kind, nation=stated.nation)
        for kind in Authority
    }
    write_waiting(home.own, _contents(home, made, node=stated.node, now=now))
    return read_waiting(home, home.own.next_authorities)


def read_waiting(home: NodeHome, files: TrustFiles) -> NewAuthorities:
    """Return authorities that wait, verified, and compared with the home that they are for.

    Args:
        home: The home; an interrupted `switch_authorities` may have replaced some of its files.
        files: Where they lie, in the home or on a stick.

    Raises:
        CeremonyError: None wait.
        KeyFileError, TrustError: The files are refused, or are not for this home.
    """
    if not files.folder.exists():
        msg = "no new authorities wait to be put in force: entente keys rotate authorities --new-keys"
        raise CeremonyError(msg)
    root = read_anchor(home.own.root)
    contents: dict[str, bytes] = {}
    certificates: dict[Authority, x509.Certificate] = {}
    for kind in Authority:
        certificate, content = read_anchor(files.authority(kind)), read_public(files.crl(kind))
        verify_issued(certificate, issuer=root)
        verify_crl(content, issuer=certificate)
        current = read_anchor(home.own.authority(kind))
        if certificate.not_valid_before_utc < current.not_valid_before_utc:
            # Of before a replacement: what was stolen then must not come back on a stick.
            msg = f"the {kind.value}.pem that waits is older than the one in force"
            raise TrustError(msg)
        if certificate.subject != current.subject:
            msg = f"the {kind.value}.pem that waits bears another name than the one in force"
            raise TrustError(msg)
        certificates[kind] = certificate
        contents[files.authority(kind).name] = certificate.public_bytes(Encoding.PEM)
        contents[files.crl(kind).name] = content
    ends = [crl_next_update(contents[files.crl(kind).name]) for kind in Authority]
    for used in (home.own.peer_chain, home.own.server_chain):
        chain = files.folder / used.name
        contents[used.name] = _read_chain(chain, certificates[Authority.NODES], used=used)
        ends.append(read_certificate(chain).not_valid_after_utc)
    return NewAuthorities(certificates=certificates, contents=contents, ends=min(ends))


def switch_authorities(home: NodeHome, *, now: datetime) -> None:
    """Put the authorities that wait in force, alone: certificates of those before open nothing more.

    A running node takes everything up within seconds. It can be interrupted and run again, and a node that
    is started in between starts: see `gateway.keyring.anchors`.

    Raises:
        CeremonyError, KeyFileError, TrustError: As for `read_waiting`, or what waits has run out; nothing was
            changed.
    """
    files = home.own.next_authorities
    waiting = read_waiting(home, files)
    if waiting.ends <= now:
        msg = (
            "what waits has run out, and nobody would get in: entente keys rotate crl, with the new medium; "
            "after 90 days remove trust/own/next-authorities, and rotate authorities --new-keys again"
        )
        raise CeremonyError(msg)
    # The ports come first: who trusts both takes either certificate, and nobody is left to an old one.
    for chain in (home.own.peer_chain, home.own.server_chain):
        write_public(chain, waiting.contents[chain.name])
    for kind in Authority:
        # Until both are written the list is good for the authority that waits, and the old one has none.
        for path in (home.own.crl(kind), home.own.authority(kind)):
            write_public(path, waiting.contents[path.name])
    remove_waiting(home.own)


def _open_medium(
    medium: AuthorityHome, passphrase: Passphrase, *, nation: str, test: bool, now: datetime
) -> KeyFolder:
    """Return the folder of the new keys, with those that an interrupted run has left."""
    make_private_folder(medium.path)
    if (medium.issuing / UNLOCK_FILE).exists():
        folder = KeyFolder.open(medium.issuing, passphrase=passphrase, allow_test=True)
        if folder.test and not test:
            msg = "these are TEST keys, and the keys of this home are not"
            raise TrustError(msg)
        return folder
    name = f"{nation} issuing"
    return KeyFolder.create(medium.issuing, passphrase=passphrase, name=name, test=test, now=now)


def _contents(
    home: NodeHome, made: Mapping[Authority, IssuingAuthority], *, node: str, now: datetime
) -> dict[str, bytes]:
    """Return what waits: certificates, lists, and the ports' certificates for the keys in use."""
    files = home.own.next_authorities
    contents: dict[str, bytes] = {}
    for kind, authority in made.items():
        contents[files.authority(kind).name] = authority.certificate.public_bytes(Encoding.PEM)
        contents[files.crl(kind).name] = authority.issue_crl(now=now)
    nodes = made[Authority.NODES]
    leaves = {
        home.own.peer_chain: (peer_leaf(node), f"{node}/peer"),
        home.own.server_chain: (server_leaf(node, server_names(home)), f"{node}/server"),
    }
    for chain, (leaf, name) in leaves.items():
        key = read_certificate(chain).public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            msg = f"{chain.stem}.pem is no certificate of ours"
            raise TrustError(msg)
        certificate = nodes.issue(key, leaf, name=name, now=now)
        contents[chain.name] = certificate + nodes.certificate.public_bytes(Encoding.PEM)
    return contents


def _read_chain(chain: Path, issuer: x509.Certificate, *, used: Path) -> bytes:
    """Return the certificate of a port and its issuer, for the key that the port has.

    Raises:
        KeyFileError: Absent, or writable by others.
        TrustError: Not of this issuer, of another key, or something else stands in the file.
    """
    certificate = read_certificate(chain)
    verify_issued(certificate, issuer=issuer)
    content = certificate.public_bytes(Encoding.PEM) + issuer.public_bytes(Encoding.PEM)
    if certificate.public_key() != read_certificate(used).public_key() or content != read_public(chain):
        msg = f"the {chain.name} that waits is not the certificate of the key that this node has"
        raise TrustError(msg)
    return content
