"""Who is at the door: revocation and registry, looked at with every request.

OpenSSL checks the revocation list at the handshake only, and a context never sees a newer
list. So each port has a doorkeeper that answers, for the certificate of an open connection,
who that is now. It reads its two files again as soon as they change; a file that is damaged,
or a list that has run out, lets nobody in.

Spec: docs/spec/keys.md, "Revocation".
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final

from cryptography import x509

from gateway.errors import RejectedError
from gateway.keyring.files import read_public
from gateway.keyring.home import NodeHome, TrustFiles
from gateway.keyring.refusals import TrustError
from gateway.keyring.registry import Holder, Registry, parse_registry
from gateway.keyring.tls import TrustStamp, trust_stamp
from gateway.keyring.trust import read_anchor, verify_crl
from gateway.keyring.x509_profile import Authority

_CACHED_CERTIFICATES: Final = 4_096


class NotAdmittedError(RejectedError):
    """The certificate is revoked or expired, or belongs to nobody in the registry."""

    code = "not-admitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocations:
    """A revocation list, ready to be asked.

    Attributes:
        serials: Serial numbers of certificates that are not to be trusted.
        ends: From then on the list says nothing any more, UTC.
        number: Its CRL number.
    """

    serials: frozenset[int]
    ends: datetime
    number: int


class RevocationWatch:
    """The newest revocation list of one authority. Calls may come from several threads."""

    def __init__(self, trust: TrustFiles, authority: Authority) -> None:
        """Read the list.

        Raises:
            KeyFileError, TrustError: The list or the authority's certificate is refused.
        """
        self._issuer_path = trust.authority(authority.value)
        self._path = trust.crl(authority.value)
        self._lock = threading.Lock()
        self._stamp: TrustStamp | None = None
        self._list: Revocations | None = None
        self.current()

    def current(self) -> Revocations:
        """Return the newest list; reads the file again if it was replaced.

        Raises:
            KeyFileError, TrustError: It is absent or damaged: nobody can be let in.
        """
        with self._lock:
            stamp = _stamp(self._issuer_path, self._path)
            if self._list is None or stamp != self._stamp:
                self._list = None
                self._list = read_revocations(self._issuer_path, self._path)
                self._stamp = stamp
            return self._list

    def is_good(self, serial: int, *, now: datetime) -> bool:
        """Return whether a serial number may be trusted: not revoked, on a list that is still valid.

        Raises:
            KeyFileError, TrustError: The list is absent or damaged.
        """
        newest = self.current()
        return now < newest.ends and serial not in newest.serials

    def check(self, certificate: bytes, *, now: datetime) -> None:
        """Refuse a certificate that is revoked, or any once the list has run out.

        Args:
            certificate: DER, of a connection whose handshake verified it.
            now: Aware time.

        Raises:
            NotAdmittedError: Revoked or expired, or the list has run out.
            KeyFileError, TrustError: The list is absent or damaged.
        """
        serial, ends = _serial_and_end(certificate)
        newest = self.current()
        if now >= newest.ends:
            msg = "the revocation list has run out; the operator has to bring a newer one"
            raise NotAdmittedError(msg)
        if serial in newest.serials or now >= ends:
            msg = "the certificate is revoked or has expired"
            raise NotAdmittedError(msg)


class Doorkeeper:
    """Says who the holder of a certificate is on the agency or the operator port."""

    def __init__(self, home: NodeHome, authority: Authority) -> None:
        """Read registry and revocation list.

        Args:
            home: Node home.
            authority: Whose certificates the port accepts.

        Raises:
            KeyFileError, TrustError: A file is refused.
        """
        self._revoked = RevocationWatch(home.own, authority)
        self._path = home.registry
        self._lock = threading.Lock()
        self._stamp: TrustStamp | None = None
        self._registry: Registry | None = None
        self.registry()

    def registry(self) -> Registry:
        """Return the registry; reads the file again if it was replaced."""
        with self._lock:
            stamp = _stamp(self._path)
            if self._registry is None or stamp != self._stamp:
                self._registry = None
                self._registry = parse_registry(read_public(self._path))
                self._stamp = stamp
            return self._registry

    def admit(self, certificate: bytes, *, now: datetime) -> Holder:
        """Return who holds a certificate.

        Args:
            certificate: DER, of a connection whose handshake verified it.
            now: Aware time.

        Raises:
            NotAdmittedError: Revoked, expired, or nobody in the registry.
            KeyFileError, TrustError: A file is absent or damaged: nobody is let in.
        """
        self._revoked.check(certificate, now=now)
        holder = self.registry().identify(certificate)
        if holder is None:
            msg = "the certificate is not in the registry of this node"
            raise NotAdmittedError(msg)
        return holder


def read_revocations(issuer: Path, path: Path) -> Revocations:
    """Return a revocation list whose signature verifies.

    Raises:
        KeyFileError: A file is absent, or writable by others.
        TrustError: Not a list of this authority.
    """
    crl = verify_crl(read_public(path), issuer=read_anchor(issuer))
    ends = crl.next_update_utc
    try:
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound as error:
        msg = "a revocation list has a number"
        raise TrustError(msg) from error
    if ends is None:
        msg = "a revocation list has an end"
        raise TrustError(msg)
    return Revocations(serials=frozenset(item.serial_number for item in crl), ends=ends, number=number)


@lru_cache(maxsize=_CACHED_CERTIFICATES)
def _serial_and_end(certificate: bytes) -> tuple[int, datetime]:
    try:
        parsed = x509.load_der_x509_certificate(certificate)
    except ValueError as error:
        msg = "not an X.509 certificate in DER"
        raise NotAdmittedError(msg) from error
    return parsed.serial_number, parsed.not_valid_after_utc


def _stamp(*paths: Path) -> TrustStamp:
    try:
        return trust_stamp(paths)
    except OSError as error:
        msg = f"{Path(str(error.filename)).name} of the trust folder is absent or cannot be looked at"
        raise TrustError(msg) from error
