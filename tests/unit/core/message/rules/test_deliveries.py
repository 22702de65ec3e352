from __future__ import annotations

from typing import Any

import pytest

from tests.unit.core.message.rules.samples import ABSENT, changed, created_ms, example, stamp, verdict

REQUEST = "invest.controlled_delivery_request"
DECISION = "invest.controlled_delivery_decision"
CREATED_MS = created_ms(example(REQUEST))
KIND = "/payload/kind"
SUBSTANCE = "/payload/goods/0/substance"
CONSIGNMENT = {
    "documents": [{"kind": "MAWB", "number": "000-76543213"}],
    "load": "USJFK",
    "discharge": "FRCDG",
}
COCAINE = {"name": "cocaine", "cas": "50-36-2"}


@pytest.mark.parametrize(
    "changes",
    [{"/payload/document": ABSENT}, {"/payload/consignment": CONSIGNMENT}],
    ids=["neither", "both"],
)
def test_cx_cd_goods_travel_under_a_consignment_or_a_document(changes: dict[str, object]) -> None:
    assert verdict(changed(REQUEST, changes)) == {("CX-CD", "/payload")}


def test_a_consignment_may_stand_for_the_document() -> None:
    message = changed(REQUEST, {"/payload/document": ABSENT, "/payload/consignment": CONSIGNMENT})

    assert verdict(message) == set()


@pytest.mark.parametrize(("after_ms", "broken"), [(1, False), (0, True), (-1, True)])
def test_cx_cd_a_delivery_begins_after_it_is_asked_for(after_ms: int, broken: bool) -> None:
    message = changed(REQUEST, {"/payload/window_from": stamp(CREATED_MS + after_ms)})

    assert verdict(message) == ({("CX-CD", "/payload/window_from")} if broken else set())


@pytest.mark.parametrize("cas", ["437-38-7", "1443-54-5", "59708-52-0", "14188-81-9"])
def test_cx_cd_fentanyls_and_nitazenes_are_never_left_in(cas: str) -> None:
    unnamed = {SUBSTANCE: {"name": "white powder", "cas": cas}}

    assert verdict(changed(REQUEST, {KIND: "FULL", **unnamed})) == {("CX-CD", KIND)}
    assert verdict(changed(REQUEST, {KIND: "SUBSTITUTED", **unnamed})) == set()
    assert verdict(changed(REQUEST, {KIND: "PARTLY_SUBSTITUTED", **unnamed})) == set()


def test_cx_cd_a_new_fentanyl_is_known_by_its_name() -> None:
    named = {SUBSTANCE: {"name": "ortho-methylfentanyl", "cas": "50-36-2"}}

    assert verdict(changed(REQUEST, {KIND: "FULL", **named})) == {("CX-CD", KIND)}


def test_cx_cd_one_such_line_among_others_is_enough() -> None:
    second: dict[str, Any] = {**example(REQUEST)["payload"]["goods"][0], "line": 2}
    message = changed(REQUEST, {KIND: "FULL", SUBSTANCE: COCAINE, "/payload/goods/-": second})

    assert verdict(message) == {("CX-CD", KIND)}


def test_other_goods_may_be_left_in() -> None:
    cigarettes = {
        "line": 1,
        "category": "TOBACCO",
        "description": "Cigarettes",
        "quantity": {"amount": 200_000, "unit": "STICK"},
        "hs": "240220",
    }

    assert verdict(changed(REQUEST, {KIND: "FULL", SUBSTANCE: COCAINE})) == set()
    assert verdict(changed(REQUEST, {KIND: "FULL", "/payload/goods/0": cigarettes})) == set()


@pytest.mark.parametrize(("cas", "broken"), [("1609-66-1", False), ("437-38-7", True)])
def test_a_precursor_is_known_by_its_number_and_not_by_what_is_made_of_it(cas: str, broken: bool) -> None:
    changes = {
        KIND: "FULL",
        "/payload/goods/0/category": "PRECURSOR",
        SUBSTANCE: {"name": "norfentanyl", "cas": cas},
    }

    assert verdict(changed(REQUEST, changes)) == ({("CX-CD", KIND)} if broken else set())


def test_cx_cd_reports_all_its_conditions() -> None:
    changes = {KIND: "FULL", "/payload/document": ABSENT, "/payload/window_from": stamp(CREATED_MS)}

    assert verdict(changed(REQUEST, changes)) == {
        ("CX-CD", "/payload"),
        ("CX-CD", "/payload/window_from"),
        ("CX-CD", KIND),
    }


@pytest.mark.parametrize("basis", ["UN1988_ART11", "FRUS_MLAT_1998"])
def test_a_controlled_delivery_rests_on_either_of_its_two_bases(basis: str) -> None:
    assert verdict(changed(REQUEST, {"/header/legal_basis": [basis]})) == set()
    assert verdict(changed(REQUEST, {"/header/legal_basis": ["UN1988_ART9"]})) == {
        ("LB-03", "/header/legal_basis")
    }


@pytest.mark.parametrize("decision", ["AUTHORISED", "AUTHORISED_WITH_CONDITIONS"])
@pytest.mark.parametrize("missing", ["authority_ref", "valid_from", "valid_to"])
def test_cx_cddec_an_authorisation_has_reference_and_validity(decision: str, missing: str) -> None:
    message = changed(DECISION, {"/payload/decision": decision, f"/payload/{missing}": ABSENT})

    assert verdict(message) == {("CX-CDDEC", "/payload")}


@pytest.mark.parametrize("conditions", [[], ABSENT])
def test_cx_cddec_conditions_are_named(conditions: object) -> None:
    changes = {"/payload/conditions": conditions}

    assert verdict(changed(DECISION, changes)) == {("CX-CDDEC", "/payload/conditions")}
    assert verdict(changed(DECISION, {**changes, "/payload/decision": "AUTHORISED"})) == set()


def test_cx_cddec_a_refusal_says_why() -> None:
    refused = {"/payload/decision": "REFUSED"}

    assert verdict(changed(DECISION, refused)) == {("CX-CDDEC", "/payload/reason")}
    # Fields that a refusal does not need are not refused.
    assert verdict(changed(DECISION, {**refused, "/payload/reason": "Moyens indisponibles."})) == set()


BARE: dict[str, object] = {
    f"/payload/{name}": ABSENT for name in ("authority_ref", "conditions", "valid_from", "valid_to")
}


@pytest.mark.parametrize(
    ("decision", "reason"), [("REFUSED", "Moyens indisponibles."), ("MORE_INFORMATION_NEEDED", None)]
)
def test_what_authorises_nothing_needs_no_reference(decision: str, reason: str | None) -> None:
    changes = {**BARE, "/payload/decision": decision}
    if reason is not None:
        changes["/payload/reason"] = reason

    assert verdict(changed(DECISION, changes)) == set()
