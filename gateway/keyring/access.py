"""Who is at the door: revocation and registry, looked at with every request.

OpenSSL checks the revocation list at the handshake only, and a context never sees a newer
list. So each port has a doorkeeper that answers, for the certificate of an open connection,
who that is now. It reads its two files again as soon as they change; a file that is damaged,
or a list that has run out, lets nobody in. A busy port looks at the files not for each of some
thousand requests a second, but a hundred times a second.

Spec: docs/spec/keys.md, "Revocation".
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Final, Generic, TypeVar

from cryptography import x509

from gateway.errors import RejectedError
from gateway.keyring.anchors import read_anchors
from gateway.keyring.files import read_public
from gateway.keyring.home import NodeHome, TrustFiles
from gateway.keyring.refusals import TrustError
from gateway.keyring.registry import Holder, Registry, parse_registry
from gateway.keyring.tls import TrustStamp, anchor_files, trust_stamp
from gateway.keyring.x509_profile import Authority

LOOK_S: Final = 0.01
"""Seconds for which a running port takes its files to be as it saw them last."""

_CACHED_CERTIFICATES: Final = 4_096

T = TypeVar("T")


class NotAdmittedError(RejectedError):
    """The certificate is revoked or expired, or belongs to nobody in the registry."""

    code = "not-admitted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Revocations:
    """A revocation list, ready to be asked.

    Attributes:
        serials: Serial numbers of certificates that are not to be trusted.
        ends: From then on the list says nothing any more, UTC.
        ends_ms: The same, UTC milliseconds.
        number: Its CRL number.
    """

    serials: frozenset[int]
    ends: datetime
    ends_ms: int
    number: int


class _Watched(Generic[T]):
    """What files hold, read again once one of them was replaced. Calls may come from several threads."""

    def __init__(
        self, read: Callable[[], T], *paths: Path, look_s: float, monotonic_s: Callable[[], float]
    ) -> None:
        self._read = read
        self._paths = paths
        self._look_s = look_s
        self._monotonic_s = monotonic_s
        self._lock = threading.Lock()
        self._stamp: TrustStamp | None = None
        self._value: T | None = None
        self._looked_s = 0.0

    def current(self) -> T:
        """Return what the files hold, or held ``look_s`` ago.

        Raises:
            KeyFileError, TrustError: A file is absent or damaged. Then nothing of before is returned.
        """
        with self._lock:
            now_s = self._monotonic_s()
            if self._value is not None and now_s - self._looked_s < self._look_s:
                return self._value
            before, self._value = self._value, None
            stamp = _stamp(*self._paths)
            self._value = self._read() if before is None or stamp != self._stamp else before
            self._stamp, self._looked_s = stamp, now_s
            return self._value


class RevocationWatch:
    """The newest revocation list of one authority. Calls may come from several threads."""

    def __init__(
        self,
        trust: TrustFiles,
        authority: Authority,
        *,
        look_s: float = 0.0,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read the list.

        Args:
            trust: Where it is.
            authority: Whose list.
            look_s: Seconds for which the file is taken to be as it was seen last.
            monotonic_s: Clock for that.

        Raises:
            KeyFileError, TrustError: The list or the authority's certificate is refused.
        """
        paths = anchor_files(trust, authority)
        self._list = _Watched(
            lambda: read_revocations(trust, authority), *paths, look_s=look_s, monotonic_s=monotonic_s
        )
        self.current()

    def current(self) -> Revocations:
        """Return the newest list; reads the file again if it was replaced.

        Raises:
            KeyFileError, TrustError: It is absent or damaged: nobody can be let in.
        """
        return self._list.current()

    def is_good(self, serial: int, *, now_ms: int) -> bool:
        """Return whether a serial number may be trusted: not revoked, on a list that is still valid.

        Args:
            serial: Of a certificate of this authority.
            now_ms: UTC milliseconds.

        Raises:
            KeyFileError, TrustError: The list is absent or damaged.
        """
        newest = self.current()
        return now_ms < newest.ends_ms and serial not in newest.serials

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

    def __init__(
        self,
        home: NodeHome,
        authority: Authority,
        *,
        look_s: float = 0.0,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read registry and revocation list.

        Args:
            home: Node home.
            authority: Whose certificates the port accepts.
            look_s: Seconds for which the files are taken to be as they were seen last.
            monotonic_s: Clock for that.

        Raises:
            KeyFileError, TrustError: A file is refused.
        """
        self._revoked = RevocationWatch(home.own, authority, look_s=look_s, monotonic_s=monotonic_s)
        path = home.registry
        self._registry = _Watched(
            lambda: parse_registry(read_public(path)), path, look_s=look_s, monotonic_s=monotonic_s
        )
        self.registry()

    def registry(self) -> Registry:
        """Return the registry; reads the file again if it was replaced."""
        return self._registry.current()

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


def read_revocations(trust: TrustFiles, authority: Authority) -> Revocations:
    """Return what the revocation lists of one kind of authority say together.

    While two of a kind are good there are two lists. Serial numbers are random, so one set does for both;
    what is good for as long as the one that ends later is the set. Certificates of the authority whose
    list has ended are refused by OpenSSL, and a running node ends what is open under it.

    Raises:
        KeyFileError: A file is absent, or writable by others.
        TrustError: Not a list of these authorities.
    """
    found = [revocations_of(crl) for _, crl in read_anchors(trust, authority).lists]
    last = max(found, key=lambda item: item.ends)
    return replace(last, serials=frozenset[int]().union(*(item.serials for item in found)))


def revocations_of(crl: x509.CertificateRevocationList) -> Revocations:
    """Return what a revocation list says.

    Raises:
        TrustError: It has no number or no end.
    """
    ends = crl.next_update_utc
    try:
        number = crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
    except x509.ExtensionNotFound as error:
        msg = "a revocation list has a number"
        raise TrustError(msg) from error
    if ends is None:
        msg = "a revocation list has an end"
        raise TrustError(msg)
    return Revocations(
        serials=frozenset(item.serial_number for item in crl),
        ends=ends,
        ends_ms=int(ends.timestamp()) * 1_000,
        number=number,
    )


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
