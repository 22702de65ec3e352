"""What runs out, when, and when somebody has to be told.

Certificates are warned of 60, 30 and 7 days before they end, those of roots a year before as well: a
new one takes meetings, and a file for each agency. Of the certificate that the peer shows us, which its
operators renew when it has 30 days left, 7 days before: by then they have forgotten it. Revocation
lists 3 days before: they live for 7 days, and once one has ended everybody is refused. The same
numbers stand in the log, in the metrics and in ``entente doctor``.

Spec: docs/spec/keys.md, "Warnings"; docs/operating.md, "Events".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final

from gateway.keyring.certificates import crl_next_update, read_certificate
from gateway.keyring.files import read_public
from gateway.keyring.home import NodeHome
from gateway.keyring.refusals import KeyFileError, TrustError
from gateway.keyring.x509_profile import Authority


class Sort(StrEnum):
    """What can run out."""

    ROOT = "root-certificate"
    CERTIFICATE = "certificate"
    SHOWN = "shown-certificate"
    REVOCATION_LIST = "revocation-list"


WARNING_DAYS: Final[Mapping[Sort, tuple[int, ...]]] = {
    Sort.ROOT: (365, 180, 60, 30, 7),
    Sort.CERTIFICATE: (60, 30, 7),
    Sort.SHOWN: (7,),
    Sort.REVOCATION_LIST: (3,),
}
"""Days before the end at which a warning is due, the earliest first."""

SHOWN_FILE: Final = "peer/tls-peer.pem"
"""What the certificate that the peer shows is called, which lies in no file here."""

REPEAT: Final = timedelta(days=1)
"""A warning that nobody has heeded is given again after this time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """When something runs out.

    Attributes:
        file: Folder and name of its file in the trust folder, such as ``own/tls-peer.pem``.
        sort: What it is, which decides when it is warned of.
        ends: From then on it is worth nothing, UTC.
        begins: Before then a certificate is worth nothing, UTC; None for a list.
    """

    file: str
    sort: Sort
    ends: datetime
    begins: datetime | None = None

    def is_early(self, now: datetime) -> bool:
        """Return whether it is not valid yet: mostly it is this machine's clock that is wrong."""
        return self.begins is not None and now < self.begins

    def stage(self, now: datetime) -> int | None:
        """Return the smallest number of warning days that is reached, 0 at the end; else None."""
        if now >= self.ends:
            return 0
        reached = [days for days in WARNING_DAYS[self.sort] if self.ends - now <= timedelta(days=days)]
        return min(reached, default=None)

    def days_left(self, now: datetime) -> int:
        """Return how many whole days are left; 0 from the last day on."""
        return max((self.ends - now).days, 0)


def endings(home: NodeHome, *, sort: Sort | None = None) -> tuple[Ending, ...]:
    """Return what of a node's trust runs out, the first one first.

    Args:
        home: Node home. What was not imported yet of the peer is left out.
        sort: Only of this sort.

    Raises:
        KeyFileError, TrustError: A file is absent or damaged.
    """
    roots = [home.own.root, *_present((home.peer.root,))]
    certificates = [home.own.authority(kind.value) for kind in Authority]
    certificates += [home.own.peer_chain, home.own.server_chain]
    certificates += _present((home.peer.authority(Authority.NODES.value),))
    lists = [home.own.crl(kind.value) for kind in Authority]
    lists += _present((home.peer.crl(Authority.NODES.value),))
    # Of authorities that wait: their certificates are new, and their lists end as all do.
    lists += _present(home.own.next_authorities.crl(kind.value) for kind in Authority)
    lists += _present((home.peer.next_authorities.crl(Authority.NODES.value),))
    found: list[Ending] = []
    for what, paths in ((Sort.ROOT, roots), (Sort.CERTIFICATE, certificates)):
        found += [_ending_of(home, path, what) for path in paths if sort in (None, what)]
    if sort in (None, Sort.REVOCATION_LIST):
        found += [
            Ending(file=_name(home, path), sort=Sort.REVOCATION_LIST, ends=crl_next_update(read_public(path)))
            for path in lists
        ]
    return tuple(sorted(found, key=lambda item: (item.ends, item.file)))


def shown_ending(ends_ms: int | None, *, now_ms: int) -> tuple[Ending, ...]:
    """Return when the certificate ends that the peer shows; nothing if none was seen, or it has ended.

    An ended one is told by the handshake that fails, and may have been replaced while nobody looked.

    Args:
        ends_ms: Its end, UTC milliseconds.
        now_ms: The present, likewise.
    """
    if ends_ms is None or ends_ms <= now_ms:
        return ()
    return (Ending(file=SHOWN_FILE, sort=Sort.SHOWN, ends=datetime.fromtimestamp(ends_ms / 1_000, UTC)),)


def has_ended(certificate: Path, *, now_ms: int) -> bool:
    """Return whether a certificate has ended; not if its file cannot be read.

    Args:
        certificate: PEM file that begins with it.
        now_ms: The present, UTC milliseconds.
    """
    try:
        return now_ms >= read_certificate(certificate).not_valid_after_utc.timestamp() * 1_000
    except (KeyFileError, TrustError):
        return False


class ExpiryWatch:
    """Remembers which warnings were given, so that each is given once, and then daily."""

    def __init__(self) -> None:
        """Begin with none given."""
        self._given: dict[str, tuple[int, datetime, datetime]] = {}

    def due(self, found: Iterable[Ending], now: datetime) -> list[Ending]:
        """Return what has to be warned of now.

        Args:
            found: Everything that runs out; what was renewed is forgotten.
            now: Aware time.
        """
        due: list[Ending] = []
        for item in found:
            stage = item.stage(now)
            if stage is None:
                self._given.pop(item.file, None)
                continue
            given = self._given.get(item.file)
            if given is None or given[:2] != (stage, item.ends) or now - given[2] >= REPEAT:
                self._given[item.file] = (stage, item.ends, now)
                due.append(item)
        return due


def _present(paths: Iterable[Path]) -> list[Path]:
    return [path for path in paths if path.exists()]


def _ending_of(home: NodeHome, path: Path, sort: Sort) -> Ending:
    certificate = read_certificate(path)
    return Ending(
        file=_name(home, path),
        sort=sort,
        ends=certificate.not_valid_after_utc,
        begins=certificate.not_valid_before_utc,
    )


def _name(home: NodeHome, path: Path) -> str:
    return path.relative_to(home.trust).as_posix()
