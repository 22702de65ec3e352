"""Between a node and an authority that no cable joins: what travels on a stick, and what is believed of it.

The stick holds a copy of the node's ``trust`` folder, which is all that lists, certificates
and the registry need: the commands that change these take the stick as their home. New log
and cosigner keys stay in the node; only the text that the root is to sign travels.

What comes back is verified before anything is written: lists and statement by their
signatures and numbers, the registry by its version, a new root and new authorities by what they say of
this home. Nothing else on the stick is looked at.

Spec: docs/spec/keys.md, "Without a cable".
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.core.signature import HybridSigner
from gateway.errors import PeerError
from gateway.keyring.access import revocations_of
from gateway.keyring.anchors import (
    authorities_wait,
    refuse_while_authorities_wait,
    remove_waiting,
    write_waiting,
)
from gateway.keyring.ceremony import publish_statement
from gateway.keyring.certificates import read_anchor, verify_crl
from gateway.keyring.files import destroy, make_public_folder, read_public, write_public
from gateway.keyring.home import NEXT_AUTHORITIES, NodeHome, TrustFiles
from gateway.keyring.keyfolder import KeyFolder
from gateway.keyring.newauthorities import read_waiting
from gateway.keyring.newroot import install_prepared, is_prepared, read_prepared, refuse_while_prepared
from gateway.keyring.own_keys import OwnKeys
from gateway.keyring.refusals import CeremonyError, TrustError
from gateway.keyring.registry import read_registry, write_registry
from gateway.keyring.rotation import Staged
from gateway.keyring.statement import KeyStatement, parse_statement
from gateway.keyring.trust import keep_verifier_keys, read_published, read_published_as_stated
from gateway.keyring.x509_profile import Authority

UNSIGNED_FILE: Final = "statement.next"
NEXT_ROOT: Final = "trust/own/next"
"""What `carry_in` calls a new root that it has installed."""
NEW_AUTHORITIES: Final = f"trust/own/{NEXT_AUTHORITIES}"
"""Likewise new authorities."""


def carry_out(home: NodeHome, stick: NodeHome, *, staged: Staged | None = None) -> list[str]:
    """Copy what an offline authority needs to a stick; return the names of the files.

    Args:
        home: Node home.
        stick: A folder on the stick; what it held is replaced.
        staged: A statement to be signed, of keys that were made in the home.

    Raises:
        KeyFileError, TrustError: A file of the home is refused.
    """
    published = read_published_as_stated(home.own)
    make_public_folder(stick.own.folder)
    pairs = [(home.registry, stick.registry), (home.own_verifier_keys, stick.own_verifier_keys)]
    pairs += [
        (home.own.root, stick.own.root),
        (home.own.root_keys, stick.own.root_keys),
        (home.own.statement, stick.own.statement),
    ]
    for kind in Authority:
        pairs += [
            (home.own.authority(kind), stick.own.authority(kind)),
            (home.own.crl(kind), stick.own.crl(kind)),
        ]
    pairs += [
        (home.own.peer_chain, stick.own.peer_chain),
        (home.own.server_chain, stick.own.server_chain),
    ]
    for source, target in pairs:
        write_public(target, read_public(source))
    if stick.own.next.folder.exists():
        shutil.rmtree(stick.own.next.folder)
    if authorities_wait(home.own):
        write_waiting(stick.own, read_waiting(home, home.own.next_authorities).contents)
    else:
        remove_waiting(stick.own)
    unsigned = stick.path / UNSIGNED_FILE
    unsigned.unlink(missing_ok=True)
    names = [target.name for _, target in pairs]
    if staged is not None:
        if staged.statement.version != published.statement.version + 1:
            msg = "the staged statement does not follow the one in force"
            raise CeremonyError(msg)
        write_public(unsigned, staged.statement.format().encode())
        names.append(UNSIGNED_FILE)
    return names


def unsigned_statement(stick: NodeHome) -> tuple[KeyStatement, list[str]]:
    """Return the statement that waits for the root, and what it changes, a line each.

    Raises:
        CeremonyError: There is none, or it changes what a rotation does not change.
    """
    current = read_published_as_stated(stick.own).statement
    path = stick.path / UNSIGNED_FILE
    if not path.exists():
        msg = "no statement waits to be signed: entente keys carry-out --rotate log"
        raise CeremonyError(msg)
    try:
        following = parse_statement(read_public(path).decode("ascii"))
    except (PeerError, UnicodeDecodeError) as error:
        msg = f"{UNSIGNED_FILE} is not a key statement in canonical form"
        raise CeremonyError(msg) from error
    same: list[Callable[[KeyStatement], object]] = [
        lambda item: (item.nation, item.node, item.test, item.root_certificate, item.ceremony),
        lambda item: [log.name for log in item.logs],
        lambda item: item.tls_spki,
    ]
    if following.version != current.version + 1 or any(part(following) != part(current) for part in same):
        msg = "the statement changes more than keys of logs and cosigner: it is not signed"
        raise CeremonyError(msg)
    changes = [f"version {current.version} becomes {following.version}"]
    changes += [
        f"new keys of {new.name}" for old, new in zip(current.logs, following.logs, strict=True) if old != new
    ]
    if current.cosigner != following.cosigner:
        changes.append(f"new cosigner keys of {following.node}")
    return following, changes


def sign_on_stick(stick: NodeHome, statement: KeyStatement, root: HybridSigner) -> None:
    """Sign the statement that waits on the stick; `carry_in` installs it."""
    publish_statement(stick, statement, root=root)
    destroy(stick.path / UNSIGNED_FILE)


def carry_in(home: NodeHome, stick: NodeHome, folder: KeyFolder | None, *, now: datetime) -> list[str]:
    """Verify what comes back on a stick and install what is newer; return what that was.

    Everything is verified before anything is written. The registry comes last: until then
    nobody new is let in.

    Args:
        home: Node home.
        stick: The folder on the stick.
        folder: The home's opened keys; needed if there is a new statement.
        now: Aware time.

    Raises:
        KeyFileError, TrustError: Something on the stick is refused; nothing was changed.
        CeremonyError: A new statement, and no opened keys to compare it with.
    """
    work: list[tuple[str, Callable[[], None]]] = []
    for kind in Authority:
        work += _list_work(home, stick, kind, now=now)
    work += _statement_work(home, stick, folder)
    work += _root_work(home, stick)
    work += _authorities_work(home, stick, now=now)
    current, brought = read_registry(home.registry), read_registry(stick.registry)
    if brought.nation != current.nation:
        msg = "the registry on the stick is another nation's"
        raise TrustError(msg)
    if brought.version > current.version:
        work.append((f"registry version {brought.version}", lambda: write_registry(home.registry, brought)))
    elif brought != current:
        msg = "the registry on the stick is older than that of the home, or another one of the same version"
        raise TrustError(msg)
    for _, install in work:
        install()
    return [name for name, _ in work]


def _list_work(
    home: NodeHome, stick: NodeHome, kind: Authority, *, now: datetime
) -> list[tuple[str, Callable[[], None]]]:
    anchor = read_anchor(home.own.authority(kind))
    if read_anchor(stick.own.authority(kind)).public_key() != anchor.public_key():
        msg = "this stick is from before the authorities of this home were replaced: carry out again"
        raise TrustError(msg)
    content, own = read_public(stick.own.crl(kind)), home.own.crl(kind)
    return _newer_list(content, own, issuer=anchor, name=f"{kind.value}.crl", now=now)


def _newer_list(
    content: bytes, own: Path, *, issuer: x509.Certificate, name: str, now: datetime
) -> list[tuple[str, Callable[[], None]]]:
    brought = revocations_of(verify_crl(content, issuer=issuer))
    current = revocations_of(verify_crl(read_public(own), issuer=issuer))
    if brought.number < current.number or not current.serials <= brought.serials:
        msg = f"{name} on the stick is older than the one in force"
        raise TrustError(msg)
    if brought.number == current.number:
        return []
    if brought.ends <= now:
        msg = f"{name} on the stick has run out"
        raise TrustError(msg)
    return [(f"{name} number {brought.number}", lambda: write_public(own, content))]


def _statement_work(
    home: NodeHome, stick: NodeHome, folder: KeyFolder | None
) -> list[tuple[str, Callable[[], None]]]:
    current = read_published_as_stated(home.own)
    stated = current.statement
    brought = read_published(
        TrustFiles(folder=stick.own.folder),
        nation=stated.nation,
        node=stated.node,
        lowest_version=stated.version,
    )
    if brought.root != current.root or brought.root_certificate != current.root_certificate:
        msg = "another root than that of this home has signed the statement on the stick"
        raise TrustError(msg)
    if brought.statement == stated:
        return []
    if brought.statement.version == stated.version:
        msg = "the statement on the stick is another one of the same version"
        raise TrustError(msg)
    refuse_while_prepared(home)
    if folder is None:
        msg = "there is a new key statement: the node's keys have to be opened to compare them with it"
        raise CeremonyError(msg)
    OwnKeys(folder, brought.statement)

    def install() -> None:
        keep_verifier_keys(home.own_verifier_keys, brought.statement)
        write_public(home.own.statement, brought.statement_note)

    return [(f"key statement version {brought.statement.version}", install)]


def _root_work(home: NodeHome, stick: NodeHome) -> list[tuple[str, Callable[[], None]]]:
    """Bring a new root that was made elsewhere to where it waits; what waits already stays."""
    if not is_prepared(stick):
        return []
    prepared = read_prepared(home, stick.own.next)
    if is_prepared(home):
        if read_public(home.own.next.statement) != prepared.published.statement_note:
            refuse_while_prepared(home)
        return []
    refuse_while_authorities_wait(home)
    return [(NEXT_ROOT, lambda: install_prepared(home, prepared))]


def _authorities_work(
    home: NodeHome, stick: NodeHome, *, now: datetime
) -> list[tuple[str, Callable[[], None]]]:
    """Bring new authorities to where they wait, or newer lists of those that wait already."""
    if not authorities_wait(stick.own):
        return []
    brought = read_waiting(home, stick.own.next_authorities)
    if not authorities_wait(home.own):
        refuse_while_prepared(home)
        return [(NEW_AUTHORITIES, lambda: write_waiting(home.own, brought.contents))]
    waiting = read_waiting(home, home.own.next_authorities)
    if waiting.certificates != brought.certificates:
        refuse_while_authorities_wait(home)
    work: list[tuple[str, Callable[[], None]]] = []
    for kind in Authority:
        own, issuer = home.own.next_authorities.crl(kind), waiting.certificates[kind]
        name = f"{NEXT_AUTHORITIES}/{own.name}"
        work += _newer_list(brought.contents[own.name], own, issuer=issuer, name=name, now=now)
    return work
