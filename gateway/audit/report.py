"""What a verification found, as values that a person and a program can read.

A verdict is VERIFIED only if every check that could be made has held. What could not be
checked (no second log, no cosignature, no root key) is said, not passed over: an auditor
has to know what a verdict does not cover.

Spec: docs/auditing.md, "What is checked".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final, Self

from gateway.core.checkpoint import Checkpoint
from gateway.core.message.wording import counted
from gateway.core.signature import HybridVerifier

OF_ENTRIES: Final = frozenset({"succession", "entries", "messages", "receipts", "anchors", "numbers"})
"""Checks of what the entries of a log say: where one fails, the log still is what was signed."""


class Outcome(StrEnum):
    """How a check ended."""

    HELD = "held"
    FAILED = "failed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: Fixed name, such as ``tree``.
        outcome: Whether it held.
        detail: What was seen, or why it failed or was not checked.
    """

    name: str
    outcome: Outcome
    detail: str

    @classmethod
    def held(cls, name: str, detail: str) -> Self:
        """Return a check that held."""
        return cls(name=name, outcome=Outcome.HELD, detail=detail)

    @classmethod
    def failed(cls, name: str, detail: str) -> Self:
        """Return a check that failed."""
        return cls(name=name, outcome=Outcome.FAILED, detail=detail)

    @classmethod
    def not_checked(cls, name: str, detail: str) -> Self:
        """Return a check that could not be made."""
        return cls(name=name, outcome=Outcome.NOT_CHECKED, detail=detail)

    def as_json(self) -> dict[str, Any]:
        """Return the check for ``--json``."""
        return {"name": self.name, "outcome": str(self.outcome), "detail": self.detail}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cosigned:
    """Another node has signed this checkpoint: both its lines verify.

    Attributes:
        key: The cosigner, with the key that signed.
        time_s: When it signed, POSIX seconds, as the lines say.
        counts: Whether the node vouches by it: that was its key then (`gateway.audit.cosigners`).
    """

    key: HybridVerifier
    time_s: int
    counts: bool

    @property
    def name(self) -> str:
        """Return the name of the cosigner."""
        return self.key.name


@dataclass(frozen=True, slots=True, kw_only=True)
class LogReport:
    """What was found out about one log.

    Attributes:
        title: The origin if it is known, else what was given.
        checkpoint: Origin, size and root that the log signed; None if nothing signed was found.
        signed_s: When the log signed it, POSIX seconds.
        cosignatures: Who else did, whether or not that counts.
        kinds: Number of entries by the name of their kind.
        checks: Everything that was looked at, in order.
    """

    title: str
    checkpoint: Checkpoint | None
    signed_s: int | None
    cosignatures: tuple[Cosigned, ...]
    kinds: Mapping[str, int]
    checks: tuple[Check, ...]

    @property
    def reason(self) -> str | None:
        """Return the first thing that failed, or None."""
        return first_failure(self.checks)

    @property
    def is_verified(self) -> bool:
        """Return whether everything that could be checked held."""
        return self.checkpoint is not None and self.reason is None

    @property
    def is_as_signed(self) -> bool:
        """Return whether the log is what its signers signed, whatever its entries say.

        Such a log is compared with others also where it is not verified: one entry that is none must
        not keep an auditor from all the others.
        """
        failed = {check.name for check in self.checks if check.outcome is Outcome.FAILED}
        return self.checkpoint is not None and failed <= OF_ENTRIES

    @property
    def cosigned(self) -> tuple[Cosigned, ...]:
        """Return the cosignatures that count."""
        return tuple(item for item in self.cosignatures if item.counts)

    @property
    def headline(self) -> str:
        """Return the verdict in one line."""
        if not self.is_verified or self.checkpoint is None:
            return f"NOT VERIFIED {self.title}: {self.reason}"
        signed = f"signed {time_text(self.signed_s)}"
        names = ", ".join(f"{item.name} {time_text(item.time_s)}" for item in self.cosigned)
        cosigned = f"cosigned by {names}" if names else "not cosigned"
        return f"VERIFIED {self.title}: {self.checkpoint.size} entries, {signed}, {cosigned}"

    def as_json(self) -> dict[str, Any]:
        """Return the report for ``--json``."""
        checkpoint = self.checkpoint
        return {
            "log": self.title,
            "verdict": verdict(is_verified=self.is_verified),
            "reason": self.reason,
            "origin": None if checkpoint is None else checkpoint.origin,
            "size": None if checkpoint is None else checkpoint.size,
            "root": None if checkpoint is None else checkpoint.root.hex(),
            "signed_at": None if self.signed_s is None else time_text(self.signed_s),
            "cosigned": [{"by": item.name, "at": time_text(item.time_s)} for item in self.cosigned],
            "kinds": dict(self.kinds),
            "checks": [check.as_json() for check in self.checks],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SetReport:
    """What was found out about several logs that speak of each other.

    Attributes:
        title: Whose logs they are.
        logs: A report for each.
        checks: What was compared between them.
        needs_logs: Whether nothing is verified without any log; saved notes stand by themselves.
        needs_all: Whether a comparison that could not be made leaves open what was asked.
    """

    title: str
    logs: tuple[LogReport, ...]
    checks: tuple[Check, ...]
    needs_logs: bool = True
    needs_all: bool = False

    @property
    def reason(self) -> str | None:
        """Return the first thing that failed, or None."""
        for log in self.logs:
            if not log.is_verified:
                return f"{log.title}: {log.reason}"
        nothing = "there is no signed log" if self.needs_logs and not self.logs else None
        open_question = _first(self.checks, Outcome.NOT_CHECKED) if self.needs_all else None
        return first_failure(self.checks) or nothing or open_question

    @property
    def is_verified(self) -> bool:
        """Return whether everything that could be checked held, in at least one log."""
        return self.reason is None

    @property
    def headline(self) -> str:
        """Return the verdict in one line."""
        if not self.is_verified:
            return f"NOT VERIFIED {self.title}: {self.reason}"
        if not self.logs:
            return f"VERIFIED {self.title}"
        entries = sum(log.checkpoint.size for log in self.logs if log.checkpoint is not None)
        held = f"{counted(len(self.logs), 'log', 'logs')}, {counted(entries, 'entry', 'entries')}"
        return f"VERIFIED {self.title}: {held}"

    def as_json(self) -> dict[str, Any]:
        """Return the report for ``--json``."""
        return {
            "verdict": verdict(is_verified=self.is_verified),
            "reason": self.reason,
            "logs": [log.as_json() for log in self.logs],
            "checks": [check.as_json() for check in self.checks],
        }


def first_failure(checks: tuple[Check, ...]) -> str | None:
    """Return name and detail of the first check that failed, or None."""
    return _first(checks, Outcome.FAILED)


def verdict(*, is_verified: bool) -> str:
    """Return the word that opens a verdict."""
    return "VERIFIED" if is_verified else "NOT VERIFIED"


def time_text(time_s: int | None) -> str:
    """Return POSIX seconds as UTC; a time beyond the calendar as the number itself."""
    if time_s is None:
        return "at an unknown time"
    try:
        return f"{datetime.fromtimestamp(time_s, tz=UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (OverflowError, OSError, ValueError):
        return f"at second {time_s}"


def _first(checks: tuple[Check, ...], outcome: Outcome) -> str | None:
    found = next((check for check in checks if check.outcome is outcome), None)
    return None if found is None else f"{found.name}: {found.detail}"
