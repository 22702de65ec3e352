"""Which authorities certificates are taken from: the one in force, and one that waits to follow it.

New authorities wait in ``next-authorities`` beside those in force, and for so long both are good: who
has a certificate of either gets in. Authorities of a kind bear the same name; OpenSSL tells them, and
their lists, by the identifier of their key.

While one takes the place of the other, files are replaced one by one, the list before the certificate.
So a list may be of any authority that is there. One that has no list lets nobody in, and the other does:
whatever is interrupted in between, a node starts.

Spec: docs/spec/keys.md, "New authorities"; docs/adr/0060-new-keys-of-authorities.md.
"""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.keyring.certificates import read_anchor, verify_crl, verify_issued
from gateway.keyring.files import fsync_folder, make_public_folder, read_public, write_public
from gateway.keyring.home import NodeHome, TrustFiles
from gateway.keyring.refusals import CeremonyError, KeyFileError, TrustError
from gateway.keyring.x509_profile import Authority

_TEMPORARY: Final = ".tmp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """The authorities of one kind from which a nation's certificates are taken.

    Attributes:
        certificates: That in force, and if another one waits, that one.
        lists: File and content of the revocation list of each.
    """

    certificates: tuple[x509.Certificate, ...]
    lists: tuple[tuple[Path, x509.CertificateRevocationList], ...]


def read_anchors(files: TrustFiles, authority: Authority) -> Anchors:
    """Return the authorities of one kind, verified.

    Raises:
        KeyFileError: A file is absent, or writable by others.
        TrustError: A list is of none of them, or one that waits is not of the nation's root.
    """
    waiting = files.next_authorities
    if not waiting.folder.exists():
        return _read(files, authority, (files,))
    try:
        return _read(files, authority, (files, waiting))
    except KeyFileError as error:
        if error.path.parent != waiting.folder or waiting.folder.exists():
            raise
        # It was put in force, or given up, between two looks.
        return _read(files, authority, (files,))


def authorities_wait(files: TrustFiles) -> bool:
    """Return whether new authorities wait beside those in force."""
    return files.next_authorities.folder.exists()


def refuse_while_authorities_wait(home: NodeHome) -> None:
    """Refuse what would make certificates under authorities that are about to be replaced.

    Raises:
        CeremonyError: New authorities wait.
    """
    if authorities_wait(home.own):
        msg = (
            "new authorities wait in trust/own/next-authorities: put them in force first "
            "(entente keys switch-authorities)"
        )
        raise CeremonyError(msg)


def write_waiting(files: TrustFiles, contents: Mapping[str, bytes]) -> None:
    """Let authorities wait: all files of the folder appear at once, in place of what waits already.

    Args:
        files: Of the nation.
        contents: By the name of the file.
    """
    remove_waiting(files)
    folder = files.next_authorities.folder
    temporary = _aside(files)
    make_public_folder(temporary)
    for name, content in contents.items():
        write_public(temporary / name, content)
    temporary.rename(folder)
    fsync_folder(files.folder)


def remove_waiting(files: TrustFiles) -> None:
    """Let no authorities wait any more; all files of the folder go at once."""
    folder = files.next_authorities.folder
    if folder.exists():
        folder.rename(_aside(files))
        fsync_folder(files.folder)
    for left in files.folder.glob(f".{folder.name}.*{_TEMPORARY}"):
        shutil.rmtree(left)


def _aside(files: TrustFiles) -> Path:
    return files.folder / f".{files.next_authorities.folder.name}.{secrets.token_hex(8)}{_TEMPORARY}"


def _read(files: TrustFiles, authority: Authority, folders: tuple[TrustFiles, ...]) -> Anchors:
    certificates = tuple([read_anchor(folder.authority(authority.value)) for folder in folders])
    for certificate in certificates[1:]:
        verify_issued(certificate, issuer=read_anchor(files.root))
    paths = [folder.crl(authority.value) for folder in folders]
    return Anchors(
        certificates=certificates,
        lists=tuple([(path, _list_of_any(read_public(path), certificates)) for path in paths]),
    )


def _list_of_any(
    content: bytes, certificates: tuple[x509.Certificate, ...]
) -> x509.CertificateRevocationList:
    for certificate in certificates[1:]:
        try:
            return verify_crl(content, issuer=certificate)
        except TrustError:
            continue
    return verify_crl(content, issuer=certificates[0])
