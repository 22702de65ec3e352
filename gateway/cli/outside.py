"""What third parties say of a node's logs: read from its database or from an exported folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.report import Check
from gateway.audit.stamps import (
    MAX_CERTIFICATE_BYTES,
    AuthorityUnreadableError,
    StampAuthority,
    read_authority,
)
from gateway.audit.third_parties import Claim, ClaimKind, check_claims, read_claims, read_witnesses
from gateway.audit.trust import Trust
from gateway.audit.verify import Verification
from gateway.cli.home_logs import HomeLogs
from gateway.config import resolve
from gateway.core.merkle import Hash


@dataclass(frozen=True, slots=True)
class Outside:
    """What `audit verify` was given about third parties.

    Attributes:
        folder: What an export wrote of them, or None.
        tsa: Certificates of a time-stamp authority, or None.
    """

    folder: Path | None
    tsa: Path | None

    def checks(
        self,
        found: Sequence[Verification],
        trust: Trust,
        *,
        keys_in: Path,
        home: HomeLogs | None = None,
        served: Sequence[Claim] = (),
    ) -> list[Check]:
        """Check what third parties say of verified logs.

        Args:
            found: The logs.
            trust: Keys of the logs.
            keys_in: Folder with the keys of witnesses beside them.
            home: Node home whose database and configuration are asked as well, or None.
            served: What a running node says that they said.
        """
        claims = [*served, *([] if self.folder is None else read_claims(self.folder))]
        tsa = self.tsa
        keys = read_witnesses(keys_in)
        if home is not None:
            origins = {item.report.title for item in found}
            claims += [claim for origin in sorted(origins) for claim, _ in claims_of(home, origin)]
            stamps = home.config.stamps
            tsa = tsa or (None if stamps is None else resolve(home.path, stamps.certificate_file))
        authority = None if tsa is None else _authority(tsa)
        return check_claims(claims, found, trust=trust, authority=authority, witnesses=keys)


def claims_of(home: HomeLogs, origin: str, *, at_most: int | None = None) -> Iterator[tuple[Claim, Hash]]:
    """Yield what third parties said of a log up to a size, each with the root that the log had then."""
    for item in home.read(lambda tx: tx.facts.attestations(origin)):
        if at_most is None or item.size <= at_most:
            claim = Claim(
                origin=item.origin,
                size=item.size,
                kind=ClaimKind(str(item.kind)),
                name=item.name,
                evidence=item.evidence,
            )
            yield claim, item.root


def _authority(path: Path) -> StampAuthority:
    try:
        with path.open("rb") as file:
            return read_authority(file.read(MAX_CERTIFICATE_BYTES))
    except OSError as error:
        msg = "the certificates of the time-stamp authority cannot be read"
        raise AuthorityUnreadableError(msg) from error
