"""What a verification reads: a log, wherever it lies.

An exported folder is one (`gateway.audit.folder.LogFolder`); the command line makes
another of a node's database.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gateway.core.merkle import Hash


class AuditedLog(Protocol):
    """A log that nobody vouches for yet.

    Every call may raise a `GatewayError`, which ends the verification with its text.
    """

    @property
    def stored_from(self) -> int:
        """Return the lowest tile level whose hashes are stored, and so compared: 0 or 1."""
        ...

    def note(self) -> bytes:
        """Return the newest signed note."""
        ...

    def entries(self, start: int, end: int) -> Sequence[bytes]:
        """Return the entries of one bundle: ``start`` is a multiple of 256, ``end`` at most 256 further."""
        ...

    def hashes(self, level: int, start: int, end: int) -> Sequence[Hash]:
        """Return the stored hashes of one tile, as `gateway.core.merkle.HashReader` does."""
        ...

    def check_names(self, size: int) -> int:
        """Check that what is stored belongs to a log of ``size`` entries; return the number of files.

        A log that does not lie in files returns 0.
        """
        ...
