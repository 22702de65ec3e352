"""A running node's eye on its trust folder: what was replaced counts, and what ends is announced.

Commands such as ``entente keys revoke`` write files and end; the node that runs beside them
looks every second. A live TLS context never sees a newer revocation list, so a replaced list
or certificate means new contexts, and the end of every connection under the old ones.

Spec: docs/spec/keys.md, "Revocation", "Warnings".
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import structlog

from gateway.core.digest import digest_of
from gateway.errors import GatewayError
from gateway.keyring import tls
from gateway.keyring.access import RevocationWatch
from gateway.keyring.expiry import Ending, ExpiryWatch, endings, shown_ending
from gateway.keyring.home import NodeHome
from gateway.keyring.keyring import FileKeyring
from gateway.keyring.refusals import KeyFileError, TrustError
from gateway.keyring.x509_profile import Authority
from gateway.link.client import HttpPeerLink
from gateway.node.access import Door
from gateway.node.runtime import Node
from gateway.ports import Clock
from gateway.web.app import CertificateCheck
from gateway.web.identity import Certificate, CertificateRevokedError
from gateway.web.server import Port

log = structlog.get_logger(__name__)

LOOK_S: Final = 1.0
"""Seconds between two looks at the files."""

EXPIRY_S: Final = 60.0
"""Seconds between two looks at what runs out, if nothing ends before."""

_URGENT_DAYS: Final = 7

_DOORS: Final = {"peer": Door.PEER, "agency": Door.AGENCY, "ops": Door.OPERATOR}

ContextMaker = Callable[[], ssl.SSLContext]


@dataclass(frozen=True, slots=True, kw_only=True)
class TlsEnds:
    """What is rebuilt when a file of the trust folder is replaced.

    Attributes:
        ports: Open ports by name: peer, agency, ops.
        contexts: Makes the context of each.
        link: Connects to the peer.
    """

    ports: Mapping[str, Port]
    contexts: Mapping[str, ContextMaker]
    link: HttpPeerLink


def end_times(home: NodeHome, *, shown: Iterable[Ending] = ()) -> dict[str, float]:
    """Return when each certificate and revocation list ends, POSIX seconds, for metrics.

    Nothing if a file is absent or damaged: the event ``trust.refused`` says which.

    Args:
        home: Node home.
        shown: What ends and lies in no file here.
    """
    try:
        return {item.file: item.ends.timestamp() for item in (*endings(home), *shown)}
    except GatewayError:
        return {}


def revocation_check(watch: RevocationWatch, *, port: str) -> CertificateCheck:
    """Return the check of a port's certificates against the newest revocation list on the disk.

    OpenSSL asks at the handshake only; this asks with every request, so that neither a revocation
    nor the end of a list waits until connections are opened anew.
    """

    def check(certificate: Certificate, now_ms: int) -> None:
        try:
            good = watch.is_good(certificate.serial, now_ms=now_ms)
        except (KeyFileError, TrustError) as error:
            _say_refused(port, error)
            good = False
        if not good:
            msg = "the certificate is revoked, or the revocation list cannot tell"
            raise CertificateRevokedError(msg)

    return check


class TrustWatch:
    """Looks at the trust folder of a running node. One task owns `run`."""

    def __init__(
        self, home: NodeHome, keyring: FileKeyring, node: Node, ends: TlsEnds, *, clock: Clock
    ) -> None:
        """Remember the files as they are now; `run` acts on changes."""
        self._home = home
        self._keyring = keyring
        self._node = node
        self._ends = ends
        self._clock = clock
        self._files: dict[str, tuple[Path, ...]] = {
            "peer": tls.context_files(home.peer, Authority.NODES, home.own.peer_chain),
            "agency": tls.context_files(home.own, Authority.AGENCIES, home.own.server_chain),
            "ops": tls.context_files(home.own, Authority.OPERATORS, home.own.server_chain),
        }
        self._stamps = {name: tls.trust_stamp(paths) for name, paths in self._files.items()}
        self._statements = {
            "own": (home.own.statement, self._restate),
            "peer": (home.peer.pin, self._reload_peer),
        }
        self._said = {name: tls.trust_stamp((path,)) for name, (path, _) in self._statements.items()}
        # Ours is read at the first look: it may have come between two nodes of one process.
        del self._said["own"]
        self._registry = b""
        self._expiry = ExpiryWatch()
        self._expiry_at_s = 0.0
        # What had ended at the last look, by file and time.
        self._ended: frozenset[tuple[str, datetime]] = frozenset()

    async def run(self) -> None:
        """Look until cancelled."""
        await self._record_papers()
        for name in self._files:
            await self._record_trust(name)
        while True:
            await self._look_at_registry()
            await self._look_at_enrolment()
            for name in self._statements:
                await self._look_at_statement(name)
            for name in self._files:
                await self._look_at_context(name)
            if self._clock.monotonic_s() >= self._expiry_at_s:
                await self._look_at_ends()
            await self._clock.sleep(LOOK_S)

    async def _look_at_registry(self) -> None:
        """Put a change of the registry on record; the ports ask the registry with every request."""
        path = self._home.registry
        if not path.exists() or (found := path.read_bytes()) == self._registry:
            return
        # The first look is one as well: it may have been replaced while the node was stopped.
        if await self._node.own_events.record_once("registry.changed", digest_of(found)):
            log.info("registry.changed")
        self._registry = found

    async def _look_at_enrolment(self) -> None:
        """Let who was taken out be out for good, where changes of the registry need two operators."""
        try:
            await self._node.look_at_enrolment()
        except (OSError, KeyFileError, TrustError) as error:
            _say_refused("", error)

    async def _look_at_statement(self, name: str) -> None:
        """Take up new keys of ours, or of the peer as an operator has imported them."""
        path, take_up = self._statements[name]
        try:
            stamp = tls.trust_stamp((path,))
            if stamp == self._said.get(name):
                return
            await take_up()
        except (OSError, KeyFileError, TrustError) as error:
            _say_refused(name, error)
            return
        self._said[name] = stamp

    async def _restate(self) -> None:
        if await asyncio.to_thread(self._keyring.reload_own):
            await self._node.restate()
            # A new root brings a transcript of its own.
            await self._record_papers()
            log.info("keys.changed", version=self._keyring.own_statement.version)

    async def _reload_peer(self) -> None:
        await asyncio.to_thread(self._keyring.reload_peer)
        await self._record_papers()

    async def _record_papers(self) -> None:
        """Put the digests of what people have signed on record: the ceremony, the exchange of trust."""
        for event, path in (
            ("ceremony.held", self._home.ceremony_record),
            ("peer.imported", self._home.import_record),
        ):
            if path.exists():
                await self._node.own_events.record_once(event, digest_of(path.read_bytes()))

    async def _look_at_context(self, name: str) -> None:
        try:
            stamp = tls.trust_stamp(self._files[name])
            if stamp == self._stamps[name]:
                return
            # On record first: whom a port lets in is not changed behind the log's back.
            await self._record_trust(name)
            self._ends.ports[name].replace_context(self._ends.contexts[name]())
            if name == "peer":
                context = tls.peer_client(self._home, self._keyring.peer_identity())
                await self._ends.link.replace_context(context)
        except (OSError, GatewayError, ssl.SSLError) as error:
            # Half-written files are looked at again at the next tick; what is open
            # stays as it was, and the operator is told.
            _say_refused(name, error)
            return
        self._stamps[name] = stamp
        # What has ended may have been renewed by that: health says so at once.
        self._expiry_at_s = self._clock.monotonic_s()
        log.info("trust.renewed", port=name)

    async def _record_trust(self, name: str) -> None:
        """Put the digest of a port's certificates and revocation lists on record, if they are others."""
        digests = [digest_of(path.read_bytes()) for path in self._files[name] if path.exists()]
        await self._node.own_events.record_once(
            "trust.changed", digest_of(b"".join(digests)), about=_DOORS[name]
        )

    async def _look_at_ends(self) -> None:
        """Tell what ends and what has ended, and let no connection outlive what it was opened with."""
        now_ms = self._clock.now_ms()
        now = datetime.fromtimestamp(now_ms / 1_000, UTC)
        self._expiry_at_s = self._clock.monotonic_s() + EXPIRY_S
        try:
            found = endings(self._home)
        except GatewayError as error:
            _say_refused("", error)
            return
        shown = shown_ending(self._ends.link.peer_certificate_ends_ms, now_ms=now_ms)
        for item in self._expiry.due((*found, *shown), now):
            _warn(item, now)
        ended = frozenset((item.file, item.ends) for item in found if item.stage(now) == 0)
        self._node.trust_has_ended = bool(ended)
        if ended - self._ended:
            # OpenSSL looks at them when a connection is opened, and never again.
            for port in self._ends.ports.values():
                port.renew_connections()
            await self._ends.link.close()
        self._ended = ended
        left_s = min(
            ((item.ends - now).total_seconds() for item in found if item.ends > now), default=EXPIRY_S
        )
        self._expiry_at_s += min(left_s - EXPIRY_S, 0.0)


def _say_refused(port: str, error: Exception) -> None:
    """Tell the operator that files of a port, or of the whole folder, cannot be used; what is open stays."""
    log.error("trust.refused", port=port, error=type(error).__name__)


def _warn(item: Ending, now: datetime) -> None:
    facts = {
        "file": item.file,
        "sort": item.sort.value,
        "ends": f"{item.ends:%Y-%m-%dT%H:%M:%SZ}",
        "days_left": item.days_left(now),
    }
    if item.stage(now) == 0:
        log.critical("trust.ended", **facts)
    elif item.days_left(now) < _URGENT_DAYS:
        log.error("trust.ending", **facts)
    else:
        log.warning("trust.ending", **facts)
