"""Who is enrolled at a node, as far as two operators have agreed to it.

The registry is a file that somebody on the node's machine writes. Where changes of it need two
operators, the node keeps beside it whom they have agreed to, and a holder may speak only while
both name it, in the same role. So a key that is added to the file waits; one that is taken out
is out at once, and stays out: to be put back is to be enrolled anew.

All of this is values; `gateway.node.approvals` keeps and changes them.

Spec: docs/spec/keys.md, "Two operators".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gateway.core.digest import digest_of

OPERATOR: Final = "operator"
OPERATORS_NEEDED: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Enrolled:
    """One key and what it may be used for.

    Attributes:
        role: ``agency``, ``operator`` or ``auditor``.
        code: Agency code; for operators and auditors their name.
        spki: SHA-256 of its public key (SubjectPublicKeyInfo).
    """

    role: str
    code: str
    spki: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    """One that was taken out of the file, at once, and what nobody has confirmed yet.

    Attributes:
        enrolled: Who it was.
        at_ms: When the node saw it, UTC milliseconds.
    """

    enrolled: Enrolled
    at_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolment:
    """Whom two operators have agreed to.

    Attributes:
        in_force: May speak while the file names them as well.
        withdrawn: Taken out, and not confirmed by two operators yet, the oldest first.
    """

    in_force: frozenset[Enrolled]
    withdrawn: tuple[Withdrawn, ...] = ()

    @property
    def digest(self) -> bytes:
        """Return the SHA-384 of who is in force, for the audit log."""
        return digest_of(orjson.dumps([documented(item) for item in sorted(self.in_force)]))

    def operators(self) -> int:
        """Return how many operators of different names there are."""
        return len({item.code for item in self.in_force if item.role == OPERATOR})

    def without(self, gone: Iterable[Enrolled], *, at_ms: int) -> Enrolment:
        """Return it after the file has lost some of them."""
        lost = frozenset(gone)
        more = tuple(Withdrawn(enrolled=item, at_ms=at_ms) for item in sorted(lost))
        return Enrolment(in_force=self.in_force - lost, withdrawn=(*self.withdrawn, *more))

    def agreed(self, enrolled: Iterable[Enrolled], confirmed: Iterable[Enrolled]) -> Enrolment:
        """Return it after two operators have agreed to new ones, and confirmed who was taken out."""
        new, done = frozenset(enrolled), frozenset(confirmed)
        # A key has one role: what it was before is over, should the file not have told us yet.
        keys = {item.spki for item in new}
        kept = frozenset(item for item in self.in_force if item.spki not in keys)
        return Enrolment(
            in_force=kept | new,
            withdrawn=tuple(item for item in self.withdrawn if item.enrolled not in done),
        )


def documented(item: Enrolled) -> dict[str, str]:
    """Return one of them as JSON."""
    return {"role": item.role, "code": item.code, "spki_sha256": item.spki.hex()}


def read_documented(item: dict[str, Any]) -> Enrolled:
    """Return what `documented` has written."""
    return Enrolled(role=item["role"], code=item["code"], spki=bytes.fromhex(item["spki_sha256"]))


def enrolment_text(enrolment: Enrolment) -> str:
    """Return what a database keeps of it."""
    withdrawn = [[item.at_ms, documented(item.enrolled)] for item in enrolment.withdrawn]
    in_force = [documented(item) for item in sorted(enrolment.in_force)]
    return orjson.dumps({"in_force": in_force, "withdrawn": withdrawn}).decode()


def read_enrolment(text: str | None) -> Enrolment | None:
    """Return what a database keeps, or None if changes never needed two operators here."""
    if text is None:
        return None
    document = orjson.loads(text)
    return Enrolment(
        in_force=frozenset(read_documented(item) for item in document["in_force"]),
        withdrawn=tuple(
            Withdrawn(enrolled=read_documented(item), at_ms=at_ms) for at_ms, item in document["withdrawn"]
        ),
    )
