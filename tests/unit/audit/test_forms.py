"""Names in entries have the form of names: no log holds a text that somebody wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.audit.verify import verify_folder
from gateway.core.audit_events import EVENTS
from gateway.core.entries import (
    AgreementEntry,
    AnchorEntry,
    CollectedEntry,
    Collection,
    Entry,
    EventEntry,
    IncidentEntry,
    IncidentKind,
    ReceiptEntry,
    Role,
    VoidEntry,
)
from tests.unit.audit.making import (
    FR,
    FR_AUDIT,
    FR_US,
    US,
    US_FR,
    event,
    full_trust,
    header,
    make_log,
    message,
    opening,
)

WRITTEN = "Jane Doe, born 1970"


def entries_check(folder: Path, origin: str, *entries: Entry) -> str | None:
    """Return what is wrong with the entries of a log that ends with these."""
    first = opening(FR) if origin == FR_US else [event(0)]
    log = make_log(origin, [*first, *entries], cosigner=US)
    report = verify_folder(log.export(folder), trust=full_trust())
    (check,) = [check for check in report.checks if check.name == "entries"]
    return None if report.is_verified else check.detail


def anchor(origin: str) -> AnchorEntry:
    return AnchorEntry(origin=origin, size=1, root=bytes(32))


def incident(kind: int, origin: str = FR_US) -> IncidentEntry:
    return IncidentEntry(incident=kind, origin=origin, size=1, root=bytes(32))


def receipt(origin: str) -> ReceiptEntry:
    return ReceiptEntry(origin=origin, start=1, count=1, root=bytes(32), decided_ms=1, exceptions=())


def collected(origin: str, agency: str) -> CollectedEntry:
    return CollectedEntry(origin=origin, collections=(Collection(index=1, agency=agency, at_ms=1),))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (anchor(WRITTEN), "names a log in no form of an origin"),
        (receipt(WRITTEN), "names a log in no form of an origin"),
        (incident(1, WRITTEN), "names a log in no form of an origin"),
        (incident(77), "is an incident that this release does not know"),
        (collected(WRITTEN, "FR.SCL"), "names a log in no form of an origin"),
        (collected(US_FR, WRITTEN), "names an agency in no form of a code"),
        (collected(US_FR, "A" * 65), "names an agency in no form of a code"),
        (VoidEntry(conversation_id=bytes(16), agency=WRITTEN, numbers=(1,)), "names an agency in no form"),
        (VoidEntry(conversation_id=bytes(16), agency="US.CBP.NTC", numbers=(1,)), "declares void what is no"),
        (VoidEntry(conversation_id=bytes(16), agency="FR.SCL", numbers=(0, 1)), "declares void what is no"),
        (
            VoidEntry(conversation_id=bytes(16), agency="FR.SCL", numbers=(100_001,)),
            "declares void what is no",
        ),
        (AgreementEntry(types=((WRITTEN, bytes(48)),), effective_ms=1), "names a type in no form of one"),
    ],
)
def test_what_is_no_name_in_an_exchange_log_is_reported(tmp_path: Path, entry: Entry, why: str) -> None:
    found = entries_check(tmp_path, FR_US, entry)
    assert found is not None
    assert found.startswith(f"entry 3 {why}")


@pytest.mark.parametrize(
    "change",
    [
        {"from_agency": WRITTEN},
        {"to_agencies": ("US.CBP.NTC", WRITTEN)},
        {"type": WRITTEN},
        {"type": "intel.spontaneous"},
        {"to_node": "US Gateway"},
    ],
)
def test_what_is_no_name_in_a_header_is_reported(tmp_path: Path, change: dict[str, object]) -> None:
    good = message(FR, 0)
    strange = replace(message(FR, 1, bundle=1), header=replace(header(FR, 1), **change).encode())  # type: ignore[arg-type]  # each test names fields of a header
    assert entries_check(tmp_path / "good", FR_US, good) is None
    assert (
        entries_check(tmp_path / "strange", FR_US, good, strange)
        == "entry 4 has a header with a name that is none"
    )


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"event": "message.praised"}, "is an event that this release does not know"),
        ({"event": WRITTEN}, "is an event that this release does not know"),
        ({"role": 9}, "names a role that this release does not know"),
        ({"outcome": WRITTEN}, "has an outcome in no form of a code"),
        ({"details": (1, WRITTEN.encode())}, "holds bytes that are no digest, root or identifier"),
        (
            {"event": "quota.set", "details": (bytes(48), b"Jane Doe, 1970")},
            "holds bytes that are no digest",
        ),
    ],
)
def test_what_an_event_says_in_words_of_its_own_is_reported(
    tmp_path: Path, change: dict[str, object], why: str
) -> None:
    strange = replace(event(1), **change)  # type: ignore[arg-type]  # each test names fields of an event
    found = entries_check(tmp_path, FR_AUDIT, strange)
    assert found is not None
    assert found.startswith(f"entry 1 {why}")


def test_every_event_incident_and_role_of_the_lists_is_taken(tmp_path: Path) -> None:
    events = [replace(event(number), event=name) for number, name in enumerate(EVENTS)]
    roles = [replace(event(number), role=int(role)) for number, role in enumerate(Role)]
    incidents = [incident(int(kind)) for kind in IncidentKind]
    quota = EventEntry(
        at_ms=1,
        role=2,
        actor=bytes(32),
        event="quota.set",
        objects=(),
        outcome="ok",
        details=(bytes(48), b"FR.DGDDI.SARC", 5, 0),
    )
    assert entries_check(tmp_path, FR_AUDIT, *events, *roles, *incidents, quota) is None
