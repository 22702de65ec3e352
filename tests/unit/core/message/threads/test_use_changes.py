"""CX-USECHANGE and the terms in force."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.core.message.instants import DAY_MS, instant_ms
from gateway.core.message.threads import Side, uuid_bytes
from gateway.core.message.threads.use_changes import LOOSEST_FIRST, TermsInForce, terms_in_force
from tests.unit.core.message.rules.samples import ABSENT, changed
from tests.unit.core.message.threads.memory import Memory, about, broken

SIDES: list[Side] = ["sender", "receiver"]
EFFECTIVE = "2026-11-12T12:00:00Z"
MIDDLE = {"evidence": "CONSENT", "dissemination": "ADDRESSEE_ONLY", "onward_transfer": "CONSENT"}
LOOSE = {field: values[0] for field, values in LOOSEST_FIRST.items()}
TIGHT = {field: values[-1] for field, values in LOOSEST_FIRST.items()}


def target(use: dict[str, str] = MIDDLE, delete_by: object = "2028-11-02") -> dict[str, Any]:
    changes = {"/header/use": use, "/header/data_protection/delete_by": delete_by}
    return changed("intel.spontaneous", changes)


def change(of: dict[str, Any], number: int = 2, **payload: Any) -> dict[str, Any]:
    """Return a use change; by default it tightens and names nothing."""
    values: dict[str, Any] = {
        "direction": "TIGHTEN",
        "use": ABSENT,
        "delete_by": ABSENT,
        "effective": EFFECTIVE,
    } | payload
    document = about(of, "gov.use_change", number=number)
    for name, value in values.items():
        if value is ABSENT:
            document["payload"].pop(name, None)
        else:
            document["payload"][name] = value
    return document


def said(of: dict[str, Any], side: Side = "sender", **payload: Any) -> list[str]:
    found = broken(Memory().add(of), change(of, **payload), side)
    assert {rule for rule, _ in found} <= {"CX-USECHANGE"}
    return [pointer for _, pointer in found]


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("field", LOOSEST_FIRST)
def test_tightening_loosens_no_value(field: str, side: Side) -> None:
    order = LOOSEST_FIRST[field]
    for before, value in enumerate(order):
        of = target(use=MIDDLE | {field: value})
        for after, new in enumerate(order):
            expected = [f"/payload/use/{field}"] if after < before else []
            assert said(of, side, use=MIDDLE | {field: new}) == expected, (value, new)
            # Whoever relaxes may say anything.
            assert said(of, side, use=MIDDLE | {field: new}, direction="RELAX") == []


def test_every_value_that_is_looser_is_named() -> None:
    assert said(target(use=TIGHT), use=LOOSE) == [f"/payload/use/{field}" for field in LOOSEST_FIRST]


@pytest.mark.parametrize("side", SIDES)
def test_tightening_deletes_no_later(side: Side) -> None:
    of = target(delete_by="2028-11-02")

    assert said(of, side, delete_by="2028-11-02") == []
    assert said(of, side, delete_by="2028-11-03") == ["/payload/delete_by"]
    assert said(of, side, delete_by="2028-11-03", direction="RELAX") == []
    assert said(target(delete_by=ABSENT), side, delete_by="2039-01-01") == []


@pytest.mark.parametrize("direction", ["TIGHTEN", "RELAX"])
@pytest.mark.parametrize("side", SIDES)
def test_nothing_is_deleted_before_the_change_takes_effect(direction: str, side: Side) -> None:
    def found(effective: str) -> list[str]:
        return said(target(), side, delete_by="2027-03-01", effective=effective, direction=direction)

    assert found("2027-03-01T23:59:59.999Z") == []
    assert found("2027-03-02T00:00:00Z") == ["/payload/effective"]


def test_the_target_counts_as_first_sent() -> None:
    of = target(use=LOOSE)
    memory = Memory().add(of, change(of, use=TIGHT))

    assert broken(memory, change(of, 3, use=MIDDLE)) == []


def test_with_an_erased_target_only_the_dates_of_the_change_are_compared() -> None:
    of = target(use=TIGHT)
    memory = Memory().add(of)
    memory.erase(of)

    late = change(of, use=LOOSE, delete_by="2027-03-01", effective="2027-03-02T00:00:00Z")
    assert broken(memory, late) == [("CX-USECHANGE", "/payload/effective")]
    assert terms_in_force(uuid_bytes(of["header"]["message_id"]), memory, now_ms=0) is None


# --- The terms in force ----------------------------------------------------------------


def terms(of: dict[str, Any], *changes: dict[str, Any], now_ms: int | None = None) -> TermsInForce:
    memory = Memory().add(of, *changes)
    at_ms = instant_ms(EFFECTIVE) if now_ms is None else now_ms
    found = terms_in_force(uuid_bytes(of["header"]["message_id"]), memory, now_ms=at_ms)
    assert found is not None
    return found


def test_without_a_change_the_terms_are_those_of_the_message() -> None:
    of = target()
    found = terms(of)

    assert found.marking == of["header"]["marking"]
    assert found.handling == of["header"]["handling"]
    assert (found.use, found.delete_by) == (MIDDLE, "2028-11-02")
    assert (found.changed_by, found.announced) == ((), ())


def test_a_change_is_announced_until_it_takes_effect() -> None:
    of = target()
    tightened = change(of, use=TIGHT)
    changed_by = (uuid_bytes(tightened["header"]["message_id"]),)

    before = terms(of, tightened, now_ms=instant_ms(EFFECTIVE) - 1)
    after = terms(of, tightened)

    assert (before.use, before.changed_by, before.announced) == (MIDDLE, (), changed_by)
    assert (after.use, after.changed_by, after.announced) == (TIGHT, changed_by, ())


def test_a_change_says_only_what_it_names() -> None:
    handling = {"codes": ["H1", "H2"]}
    found = terms(target(), change(target(), handling=handling))

    assert found.handling == handling
    assert (found.use, found.delete_by) == (MIDDLE, "2028-11-02")


def test_what_tightens_never_loosens_what_was_tightened_before() -> None:
    of = target(use=LOOSE)
    changes = (
        change(of, use=TIGHT, delete_by="2027-01-01"),
        change(of, 3, use=MIDDLE, delete_by="2028-01-01"),
    )

    for order in (changes, changes[::-1]):
        found = terms(of, *order)
        assert (found.use, found.delete_by) == (TIGHT, "2027-01-01")


def test_relaxing_sets_what_it_names() -> None:
    of = target(use=TIGHT)
    found = terms(of, change(of, use=LOOSE, delete_by="2029-01-01", direction="RELAX"))

    assert (found.use, found.delete_by) == (LOOSE, "2029-01-01")


def test_a_first_day_of_deletion_tightens() -> None:
    of = target(delete_by=ABSENT)

    assert terms(of, change(of, delete_by="2027-01-01")).delete_by == "2027-01-01"
    assert terms(of, change(of, use=TIGHT)).delete_by is None


def test_a_corrected_change_counts_as_corrected() -> None:
    of = target()
    first = change(of, use=TIGHT)
    patches = [{"path": "/payload/effective", "old": EFFECTIVE, "new": "2026-11-20T12:00:00Z"}]
    correction = about(first, "gov.correction", {"/payload/patches": patches}, number=3)

    now = instant_ms(EFFECTIVE) + DAY_MS
    assert terms(of, first, now_ms=now).use == TIGHT
    assert terms(of, first, correction, now_ms=now).use == MIDDLE


def test_a_change_that_was_retracted_counts_no_more() -> None:
    of = target()
    first = change(of, use=TIGHT)

    assert terms(of, first, about(first, "gov.retraction", {}, number=3)).use == MIDDLE
