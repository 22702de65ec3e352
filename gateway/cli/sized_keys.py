"""For which sizes of a log each of its keys is valid, as the key statements in the log say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.audit.statement import read_statement
from gateway.cli.home_logs import open_home
from gateway.core.signature import HybridVerifier
from gateway.errors import StoreError
from gateway.node.signing_keys import statements_in


@dataclass(frozen=True, slots=True, kw_only=True)
class SizedKey:
    """A key of a log.

    Attributes:
        verifier: Both public halves.
        start: Smallest size whose checkpoint it signs; None if no statement in the log names it.
        end: Largest such size; None while it is in force.
    """

    verifier: HybridVerifier
    start: int | None = None
    end: int | None = None

    @property
    def sizes(self) -> str:
        """Return the sizes in words."""
        if self.start is None:
            return "no key statement in a log of this home says for which sizes"
        return f"sizes {self.start} and above" if self.end is None else f"sizes {self.start} to {self.end}"

    def lines(self, *, cosigner: bool) -> list[str]:
        """Return both verifier keys, Ed25519 first."""
        return [key.encode() for key in self.verifier.verifier_keys(cosigner=cosigner)]


def sized_keys(home: Path, origin: str, keys: Sequence[HybridVerifier]) -> list[SizedKey]:
    """Return the keys of a log with their sizes; the one that signs it now comes first.

    Args:
        home: Node home. Without a database the keys have no sizes yet.
        origin: The log.
        keys: All that the home knows for it, the newest first.
    """
    try:
        with open_home(home) as logs:
            stated = logs.read(lambda tx: statements_in(tx, origin))
    except StoreError:
        stated = []
    found: list[SizedKey] = []
    end: int | None = None
    # The newest first, as the keys are: one that the log states comes before one that it does not yet.
    for index, note in reversed(stated):
        named = next((key for key in keys if read_statement(note).names(key)), None)
        if named is None:
            end = index
            continue
        if found and found[-1].verifier == named:
            found[-1] = SizedKey(verifier=named, start=index + 1, end=found[-1].end)
        else:
            found.append(SizedKey(verifier=named, start=index + 1, end=end))
        end = index
    known = {key.verifier for key in found}
    return found + [SizedKey(verifier=key) for key in keys if key not in known]
