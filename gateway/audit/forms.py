"""Whether what an entry calls things is a name, and not a text that somebody wrote.

Entries hold names and codes in a few places: logs, nodes, agencies, types, events, outcomes. Each
has a form, and some stand in a closed list. Whatever else stands there is no entry of this protocol,
since nothing personal and no free text may be in a log, where nobody could ever remove it.

Spec: docs/spec/log.md, "Entries" and "Audit log".
"""

from __future__ import annotations

import re
from typing import Any, Final

from gateway.core.audit_events import EVENTS
from gateway.core.checkpoint import is_origin
from gateway.core.entries import (
    AgreementEntry,
    AnchorEntry,
    CollectedEntry,
    Entry,
    EventEntry,
    IncidentEntry,
    IncidentKind,
    KemKeyEntry,
    ReceiptEntry,
    Role,
    VoidEntry,
    is_agency,
)
from gateway.core.envelope import FROM_AGENCY, FROM_NODE, TO_AGENCIES, TO_NODE, TYPE
from gateway.core.keybox import is_usable
from gateway.core.message.threads import nation_of
from gateway.core.receipt import ExceptionCode

_NODE: Final = re.compile(r"[a-z0-9.-]{1,253}")
_TYPE: Final = re.compile(r"[a-z0-9]+([._-][a-z0-9]+)*/[1-9][0-9]{0,5}")
_OUTCOME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")

_INCIDENTS: Final = frozenset(map(int, IncidentKind))
_EXCEPTIONS: Final = frozenset(map(int, ExceptionCode))
_ROLES: Final = frozenset(map(int, Role))
_UNKNOWN: Final = "that this release does not know: verify with a release as new as the log"
"""Behind what stands in a closed list, which later releases may lengthen."""

_DETAIL_BYTES: Final = frozenset({8, 16, 32, 48})
"""Lengths of key ids, message ids, roots and digests."""

MAX_HEADERS: Final = 65_536
"""Combinations of names that are remembered as good ones."""


def strange_name(entry: Entry) -> str:
    """Return what is no name where a name belongs, to continue "entry 7 …", or "" if all is well.

    Headers of messages are not looked at: `HeaderNames`.
    """
    match entry:
        case ReceiptEntry() if any(item.code not in _EXCEPTIONS for item in entry.exceptions):
            return f"names an exception {_UNKNOWN}"
        case KemKeyEntry():
            usable = is_usable(suite=entry.suite, key_id=entry.key_id, public_key=entry.public_key)
            return "" if usable else "announces a KEM key that is none, or under an id that is not its own"
        case ReceiptEntry() | AnchorEntry():
            return "" if is_origin(entry.origin) else "names a log in no form of an origin"
        case IncidentEntry():
            if entry.incident not in _INCIDENTS:
                return f"is an incident {_UNKNOWN}"
            return "" if is_origin(entry.origin) else "names a log in no form of an origin"
        case CollectedEntry():
            if not is_origin(entry.origin):
                return "names a log in no form of an origin"
            named = {item.agency for item in entry.collections}
            return "" if all(map(is_agency, named)) else "names an agency in no form of a code"
        case VoidEntry():
            return "" if is_agency(entry.agency) else "names an agency in no form of a code"
        case AgreementEntry():
            named = {name for name, _ in entry.types}
            return "" if all(map(_TYPE.fullmatch, named)) else "names a type in no form of one"
        case EventEntry():
            return _strange_event(entry)
        case _:
            return ""


class HeaderNames:
    """Looks at the names in headers of messages; the same ones come again and again."""

    def __init__(self, *, reader: str) -> None:
        """Begin with no names seen.

        Args:
            reader: The nation whose node reads the log, in small letters.
        """
        self._seen: set[tuple[Any, ...]] = set()
        self._between: set[tuple[Any, ...]] = set()
        self._reader = reader

    def are_names(self, header: tuple[Any, ...]) -> bool:
        """Return whether the nodes, agencies and type of a header are in the form of such names.

        Args:
            header: Its fields, checked (`gateway.core.envelope.header_fields`).
        """
        nodes, agencies = (header[FROM_NODE], header[TO_NODE]), (header[FROM_AGENCY], *header[TO_AGENCIES])
        names = (nodes, agencies, header[TYPE])
        if names in self._seen:
            return True
        good = (
            all(map(_NODE.fullmatch, nodes))
            and all(map(is_agency, agencies))
            and _TYPE.fullmatch(header[TYPE]) is not None
        )
        if good and len(self._seen) < MAX_HEADERS:
            self._seen.add(names)
        return good

    def are_between(self, header: tuple[Any, ...]) -> bool:
        """Return whether the sender of a header is not of the reader's nation, and all addressees are.

        Args:
            header: Its fields, checked.
        """
        agencies = (header[FROM_AGENCY], header[TO_AGENCIES])
        if agencies in self._between:
            return True
        of_readers = {nation_of(agency).lower() == self._reader for agency in header[TO_AGENCIES]}
        good = nation_of(header[FROM_AGENCY]).lower() != self._reader and of_readers == {True}
        if good and len(self._between) < MAX_HEADERS:
            self._between.add(agencies)
        return good


def _strange_event(entry: EventEntry) -> str:
    if entry.event not in EVENTS:
        return f"is an event {_UNKNOWN}"
    if entry.role not in _ROLES:
        return f"names a role {_UNKNOWN}"
    if not _OUTCOME.fullmatch(entry.outcome):
        return "has an outcome in no form of a code"
    for detail in entry.details:
        if isinstance(detail, bytes) and len(detail) not in _DETAIL_BYTES and not _is_quota(entry, detail):
            return "holds bytes that are no digest, root or identifier"
    return ""


def _is_quota(entry: EventEntry, detail: bytes) -> bool:
    """Return whether a detail is the agency that a quota is for: the one name among details."""
    return entry.event.startswith("quota.") and is_agency(detail.decode("ascii", "replace"))
